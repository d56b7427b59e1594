from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from unicodedata import normalize

import pytest

from composer.i18n import localize
from image_db.metadata.description import Description
from image_db.metadata.sidecars import SidecarReader
from image_db.scan import FoundFile, WalkCoverage, walk
from tests.image_db.conftest import paint
from vision.errors import Phrase


def described(folder: Path, name: str = "x.png") -> tuple[Description, dict[str, Phrase]]:
    reader = SidecarReader()
    (found,) = (f for f in walk([folder / name], WalkCoverage()) if isinstance(f, FoundFile))
    description = reader.describe(found.stamp.path, found.sidecars)
    return description, {Path(path).name: reason for path, reason in reader.problems.items()}


@pytest.fixture
def folder(pictures: Path) -> Path:
    paint(pictures / "x.png")
    return pictures


def test_every_documented_key_of_a_json_sidecar_is_read(folder: Path) -> None:
    (folder / "x.json").write_text(
        json.dumps(
            {
                "caption": "A  cat\n asleep",
                "alt": "A grey cat",
                "tags": ["cat", "grey", "cat", " "],
                "author": "Ann",
                "license": "CC BY 4.0",
                "source_url": "https://example.org",
                "captions": {"zh": "一只猫", "de": ""},
            }
        ),
        encoding="utf-8",
    )
    assert described(folder) == (
        Description(
            caption="A cat asleep",
            alt="A grey cat",
            tags=("cat", "grey"),
            author="Ann",
            license="CC BY 4.0",
            source_url="https://example.org",
            captions=(("zh", "一只猫"),),
        ),
        {},
    )


def test_the_first_line_of_a_text_file_is_the_caption(folder: Path) -> None:
    (folder / "x.txt").write_text("\ufeff\n  A cat asleep  \nnotes that are not the caption\n", encoding="utf-8")
    assert described(folder) == (Description(caption="A cat asleep"), {})


def test_utf16_of_windows_editors_is_read(folder: Path) -> None:
    (folder / "x.txt").write_text("Ein Kätzchen", encoding="utf-16")
    assert described(folder)[0].caption == "Ein Kätzchen"


def test_a_folders_csv_gives_each_picture_its_row(folder: Path) -> None:
    paint(folder / "y, z.png", "blue")
    (folder / "metadata.csv").write_text(
        "file,caption,tags,license,captions_zh\r\n"
        'x.png,"A ""big"" cat",cat;big,CC0,大猫\r\n'
        "\r\n"
        '"y, z.png",A dog,,,\r\n',
        encoding="utf-8",
    )
    first, problems = described(folder)
    assert problems == {}
    assert first == Description('A "big" cat', tags=("cat", "big"), license="CC0", captions=(("zh", "大猫"),))
    assert described(folder, "y, z.png")[0] == Description("A dog")


def test_a_folders_jsonl_gives_each_picture_its_row(folder: Path) -> None:
    lines = [{"file": "x.png", "caption": "A cat", "tags": ["cat"]}, {"file_name": "x2.png", "caption": "Another"}]
    paint(folder / "x2.png", "blue")
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    assert described(folder) == (Description("A cat", tags=("cat",)), {})
    assert described(folder, "x2.png") == (Description("Another"), {})


