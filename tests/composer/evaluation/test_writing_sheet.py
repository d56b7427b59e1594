"""Sheets for readers: written with every sentence, filled by hand, read into a table; and the command around them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from composer.article.model import Article, Placement, Section, Slot
from composer.cli import main
from composer.errors import UsageError
from composer.evaluation.writing.articles import WrittenArticle
from composer.evaluation.writing.readings import measure_readings, readings_of
from composer.evaluation.writing.sheet import SheetRow, read_sheet, write_sheet
from composer.request import ComposeRequest
from image_db.metadata.record import ImageRecord
from tests.composer.scripted_model import ScriptedModel
from tests.composer.small_pipeline import make_library
from tests.fakes import ColourEncoder
from vision.interfaces import Prompt, Sampling


def article(name: str) -> WrittenArticle:
    hen = ImageRecord("h", Path("/p/h.jpg"), 10, 10, "A hen")
    shown = Placement(Slot(1, ""), (), hen, (), caption="A hen: a bird", alt="A <hen> on grass")
    sections = (Section('Hens are birds. "Cluck," they say.'), Section("## Eggs\n\nEggs <b>break</b>.\tThey do."))
    written = Article("Hens & eggs", "en", sections, (shown,), files={"h": "a hen.jpg"})
    return WrittenArticle(name, ComposeRequest("Hens", words=100), written, {})


def fill(sheet: Path, label: Callable[[SheetRow], str]) -> None:
    """As a person would in a spreadsheet, which saves commas where there were tabs."""
    rows = [replace(row, label=label(row)) for row in read_sheet(sheet)]
    with sheet.open("w", encoding="utf-8-sig", newline="") as out:
        table = csv.writer(out)
        table.writerow(SheetRow.__slots__)
        table.writerows([getattr(row, column) for column in SheetRow.__slots__] for row in rows)


def test_every_sentence_stands_on_the_sheet_numbered_with_its_section(tmp_path: Path) -> None:
    sheet, _ = write_sheet([article("a"), article("b")], tmp_path)
    rows = [row for row in read_sheet(sheet) if row.article == "b"]
    assert [(row.section, row.number, row.kind) for row in rows] == [
        ("", "1", "sentence"),
        ("", "2", "sentence"),
        ("Eggs", "3", "sentence"),
        ("Eggs", "4", "sentence"),
        ("Eggs", "p1", "caption"),
        ("Eggs", "p1", "alt"),
        ("", "", "article"),
    ]
    assert rows[1].text == '"Cluck," they say.'
    assert {row.label for row in rows} == {""}


def test_the_page_shows_pictures_and_escapes_what_was_written(tmp_path: Path) -> None:
    _, page = write_sheet([article("a")], tmp_path)
    html = page.read_text(encoding="utf-8")
    assert '<img src="a/images/a%20hen.jpg" alt="A &lt;hen&gt; on grass">' in html
    assert "Hens &amp; eggs" in html
    assert "<b>" not in html
    assert "<sup>3</sup>" in html
    assert "<dt>absurd</dt>" in html


def test_labels_survive_when_the_sheet_is_written_anew(tmp_path: Path) -> None:
    sheet, _ = write_sheet([article("a")], tmp_path)
    fill(sheet, lambda row: "Fine" if row.kind == "sentence" else "")
    write_sheet([article("a"), article("b")], tmp_path)
    labels = {(row.article, row.number): row.label for row in read_sheet(sheet)}
    assert labels["a", "3"] == "fine"
    assert labels["b", "3"] == ""


def test_a_filled_sheet_gives_labels_per_hundred_sentences(tmp_path: Path) -> None:
    sheet, _ = write_sheet([article("a"), article("b"), article("unread")], tmp_path)
    given = {"1": "absurd", "2": "false", "3": "fine", "4": "empty"}

    def label(row: SheetRow) -> str:
        if row.article == "unread":
            return ""
        if row.kind == "article":
            return "yes" if row.article == "a" else "no"
        if row.kind == "sentence":
            return given[row.number] if row.article == "a" else "fine"
        return "false" if row.kind == "alt" else "fine"

    fill(sheet, label)
    readings = readings_of(read_sheet(sheet), "sheet")
    measures = measure_readings(readings)
    assert [reading.article for reading in readings] == ["a", "b"]
    assert measures["absurd"].value == 12.5
    assert measures["absurd_or_false"].value == 25
    assert measures["repeated_or_empty"].value == 12.5
    assert measures["fine"].value == 62.5
    assert (measures["captions_untrue"].value, measures["alts_untrue"].value) == (0, 1)
    assert measures["publishable"].value == 0.5
    assert measures["fine"].low == 25  # every drawing of the two articles lies between them
    assert measures["fine"].high == 100


def test_one_article_has_an_interval_over_its_sentences(tmp_path: Path) -> None:
    sheet, _ = write_sheet([article("a")], tmp_path)
    fill(sheet, lambda row: "fine" if row.kind == "sentence" else "")
    measures = measure_readings(readings_of(read_sheet(sheet), "sheet"))
    # Wilson: for 4 of 4 the lower bound is 4 / (4 + 1.96²).
    assert measures["fine"].low == pytest.approx(100 * 4 / (4 + 1.959964**2), abs=0.01)
    assert "captions_fine" not in measures


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda row: "fine" if row.number == "1" else "", "sheet_unfinished"),
        (lambda row: "nonsense" if row.number == "1" else "fine", "sheet_label"),
        (lambda row: "fine", "sheet_label"),  # of an article one says yes or no
    ],
)
def test_a_sheet_that_is_not_filled_properly_says_where(
    change: Callable[[SheetRow], str], key: str, tmp_path: Path
) -> None:
    sheet, _ = write_sheet([article("a")], tmp_path)
    fill(sheet, change)
    with pytest.raises(UsageError) as error:
        readings_of(read_sheet(sheet), "sheet")
    assert error.value.key == key


def answer(prompt: Prompt, sampling: Sampling) -> str:
    if not sampling.stop:
        return "Walls of the town\nThe red wall\nThe blue wall\n"
    return "A red wall is built of bricks and lime. Masons lay every brick of the wall by hand."


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which models the command loads, in order."""
    loaded: list[str] = []
    monkeypatch.setattr(
        "composer.pipeline.loading.load_encoder", lambda _: (loaded.append("encoder"), ColourEncoder())[1]
    )
    monkeypatch.setattr(
        "composer.pipeline.loading.load_language_model",
        lambda _: (loaded.append("writer"), ScriptedModel(answer))[1],
    )
    return loaded


