"""``vignette library search`` and the conditions of ``compose``, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from composer import cli
from composer.commands import compose
from composer.commands.options import CommandParser
from composer.commands.terminal import say
from composer.errors import UsageError
from composer.pipeline import loading, typed_words
from composer.pipeline.typed_words import readable_query
from composer.request import request_from_json, request_to_json
from retrieval.filters import parse_where
from tests.composer.scripted_model import ScriptedModel
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint
from vision.errors import WeightsError

EXIF_IFD, TAKEN = 0x8769, 0x9003


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ColourEncoder:
    made = ColourEncoder()
    monkeypatch.setattr(cli, "COMMANDS", ("library", "index"))
    monkeypatch.setattr(loading, "load_encoder", lambda settings: made)
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "home"))
    return made


@pytest.fixture
def shelf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Pictures of three years, two of them alike, one in a folder of scans."""
    painted = (("trip/sea.jpg", "blue", 2019), ("trip/sky.jpg", "cyan", 2021), ("scans/old.jpg", "blue", 2005))
    for name, colour, year in painted:
        exif = Image.Exif()
        exif.get_ifd(EXIF_IFD)[TAKEN] = f"{year}:06:01 10:00:00"
        paint(tmp_path / "pictures" / name, colour, (80, 60), exif=exif)
        (tmp_path / "pictures" / name).with_suffix(".txt").write_text(f"A {colour} painting")
    assert cli.main(["index", str(tmp_path / "pictures"), "--library", str(tmp_path / "lib")]) == 0
    capsys.readouterr()
    return tmp_path / "lib"


def paths(capsys: pytest.CaptureFixture[str], *args: str) -> list[str]:
    assert cli.main(["library", "search", *args, "--paths"]) == 0
    return [Path(line).name for line in capsys.readouterr().out.splitlines()]


def test_conditions_narrow_and_sort_what_is_found(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ("--library", str(shelf))
    assert sorted(paths(capsys, "painting", *at, "--all")) == ["old.jpg", "sea.jpg", "sky.jpg"]
    assert paths(capsys, "painting", "--where", "-folder:scans", "--sort", "newest", *at) == [
        "sky.jpg",
        "sea.jpg",
    ]
    assert paths(capsys, "painting date:2019..2020", *at) == ["sea.jpg"]
    assert paths(capsys, "--where", "date:..2010", *at) == ["old.jpg"]
    assert paths(capsys, "painting", "--sort", "oldest", "--all", *at) == ["old.jpg", "sea.jpg", "sky.jpg"]


def test_pictures_that_look_the_same_are_one_line_and_counted(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["library", "search", "blue painting", "--library", str(shelf), "--sort", "newest"]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "sea.jpg" in each]
    assert say("search_alike", count=1) in line
    assert "2019-06-01" in line
    assert cli.main(["library", "search", "blue", "--library", str(shelf), "--sort", "newest", "--json"]) == 0
    first = next(v for v in map(json.loads, capsys.readouterr().out.splitlines()) if v["path"].endswith("sea.jpg"))
    assert [Path(each["path"]).name for each in first["alike"]] == ["old.jpg"]
    assert first["taken"] == "2019-06-01T10:00:00"


def test_an_example_picture_finds_its_like(shelf: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    like = paint(tmp_path / "example.png", "cyan")
    assert paths(capsys, "--like", str(like), "--library", str(shelf))[0] == "sky.jpg"


class Words:
    """A dictionary of two words."""

    def in_english(self, text: str, most: int) -> str:
        return {"青色的画": "cyan painting", "水": "water, river" if most > 1 else "water"}.get(text, "")


@pytest.fixture
def dictionary(monkeypatch: pytest.MonkeyPatch) -> Callable[[Words | None], None]:
    """Whether there is one is no matter of what is installed."""
    return lambda given: monkeypatch.setattr(typed_words, "installed_chinese_dictionary", lambda: given)


def test_chinese_is_put_into_english_by_the_dictionary_and_no_writer_is_loaded(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, dictionary
) -> None:
    dictionary(Words())
    monkeypatch.setattr(loading, "load_language_model", lambda settings: pytest.fail("loaded"))
    assert cli.main(["library", "search", "青色的画", "--library", str(shelf), "--json", "-k", "1"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["caption"] == "A cyan painting"
    assert say("search_translated", english="cyan painting") in said.err


def test_what_the_dictionary_does_not_know_is_asked_of_the_writer_alone(dictionary) -> None:
    dictionary(Words())
    asked = []

    def write(prompt, sampling) -> str:
        asked.append(prompt[0].text)
        return "snow"

    query = readable_query("青色的画 -水 -雪", ColourEncoder(), lambda: ScriptedModel(write))
    assert query.english == "cyan painting"
    assert query.without == ("水", "雪", "water", "snow")
    assert len(asked) == 1
    assert "雪" in asked[0]


def test_chinese_words_are_searched_in_english_as_well(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, dictionary
) -> None:
    dictionary(None)
    writer = ScriptedModel(lambda prompt, sampling: "a cyan painting")
    monkeypatch.setattr(loading, "load_language_model", lambda settings: writer)
    assert cli.main(["library", "search", "青色的画", "--library", str(shelf), "--json", "-k", "1"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["caption"] == "A cyan painting"
    assert say("search_translated", english="a cyan painting") in said.err


def test_without_a_writer_chinese_is_searched_as_it_is_and_that_is_said(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, dictionary
) -> None:
    dictionary(None)

    def absent(settings: object) -> None:
        raise WeightsError("model_missing", name="writer", folder="there")

    monkeypatch.setattr(loading, "load_language_model", absent)
    assert cli.main(["library", "search", "青色的画", "--library", str(shelf)]) == 0
    assert say("search_untranslated", reason="").strip(": ") in capsys.readouterr().err


def test_a_wrong_condition_is_wrong_before_anything_is_loaded(
    shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load_encoder", lambda settings: pytest.fail("loaded"))
    assert cli.main(["library", "search", "sea", "--where", "colour:red", "--library", str(shelf)]) != 0
    assert "colour" in capsys.readouterr().err


def test_compose_batches_and_the_api_take_the_same_conditions(tmp_path: Path) -> None:
    parser = CommandParser()
    compose.register(parser.add_subparsers())
    args = parser.parse_args(["compose", "Hens", "--out", str(tmp_path), "--where", "-folder:scans date:2019"])
    request = compose.read_request(args)
    assert request.filters.where == parse_where("-folder:scans date:2019")
    assert request_from_json(json.loads(json.dumps(request_to_json(request)))) == request
    with pytest.raises(UsageError) as refused:
        request_from_json({"instruction": "Hens", "filters": {"where": "colour:red"}})
    assert refused.value.key == "filter_field_unknown"
