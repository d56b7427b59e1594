"""``vignette export``: an article's folder in, files out; everything wrong is one line and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import re
import zipfile
from pathlib import Path

import pytest

from composer import cli
from composer.export.article_folder import save_article
from tests.composer.article_samples import farm_article
from tests.composer.export_reading import ReadDocx, ReadPdf, check_docx, check_epub

REAL_WRITE = Path.write_bytes


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    save_article(farm_article(tmp_path / "pictures"), tmp_path / "farm")
    for picture in (tmp_path / "pictures").iterdir():
        picture.unlink()  # everything comes from the folder
    return tmp_path / "farm"


def run(*args: str | Path) -> int:
    return cli.main(["export", *map(str, args)])


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_all_formats_come_from_the_folder_alone(farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = farm.parent / "out"
    assert run(farm, "--format", "md,html,docx,pdf,epub", "--out", out) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(out / f"article.{e}") for e in ("md", "html", "docx", "pdf", "epub")]
    assert printed.err == ""
    check_docx((out / "article.docx").read_bytes())
    check_epub((out / "article.epub").read_bytes())
    assert "nightfall" in ReadPdf((out / "article.pdf").read_bytes()).text
    assert 'src="data:image/jpeg;base64,' in (out / "article.html").read_text()
    text = (out / "article.md").read_text()
    for name in left_in(out / "images"):
        assert f"](images/{name})" in text
    assert len(left_in(out / "images")) == 2


@pytest.mark.parametrize("ending", ["html", "docx", "pdf", "epub"])
def test_the_ending_of_the_file_says_the_format(ending: str, farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = farm.parent / "new" / f"My farm.{ending}"
    assert run(farm / "article.json", "--out", out) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.stat().st_size > 1000
    assert left_in(out.parent) == {out.name}


def test_a_zip_holds_what_was_asked_for(farm: Path) -> None:
    out = farm.parent / "farm.zip"
    assert run(farm, "--format", "md,docx", "--out", out) == 0
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        data = archive.read("a-day-on-the-farm/article.docx")
    assert names[0] == "a-day-on-the-farm/article.md"
    assert ReadDocx(data).paragraphs[0] == ("Title", "A day on the farm")


def test_pictures_are_no_larger_than_asked(farm: Path) -> None:
    from PIL import Image

    out = farm.parent / "out"
    assert run(farm, "--format", "md", "--out", out, "--max-image-px", "300") == 0
    for path in (out / "images").iterdir():
        with Image.open(path) as image:
            assert max(image.size) == 300


def test_the_same_folder_gives_the_same_files(farm: Path) -> None:
    for name in ("one", "two"):
        assert run(farm, "--format", "docx,pdf,epub", "--out", farm.parent / name) == 0
    for path in (farm.parent / "one").iterdir():
        assert path.read_bytes() == (farm.parent / "two" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--out", "x"], 2, "--format is missing; use one or more of: md, html, docx, pdf, epub"),
        (
            ["--out", "x.doc"],
            2,
            "--out x.doc ends in .doc, which names no single file; name one of html, docx, pdf, epub",
        ),
        (["--out", "x.doc"], 2, "did you mean docx?"),
        (["--out", "x", "--format", "odt,pdf"], 2, "--format odt is not known; use one or more of: md, html, docx,"),
        (["--out", "x.pdf", "--format", "docx"], 2, "--out x.pdf is one pdf file and --format asks for docx"),
        (["--out", "x.md", "--format", "md"], 2, "Markdown comes with a folder of pictures; name a folder or a .zip"),
        (["--out", "x.md"], 2, "Markdown comes with a folder of pictures"),
        (["--out", "x.zip"], 2, "--format is missing"),
        (["--out", "x.pdf", "--max-image-px", "9"], 2, "--max-image-px 9 is out of range; use 64 to 16384"),
        (["--out", "{farm}", "--format", "pdf"], 1, "is not empty (it holds"),
        (["--out", "{farm}/article.html"], 1, "exists; name another file or remove it"),
    ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(
    args: list[str],
    code: int,
    message: str,
    farm: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(farm.parent)
    before = left_in(farm.parent), left_in(farm)
    assert run(farm, *(arg.replace("{farm}", str(farm)) for arg in args)) == code
    error = capsys.readouterr().err
    assert error.startswith("vignette: ")
    assert message in error
    assert error.count("\n") == 1
    assert (left_in(farm.parent), left_in(farm)) == before


def test_a_folder_without_an_article_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--out", tmp_path / "a.pdf") == 1
    assert f"{tmp_path} holds no article" in capsys.readouterr().err


def test_a_missing_picture_is_named_and_nothing_is_written(farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = sorted((farm / "images").iterdir())[0]
    gone.unlink()
    assert run(farm, "--format", "html,docx", "--out", farm.parent / "out") == 1
    assert (
        capsys.readouterr().err == f"vignette: picture {gone} is missing; put it back, or take it out of the article\n"
    )
    assert not (farm.parent / "out").exists()
    assert not [name for name in left_in(farm.parent) if name.startswith(".")]


@pytest.mark.parametrize("target", ["out", "a.pdf"])
def test_a_full_disk_leaves_nothing_half_written(
    target: str, farm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes) -> int:
        if ".vignette-partial-" not in str(path):
            return REAL_WRITE(path, data)
        REAL_WRITE(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_at_once(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(os, "fsync", full_at_once)
    assert run(farm, "--format", "pdf", "--out", farm.parent / target) == 1
    error = capsys.readouterr().err
    assert f"--out {farm.parent / target} cannot be written: No space left on device; free space there" in error
    assert left_in(farm.parent) == {"farm", "pictures"}


@pytest.mark.parametrize("target", ["out", "a.docx"])
def test_a_folder_that_may_not_be_written_is_named(
    target: str, farm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(path: object, *_args: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(*((Path, "mkdir") if target == "out" else (os, "fsync")), refused)
    assert run(farm, "--format", "docx", "--out", farm.parent / target) == 1
    error = capsys.readouterr().err
    assert "cannot be written: Permission denied; free space there, change its permissions" in error
    assert left_in(farm.parent) == {"farm", "pictures"}


@pytest.mark.parametrize("target", ["file/out", "file/a.pdf"])
def test_a_place_below_a_file_is_named(target: str, farm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (farm.parent / "file").write_text("in the way")
    assert run(farm, "--format", "pdf", "--out", farm.parent / target) == 1
    error = capsys.readouterr().err
    assert f"--out {farm.parent / target} cannot be written: " in error
    assert error.count("\n") == 1


def test_the_example_of_the_documentation_runs(farm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[3] / "docs" / "exports.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(farm.parent)
    names: dict[str, object] = {}
    exec(example, names)
    assert str(names["pdf"])[2:].startswith("%PDF-")
    with zipfile.ZipFile("a-day-on-the-farm.zip") as archive:
        assert archive.namelist() == ["a-day-on-the-farm/article.docx", "a-day-on-the-farm/article.epub"]