def test_a_folders_parquet_gives_each_picture_its_row(folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    paint(folder / "x2.png", "blue")
    rows = [
        {"file_name": "x.png", "caption": "A cat", "tags": ["cat"], "date": datetime(2019, 5, 4, 12, 30), "n": 1.0},
        {"file_name": "x2.png", "caption": None, "tags": None, "date": None, "n": float("nan")},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "metadata.parquet")
    told, problems = described(folder)
    assert (told.caption, told.tags, told.capture.taken, problems) == ("A cat", ("cat",), "2019-05-04T12:30:00", {})
    assert described(folder, "x2.png") == (Description(), {})
    pictures = [{"image": {"bytes": None, "path": "x2.png"}, "text": "A dog"}]  # as Hugging Face's datasets write them
    parquet.write_table(pyarrow.Table.from_pylist(pictures), folder / "metadata.parquet")
    assert described(folder, "x2.png") == (Description("A dog"), {})


def test_a_parquet_table_without_its_package_is_named_with_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "metadata.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (reason,) = described(folder)[1].values()
    assert reason.values["reason"].key == "format_needs_package"


def test_precedence_goes_from_the_pictures_own_files_to_the_folders(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file,caption,author,license,alt\nx.png,csv,csv,csv,csv\n")
    (folder / "metadata.jsonl").write_text(
        '{"file": "x.png", "caption": "jsonl", "author": "jsonl", "license": "jsonl"}'
    )
    (folder / "x.txt").write_text("txt")
    assert described(folder)[0] == Description("txt", alt="csv", author="jsonl", license="jsonl")
    (folder / "x.json").write_text('{"caption": "stem", "author": "stem"}')
    assert described(folder)[0] == Description("stem", alt="csv", author="stem", license="jsonl")
    (folder / "x.png.json").write_text('{"caption": "full"}')
    assert described(folder)[0] == Description("full", alt="csv", author="stem", license="jsonl")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.json", b"{", "sidecar_not_json"),
        ("x.json", b"[1]", "json_no_object"),
        ("x.json", b"[" * 100_000, "sidecar_not_json"),
        ("x.json", b'{"caption": 3}', "value_no_text"),
        ("x.json", b'{"tags": [1]}', "value_no_list"),
        ("x.json", b'{"captions": {"zho": "x"}}', "captions_entry_wrong"),
        ("x.json", b'{"colour": "grey"}', "no_key_known"),
        ("x.txt", bytes(range(256)), "sidecar_no_text"),
        ("x.xmp", b"<x:xmpmeta", "sidecar_not_xmp"),
        ("metadata.csv", b"file,caption\nnone.png,x", "row_names_absent"),
        ("metadata.csv", b"caption\nx", "table_names_no_column"),
        ("metadata.jsonl", b'{"file": "a/x.png"}', "row_names_absent"),
        ("metadata.parquet", b"PAR1 and no more", "table_not_parquet"),
        ("metadata.jsonl", b'{"file": "../x.png"}', "row_names_other_folder"),
        ("metadata.jsonl", b"{}\nnope", "row_names_no_picture"),
    ],
)
def test_a_bad_sidecar_is_reported_with_its_reason(folder: Path, name: str, content: bytes, reason: str) -> None:
    (folder / name).write_bytes(content)
    description, problems = described(folder)
    assert description == Description()
    assert list(problems) == [name]
    outer = problems[name]
    assert outer.key == "sidecar_not_used"
    inner = outer.values["reason"]
    if name.startswith("metadata") and reason not in ("table_names_no_column", "table_not_parquet"):
        assert (inner.key, inner.values["line"]) == ("on_line", 2 if name.endswith("csv") else 1)
        inner = inner.values["reason"]
    assert inner.key == reason


def test_what_is_good_in_a_bad_sidecar_is_used(folder: Path) -> None:
    (folder / "x.json").write_text('{"caption": "A cat", "licnese": "CC0", "alt": 3}')
    description, problems = described(folder)
    assert description == Description("A cat")
    assert localize(problems["x.json"], "en") == (
        "key 'licnese' is unknown – did you mean license?, alt is 3, a text is expected; the rest of it is used"
    )


def test_one_bad_line_of_a_table_does_not_cost_the_others(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file,caption\nnone.png,x\nx.png,A cat\n")
    description, problems = described(folder)
    assert description.caption == "A cat"
    assert list(problems) == ["metadata.csv"]


def test_a_sidecar_of_unreasonable_size_is_not_read(folder: Path) -> None:
    (folder / "x.txt").write_bytes(b"a" * ((1 << 20) + 1))
    reason = Phrase("sidecar_too_large", {"limit": 1 << 20})
    assert described(folder)[1] == {"x.txt": Phrase("sidecar_not_used", {"reason": reason})}


# Files of other programs


def asked(folder: Path, name: str = "x.png") -> Description:
    """What is read without a single problem."""
    description, problems = described(folder, name)
    assert problems == {}
    return description


def xmp(caption: str) -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>mill</rdf:li></rdf:Bag>'
        f"</dc:subject><dc:description><rdf:Alt><rdf:li>{caption}</rdf:li></rdf:Alt></dc:description></rdf:Description>"
        "</rdf:RDF></x:xmpmeta>"
    )


@pytest.mark.parametrize("name", ["x.xmp", "x.png.xmp", "X.XMP", "x.PNG.xmp"])
def test_an_xmp_sidecar_is_read(folder: Path, name: str) -> None:
    (folder / name).write_text(xmp("A mill in snow"), encoding="utf-8")
    assert asked(folder) == Description("A mill in snow", tags=("mill",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("X.TXT", "A mill in snow"),
        ("x.Txt", "A mill in snow"),
        ("x.JSON", '{"caption": "A mill in snow"}'),
        ("x.PNG.json", '{"Caption": "A mill in snow"}'),
        ("x.caption", "A mill in snow\n"),
        ("x.png.json", '[{"SourceFile": "./x.png", "Caption-Abstract": "A mill in snow", "FileSize": "3 kB"}]'),
        ("x.json", '{"XMP-dc:Description": "A mill in snow", "ImageWidth": 40}'),
        ("x.json", '{"text": "A mill in snow", "width": 40, "label": 3}'),
        ("x.json", '{"Beschreibung": "A mill in snow"}'),
        ("x.json", '{"标题": "A mill in snow"}'),
        ("x.json", '{"title": "x.png", "description": "A mill in snow"}'),
        ("x.json", '{"caption_en": "A mill in snow"}'),
        ("x.json", '{"caption": "A mill in snow", "alt": null, "author": NaN}'),
    ],
)
def test_names_and_keys_of_other_programs_are_understood(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    assert asked(folder) == Description("A mill in snow")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030", "big5", "utf-8"])
def test_a_text_is_read_in_the_encoding_it_is_in(folder: Path, encoding: str) -> None:
    (folder / "x.txt").write_bytes("雪中的石橋".encode(encoding))
    assert asked(folder).caption == "雪中的石橋"


def test_a_text_of_an_old_editor_is_read(folder: Path) -> None:
    (folder / "x.txt").write_bytes("Schnee über Köln – “Dom”".encode("cp1252"))
    assert asked(folder).caption == "Schnee über Köln – “Dom”"


TAKEOUT = {
    "title": "IMG_7.PNG",
    "description": "Storks on a chimney",
    "imageViews": "3",
    "creationTime": {"timestamp": "1"},
    "geoData": {"latitude": 0.0},
    "people": [{"name": "Ann Nobody"}],
    "url": "https://photos.google.com/photo/secret",
}


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        ("IMG_7.PNG", "IMG_7.PNG.json"),
        ("IMG_7.PNG", "IMG_7.PNG.supplemental-metadata.json"),
        ("IMG_7.PNG", "IMG_7.PNG.supplemental-me.json"),
        ("IMG_7.PNG", "IMG_7.PNG.s.json"),
        ("IMG_7(2).PNG", "IMG_7.PNG(2).json"),
        ("IMG_7(2).PNG", "IMG_7.PNG.supplemental-metadata(2).json"),
        ("IMG_7-edited.PNG", "IMG_7.PNG.supplemental-metadata.json"),
        ("IMG_7-edited.PNG", "IMG_7.PNG.json"),
        (
            "a name that is far too long for the archive it came from.png",
            "a name that is far too long for the archive it.json",
        ),
    ],
)
def test_google_takeout_is_read_without_a_warning(pictures: Path, picture: str, name: str) -> None:
    paint(pictures / picture)
    (pictures / name).write_text(json.dumps(TAKEOUT))
    assert asked(pictures, picture) == Description("Storks on a chimney", tags=("Ann Nobody",))


