"""What is meant where something is left out or mistyped: the default library, near words, paths with a tilde."""

from __future__ import annotations

from pathlib import Path

import pytest

from composer import cli
from composer.i18n import fill, meant, tables
from composer.pipeline import loading
from image_db.default_library import last_library
from image_db.errors import LibraryMissing
from image_db.library import Library
from image_db.sample.build import sample_folder
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint

TERMINAL, JOINTS = tables("en")["terminal"], tables("en")["joints"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "vignette"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(loading, "load_encoder", lambda settings: ColourEncoder())
    for name in ("one", "two"):
        paint(tmp_path / name / f"{name}.png", "red")
    return tmp_path


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_the_library_used_last_is_the_one_of_the_next_command(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("index", home / "one", "--library", home / "a")
    run("index", home / "two", "--library", home / "b")
    capsys.readouterr()
    assert run("library", "info") == 0
    said = capsys.readouterr()
    assert str(home / "b") in said.out
    assert said.err == f"vignette: {fill(TERMINAL['library_taken'], library=home / 'b')}\n"
    assert run("library", "info", "--library", home / "a") == 0
    assert run("index", home / "two") == 0
    with Library.open(home / "a") as library:
        assert len(library) == 1, "the same picture under two paths"


def test_a_command_that_failed_does_not_change_the_default(home: Path) -> None:
    run("index", home / "one", "--library", home / "a")
    assert run("library", "info", "--library", home / "nowhere") == 1
    assert last_library() == home / "a"


def test_without_a_library_the_sample_is_taken_and_without_a_sample_both_ways_to_one_are_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LibraryMissing) as none:
        run("--debug", "library", "info")
    assert none.value.key == "no_library_yet"
    Library.create(sample_folder(), ColourEncoder().identity).close()
    assert run("library", "info") == 0
    assert str(sample_folder()) in capsys.readouterr().out


def test_sample_is_the_name_of_a_library(capsys: pytest.CaptureFixture[str]) -> None:
    Library.create(sample_folder(), ColourEncoder().identity).close()
    assert run("library", "info", "--library", "sample") == 0
    assert str(sample_folder()) in capsys.readouterr().out


def test_pictures_are_never_put_into_the_sample_unasked(home: Path) -> None:
    Library.create(sample_folder(), ColourEncoder().identity).close()
    run("library", "info", "--library", "sample")
    assert run("index", home / "one") == 0
    with Library.open(sample_folder()) as sample:
        assert len(sample) == 0
    assert last_library() not in (None, sample_folder())


def test_a_library_that_is_gone_is_named_and_not_replaced_by_another(home: Path) -> None:
    run("index", home / "one", "--library", home / "a")
    Library.create(sample_folder(), ColourEncoder().identity).close()
    (home / "a").rename(home / "moved")
    for words in (("library", "info"), ("index", home / "one")):
        with pytest.raises(LibraryMissing) as gone:
            run("--debug", *words)
        assert (gone.value.key, gone.value.values) == ("last_library_gone", {"library": str(home / "a")})


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("compose", "a farm", "--libary", "x"), "--library"),
        (("compose", "a farm", "--imges=3"), "--images"),
        (("compose", "a farm", "-out", "x"), "--out"),
        (("library", "search", "red", "--libary=x"), "--library"),
        (("--debg", "app"), "--debug"),
        (("compos", "a farm"), "compose"),
        (("library", "serch", "red"), "search"),
        (("bench", "artcle"), "article"),
    ],
)
def test_what_is_nearly_right_is_proposed_before_anything_else_is_said(
    words: tuple[str, ...], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, *words).endswith(fill(JOINTS["did_you_mean"], word=near))


@pytest.mark.parametrize("words", [("compose", "a", "--zzz"), ("zzz",), ("library", "zzz")])
def test_nothing_is_proposed_for_what_is_near_to_nothing(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "?" not in refused(capsys, *words)


def test_words_without_quotes_are_told_of_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "compose", "a", "day", "outside", "--out", "x")
    assert said.endswith(fill(TERMINAL["words_left_over"], words="day outside"))


def test_a_library_without_its_option_is_told_how_to_be_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Library.create(home / "lib", ColourEncoder().identity).close()
    for library in (str(home / "lib"), "sample"):
        said = refused(capsys, "library", "info", library)
        assert said.endswith(fill(TERMINAL["library_left_over"], words=library))


def test_a_file_is_no_library_and_a_slip_of_the_sample_is_proposed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("library", "info", "--library", home / "one" / "one.png") == 1
    assert "is a file, and a library is a folder" in capsys.readouterr().err
    assert run("library", "info", "--library", "sampel") == 1
    assert fill(JOINTS["did_you_mean"], word="sample") in capsys.readouterr().err


def test_debug_may_stand_behind_the_command() -> None:
    with pytest.raises(LibraryMissing):
        run("library", "info", "--debug")


def test_an_instruction_may_look_like_an_option_behind_two_dashes_or_with_a_blank(home: Path) -> None:
    parser = cli.build_parser()
    for words in (["--out", "x", "--", "--farm"], ["--out", "x", "--farm life"]):
        assert parser.parse_args(["compose", *words]).instruction.startswith("--farm")


def test_a_tilde_that_the_shell_left_is_the_home_folder(home: Path) -> None:
    args = cli.build_parser().parse_args(["compose", "a", "--out=~/farm", "--library=~/lib", "--illustrate=~/a.md"])
    assert (args.out, args.library, args.illustrate) == (home / "farm", home / "lib", home / "a.md")


@pytest.mark.parametrize(
    ("given", "known", "near"),
    [
        ("embeded", ["embedded", "tiny", "hub"], "embedded"),
        ("HUB", ["embedded", "tiny", "hub"], "hub"),
        ("emb", ["embedded", "tiny"], "embedded"),
        ("pictures.min_fuse", ["pictures.min_fused", "pictures.candidates"], "pictures.min_fused"),
        ("pictures.zzzzzzz", ["pictures.min_fused"], ""),  # what they share is not a likeness
        ("--zzzzzzz", ["--library"], ""),
        ("", ["a"], ""),
        ("a", [], ""),
    ],
)
def test_the_nearest_word_is_meant_and_often_none(given: str, known: list[str], near: str) -> None:
    assert meant(given, known) == near


def test_profiles_and_their_keys_are_proposed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "own.toml"
    profile.write_text("[pictures]\nmin_fussed = 0.2\n")
    for given, near in (("tiney", "tiny"), (str(profile), "pictures.min_fused")):
        assert run("compose", "a", "--out", tmp_path / "out", "--library", tmp_path, "--profile", given) == 2
        assert fill(JOINTS["did_you_mean"], word=near) in capsys.readouterr().err


@pytest.mark.parametrize(("count", "said"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1200, "1,200 files")])
def test_one_is_singular(count: int, said: str) -> None:
    assert fill("{count:# file|# files}", count=count) == said
    assert fill("{count:# file|# files}: {reason!r}", count=count, reason="x").startswith(said)
