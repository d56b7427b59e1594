"""A whole article written again: what is locked or edited stays, in its words and its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from composer.article.model import Article, Section
from composer.editing.pictures import lock_placement, set_caption
from composer.editing.rerun import rerun_stage, write_rest
from composer.editing.rewrite_article import open_sections
from composer.editing.sections import lock_section
from composer.errors import EditError, WritingFailed
from composer.pipeline import events
from composer.pipeline.pipeline import Pipeline
from composer.request import ComposeRequest
from tests.composer.cited_samples import cited_article
from tests.composer.scripted_model import ScriptedModel
from tests.composer.small_pipeline import make_pipeline
from tests.composer.walls import COLOURS, WALLS, answer, finished, make, unique
from vision.interfaces import Prompt, Sampling


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return make_pipeline(tmp_path, answer, settings=WALLS, colours=COLOURS)


OURS = {"request": {"illustrated": False}}


def told_anew(prompt: Prompt, sampling: Sampling) -> str:
    """A sentence of its own for each place in the article, and captions."""
    written = prompt[-1].text
    if written.startswith("# "):
        heading = written.rstrip().rpartition("## ")[2]
        colour = heading.split()[-2] if "wall" in heading else "white"
        return f"Number {sampling.seed % 997} is what they paint on the {colour} wall, of course. And so it stays."
    return answer(prompt, sampling)


def walls(*settled: int) -> Article:
    sections = [Section("People of the town paint their walls. They always did.")]
    for colour in ("red", "green", "blue"):
        sections.append(Section(f"## The {colour} wall\n\nThe {colour} wall was painted long ago by its people."))
    sections.append(Section("- paint\n- brush", gap="\n"))
    return Article(
        "Walls",
        "en",
        tuple(replace(section, edited=i in settled) for i, section in enumerate(sections)),
        provenance=OURS,
    )


def test_writing_anew_keeps_the_structure_and_every_word_that_is_settled(pipeline: Pipeline) -> None:
    pipeline.model = ScriptedModel(told_anew)
    article = lock_section(walls(2), 3)
    again, seen = finished(rerun_stage(pipeline, article, "write"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)][:2] == ["write", "caption"]
    assert again.sections[2:] == article.sections[2:], "edited, locked, and a list"
    assert again.sections[0].text.endswith("on the white wall, of course. And so it stays.")
    assert again.sections[1].text.startswith("## The red wall\n\nNumber ")
    assert "red wall, of course" in again.sections[1].text
    assert not again.sections[1].edited
    drafts = [e.article for e in seen if isinstance(e, events.ArticleSoFar)]
    assert drafts[0].sections[1:] == article.sections[1:], "section by section"


def test_what_is_written_anew_follows_what_stands_before_it(pipeline: Pipeline) -> None:
    pipeline.model = model = ScriptedModel(told_anew)
    list(rerun_stage(pipeline, walls(1), "write"))
    told = [p[-1].text for p in model.asked if p[-1].text.startswith("# ")]
    assert len(told) == 3
    assert "The red wall was painted long ago by its people." in told[1]
    assert told[0] == "# Walls\n\n## Introduction\n\n"
    assert all(text.endswith("\n\n") for text in told)


def test_the_same_article_written_anew_twice_gives_two_texts(pipeline: Pipeline) -> None:
    pipeline.model = ScriptedModel(told_anew)
    once, _ = finished(rerun_stage(pipeline, walls(), "write"))
    twice, _ = finished(rerun_stage(pipeline, once, "write"))
    same, _ = finished(rerun_stage(pipeline, walls(), "write"))
    assert once.sections == same.sections
    assert once.sections[1] != twice.sections[1]


def test_a_section_the_model_has_no_words_for_keeps_its_own(pipeline: Pipeline) -> None:
    pipeline.model = ScriptedModel(lambda p, s: "墙是红色的，一直都是这样。" if "red" in p[-1].text else "")
    again, _ = finished(rerun_stage(pipeline, walls(), "write"))
    assert again.sections == walls().sections


def test_pictures_that_are_settled_outlast_a_new_text(pipeline: Pipeline) -> None:
    article = make(pipeline, 3)
    article = lock_placement(set_caption(article, 0, "Mine"), 1)
    article = replace(article, provenance=OURS)
    pipeline.model = ScriptedModel(told_anew)
    again, _ = finished(rerun_stage(pipeline, article, "write"))
    assert set(article.placements[:2]) <= set(again.placements)
    assert unique(again)


def test_a_long_article_is_written_anew_within_what_the_model_reads(pipeline: Pipeline) -> None:
    pipeline.model = model = ScriptedModel(told_anew, context_tokens=1400)
    longer = replace(walls(), sections=walls().sections[:4] * 25)
    for event in rerun_stage(pipeline, longer, "write"):
        if isinstance(event, events.StageFinished):
            break
    assert max(model.count_tokens(p) + s.max_tokens for p, s in zip(model.asked, model.samplings, strict=True)) < 1400
    assert len(model.asked) == 100


def test_a_text_of_ones_own_is_read_again_and_stays(pipeline: Pipeline) -> None:
    article = make(pipeline, 2)
    again, seen = finished(rerun_stage(pipeline, article, "write"))
    assert next(e.stage for e in seen if isinstance(e, events.StageStarted)) == "place"
    assert again.sections == article.sections
    assert len(again.pictures) == 2


def test_an_article_that_is_settled_from_end_to_end_is_not_written_anew(pipeline: Pipeline) -> None:
    with pytest.raises(EditError) as refused:
        rerun_stage(pipeline, walls(0, 1, 2, 3), "write")
    assert refused.value.key == "all_settled"


def test_what_is_cited_is_not_written_again_without_its_sources() -> None:
    assert open_sections(cited_article()) == [2]


def told_of_walls(prompt: Prompt, sampling: Sampling) -> str:
    written = prompt[-1].text
    if written.startswith("# "):
        if "green" in written.rpartition("## ")[2]:
            return "Moss and ivy cover its stones from the ground to the roof. Birds nest where the plaster has gone."
        return "Fishermen mix the pigment with lime and oil every spring. The paint keeps the salt of the sea away."
    return answer(prompt, sampling)


def test_the_rest_of_a_text_is_written_after_what_stands_and_illustrated(pipeline: Pipeline) -> None:
    pipeline.model = ScriptedModel(told_of_walls)
    stands = replace(walls(1), sections=walls(1).sections[:2], provenance={})
    request = ComposeRequest("walls of the town", words=200)
    whole, seen = finished(write_rest(pipeline, stands, ("The green wall", "The blue wall"), request))
    assert [section.heading for section in whole.sections] == ["", "The red wall", "The green wall", "The blue wall"]
    assert [section.text for section in whole.sections[:2]] == [section.text for section in stands.sections]
    assert {section.gap for section in whole.sections[:-1]} == {"\n\n"}
    assert whole.sections[2].body.startswith("Moss and ivy")
    assert whole.sections[3].body.startswith("Fishermen")
    grown = [len(event.article.sections) for event in seen if isinstance(event, events.ArticleSoFar)]
    assert grown[:2] == [3, 4], "a page shows each section as it comes"
    outline = next(prompt for prompt in pipeline.model.asked if prompt[-1].text.startswith("# "))
    assert "The red wall" in outline[1].text, "the model is told of the whole outline"
    assert whole.placements
    assert not whole.provenance["request"]["illustrated"]
    pipeline.model = ScriptedModel(answer)
    with pytest.raises(WritingFailed):
        finished(write_rest(pipeline, stands, ("The green wall",), request))