def test_takeout_without_a_description_says_nothing_and_is_no_problem(folder: Path) -> None:
    (folder / "x.png.json").write_text(json.dumps(TAKEOUT | {"description": "", "people": []}))
    assert asked(folder) == Description()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "\ufefffile;caption;tags\r\nx.png;A mill in snow;mill,snow\r\n"),
        ("metadata.csv", "sep=;\r\nfile;caption;tags\r\nx.png;A mill in snow;mill|snow\r\n"),
        ("metadata.csv", 'File,Caption,Tags\nx.png,A mill in snow,"mill, snow"\n'),
        ("Metadata.CSV", "FILE NAME\tDESCRIPTION\tKEYWORDS\nx.png\tA mill in snow\tmill; snow\n"),
        ("metadata.tsv", "file_name\ttext\ttags\nX.PNG\tA mill in snow\tmill、snow\n"),
        ("metadata.csv", 'SourceFile,Caption-Abstract,Subject\n./x.png,A mill in snow,"mill, snow"\n'),
        ("metadata.csv", "Dateiname;Bildunterschrift;Schlagwörter\nx.png;A mill in snow;mill, snow\n"),
        ("metadata.csv", "文件名,说明,标签\nx.png,A mill in snow,mill；snow\n"),
        ("metadata.csv", ',file,caption,tags,score\n0,C:\\Users\\Ann\\x.png,A mill in snow,"mill,snow",0.5\n'),
        ("metadata.jsonl", '{"file_name": "x.png", "text": "A mill in snow", "tags": ["mill", "snow"], "id": 3}\n'),
        ("metadata.jsonl", '[{"file": "x.png", "caption": "A mill in snow",\n "keywords": "mill, snow"}]'),
    ],
)
def test_tables_of_other_programs_are_understood(folder: Path, name: str, content: str) -> None:
    (folder / name).write_bytes(content.encode("utf-8"))
    assert asked(folder) == Description("A mill in snow", tags=("mill", "snow"))


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8"])
def test_a_table_is_read_in_the_encoding_it_is_in(folder: Path, encoding: str) -> None:
    (folder / "metadata.csv").write_bytes("file,caption\r\nx.png,雪中的石桥\r\n".encode(encoding))
    assert asked(folder).caption == "雪中的石桥"