def test_the_command_makes_measures_and_takes_up_where_it_was(
    tmp_path: Path, loads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "titles.jsonl").write_text('{"instruction": "Walls", "words": 150}\n{"instruction": "Towns"}\n')
    out = tmp_path / "out"
    command = ["eval", "writing", "--titles", str(tmp_path / "titles.jsonl"), "--seeds", "0,1", "--out", str(out)]
    assert main([*command, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert loads == ["encoder", "writer"]
    assert first["articles"] == {"value": 4, "unit": "articles"}
    assert {"unsupported_names", "repeated_share", "filler_share", "length_within_15"} <= set(first)
    assert len(read_sheet(out / "sheet.tsv")) > 4
    assert len(json.loads((out / "measures.json").read_text(encoding="utf-8"))["articles"]) == 4

    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert loads == ["encoder", "writer", "encoder"]


def test_with_a_library_pictures_are_measured_and_filled_sheets_are_read(
    tmp_path: Path, loads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make_library(tmp_path, ColourEncoder()).close()
    (tmp_path / "titles.txt").write_text("Walls\n")
    out = tmp_path / "out"
    command = ["eval", "writing", "--titles", str(tmp_path / "titles.txt"), "--library", str(tmp_path / "library")]
    assert main([*command, "--out", str(out)]) == 0
    assert "pictures_on_subject" in capsys.readouterr().out
    assert loads == ["encoder", "writer"]

    assert main(["eval", "writing", "--read", str(out / "sheet.tsv")]) == 2  # nothing is labelled yet
    fill(out / "sheet.tsv", lambda row: {"article": "no", "sentence": "false"}.get(row.kind, ""))
    capsys.readouterr()
    assert main(["eval", "writing", "--read", str(out / "sheet.tsv"), "--json"]) == 0
    measures = json.loads(capsys.readouterr().out)
    assert measures["false"]["value"] == 100
    assert measures["publishable"]["value"] == 0
    assert loads == ["encoder", "writer"]


@pytest.mark.parametrize("seeds", ["", "a", "1,,2", "-1"])
def test_seeds_are_whole_numbers(seeds: str, loads: list[str]) -> None:
    assert main(["eval", "writing", f"--seeds={seeds}"]) == 2
    assert loads == []
