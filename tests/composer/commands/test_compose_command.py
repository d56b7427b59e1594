"""The compose command as a person meets it: what is wrong is said at once, in one line, with the right exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from composer import cli
from composer.article.model import Article
from composer.commands.terminal import say
from composer.export.article_folder import load_article
from composer.i18n import localize
from composer.pipeline import loading as parts
from composer.pipeline.events import Notice
from composer.pipeline.pipeline import Pipeline, RequestContext
from composer.settings import IllustrationSettings, Settings
from image_db.library import Library
from tests.composer.pipeline.test_pipeline import DRAFT, answer
from tests.composer.small_pipeline import make_library, make_pipeline, paint
from tests.fakes import ColourEncoder
from vision.bridge.drafting import CaptionDraft
from vision.errors import ModelError, Phrase

EASY = Settings("test", pictures=IllustrationSettings(min_fused=0.0001, judge_weight=0.0))


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a library; models are scripted."""
    pipeline = make_pipeline(tmp_path, answer, settings=EASY)
    monkeypatch.setattr(parts, "load_pipeline", lambda settings, library_dir: pipeline)
    return tmp_path


def run(*args: str | Path) -> int:
    return cli.main(["compose", *map(str, args)])


def test_a_request_becomes_a_folder_and_its_path_is_the_last_line(
    studio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = studio / "out"
    assert run("old walls", "--library", studio / "library", "--out", out, "--images", "2", "--words", "200") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out / 'article.html'}\n"
    assert "# Walls" in printed.err
    assert {p.name for p in out.iterdir()} == {"article.json", "article.md", "article.html", "images", "trace.jsonl"}
    stages = [json.loads(line)["name"] for line in (out / "trace.jsonl").read_text().splitlines()]
    assert stages == ["load", "write", "place", "caption", "find", "choose", "finish"]


