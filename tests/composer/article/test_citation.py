"""Citations belong to sentences that stand; notes are numbered by the place they name, in reading order."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from composer.article.citation import Citation, Passage, sentence_end, standing
from composer.article.model import Section
from composer.article.serialization import dump, from_json, to_json
from composer.editing.history import EditHistory, history_from_json, history_to_json
from composer.editing.sections import edit_text, merge_sections, split_section
from composer.errors import ComposerError
from tests.composer.cited_samples import BIRDS, BURROW, COUNTED, DIGS, HUNTS, NOTES, PERCH, cited_article


@pytest.mark.parametrize(
    ("text", "sentence", "end"),
    [
        ("One. Two.", "Two.", 9),
        ("## Head\n\nTwo. Three.", "Two.", 13),
        ("“One.” Two.", "Two.", 11),
        ("It is not so that Two.", "Two.", None),
        ("Two.5 is a number.", "Two.", None),
        ("一。二。三。", "二。", 4),
        ("Two is one. So: Two is one. Two is one.", "Two is one.", 11),
        ("", "Two.", None),
        ("One.", "", None),
    ],
)
def test_a_sentence_stands_only_as_a_whole(text: str, sentence: str, end: int | None) -> None:
    assert sentence_end(text, sentence) == end


def test_a_citation_goes_with_its_sentence_whatever_edit_takes_it_away() -> None:
    article = cited_article()
    changed = edit_text(article, 1, f"## Nests\n\nThe pair digs. {COUNTED}")
    assert [c.sentence for c in changed.sections[1].citations] == [COUNTED]
    assert edit_text(article, 1, f"## Burrows\n\n{COUNTED} {DIGS}").sections[1].citations == standing(
        article.sections[1].citations, f"{COUNTED} {DIGS}"
    )
    text = article.sections[1].text
    halves = split_section(article, 1, text.index(COUNTED))
    assert [[c.sentence for c in section.citations] for section in halves.sections[1:3]] == [[DIGS], [COUNTED]]
    merged = merge_sections(replace(article, sections=(article.sections[0], Section(DIGS), article.sections[2])), 0)
    assert [c.sentence for c in merged.sections[0].citations] == [HUNTS]


def test_a_place_that_is_cited_again_keeps_its_number_and_pages_stand_in_order() -> None:
    notes = cited_article().notes
    assert [(note.number, note.source, note.page, note.heading) for note in notes.notes] == [
        (1, BIRDS, "12", ""),
        (2, BIRDS, "iv", ""),
        (3, NOTES, "", "Field notes"),
    ]
    assert [[mark.number for mark in marks] for marks in notes.marks] == [[1], [2, 1, 3], []]
    assert notes.sources == {BIRDS: ("iv", "12"), NOTES: ()}
    assert notes.marked(1, cited_article().sections[1].text) == f"## Nests\n\n{DIGS}[^2][^1] {COUNTED}[^3]"


def test_an_article_with_citations_comes_back_whole_and_through_the_history() -> None:
    article = cited_article()
    assert from_json(json.loads(dump(article))) == article
    history = EditHistory(article).do("edit_text", edit_text(article, 1, DIGS))
    read = history_from_json(json.loads(json.dumps(history_to_json(history))))
    assert read == history
    assert read.undo().article == article


def test_an_article_without_sources_says_nothing_of_them() -> None:
    data = to_json(replace(cited_article(), sections=(Section("Plain."),), sources=()))
    assert "sources" not in data
    assert "citations" not in data["sections"][0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data["sections"][0]["citations"][0]["passages"].append({"source": "unknown", "passage": 0}),
        lambda data: data["sections"][0]["citations"][0]["passages"].append({"source": BIRDS.id, "passage": 9}),
        lambda data: data["sections"][0]["citations"][0]["passages"].append({"source": BIRDS.id, "passage": -1}),
        lambda data: data["sections"][0]["citations"][0].update(sentence=5),
        lambda data: data["sections"][0]["citations"][0].update(support="much"),
        lambda data: data["sources"][0]["passages"][0].update(page=3),
        lambda data: data["sources"].append("x"),
        lambda data: data.update(sources=5),
    ],
)
def test_a_damaged_citation_is_an_error_that_says_so(damage) -> None:
    data = json.loads(dump(cited_article()))
    damage(data)
    with pytest.raises(ComposerError):
        from_json(data)


def test_a_citation_without_passages_is_none() -> None:
    assert Section("So.", citations=(Citation("So.", (), 1.0), Citation("So.", (PERCH,), 0.5))).citations == (
        Citation("So.", (PERCH,), 0.5),
    )
    assert Section("So. No.", citations=(Citation("So.", (Passage(BIRDS.id, "1", "x"), BURROW), 1.0),)).citations
