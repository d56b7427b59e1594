"""Stages run again on an article that stands: what a person settled stays, the rest may change, nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from composer.editing.history import EditHistory
from composer.editing.picture_search import read_own_picture, search, search_like
from composer.editing.pictures import lock_placement, remove_picture, replace_picture, set_caption, show_picture
from composer.editing.rerun import rerun_stage, set_picture_count
from composer.errors import EditError, UsageError
from composer.pipeline import events
from composer.pipeline.pipeline import Pipeline
from composer.pipeline.progress import Progress
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, Settings
from tests.composer.scripted_model import ScriptedModel, question
from tests.composer.small_pipeline import make_pipeline, paint
from tests.composer.walls import COLOURS, TEXT, WALLS, answer, finished, make, shown, unique
from vision.errors import Phrase


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return make_pipeline(tmp_path, answer, settings=WALLS, colours=COLOURS)


@pytest.fixture
def easy(tmp_path: Path) -> Pipeline:
    """A pipeline to which every wall is some answer, so that there is always another picture."""
    lenient = Settings("test", pictures=IllustrationSettings(min_fused=0.0001, judge_weight=0.0, candidates=4))
    return make_pipeline(tmp_path, answer, settings=lenient, colours=COLOURS)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_exactly_as_many_pictures_stand_as_asked_for(pipeline: Pipeline, count: int) -> None:
    article = make(pipeline, 3)
    fitted, seen = finished(set_picture_count(pipeline, article, count))
    assert len(fitted.pictures) == count
    assert unique(fitted)
    assert not any(isinstance(event, events.Notice) for event in seen)
    kept = set(shown(article).items()) & set(shown(fitted).items())
    assert len(kept) == min(3, count), "those that stand already stay"
    assert fitted.sections == article.sections


def test_fewer_pictures_need_no_model_and_the_least_fitting_go(pipeline: Pipeline) -> None:
    article = make(pipeline, 4)
    assert isinstance(pipeline.model, ScriptedModel)
    asked = len(pipeline.model.asked)
    fitted, _ = finished(set_picture_count(pipeline, article, 2))
    assert len(pipeline.model.asked) == asked
    fit = {p.slot.after_section: p.candidates[0].fused for p in article.placements}
    assert set(shown(fitted)) == set(sorted(fit, key=lambda place: -fit[place])[:2])


def test_locked_and_edited_pictures_stay_whatever_their_number(pipeline: Pipeline) -> None:
    article = make(pipeline, 4)
    least = min(range(4), key=lambda i: article.placements[i].candidates[0].fused)
    article = lock_placement(article, least)
    other = (least + 1) % 4
    article = set_caption(article, other, "Mine")
    kept = {article.placements[least], article.placements[other]}
    for count in (2, 3, 5):
        fitted, _ = finished(set_picture_count(pipeline, article, count))
        assert len(fitted.pictures) == count
        assert kept <= set(fitted.placements)
        assert unique(fitted)
    with pytest.raises(EditError) as refused:
        set_picture_count(pipeline, article, 1)
    assert (refused.value.key, refused.value.values) == ("too_many_fixed", {"fixed": 2, "count": 1})


def test_a_place_that_was_emptied_by_hand_stays_empty(pipeline: Pipeline) -> None:
    article = remove_picture(make(pipeline, 3), 1)
    emptied = article.placements[1]
    fitted, _ = finished(set_picture_count(pipeline, article, 4))
    assert emptied in fitted.placements
    assert len(fitted.pictures) == 4
    assert emptied.slot.after_section not in shown(fitted)


def test_more_pictures_than_the_library_has_end_with_a_notice(pipeline: Pipeline) -> None:
    article = make(pipeline, 3)
    fitted, seen = finished(set_picture_count(pipeline, article, 20))
    standing = len(fitted.pictures)
    assert 3 < standing <= 6
    assert [event for event in seen if isinstance(event, events.Notice)] == [
        events.Notice("fewer_fit", {"standing": standing, "asked": 20})
    ]


@pytest.mark.parametrize("count", [-1, 51])
def test_a_number_out_of_range_is_refused(pipeline: Pipeline, count: int) -> None:
    with pytest.raises(EditError) as refused:
        set_picture_count(pipeline, make(pipeline, 1), count)
    assert refused.value.key == "count_wrong"


def test_a_refitted_article_folds_into_progress_like_any_other(pipeline: Pipeline) -> None:
    article = make(pipeline, 1)
    progress = Progress()
    for event in set_picture_count(pipeline, article, 3):
        progress = progress.after(event)
    assert progress.done
    assert progress.article is not None
    history = EditHistory(article).do("refit", progress.article)
    assert history.undo().article is article


def test_choosing_again_shows_something_else_and_keeps_what_it_replaced_as_an_alternative(easy: Pipeline) -> None:
    article = make(easy, 3)
    again, seen = finished(rerun_stage(easy, article, "choose"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)] == ["choose", "finish"]
    assert [p.slot for p in again.placements] == [p.slot for p in article.placements]
    assert unique(again)
    for new, old in zip(again.placements, article.placements, strict=True):
        assert old.chosen is not None
        assert old.chosen.id in {c.record.id for c in new.candidates}
        if new.chosen != old.chosen:
            assert new.caption.startswith(f"A {new.chosen.path.stem} wall in the old town")  # type: ignore[union-attr]
    assert shown(again) != shown(article)
    before, after = set(shown(article).values()), set(shown(again).values())
    assert after != before


def test_the_same_question_again_gives_the_same_answer(pipeline: Pipeline) -> None:
    article = make(pipeline, 3)
    for stage in ("place", "caption", "find", "choose", "finish"):
        again, _ = finished(rerun_stage(pipeline, article, stage, ComposeRequest(text=TEXT, images=3), fresh=False))
        assert shown(again) == shown(article)
        assert [p.caption for p in again.placements] == [p.caption for p in article.placements]


def test_finding_again_never_proposes_what_stands_in_free_places(easy: Pipeline) -> None:
    article = make(easy, 2)
    again, seen = finished(rerun_stage(easy, article, "find"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)] == ["find", "choose", "finish"]
    changed = [new for new, old in zip(again.placements, article.placements, strict=True) if new.chosen != old.chosen]
    assert changed
    assert not {p.chosen.id for p in changed if p.chosen} & {record.id for record in article.pictures}


def test_describing_again_asks_for_something_else_than_before(easy: Pipeline) -> None:
    article = make(easy, 2)
    again, seen = finished(rerun_stage(easy, article, "caption"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)] == ["caption", "find", "choose", "finish"]
    assert all(p.slot.caption.endswith("wall") for p in article.placements)
    assert all(p.slot.caption.endswith("door") for p in again.placements)


def test_placing_again_goes_to_other_places_where_there_are_enough(pipeline: Pipeline) -> None:
    article = make(pipeline, 2)
    again, seen = finished(rerun_stage(pipeline, article, "place"))
    assert [e.stage for e in seen if isinstance(e, events.StageStarted)] == [
        "place",
        "caption",
        "find",
        "choose",
        "finish",
    ]
    assert len(again.placements) == 2
    assert not set(shown(again)) & set(shown(article))


def test_every_stage_leaves_what_is_settled_as_it_is(pipeline: Pipeline) -> None:
    article = lock_placement(make(pipeline, 4), 0)
    article = replace_picture(article, 2, article.placements[2].candidates[1].record.id)
    settled = {p for p in article.placements if p.locked_or_edited}
    assert len(settled) == 2
    for stage in ("place", "caption", "find", "choose", "finish"):
        again, _ = finished(rerun_stage(pipeline, article, stage))
        assert settled <= set(again.placements)
        assert unique(again)
        assert len(again.placements) >= 3


def test_a_picture_nothing_can_replace_stays(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path, answer, settings=WALLS, colours=("red",))
    article = make(pipeline, 1)
    assert shown(article) == {0: "red"}
    for stage in ("find", "choose", "caption"):
        assert shown(finished(rerun_stage(pipeline, article, stage))[0]) == {0: "red"}


def test_a_text_whose_placing_was_stopped_is_illustrated_from_there(pipeline: Pipeline) -> None:
    whole = make(pipeline, 3)
    bare = whole.with_placements(())
    placed, _ = finished(rerun_stage(pipeline, bare, "place", ComposeRequest(text=TEXT, images=3), fresh=False))
    assert shown(placed) == shown(whole)
    slots = whole.with_placements(tuple(replace(p, chosen=None, candidates=()) for p in whole.placements))
    for stage in ("find", "choose"):
        found, _ = finished(rerun_stage(pipeline, slots, stage, fresh=False))
        assert shown(found) == shown(whole)


def test_pictures_that_must_appear_still_do_and_only_once(pipeline: Pipeline, tmp_path: Path) -> None:
    own = paint(tmp_path / "own" / "mine.png", "brown", "a brown wall")
    request = ComposeRequest(text=TEXT, images=3, use_images=(own,))
    article = finished(pipeline.events(request))[0]
    assert "mine" in shown(article).values()
    for stage in ("place", "caption", "find", "choose"):
        again, _ = finished(rerun_stage(pipeline, article, stage, request))
        assert list(shown(again).values()).count("mine") == 1
    at = next(i for i, p in enumerate(article.placements) if p.chosen and p.chosen.path.stem == "mine")
    locked = lock_placement(article, at)
    again, _ = finished(rerun_stage(pipeline, locked, "find", request))
    assert list(shown(again).values()).count("mine") == 1


def test_an_unknown_stage_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(UsageError):
        rerun_stage(pipeline, make(pipeline, 1), "load")  # type: ignore[arg-type]


def test_a_picture_is_found_by_words_and_the_model_is_not_asked(pipeline: Pipeline) -> None:
    article = make(pipeline, 1)
    assert isinstance(pipeline.model, ScriptedModel)
    asked = len(pipeline.model.asked)
    found = search(pipeline, article, 0, "a pink wall", k=3)
    assert found[0].record.path.stem == "pink"
    assert all(found[0].fused > other.fused for other in found[1:])
    assert search(pipeline, article, 0, "wqzx vbnm") == []
    assert (found[0].why[0].key, found[0].why[0].values["wanted"]) == ("caption_matches", "a pink wall")
    assert len(pipeline.model.asked) == asked
    placed = show_picture(article, 0, found[0])
    assert shown(placed)[article.placements[0].slot.after_section] == "pink"


def test_words_the_encoder_cannot_read_are_translated(pipeline: Pipeline) -> None:
    article = replace(make(pipeline, 1), language="zh")
    pipeline.model = ScriptedModel(lambda p, s: " a pink wall" if "粉色的墙" in question(p) else "")
    found = search(pipeline, article, 0, "粉色的墙")
    assert found[0].record.path.stem == "pink"
    assert (found[0].why[0].key, found[0].why[0].values["wanted"]) == ("caption_matches", "粉色的墙")


def test_a_picture_is_found_by_its_likeness(pipeline: Pipeline, tmp_path: Path) -> None:
    example = paint(tmp_path / "example.png", "orange")
    found = search_like(pipeline, make(pipeline, 1), 0, example, k=2)
    assert found[0].record.path.stem == "orange"
    assert [part.key for part in found[0].why] == ["looks_like_example"]


def test_an_upload_is_checked_and_can_be_shown(pipeline: Pipeline, tmp_path: Path) -> None:
    article = make(pipeline, 1)
    own = paint(tmp_path / "own" / "mine.png", "brown", "a brown wall")
    candidate = read_own_picture(pipeline, own)
    assert (candidate.record.caption, candidate.why) == ("a brown wall", (Phrase("you_brought"),))
    assert shown(show_picture(article, 0, candidate)) == {article.placements[0].slot.after_section: "mine"}
    text = tmp_path / "notes.png"
    text.write_text("no picture")
    with pytest.raises(UsageError, match=r"notes\.png"):
        read_own_picture(pipeline, text)


def test_a_section_that_is_not_there_cannot_be_searched_for(pipeline: Pipeline, tmp_path: Path) -> None:
    article = make(pipeline, 1)
    with pytest.raises(EditError) as refused:
        search(pipeline, article, 6, "a wall")
    assert refused.value.key == "gone"
    with pytest.raises(EditError) as refused:
        search_like(pipeline, article, 6, tmp_path)
    assert refused.value.key == "gone"


def test_an_empty_library_finds_nothing(tmp_path: Path) -> None:
    full = make_pipeline(tmp_path / "full", answer, settings=WALLS, colours=("red",))
    empty = make_pipeline(tmp_path / "empty", answer, settings=WALLS, colours=())
    assert search(empty, make(full, 1), 0, "a wall") == []
    shutil.rmtree(tmp_path)


def test_a_job_stopped_after_choosing_leaves_every_picture_its_words_and_credit(tmp_path: Path) -> None:
    own = paint(tmp_path / "own" / "mine.png", "brown", "a brown wall")
    own.with_suffix(".json").write_text('{"caption": "a brown wall", "author": "A. Author"}', encoding="utf-8")
    pipeline = make_pipeline(tmp_path, answer, settings=WALLS, colours=COLOURS)
    request = ComposeRequest(text=TEXT, images=3, use_images=(own,))
    running: list[Iterator[events.Event]] = [pipeline.events(request)]
    running.append(rerun_stage(pipeline, finished(pipeline.events(request))[0], "choose", request))
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


def test_a_job_stopped_before_choosing_leaves_the_article_as_it_was(pipeline: Pipeline) -> None:
    article = make(pipeline, 3)
    for stage in ("place", "caption", "find", "choose"):
        progress = Progress()
        for event in rerun_stage(pipeline, article, stage):
            progress = progress.after(event)
            if isinstance(event, events.StageStarted) and event.stage == "choose":
                break
        assert progress.article is None, "nothing half done takes the article's place"


def test_in_an_article_of_our_own_places_are_taken_under_headings_again(pipeline: Pipeline) -> None:
    article = make(pipeline, 0)
    sections = tuple(
        replace(section, text=f"## Wall {number}\n\n{section.text}") if number else section
        for number, section in enumerate(article.sections)
    )
    ours = replace(article, sections=sections, provenance={"request": {"illustrated": False}})
    assert 0 in shown(finished(set_picture_count(pipeline, ours, 6))[0]), "all places are needed"
    for count in (1, 2, 3):
        assert 0 not in shown(finished(set_picture_count(pipeline, ours, count))[0])
