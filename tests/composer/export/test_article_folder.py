"""An output folder is whole or absent, reads back, and packs the same way twice."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from composer.article.model import Article, Section
from composer.article.serialization import dump, from_json, to_json
from composer.errors import ComposerError, OutputExists
from composer.export.article_folder import check_free, load_article, save_article, save_download, zip_article
from composer.i18n import localize
from composer.pipeline.events import StageFinished
from tests.composer.article_samples import farm_article, picture, placed, record_of


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_folder_holds_article_exports_pictures_and_trace(tmp_path: Path) -> None:
    article = farm_article(tmp_path / "lib")
    stages = [StageFinished("write", 1.23456, tokens=600, cache_hits=12), StageFinished("finish", 0.1)]
    saved = save_article(article, tmp_path / "out", trace=[stage.as_json() for stage in stages])
    hens, cows = article.pictures
    names = {
        f"images/hens-leave-the-barn-at-sunrise-{hens.id[:8]}.jpg",
        f"images/two-cows-wait-at-the-fence-{cows.id[:8]}.jpg",
    }
    held = contents(tmp_path / "out")
    assert set(held) == {"article.json", "article.md", "article.html", "trace.jsonl"} | names
    assert {f"images/{name}" for name in saved.files.values()} == names
    assert [json.loads(line) for line in held["trace.jsonl"].splitlines()] == [
        {"name": "write", "seconds": 1.235, "tokens": 600, "cache_hits": 12},
        {"name": "finish", "seconds": 0.1, "tokens": 0, "cache_hits": 0},
    ]
    for name in names:
        assert name.encode() in held["article.md"]
        assert name.encode() in held["article.html"]
    assert hashlib.sha256(held[f"images/{saved.files[hens.id]}"]).hexdigest() == hens.id
    assert json.loads(held["article.json"])["placements"][2]["reason"] == [
        {"key": "nothing_fits", "values": {"best": 0.12, "needed": 0.21}}
    ]


def test_only_the_formats_asked_for_are_written(tmp_path: Path) -> None:
    save_article(farm_article(tmp_path / "lib"), tmp_path / "out", formats=("md",))
    assert (tmp_path / "out/article.md").exists()
    assert not (tmp_path / "out/article.html").exists()


def test_the_same_article_gives_the_same_bytes(tmp_path: Path) -> None:
    article = farm_article(tmp_path / "lib")
    save_article(article, tmp_path / "one")
    save_article(article, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_saved_article_reads_back_with_its_own_pictures(tmp_path: Path) -> None:
    article = farm_article(tmp_path / "lib")
    saved = save_article(article, tmp_path / "out")
    for picture_file in (tmp_path / "lib").iterdir():
        picture_file.unlink()
    (tmp_path / "out").rename(tmp_path / "moved")
    loaded = load_article(tmp_path / "moved")
    assert (loaded.title, loaded.sections, loaded.files) == (saved.title, saved.sections, saved.files)
    for record in loaded.pictures:
        assert record.path.parent == tmp_path / "moved/images"
        assert hashlib.sha256(record.path.read_bytes()).hexdigest() == record.id
    again = save_article(loaded, tmp_path / "again")
    assert again.files == saved.files
    assert (tmp_path / "again/article.html").read_bytes() == (tmp_path / "moved/article.html").read_bytes()


def test_json_there_and_back_is_the_same_text(tmp_path: Path) -> None:
    saved = save_article(farm_article(tmp_path / "lib"), tmp_path / "out")
    assert dump(from_json(to_json(saved))) == (tmp_path / "out/article.json").read_text(encoding="utf-8")


def test_transparency_profile_and_turn_are_kept_because_bytes_are(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    Image.new("RGBA", (30, 20), (255, 0, 0, 80)).save(lib / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "blue").save(lib / "turned.jpg", exif=exif)
    clear, turned = record_of(lib / "clear.png", 30, 20), record_of(lib / "turned.jpg", 20, 40)
    article = Article("T", "en", (Section("a"), Section("b")), (placed(clear, 0, "Clear"), placed(turned, 1, "Turned")))
    saved = save_article(article, tmp_path / "out")
    with Image.open(tmp_path / "out/images" / saved.files[clear.id]) as image:
        assert image.getpixel((0, 0)) == (255, 0, 0, 80)
    with Image.open(tmp_path / "out/images" / saved.files[turned.id]) as image:
        assert image.getexif()[0x0112] == 6
    # The page reserves the space of the picture as shown, turned.
    assert 'width="20" height="40"' in (tmp_path / "out/article.html").read_text()


def test_a_used_folder_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(OutputExists) as error:
        save_article(farm_article(tmp_path / "lib"), out)
    assert error.value.key == "out_not_empty"
    assert error.value.values == {"path": str(out), "entry": "mine.txt", "count": 1}
    assert contents(out) == {"mine.txt": b"keep"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lib", "out"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputExists, match=r"^out_is_file: "):
        check_free(tmp_path / "out")


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    save_article(farm_article(tmp_path / "lib"), tmp_path / "out")
    save_article(farm_article(tmp_path / "lib"), tmp_path / "deep/er/out")
    assert (tmp_path / "out/article.json").exists()
    assert (tmp_path / "deep/er/out/article.json").exists()


@pytest.mark.parametrize("harm", ["gone", "changed", "not a picture"])
def test_a_picture_lost_since_indexing_is_left_out_with_the_reason(harm: str, tmp_path: Path) -> None:
    article = farm_article(tmp_path / "lib")
    hens = article.pictures[0]
    if harm == "gone":
        hens.path.unlink()
    elif harm == "changed":
        Image.new("RGB", (5, 5), "red").save(hens.path)
    else:
        hens.path.write_text("text")
        record = record_of(hens.path, 5, 5)
        article = article.with_placements((replace(article.placements[0], chosen=record), *article.placements[1:]))
    saved = save_article(article, tmp_path / "out")
    reasons = {
        "gone": f"left out while saving: {hens.path} cannot be read: No such file or directory; restore it",
        "changed": f"left out while saving: {hens.path} has changed since it was indexed; index its folder again",
        "not a picture": f"left out while saving: {hens.path} is not a picture of a known format",
    }
    assert saved.placements[0].chosen is None
    assert localize(saved.placements[0].reason, "en").startswith(reasons[harm])
    assert len(list((tmp_path / "out/images").iterdir())) == 1
    assert load_article(tmp_path / "out").placements[0].chosen is None


@pytest.mark.parametrize("kind", ["zip", "html", "docx", "epub"])
def test_a_download_leaves_out_what_is_gone_and_says_so(kind: str, tmp_path: Path) -> None:
    article = farm_article(tmp_path / "lib")
    article.pictures[1].path.unlink()
    path, notes = save_download(article, (), tmp_path / "out", kind)
    assert path.stat().st_size > 0
    (said,) = notes
    assert (said.key, dict(said.values)) == (
        "pictures_not_saved", {"lost": 1, "of": 2, "files": [article.pictures[1].path.name]}
    )  # fmt: skip


KILLED = """
import os, signal, sys
from pathlib import Path
import composer.export.article_folder as output
sys.path.insert(0, sys.argv[3])
from tests.composer.article_samples import farm_article
article = farm_article(Path(sys.argv[1]) / "lib")
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(output, sys.argv[2], die)
output.save_article(article, Path(sys.argv[1]) / "out")
"""


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
@pytest.mark.parametrize("step", ["_copy_pictures", "export", "_write_text"])
def test_a_killed_run_leaves_no_folder_and_the_next_one_clears_up(step: str, tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    run = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), step, root], cwd=root, check=False)
    assert run.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".out.vignette-partial-")]
    save_article(farm_article(tmp_path / "lib"), tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lib", "out"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ComposerError, match=r"^not_written: path=.*file/out, reason="):
        save_article(farm_article(tmp_path / "lib"), tmp_path / "file/out")


def test_no_picture_name_of_a_foreign_article_leaves_its_folder(tmp_path: Path) -> None:
    saved = save_article(farm_article(tmp_path / "lib"), tmp_path / "out")
    data = to_json(replace(saved, files={saved.pictures[0].id: "../../secret"}))
    (tmp_path / "out/article.json").write_text(json.dumps(data))
    with pytest.raises(ComposerError, match=r"^article_names_outside: .*name=\.\./\.\./secret$"):
        load_article(tmp_path / "out")


def test_a_folder_without_an_article_and_a_damaged_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(ComposerError, match=r"^folder_without_article: "):
        load_article(tmp_path)
    (tmp_path / "article.json").write_text("{")
    with pytest.raises(ComposerError, match=r"^article_damaged: "):
        load_article(tmp_path)


def test_a_zip_holds_the_folder_under_its_name_and_comes_out_the_same_twice(tmp_path: Path) -> None:
    out = tmp_path / "farm"
    save_article(farm_article(tmp_path / "lib"), out)
    (tmp_path / "secret").write_text("s")
    (out / "link").symlink_to(tmp_path / "secret")
    first = zip_article(out)
    assert first == tmp_path / "farm.zip"
    data = first.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None
        held = {name: archive.read(name) for name in archive.namelist()}
    (out / "link").unlink()
    assert held == {f"farm/{name}": value for name, value in contents(out).items()}
    os.utime(out / "article.md", (0, 0))
    assert zip_article(out).read_bytes() == data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["farm", "farm.zip", "lib", "secret"]


def test_a_users_text_is_exported_with_its_own_line_ends(tmp_path: Path) -> None:
    hens = picture(tmp_path / "lib", "hens.jpg")
    article = Article(
        "T", "en", (Section("a\r\nb", "\r\n\r\n"), Section("c", "\r\n")), (placed(hens, 0, "H"),), title_in_text=True
    )
    save_article(article, tmp_path / "out")
    assert (tmp_path / "out/article.md").read_bytes().startswith(b"a\r\nb\n\n![")
    assert (tmp_path / "out/article.md").read_bytes().endswith(b"*H*\r\n\r\nc\r\n")