@pytest.mark.parametrize("stage", ["place", "finish"])
def test_what_was_made_before_a_server_was_lost_is_kept(
    studio: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    def lost(*_: object) -> None:
        raise ModelError("server_gave_up", address="http://x/v1", tries=6, reason=Phrase("server_cut"))

    out = studio / "out"
    options = ("old walls", "--library", studio / "library", "--out", out, "--images", "2", "--words", "200", "--quiet")
    with monkeypatch.context() as broken:
        broken.setattr(Pipeline, stage, lost)
        for number in ("", "2"):
            assert run(*options) == 1
            *_, kept, error = capsys.readouterr().err.splitlines()
            assert kept == f"vignette: {say('unfinished_kept', folder=f'{out}-unfinished{number}')}"
            assert "\n" not in error
            article = load_article(Path(f"{out}-unfinished{number}"))
            assert article.sections
            assert bool(article.pictures) is (stage == "finish")
    assert run(*options) == 0, "its folder is free"
    assert [s.text for s in load_article(out).sections] == [s.text for s in article.sections]


def test_an_error_before_anything_was_made_keeps_nothing(
    studio: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: object) -> None:
        raise ModelError("model_closed")

    monkeypatch.setattr(Pipeline, "place", lost)
    monkeypatch.setattr(Pipeline, "context", lost)
    assert run("old walls", "--library", studio / "library", "--out", studio / "out") == 1
    monkeypatch.undo()
    monkeypatch.setattr(parts, "load_pipeline", lambda settings, library_dir: make_pipeline(studio / "b", answer))
    monkeypatch.setattr(Pipeline, "place", lost)
    (studio / "draft.md").write_text(DRAFT)
    assert run("--illustrate", studio / "draft.md", "--library", studio / "library", "--out", studio / "out") == 1
    assert not list(studio.glob("out*")), "a text of one's own stands where it was"


def test_pictures_that_are_indexed_on_the_way_are_drafted_too(studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "load_encoder", lambda settings: ColourEncoder())
    monkeypatch.setattr(parts, "load_drafting", lambda s, e: lambda vs: [CaptionDraft("A wall.", ()) for _ in vs])
    paint(studio / "new" / "IMG_1.png", "pink")
    library, out = studio / "other", studio / "out"
    options = ("--library", library, "--out", out, "--images", "0", "--profile", "embedded")
    assert run("old walls", "--pictures", studio / "new", *options) == 0
    with Library.open(library, None) as made:
        assert [(record.caption, record.caption_origin) for record in made.records()] == [("A wall.", "generated")]


def test_an_illustrated_file_keeps_its_bytes_around_the_pictures(studio: Path) -> None:
    draft = studio / "draft.md"
    draft.write_bytes(DRAFT.replace("\n", "\r\n").encode())
    out = studio / "out"
    assert run("--illustrate", draft, "--library", studio / "library", "--out", out, "--images", "0") == 0
    assert (out / "article.md").read_bytes() == draft.read_bytes()


def test_pictures_of_a_library_whose_folder_was_moved_are_named_and_not_chosen(
    studio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, out = studio / "pictures", studio / "out"
    for colour in ("red", "blue"):
        (pictures / f"{colour}.png").unlink()
    assert run("old walls", "--library", studio / "library", "--out", out, "--images", "2", "--words", "200") == 0
    printed = capsys.readouterr().err
    assert localize(Notice("pictures_lost", {"count": 2, "files": ["blue.png", "red.png"]}), "en") in printed
    article = load_article(out)
    assert len(article.pictures) == len(list((out / "images").iterdir())) == 2, "others stand in their place"
    pictures.rename(studio / "moved")
    assert run("old walls", "--library", studio / "library", "--out", studio / "none", "--words", "200") == 0
    assert "0 pictures" in capsys.readouterr().err.splitlines()[-1]
    assert not list((studio / "none/images").iterdir())


def test_a_picture_that_vanishes_before_it_is_saved_is_not_counted_and_named(
    studio: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, gone = Pipeline.finish, []

    def vanishing(pipeline: Pipeline, context: RequestContext, article: Article) -> Article:
        gone.append(article.pictures[0].path)
        gone[0].unlink()
        return finish(pipeline, context, article)

    monkeypatch.setattr(Pipeline, "finish", vanishing)
    out = studio / "out"
    assert run("old walls", "--library", studio / "library", "--out", out, "--images", "2", "--words", "200") == 0
    printed = capsys.readouterr().err
    assert localize(Phrase("pictures_not_saved", {"lost": 1, "of": 2, "files": [gone[0].name]}), "en") in printed
    assert re.search(r": \d sections, 1 picture\n", printed)
    left_out = [p for p in load_article(out).placements if p.chosen is None]
    assert [[reason.key for reason in p.reason] for p in left_out] == [["left_out"]]
    assert len(list((out / "images").iterdir())) == 1


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["  "], 2, "the instruction is empty"),
        (["x", "--language", "tlh"], 2, "--language tlh is not known; use one of: auto, en, zh"),
        (["x", "--profile", "huge"], 2, "--profile huge is not known"),
        (["x", "--images", "many"], 2, "--images many is no number of pictures; use auto or 0 to 50"),
        (["x", "--images", "99"], 2, "--images 99 is no number of pictures; use auto or 0 to 50"),
        (["x", "--words", "9"], 2, "--words 9 is out of range; use 100 to 5000"),
        (["x", "--format", "doc"], 2, "--format doc is not known"),
        (["--illustrate", "no-such.md"], 2, "no-such.md cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    studio: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, message: str
) -> None:
    out = studio / "out"
    assert run(*args, "--library", studio / "library", "--out", out) == code
    error = capsys.readouterr().err
    assert error.startswith("vignette: ")
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_folder_in_use_is_refused_before_anything_is_written(
    studio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = studio / "out"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    assert run("old walls", "--library", studio / "library", "--out", out) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--format", "pfd"], "pfd"),
        (["--tone", "vivd"], "vivd"),
        (["--kind", "storry"], "storry"),
        (["--profile", "embeded"], "embeded"),
        (["--illustrate", "nofile.md"], "nofile.md"),
        (["--images", "900"], "900"),
    ],
)
def test_a_mistake_is_named_before_a_library_is_missed(
    options: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    wish = [] if "--illustrate" in options else ["old walls"]
    assert run(*wish, *options, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_what_fails_while_loading_stands_on_a_line_of_its_own(
    studio: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(settings: Settings, library_dir: Path) -> None:
        raise ModelError("hub_unreachable", model="a/b")

    monkeypatch.setattr(parts, "load_pipeline", refused)
    assert run("old walls", "--library", studio / "library", "--out", studio / "out") == 1
    *_, loading, line = capsys.readouterr().err.splitlines()
    assert loading.startswith("Loading")
    assert line.startswith("vignette: ")
    assert "a/b" in line


def test_a_text_that_is_not_utf8_is_named(studio: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft = studio / "draft.md"
    draft.write_bytes(b"\xff\xfe\x00")
    assert run("--illustrate", draft, "--library", studio / "library", "--out", studio / "out") == 2
    assert "is no text that can be read" in capsys.readouterr().err


def test_ctrl_c_while_writing_exits_with_130_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(prompt, sampling) -> str:
        if prompt[-1].text.startswith("#"):
            raise KeyboardInterrupt
        return answer(prompt, sampling)

    pipeline = make_pipeline(tmp_path, interrupted, settings=EASY)
    monkeypatch.setattr(parts, "load_pipeline", lambda settings, library_dir: pipeline)
    assert run("old walls", "--library", tmp_path / "library", "--out", tmp_path / "out") == 130
    assert capsys.readouterr().err.endswith("vignette: interrupted\n")
    assert not (tmp_path / "out").exists()


def test_a_missing_library_is_known_before_any_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parts, "load_encoder", lambda settings: pytest.fail("a model was loaded"))
    assert run("x", "--library", tmp_path / "none", "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "none") in error
    assert "vignette index" in error


def test_a_library_made_with_another_encoder_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_library(tmp_path, ColourEncoder("old-eyes")).close()
    monkeypatch.setattr(parts, "load_encoder", lambda settings: ColourEncoder("new-eyes"))
    monkeypatch.setattr(parts, "load_language_model", lambda settings: pytest.fail("the writer was loaded"))
    assert run("x", "--library", tmp_path / "library", "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "old-eyes" in error
    assert "new-eyes" in error


def test_documents_are_written_beside_the_article_and_pictures_no_larger_than_asked(
    studio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    out = studio / "out"
    wanted = ("--images", "2", "--words", "200", "--format", "docx,pdf,epub", "--max-image-px", "64")
    assert run("old walls", "--library", studio / "library", "--out", out, *wanted) == 0
    assert capsys.readouterr().out == f"{out / 'article.docx'}\n"
    assert {p.name for p in out.iterdir()} == {
        *("article.json", "article.docx", "article.pdf", "article.epub", "images", "trace.jsonl")
    }
    pictures = list((out / "images").iterdir())
    assert pictures
    for path in pictures:
        with Image.open(path) as image:
            assert max(image.size) <= 64


def test_a_format_whose_library_is_missing_is_known_before_any_model_is_loaded(
    studio: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "typst" else real(name, *a))
    monkeypatch.setattr(parts, "load_pipeline", lambda *args: pytest.fail("models were loaded"))
    assert run("x", "--library", studio / "library", "--out", studio / "out", "--format", "pdf") == 1
    assert "--format pdf needs the Python package typst" in capsys.readouterr().err