@pytest.mark.parametrize(("of_file", "of_table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_match_whatever_the_form_of_their_accents(pictures: Path, of_file: str, of_table: str) -> None:
    named = normalize(of_file, "Übung für Anfänger.png")
    paint(pictures / named)
    (pictures / "metadata.csv").write_text(f"file,caption\n{normalize(of_table, named)},Fencers\n", encoding="utf-8")
    assert asked(pictures, named).caption == "Fencers"
    (pictures / normalize(of_table, "Übung für Anfänger.txt")).write_text("A class", encoding="utf-8")
    assert asked(pictures, named).caption == "A class"


@pytest.mark.parametrize("row", ["train/a/x.png", "train\\\\a\\\\x.png", "./train/a/x.png", "Train/A/X.png"])
def test_a_table_of_a_folder_above_names_pictures_by_their_way(pictures: Path, row: str) -> None:
    paint(pictures / "train/a/x.png")
    (pictures / "metadata.jsonl").write_text(f'{{"file_name": "{row}", "text": "A mill in snow"}}')
    assert asked(pictures / "train/a").caption == "A mill in snow"


def test_a_table_nearer_to_the_picture_leads_and_one_that_is_no_table_of_pictures_is_no_problem(
    pictures: Path,
) -> None:
    paint(pictures / "train/x.png")
    (pictures / "metadata.csv").write_text("city,population\nTartu,97000\n")
    (pictures / "train/metadata.csv").write_text("file,caption\nx.png,near\n")
    assert asked(pictures / "train").caption == "near"
    (pictures / "metadata.csv").write_text("file,caption,author\ntrain/x.png,far,Ann\n")
    assert asked(pictures / "train") == Description("near", author="Ann")


def test_a_lone_surrogate_is_a_warning_and_costs_one_character(folder: Path) -> None:
    (folder / "x.json").write_text('{"caption": "A mill \\ud83d in snow", "tags": ["mi\\udfffll"]}')
    description, problems = described(folder)
    assert description == Description("A mill in snow", tags=("mi ll",))
    assert problems["x.json"].key == "sidecar_partly_used"


@pytest.mark.parametrize("name", ["n" * 300 + ".png", "a\\u0000b.png", "\\ud800.png", "a/" * 3000 + "x.png", "", "."])
def test_a_row_of_an_impossible_name_is_a_warning(folder: Path, name: str) -> None:
    (folder / "metadata.jsonl").write_text(f'{{"file": "{name}", "caption": "x"}}\n{{"file": "x.png", "caption": "y"}}')
    description, problems = described(folder)
    assert description.caption == "y"
    assert list(problems) == ["metadata.jsonl"]


@pytest.mark.parametrize("name", ["x.txt", "x.json", "x.xmp", "metadata.jsonl", "metadata.csv"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loose"])
def test_what_is_no_regular_file_is_named_and_never_waited_for(folder: Path, name: str, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "device":
        (folder / name).symlink_to("/dev/zero")
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to(folder / "nowhere")
    description, problems = described(folder)
    assert description == Description()
    assert list(problems) == ([] if kind == "loose" else [name])


def test_joined_characters_and_marks_of_other_scripts_survive(folder: Path) -> None:
    family = "A family 👨\u200d👩\u200d👧 می\u200cخواهم"
    (folder / "x.json").write_text(json.dumps({"caption": family + "\u202e\x1b[31m"}))
    assert asked(folder).caption == f"{family} [31m"
