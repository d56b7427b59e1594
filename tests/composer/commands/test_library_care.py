"""The commands that keep a library sound, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composer import cli
from composer.commands import library_care
from composer.commands.terminal import say
from composer.pipeline import loading
from image_db import watching
from image_db.library import CATALOG_NAME, Library
from image_db.metadata.generate import describe_wordless
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint

OTHER = ColourEncoder("shapes", textual_dim=32)


@pytest.fixture(autouse=True)
def encoders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ColourEncoder:
    made = ColourEncoder()
    monkeypatch.setattr(cli, "COMMANDS", ("library", "index"))
    monkeypatch.setattr(loading, "load_encoder", lambda settings: OTHER if settings.name == "tiny" else made)
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "home"))
    return made


@pytest.fixture
def shelf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    for colour in ("red", "green", "blue"):
        paint(tmp_path / "pictures" / f"{colour}.png", colour)
    assert cli.main(["index", str(tmp_path / "pictures"), "--library", str(tmp_path / "lib")]) == 0
    capsys.readouterr()
    return tmp_path / "lib"


def test_verify_mends_what_it_finds(shelf: Path, capsys: pytest.CaptureFixture[str], encoders: ColourEncoder) -> None:
    with (shelf / "visual.f32").open("r+b") as file:
        file.truncate(encoders.identity.visual_dim * 4)
    assert cli.main(["library", "info", "--library", str(shelf)]) == 1
    assert "--repair" in capsys.readouterr().err, "the way out is named"
    assert cli.main(["library", "verify", "--repair", "--library", str(shelf)]) == 0
    assert say("repaired", encoded=2, hidden=0, dropped=0) in capsys.readouterr().out
    assert cli.main(["library", "verify", "--library", str(shelf)]) == 0


def test_verify_saves_what_is_left_of_a_catalogue(
    shelf: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = bytearray((shelf / CATALOG_NAME).read_bytes())
    for page in range(3, len(data) // 4096):  # the library's own row stays
        data[4096 * page : 4096 * page + 2000] = b"\xff" * 2000
    (shelf / CATALOG_NAME).write_bytes(data)
    code = cli.main(["library", "info", "--library", str(shelf)])
    assert (code, "--repair" in capsys.readouterr().err) == (1, True), "the way out is named"
    cli.main(["library", "verify", "--repair", "--library", str(shelf)])
    cli.main(["index", str(tmp_path / "pictures"), "--library", str(shelf)])
    assert cli.main(["library", "verify", "--library", str(shelf)]) == 0
    with Library.open(shelf) as library:
        assert len(library) == 3


def test_vectors_are_made_anew_with_the_encoder_of_a_profile(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["library", "reencode", "--profile", "tiny", "--library", str(shelf)]) == 0
    assert say("reencoded", library=shelf, count=3, encoder="shapes") in capsys.readouterr().out
    with Library.open(shelf, OTHER.identity) as library:
        assert len(library) == 3
    assert cli.main(["library", "reencode", "--profile", "tiny", "--library", str(shelf)]) == 1


def test_pictures_that_are_gone_are_forgotten_and_a_backup_holds_the_rest(
    shelf: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "pictures" / "red.png").unlink()
    cli.main(["index", str(tmp_path / "pictures"), "--library", str(shelf)])
    assert cli.main(["library", "compact", "--library", str(shelf)]) == 0
    assert cli.main(["library", "backup", str(tmp_path / "copy"), "--library", str(shelf)]) == 0
    with Library.open(tmp_path / "copy") as copy:
        assert (len(copy), list(copy.records(gone=True))) == (2, [])
    assert cli.main(["library", "backup", str(tmp_path / "copy"), "--library", str(shelf)]) == 1


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    said: Iterator[str] = iter(answers)

    def read(prompt: str) -> str:
        try:
            return next(said)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)


def test_drafts_are_kept_corrected_and_dropped_in_the_terminal(
    shelf: Path, encoders: ColourEncoder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.open(shelf) as library:
        for record in list(library.records()):
            drafted = replace(record, caption=f"a draft of {record.path.stem}", caption_origin="generated", tags=())
            library.update_text(drafted, np.zeros(encoders.identity.textual_dim, np.float32))
    answering(monkeypatch, "", "A leaf, seen closely", "-")
    assert cli.main(["library", "review", "--library", str(shelf)]) == 0
    assert say("reviewed", count=3, left=0) in capsys.readouterr().out
    with Library.open(shelf, encoders.identity) as library:
        assert [(record.caption, record.caption_origin) for record in library.records()] == [
            ("a draft of blue", "given"),
            ("A leaf, seen closely", "given"),
            ("", "given"),
        ]
    assert cli.main(["library", "review", "--library", str(shelf)]) == 0
    assert say("review_nothing", library=shelf) in capsys.readouterr().out


def test_a_review_can_be_left_and_taken_up(
    shelf: Path, encoders: ColourEncoder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.open(shelf) as library:
        for record in list(library.records()):
            library.update_text(replace(record, guessed_tags=("wall", "paint"), tags=()), None)
    answering(monkeypatch, "s", "")
    assert cli.main(["library", "review", "--library", str(shelf)]) == 0
    assert say("reviewed", count=1, left=2) in capsys.readouterr().out
    with Library.open(shelf, encoders.identity) as library:
        assert [record.tags for record in library.records()] == [(), ("wall", "paint"), ()]
    monkeypatch.setattr(library_care.webbrowser, "open", lambda url: pytest.fail("nothing is opened unasked"))
    answering(monkeypatch, "-", "q")
    assert cli.main(["library", "review", "--library", str(shelf)]) == 0
    with Library.open(shelf, encoders.identity) as library:
        assert [record.guessed_tags for record in library.records()] == [(), (), ("wall", "paint")]
        described = describe_wordless(library, encoders, labeller=lambda images: [["again"]] * len(images))
        assert described.described == 0, "what a person dropped is not drafted again"


def test_watching_indexes_after_each_change_and_ends_with_ctrl_c(
    shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(paths: list[Path], *, ignored: Path) -> Iterator[None]:
        assert ignored == shelf
        paint(tmp_path / "pictures" / "cyan.png", "cyan")
        yield
        yield  # something that is no picture's
        (tmp_path / "pictures" / "red.png").unlink()
        yield
        raise KeyboardInterrupt

    monkeypatch.setattr(watching, "changes", changed)
    assert cli.main(["index", str(tmp_path / "pictures"), "--library", str(shelf), "--watch", "--json"]) == 0
    passes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["added"], each["removed"], each["pictures"]) for each in passes] == [(0, 0, 3), (1, 0, 4), (0, 1, 3)]
