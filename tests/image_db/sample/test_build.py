"""The sample library's pictures and words, from packages these tests make; the real fetch is marked ``network``."""

from __future__ import annotations

import io
import json
from collections import Counter
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from image_db.errors import SampleUnavailable
from image_db.metadata.sidecars import SidecarReader
from image_db.sample import gcompris as sample_gcompris
from image_db.sample import stamps as sample_stamps
from image_db.sample.build import RECEIPT_NAME, fetch_sample
from image_db.sample.credits import Credit, license_name, matches, parse_copyright, parse_readme
from image_db.sample.pictures import (
    MAX_FLAT_SHARE,
    Curation,
    SamplePicture,
    Words,
    alt_of,
    flat_share,
    is_large_enough,
    load_curation,
    name_to_caption,
    sentence_to_caption,
    tags_from,
)
from tests.image_db.sample.test_packages import deb_of, pool, rcc_of, tar_of

__all__ = ["pool"]  # the fixture is used by name

COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Source: http://example.org/

Files: *
Copyright: 2002-2022 by Bill Kendrick <bill@example.com>
License: GPL-2

Files: src/*.webp
       art/fish?.png
Copyright: 2010, 2011 Ada
           © 2014-2015 Bo Li <bo@example.com>
License: CC-BY-SA-4.0
Comment: https://commons.example.org/wiki/File:Fish.jpg

Files: src/special\\*.webp
Copyright: none
License: public-domain

Files: crowd/*
Copyright: 2001 A
           2002 B
           2003 C
           2004 D
License: GPL-3

License: GPL-2
 Redistribute under version 2 of the License, or
 (at your option) any later version.

License: GPL-3
 Version 3 only.
"""


@cache
def photograph(width_px: int = 200, height_px: int = 150, seed: int = 0, format: str = "PNG") -> bytes:
    noise = np.random.default_rng(seed).integers(0, 40, (height_px, width_px, 3))
    ramp = np.linspace(0, 200, width_px).astype(int)[None, :, None]
    buffer = io.BytesIO()
    Image.fromarray((noise + ramp).astype("uint8")).save(buffer, format)
    return buffer.getvalue()


def drawing() -> bytes:
    image = Image.new("RGBA", (200, 150))
    ImageDraw.Draw(image).ellipse((10, 10, 190, 140), fill=(250, 200, 0, 255), outline=(0, 0, 0, 255), width=6)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


STAMPS = "usr/share/tuxpaint/stamps/"
STAMP_FILES = {
    f"./{STAMPS}animals/birds/crow.png": photograph(seed=1),
    f"./{STAMPS}animals/birds/crow.txt": "A crow!\nde.utf8=Eine Krähe\nzh_CN.utf8=乌鸦！\n".encode(),
    f"./{STAMPS}animals/birds/grey_parrot2.png": photograph(seed=2),
    f"./{STAMPS}animals/birds/twin.png": photograph(seed=1),
    f"./{STAMPS}animals/birds/sun.png": drawing(),
    f"./{STAMPS}food/small.png": photograph(50, 50),
    f"./{STAMPS}symbols/star.png": photograph(seed=3),
    f"./{STAMPS}animals/birds/crow.ogg": b"croak",
    "./usr/share/doc/tuxpaint-stamps-default/copyright": COPYRIGHT.encode(),
}
QML = """QtObject { property var tab: [ { "title": qsTr("Great Hall"),
  "text": qsTr("A hall."), "image2": "qrc:/gcompris/src/activities/explore_monuments/resource/india/greatHall.webp"
} ] }"""
README = """\
Copyright: Ann Lee, 2019
License: CC-BY-SA 4.0
Source: https://example.org/hall.jpg
Files:
india/greatHall.webp

Copyright: 2000, 2008 Bruno Coudoin and others
License: CC-BY 4.0
bridge_background.webp
Comment: based on a photo by Guillaume Piolle, license CC-BY 3.0, source at https://example.org/bridge.jpg

Copyright:
  Copyright 2011 NASA
  Copyright 2018 Timothée Giet
License: Public Domain
Files:
  one.webp
  two.webp
Comment: one.webp is based on a photo by Mo, original source at https://example.org/one.jpg
"""


def gcompris_files() -> dict[str, bytes]:
    root = "gcompris/src/activities"
    monuments = rcc_of(
        {
            f"{root}/explore_monuments/resource/india/greatHall.webp": photograph(seed=5, format="WEBP"),
            f"{root}/explore_monuments/resource/india/roundTower2.webp": (photograph(seed=6, format="WEBP"), "zlib"),
            f"{root}/explore_monuments/resource/other/key.webp": photograph(seed=7, format="WEBP"),
            f"{root}/explore_monuments/resource/board/board1.qml": (QML.encode(), "zstd"),
            f"{root}/explore_monuments/resource/README": README.encode(),
        }
    )
    words = rcc_of(
        {
            f"{root}/lang/resource/content-en.json": b'{"a.ogg": "great hall", "b.ogg": "tower"}',
            f"{root}/lang/resource/content-zh_CN.json": ('{"a.ogg": "大厅", "b.ogg": ""}'.encode(), "zlib"),
        }
    )
    return {
        "./usr/share/gcompris-qt/rcc/explore_monuments.rcc": monuments,
        "./usr/share/gcompris-qt/rcc/lang.rcc": words,
        "./usr/share/gcompris-qt/rcc/unwanted.rcc": b"not a resource file at all",
        "./usr/share/doc/gcompris-qt-data/copyright": COPYRIGHT.encode(),
    }


@cache
def packages() -> dict[str, bytes]:
    return {
        "tuxpaint-stamps-default_1.0-2_all.deb": deb_of(tar_of(STAMP_FILES)),
        "gcompris-qt-data_1.0-2_all.deb": deb_of(tar_of(gcompris_files()), ".zst"),
    }


@pytest.fixture
def served(pool: Path) -> Path:
    for name, data in packages().items():
        (pool / name).write_bytes(data)
    return pool


def test_the_sample_holds_the_photographs_of_both_packages_with_their_words(served: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    report = fetch_sample(folder, tmp_path / "cache")
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".png", ".webp"))
    assert written == [
        "gcompris/india/greatHall.webp",
        "gcompris/india/roundTower2.webp",
        "stamps/animals/birds/crow.png",
        "stamps/animals/birds/grey_parrot2.png",
    ]
    assert (folder / "stamps/animals/birds/crow.png").read_bytes() == photograph(seed=1)
    assert json.loads((folder / "stamps/animals/birds/crow.json").read_text(encoding="utf-8")) == {
        "caption": "A crow",
        "alt": "A crow",
        "tags": ["crow", "bird", "animal"],
        "author": "Bill Kendrick and Tux Paint contributors",
        "license": "GPL-2+",
        "source_url": "https://tuxpaint.org/",
        "captions": {"zh": "乌鸦"},
    }
    hall = json.loads((folder / "gcompris/india/greatHall.json").read_text(encoding="utf-8"))
    assert (hall["caption"], hall["captions"], hall["author"]) == ("Great Hall", {"zh": "大厅"}, "Ann Lee")
    assert (hall["license"], hall["source_url"]) == ("CC BY-SA 4.0", "https://example.org/hall.jpg")
    tower = json.loads((folder / "gcompris/india/roundTower2.json").read_text(encoding="utf-8"))
    assert (tower["caption"], tower["license"], tower["captions"]) == ("Round tower", "CC BY-SA 4.0", {})
    assert report.pictures == 4
    assert report.by_package == {"tuxpaint-stamps-default": 2, "gcompris-qt-data": 2}
    assert report.skipped == 5
    assert [package.version for package in report.packages] == ["1.0-2", "1.0-2"]


def test_the_library_reads_the_sidecars_as_they_were_meant(served: Path, tmp_path: Path) -> None:
    fetch_sample(tmp_path / "pictures", tmp_path / "cache")
    reader = SidecarReader()
    picture = tmp_path / "pictures/stamps/animals/birds/crow.png"
    description = reader.describe(str(picture), (str(picture.with_suffix(".json")),))
    assert reader.problems == {}
    assert description.caption == "A crow"
    assert dict(description.captions or ()) == {"zh": "乌鸦"}
    assert tuple(description.tags or ()) == ("crow", "bird", "animal")


def test_a_second_run_fetches_nothing_and_writes_nothing(served: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    first = fetch_sample(folder, tmp_path / "cache")
    calls = (served / "calls").read_text()
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    second = fetch_sample(folder, tmp_path / "cache")
    assert (served / "calls").read_text() == calls
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    assert (first.fetched, second.fetched) == (True, False)
    assert (second.pictures, second.skipped, second.packages) == (first.pictures, first.skipped, first.packages)


def test_a_missing_picture_comes_back_and_a_corrected_caption_stays(served: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    fetch_sample(folder, tmp_path / "cache")
    (folder / "gcompris/india/greatHall.webp").unlink()
    (folder / "stamps/animals/birds/crow.json").write_text('{"caption": "My crow"}')
    fetch_sample(folder, tmp_path / "cache")
    assert (folder / "gcompris/india/greatHall.webp").read_bytes() == photograph(seed=5, format="WEBP")
    assert json.loads((folder / "stamps/animals/birds/crow.json").read_text()) == {"caption": "My crow"}


def test_the_packages_do_not_stay_on_disk_once_their_pictures_are_out(served: Path, tmp_path: Path) -> None:
    fetch_sample(tmp_path / "pictures", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_receipt_leads_to_a_new_one_not_to_a_crash(served: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    fetch_sample(folder, tmp_path / "cache")
    for damaged in ("{", "[]", '{"recipe": 1}'):
        (folder / RECEIPT_NAME).write_text(damaged)
        assert fetch_sample(folder, tmp_path / "cache").pictures == 4


def test_a_folder_that_cannot_be_written_is_named(served: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("a file stands here")
    with pytest.raises(SampleUnavailable, match=r"cannot write the sample's pictures into .*pictures: "):
        fetch_sample(tmp_path / "pictures", tmp_path / "cache")


def test_progress_tells_bytes_while_fetching_and_pictures_while_writing(served: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    fetch_sample(tmp_path / "pictures", tmp_path / "cache", lambda *step: told.append(step))
    assert all(0 <= done <= total for _, done, total in told)
    assert ("tuxpaint-stamps-default: pictures", 6, 6) in told
    assert ("gcompris-qt-data: pictures", 3, 3) in told


def test_the_last_matching_paragraph_of_a_copyright_file_holds() -> None:
    copyrights = parse_copyright(COPYRIGHT, "Many hands")
    assert copyrights.credit("anything/at/all") == Credit("Bill Kendrick", "GPL-2+")
    fish = Credit("Ada, Bo Li", "CC BY-SA 4.0", "https://commons.example.org/wiki/File:Fish.jpg")
    assert copyrights.credit("src/deep/er/x.webp") == fish
    assert copyrights.credit("art/fish7.png") == fish
    assert copyrights.credit("art/fish17.png") == Credit("Bill Kendrick", "GPL-2+")
    assert copyrights.credit("src/special*.webp") == Credit("Many hands", "Public domain")
    assert copyrights.credit("crowd/1") == Credit("Many hands", "GPL-3")


def test_patterns_know_star_question_mark_and_escapes_and_no_brackets() -> None:
    assert matches("a/*.png", "a/b/c.png")
    assert not matches("a/*.png", "a/b/c.pngx")
    assert matches("f?sh[1]", "fish[1]")
    assert not matches("fish[1]", "fish1")
    assert matches("10\\*", "10*")
    assert not matches("10\\*", "100")


def test_a_readme_credits_the_original_author_of_what_was_adapted() -> None:
    credits = parse_readme(README)
    assert credits["india/greatHall.webp"] == Credit("Ann Lee", "CC BY-SA 4.0", "https://example.org/hall.jpg")
    assert credits["bridge_background.webp"] == Credit(
        "Guillaume Piolle (adapted by Bruno Coudoin and others)", "CC BY 4.0", "https://example.org/bridge.jpg"
    )


def test_a_note_on_one_file_of_a_readme_paragraph_credits_that_file_only() -> None:
    credits = parse_readme(README)
    one = Credit("Mo (adapted by NASA, Timothée Giet)", "Public domain", "https://example.org/one.jpg")
    assert credits["one.webp"] == one
    assert credits["two.webp"] == Credit("NASA, Timothée Giet", "Public domain")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("public-domain", "Public domain"),
        ("Public Domain", "Public domain"),
        ("CC-BY-SA 4.0", "CC BY-SA 4.0"),
        ("CC-BY-3.0", "CC BY 3.0"),
        ("CC0-1.0", "CC0 1.0"),
        ("GPLv3", "GPL-3"),
        ("OFL-1.1", "OFL-1.1"),
    ],
)
def test_a_licence_has_one_spelling(given: str, name: str) -> None:
    assert license_name(given) == name


def test_a_stamps_text_gives_english_and_every_translation() -> None:
    text = "\ufeffA hen (a bird).\nzh_CN.utf8=母鸡。\nsr@latin.utf8=Kokoška\nrubbish\nzh_TW.utf8=母雞。\n"
    assert sample_stamps.parse_stamp_text(text.encode()) == (
        "A hen (a bird).",
        {"zh_CN": "母鸡。", "sr@latin": "Kokoška", "zh_TW": "母雞。"},
    )
    assert sample_stamps.parse_stamp_text(b"") == ("", {})
    assert sample_stamps.parse_stamp_text(b"\xff\xfe bad bytes")[1] == {}


@pytest.mark.parametrize(
    ("sentence", "caption"),
    [
        ("A crow!", "A crow"),
        ("  A  frog. ", "A frog"),
        ("A wheelie bin! Give me your trash!", "A wheelie bin"),
        ("Boom!!!", "Boom"),
        ("An albino peahen (a female peafowl).", "An albino peahen (a female peafowl)"),
        ("布谷鸟。", "布谷鸟"),
        ("", ""),
    ],
)
def test_a_caption_is_the_first_sentence_without_its_mark(sentence: str, caption: str) -> None:
    assert sentence_to_caption(sentence) == caption


@pytest.mark.parametrize(
    ("stem", "caption"),
    [("polarBear_02", "Polar bear"), ("tiger-sumatran", "Tiger sumatran"), ("DOG", "Dog"), ("7", "")],
)
def test_a_file_name_becomes_words(stem: str, caption: str) -> None:
    assert name_to_caption(stem) == caption


def test_tags_name_the_thing_without_its_article_and_come_once() -> None:
    assert tags_from("A scarlet macaw", ["bird", "parrot", "bird"]) == ("scarlet macaw", "bird", "parrot")
    assert tags_from("Horses standing in a pasture", ["animal"]) == ("animal",)
    assert tags_from("A red British post box", []) == ("red british post box",)
    assert alt_of("A cep, a mushroom of autumn") == "A cep"


def test_flat_colour_tells_a_drawing_from_a_photograph() -> None:
    assert flat_share(drawing()) > MAX_FLAT_SHARE > flat_share(photograph())


def test_tiny_pictures_and_what_is_no_picture_are_left_out() -> None:
    assert is_large_enough(photograph(120, 60))
    assert not is_large_enough(photograph(119, 60))
    assert not is_large_enough(photograph(300, 59))
    assert not is_large_enough(b"no picture")


def test_a_picture_named_outside_of_the_folder_is_refused(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = SamplePicture("../evil.png", photograph(), "Evil", (), Credit("a", "b"))
    monkeypatch.setattr("image_db.sample.stamps.stamp_pictures", lambda *_: iter([evil]))
    with pytest.raises(SampleUnavailable, match=r"names a picture '\.\./evil\.png', outside of its own folder"):
        fetch_sample(tmp_path / "a" / "pictures", tmp_path / "cache")
    assert not list(tmp_path.rglob("evil*"))


def test_curated_words_win_over_the_packages_and_folders_can_be_left_out() -> None:
    curation = Curation(
        texts={"animals/birds/crow": Words("A black crow", "", ("corvid",))},
        topics={"farm animal": ["animals/birds/*"]},
        leave_out=["*/twin"],
        leave_out_folders=frozenset({"symbols"}),
    )
    package = {path.removeprefix("./"): data for path, data in STAMP_FILES.items()}
    pictures = [picture for picture in sample_stamps.stamp_pictures(package, curation) if picture]
    assert [picture.path for picture in pictures] == [
        "stamps/animals/birds/crow.png",
        "stamps/animals/birds/grey_parrot2.png",
    ]
    assert pictures[0].caption == "A black crow"
    assert pictures[0].chinese == "乌鸦"
    assert pictures[0].tags == ("black crow", "corvid", "bird", "animal", "farm animal")


