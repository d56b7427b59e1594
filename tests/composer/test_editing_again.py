"""Stages run again on an article that stands: what a person settled stays, the rest may change, nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from composer import events
from composer.article import Article, Section
from composer.editing import (
    EditError,
    History,
    lock_placement,
    lock_section,
    remove_picture,
    replace_picture,
    set_caption,
    show_picture,
)
from composer.editing.desk import Desk
from composer.errors import UsageError
from composer.pipeline import Composer
from composer.progress import Progress
from composer.prompts import load_prompts
from composer.request import ComposeRequest
from composer.settings import PictureSettings, Settings
from tests.composer.scripted_model import ScriptedModel, question
from tests.composer.studio import make_composer, paint
from vision.protocol import Prompt, Sampling

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink")
WALLS = Settings("test", pictures=PictureSettings(min_fused=0.05, judge_weight=0.0, candidates=4))
TEXT = "\n\n".join(
    f"The {colour} wall was painted long ago by people who liked the {colour} light of the evening sun very much."
    for colour in ("red", "green", "blue", "yellow", "purple", "brown")
)


def answer(prompt: Prompt, sampling: Sampling) -> str:
    asked = question(prompt)
    if prompt[-1].text == load_prompts("en").caption_prefix:
        for colour in (*COLOURS, "brown"):
            if f"The {colour} wall" in asked:
                return f" a {colour} door" if "something else than" in asked else f" a {colour} wall"
    return ""


@pytest.fixture
def composer(tmp_path: Path) -> Composer:
    return make_composer(tmp_path, answer, settings=WALLS, colours=COLOURS)


@pytest.fixture
def easy(tmp_path: Path) -> Composer:
    """A composer to which every wall is some answer, so that there is always another picture."""
    lenient = Settings("test", pictures=PictureSettings(min_fused=0.0001, judge_weight=0.0, candidates=4))
    return make_composer(tmp_path, answer, settings=lenient, colours=COLOURS)


def finished(running: Iterator[events.Event]) -> tuple[Article, list[events.Event]]:
    seen = list(running)
    done = seen[-1]
    assert isinstance(done, events.Done)
    started = [e.stage for e in seen if isinstance(e, events.StageStarted)]
    ended = [e.stage for e in seen if isinstance(e, events.StageFinished)]
    assert started == ended, "every stage that starts ends"
    return done.article, seen


def make(composer: Composer, images: int) -> Article:
    return finished(composer.events(ComposeRequest(text=TEXT, images=images)))[0]


def shown(article: Article) -> dict[int, str]:
    return {p.slot.after_section: p.chosen.path.stem for p in article.placements if p.chosen}


def unique(article: Article) -> bool:
    ids = [record.id for record in article.pictures]
    return len(ids) == len(set(ids))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_exactly_as_many_pictures_stand_as_asked_for(composer: Composer, count: int) -> None:
    article = make(composer, 3)
    fitted, seen = finished(Desk(composer).refit(article, count))
    assert len(fitted.pictures) == count
    assert unique(fitted)
    assert not any(isinstance(event, events.Notice) for event in seen)
    kept = set(shown(article).items()) & set(shown(fitted).items())
    assert len(kept) == min(3, count), "those that stand already stay"
    assert fitted.sections == article.sections


def test_fewer_pictures_need_no_model_and_the_least_fitting_go(composer: Composer) -> None:
    article = make(composer, 4)
    assert isinstance(composer.model, ScriptedModel)
    asked = len(composer.model.asked)
    fitted, _ = finished(Desk(composer).refit(article, 2))
    assert len(composer.model.asked) == asked
    fit = {p.slot.after_section: p.candidates[0].fused for p in article.placements}
    assert set(shown(fitted)) == set(sorted(fit, key=lambda place: -fit[place])[:2])


def test_locked_and_edited_pictures_stay_whatever_their_number(composer: Composer) -> None:
    article = make(composer, 4)
    least = min(range(4), key=lambda i: article.placements[i].candidates[0].fused)
    article = lock_placement(article, least)
    other = (least + 1) % 4
    article = set_caption(article, other, "Mine")
    kept = {article.placements[least], article.placements[other]}
    for count in (2, 3, 5):
        fitted, _ = finished(Desk(composer).refit(article, count))
        assert len(fitted.pictures) == count
        assert kept <= set(fitted.placements)
        assert unique(fitted)
    with pytest.raises(EditError) as refused:
        Desk(composer).refit(article, 1)
    assert str(refused.value) == (
        "2 pictures are locked or edited, so 1 cannot be had; unlock some, or ask for at least 2"
    )


def test_a_place_that_was_emptied_by_hand_stays_empty(composer: Composer) -> None:
    article = remove_picture(make(composer, 3), 1)
    emptied = article.placements[1]
    fitted, _ = finished(Desk(composer).refit(article, 4))
    assert emptied in fitted.placements
    assert len(fitted.pictures) == 4
    assert emptied.slot.after_section not in shown(fitted)


def test_more_pictures_than_the_library_has_end_with_a_notice(composer: Composer) -> None:
    article = make(composer, 3)
    fitted, seen = finished(Desk(composer).refit(article, 20))
    standing = len(fitted.pictures)
    assert 3 < standing <= 6
    assert [event.text for event in seen if isinstance(event, events.Notice)] == [
        f"{standing} pictures stand, not 20: nothing in the library fits the places that are left"
    ]


@pytest.mark.parametrize("count", [-1, 51])
def test_a_number_out_of_range_is_refused(composer: Composer, count: int) -> None:
    with pytest.raises(EditError, match=rf"^{count} pictures are out of range; ask for 0 to 50$"):
        Desk(composer).refit(make(composer, 1), count)


def test_a_refitted_article_folds_into_progress_like_any_other(composer: Composer) -> None:
    article = make(composer, 1)
    progress = Progress()
    for event in Desk(composer).refit(article, 3):
        progress = progress.after(event)
    assert progress.done
    assert progress.article is not None
    history = History.begin(article).do("refit", progress.article)
    assert history.undo().article is article


def test_choosing_again_shows_something_else_and_keeps_what_it_replaced_as_an_alternative(easy: Composer) -> None:
    article = make(easy, 3)
    again, seen = finished(Desk(easy).retry(article, "choose"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)] == ["choose", "finish"]
    assert [p.slot for p in again.placements] == [p.slot for p in article.placements]
    assert unique(again)
    for new, old in zip(again.placements, article.placements, strict=True):
        assert old.chosen is not None
        assert old.chosen.id in {c.record.id for c in new.candidates}
        if new.chosen != old.chosen:
            assert new.caption == f"A {new.chosen.path.stem} wall in the old town"  # type: ignore[union-attr]
    assert shown(again) != shown(article)
    before, after = set(shown(article).values()), set(shown(again).values())
    assert after != before


def test_the_same_question_again_gives_the_same_answer(composer: Composer) -> None:
    article = make(composer, 3)
    for stage in ("place", "caption", "find", "choose", "finish"):
        again, _ = finished(Desk(composer).retry(article, stage, ComposeRequest(text=TEXT, images=3), fresh=False))
        assert shown(again) == shown(article)
        assert [p.caption for p in again.placements] == [p.caption for p in article.placements]


def test_finding_again_never_proposes_what_stands_in_free_places(easy: Composer) -> None:
    article = make(easy, 2)
    again, seen = finished(Desk(easy).retry(article, "find"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)] == ["find", "choose", "finish"]
    changed = [new for new, old in zip(again.placements, article.placements, strict=True) if new.chosen != old.chosen]
    assert changed
    assert not {p.chosen.id for p in changed if p.chosen} & {record.id for record in article.pictures}


def test_describing_again_asks_for_something_else_than_before(easy: Composer) -> None:
    article = make(easy, 2)
    again, seen = finished(Desk(easy).retry(article, "caption"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)] == ["caption", "find", "choose", "finish"]
    assert all(p.slot.caption.endswith("wall") for p in article.placements)
    assert all(p.slot.caption.endswith("door") for p in again.placements)


def test_placing_again_goes_to_other_places_where_there_are_enough(composer: Composer) -> None:
    article = make(composer, 2)
    again, seen = finished(Desk(composer).retry(article, "place"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)] == [
        "place",
        "caption",
        "find",
        "choose",
        "finish",
    ]
    assert len(again.placements) == 2
    assert not set(shown(again)) & set(shown(article))


def test_every_stage_leaves_what_is_settled_as_it_is(composer: Composer) -> None:
    article = lock_placement(make(composer, 4), 0)
    article = replace_picture(article, 2, article.placements[2].candidates[1].record.id)
    settled = {p for p in article.placements if p.settled}
    assert len(settled) == 2
    for stage in ("place", "caption", "find", "choose", "finish"):
        again, _ = finished(Desk(composer).retry(article, stage))
        assert settled <= set(again.placements)
        assert unique(again)
        assert len(again.placements) >= 3


def test_a_picture_nothing_can_replace_stays(tmp_path: Path) -> None:
    composer = make_composer(tmp_path, answer, settings=WALLS, colours=("red",))
    article = make(composer, 1)
    assert shown(article) == {0: "red"}
    for stage in ("find", "choose", "caption"):
        assert shown(finished(Desk(composer).retry(article, stage))[0]) == {0: "red"}


def test_a_text_whose_placing_was_stopped_is_illustrated_from_there(composer: Composer) -> None:
    whole = make(composer, 3)
    bare = whole.with_placements(())
    placed, _ = finished(Desk(composer).retry(bare, "place", ComposeRequest(text=TEXT, images=3), fresh=False))
    assert shown(placed) == shown(whole)
    slots = whole.with_placements(tuple(replace(p, chosen=None, candidates=()) for p in whole.placements))
    for stage in ("find", "choose"):
        found, _ = finished(Desk(composer).retry(slots, stage, fresh=False))
        assert shown(found) == shown(whole)


def test_pictures_that_must_appear_still_do_and_only_once(composer: Composer, tmp_path: Path) -> None:
    own = paint(tmp_path / "own" / "mine.png", "brown", "a brown wall")
    request = ComposeRequest(text=TEXT, images=3, use_images=(own,))
    article = finished(composer.events(request))[0]
    assert "mine" in shown(article).values()
    for stage in ("place", "caption", "find", "choose"):
        again, _ = finished(Desk(composer).retry(article, stage, request))
        assert list(shown(again).values()).count("mine") == 1
    at = next(i for i, p in enumerate(article.placements) if p.chosen and p.chosen.path.stem == "mine")
    locked = lock_placement(article, at)
    again, _ = finished(Desk(composer).retry(locked, "find", request))
    assert list(shown(again).values()).count("mine") == 1


def test_an_unknown_stage_is_refused(composer: Composer) -> None:
    with pytest.raises(
        UsageError, match=r"^stage 'load' cannot be run again; use one of: write, place, caption, find, choose, finish$"
    ):
        Desk(composer).retry(make(composer, 1), "load")  # type: ignore[arg-type]


def test_a_picture_is_found_by_words_and_the_model_is_not_asked(composer: Composer) -> None:
    article = make(composer, 1)
    assert isinstance(composer.model, ScriptedModel)
    asked = len(composer.model.asked)
    found = Desk(composer).search(article, 0, "a pink wall", k=3)
    assert found[0].record.path.stem == "pink"
    assert len(found) == 3
    assert found[0].fused > found[1].fused
    assert found[0].why.startswith("its caption matches “a pink wall”")
    assert len(composer.model.asked) == asked
    placed = show_picture(article, 0, found[0])
    assert shown(placed)[article.placements[0].slot.after_section] == "pink"


def test_words_the_encoder_cannot_read_are_translated(composer: Composer) -> None:
    article = replace(make(composer, 1), language="zh")
    composer.model = ScriptedModel(lambda p, s: " a pink wall" if "粉色的墙" in question(p) else "")
    found = Desk(composer).search(article, 0, "粉色的墙")
    assert found[0].record.path.stem == "pink"
    assert found[0].why.startswith("图片说明与“粉色的墙”相符")


def test_a_picture_is_found_by_its_likeness(composer: Composer, tmp_path: Path) -> None:
    example = paint(tmp_path / "example.png", "orange")
    found = Desk(composer).search_like(make(composer, 1), 0, example, k=2)
    assert found[0].record.path.stem == "orange"
    assert found[0].why.startswith("looks like the example (")


def test_an_upload_is_checked_and_can_be_shown(composer: Composer, tmp_path: Path) -> None:
    article = make(composer, 1)
    own = paint(tmp_path / "own" / "mine.png", "brown", "a brown wall")
    candidate = Desk(composer).upload(own)
    assert (candidate.record.caption, candidate.why) == ("a brown wall", "your own picture")
    assert shown(show_picture(article, 0, candidate)) == {article.placements[0].slot.after_section: "mine"}
    text = tmp_path / "notes.png"
    text.write_text("no picture")
    with pytest.raises(UsageError, match=r"notes\.png"):
        Desk(composer).upload(text)


def test_a_section_that_is_not_there_cannot_be_searched_for(composer: Composer, tmp_path: Path) -> None:
    article = make(composer, 1)
    with pytest.raises(EditError, match=r"^there is no section 6; the article has 6$"):
        Desk(composer).search(article, 6, "a wall")
    with pytest.raises(EditError, match=r"^there is no section 6; the article has 6$"):
        Desk(composer).search_like(article, 6, tmp_path)


def test_an_empty_library_finds_nothing(tmp_path: Path) -> None:
    full = make_composer(tmp_path / "full", answer, settings=WALLS, colours=("red",))
    empty = make_composer(tmp_path / "empty", answer, settings=WALLS, colours=())
    assert Desk(empty).search(make(full, 1), 0, "a wall") == []
    shutil.rmtree(tmp_path)


def test_a_job_stopped_after_choosing_leaves_every_picture_its_words_and_credit(tmp_path: Path) -> None:
    own = paint(tmp_path / "own" / "mine.png", "brown", "a brown wall")
    own.with_suffix(".json").write_text('{"caption": "a brown wall", "author": "A. Author"}', encoding="utf-8")
    composer = make_composer(tmp_path, answer, settings=WALLS, colours=COLOURS)
    request = ComposeRequest(text=TEXT, images=3, use_images=(own,))
    running: list[Iterator[events.Event]] = [composer.events(request)]
    running.append(Desk(composer).retry(finished(composer.events(request))[0], "choose", request))
    for job in running:
        progress = Progress()
        for event in job:
            progress = progress.after(event)
            if isinstance(event, events.StageStarted) and event.stage == "finish":
                break
        assert progress.article is not None
        chosen = [p for p in progress.article.placements if p.chosen]
        assert len(chosen) == 3
        assert all(p.caption and p.alt for p in chosen)
        assert "Image: A. Author" in [p.credit for p in chosen]


def test_a_job_stopped_before_choosing_leaves_the_article_as_it_was(composer: Composer) -> None:
    article = make(composer, 3)
    for stage in ("place", "caption", "find", "choose"):
        progress = Progress()
        for event in Desk(composer).retry(article, stage):
            progress = progress.after(event)
            if isinstance(event, events.StageStarted) and event.stage == "choose":
                break
        assert progress.article is None, "nothing half done takes the article's place"


def test_in_an_article_of_our_own_places_are_taken_under_headings_again(composer: Composer) -> None:
    article = make(composer, 0)
    sections = tuple(
        replace(section, text=f"## Wall {number}\n\n{section.text}") if number else section
        for number, section in enumerate(article.sections)
    )
    ours = replace(article, sections=sections, provenance={"request": {"illustrated": False}})
    assert 0 in shown(finished(Desk(composer).refit(ours, 6))[0]), "all places are needed"
    for count in (1, 2, 3):
        assert 0 not in shown(finished(Desk(composer).refit(ours, count))[0])


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


def test_writing_anew_keeps_the_structure_and_every_word_that_is_settled(composer: Composer) -> None:
    composer.model = ScriptedModel(told_anew)
    article = lock_section(walls(2), 3)
    again, seen = finished(Desk(composer).retry(article, "write"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)][:2] == ["write", "caption"]
    assert again.sections[2:] == article.sections[2:], "edited, locked, and a list"
    assert again.sections[0].text.endswith("on the white wall, of course. And so it stays.")
    assert again.sections[1].text.startswith("## The red wall\n\nNumber ")
    assert "red wall, of course" in again.sections[1].text
    assert not again.sections[1].edited
    drafts = [e.article for e in seen if isinstance(e, events.Draft)]
    assert drafts[0].sections[1:] == article.sections[1:], "section by section"


def test_what_is_written_anew_follows_what_stands_before_it(composer: Composer) -> None:
    composer.model = model = ScriptedModel(told_anew)
    list(Desk(composer).retry(walls(1), "write"))
    told = [p[-1].text for p in model.asked if p[-1].text.startswith("# ")]
    assert len(told) == 3
    assert "The red wall was painted long ago by its people." in told[1]
    assert told[0] == "# Walls\n\n## Introduction\n\n"
    assert all(text.endswith("\n\n") for text in told)


def test_the_same_article_written_anew_twice_gives_two_texts(composer: Composer) -> None:
    composer.model = ScriptedModel(told_anew)
    once, _ = finished(Desk(composer).retry(walls(), "write"))
    twice, _ = finished(Desk(composer).retry(once, "write"))
    same, _ = finished(Desk(composer).retry(walls(), "write"))
    assert once.sections == same.sections
    assert once.sections[1] != twice.sections[1]


def test_a_section_the_model_has_no_words_for_keeps_its_own(composer: Composer) -> None:
    composer.model = ScriptedModel(lambda p, s: "墙是红色的，一直都是这样。" if "red" in p[-1].text else "")
    again, _ = finished(Desk(composer).retry(walls(), "write"))
    assert again.sections == walls().sections


def test_pictures_that_are_settled_outlast_a_new_text(composer: Composer) -> None:
    article = make(composer, 3)
    article = lock_placement(set_caption(article, 0, "Mine"), 1)
    article = replace(article, provenance=OURS)
    composer.model = ScriptedModel(told_anew)
    again, _ = finished(Desk(composer).retry(article, "write"))
    assert set(article.placements[:2]) <= set(again.placements)
    assert unique(again)


def test_a_long_article_is_written_anew_within_what_the_model_reads(composer: Composer) -> None:
    composer.model = model = ScriptedModel(told_anew, context_tokens=1400)
    longer = replace(walls(), sections=walls().sections[:4] * 25)
    desk = Desk(composer).retry(longer, "write")
    for event in desk:
        if isinstance(event, events.StageFinished):
            break
    assert max(model.count_tokens(p) + s.max_tokens for p, s in zip(model.asked, model.samplings, strict=True)) < 1400
    assert len(model.asked) == 100


def test_a_text_of_ones_own_is_read_again_and_stays(composer: Composer) -> None:
    article = make(composer, 2)
    again, seen = finished(Desk(composer).retry(article, "write"))
    assert next(e.stage for e in seen if isinstance(e, events.StageStarted)) == "place"
    assert again.sections == article.sections
    assert len(again.pictures) == 2


def test_an_article_that_is_settled_from_end_to_end_is_not_written_anew(composer: Composer) -> None:
    with pytest.raises(EditError, match=r"^every section is locked or edited; unlock one, or ask for a proposal$"):
        Desk(composer).retry(walls(0, 1, 2, 3), "write")