@pytest.mark.parametrize("package", ["stamps", "gcompris"])
def test_curated_chinese_is_chinese_and_curated_english_reads_as_a_caption(package: str) -> None:
    for name, words in load_curation(package).texts.items():
        assert words.english == "" or words.english[0].isupper(), name
        assert not words.english.endswith((".", "!")), name
        assert words.chinese == "" or any("\u4e00" <= character <= "\u9fff" for character in words.chinese), name


@pytest.mark.network
def test_the_real_sample_has_five_hundred_pictures_all_with_words_and_credits(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    report = fetch_sample(folder, tmp_path / "cache")
    assert report.pictures >= 500
    sidecars = {path: json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob("[!.]*.json")}
    assert len(sidecars) == report.pictures
    for path, fields in sidecars.items():
        assert all(fields[key] for key in ("caption", "alt", "tags", "author", "license", "source_url")), path
    assert sum("zh" in fields["captions"] for fields in sidecars.values()) >= 500
    names = {
        "stamps": {
            str(path.relative_to(folder / "stamps").with_suffix("")) for path in (folder / "stamps").rglob("*.png")
        },
        "gcompris": {f"{path.parent.name}/{path.stem}" for path in (folder / "gcompris").rglob("*.webp")},
    }
    for package, present in names.items():
        assert set(load_curation(package).texts) <= present, f"{package}: words for pictures that are not there"
    for topic, globs in load_curation("stamps").topics.items():
        everything = names["stamps"] | names["gcompris"]
        assert all(any(fnmatchcase(name, glob) for name in everything) for glob in globs), topic
    topics = Counter(tag for fields in sidecars.values() for tag in fields["tags"])
    assert min(topics[topic] for topic in ("farm animal", "pet", "tropical bird", "monument")) >= 10
    assert not fetch_sample(folder, tmp_path / "cache").fetched


def test_the_two_packages_are_those_the_documentation_names() -> None:
    assert (sample_stamps.PACKAGE, sample_gcompris.PACKAGE) == ("tuxpaint-stamps-default", "gcompris-qt-data")
