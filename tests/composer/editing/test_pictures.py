"""Pictures can be put anywhere by hand; none appears twice, and what is locked stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.article.model import Article
from composer.article.serialization import dump, from_json, to_json
from composer.editing.history import ACTIONS, MAX_STEPS, EditHistory
from composer.editing.pictures import (
    add_place,
    alternatives,
    confirm_words,
    delete_picture,
    insert_picture,
    lock_placement,
    move_picture,
    picture_index,
    remove_picture,
    replace_picture,
    set_alt,
    set_caption,
    set_size,
    show_picture,
)
from composer.editing.sections import delete_section, edit_text
from composer.errors import EditError
from composer.export.article_folder import load_article, save_article
from composer.export.html import to_html
from composer.export.markdown import to_markdown
from composer.i18n import UI_LANGUAGES, tables
from composer.pipeline.picture_words import PictureWords, library_words
from image_db.metadata.record import ImageRecord
from tests.composer.article_samples import candidate, farm_article, picture, said
from vision.errors import Phrase

Operation = Callable[[Article], Article]


@pytest.fixture
def article(tmp_path: Path) -> Article:
    return farm_article(tmp_path / "library")


@pytest.fixture
def goat(tmp_path: Path) -> ImageRecord:
    return picture(
        tmp_path / "library", "goat.png", "orchid", caption="a goat on a rock", alt="A white goat", author="C. Cee"
    )


def shown(article: Article) -> dict[str, int]:
    return {p.chosen.path.stem: p.slot.after_section for p in article.placements if p.chosen}


def test_alternatives_tell_score_reason_and_where_they_stand_now(article: Article) -> None:
    found = alternatives(article, 1)
    assert [(a.record.path.stem, a.score, a.shown, a.shown_at) for a in found] == [
        ("cows", 0.6, True, 1),
        ("hens", 0.5, False, 0),
    ]
    assert found[1].why == said("matches “Hens leave the barn”")


def test_a_picture_found_elsewhere_is_shown_and_joins_the_alternatives(article: Article, goat: ImageRecord) -> None:
    edited = show_picture(article, 2, candidate(goat, 0.7, why="its looks match"))
    placement = edited.placements[2]
    assert (placement.caption, placement.alt, placement.credit) == ("A goat on a rock", "A white goat", "Image: C. Cee")
    assert placement.edited
    assert placement.reason == (Phrase("you_chose"),)
    assert [c.record.path.stem for c in placement.candidates] == ["goat", "barn"]
    back = replace_picture(edited, 2, placement.candidates[1].record.id)
    assert shown(back) == {"hens": 1, "cows": 2, "barn": 3}
    assert [c.record.path.stem for c in replace_picture(back, 2, goat.id).placements[2].candidates] == ["goat", "barn"]


def test_an_inserted_picture_stands_below_those_of_its_section(article: Article, goat: ImageRecord) -> None:
    edited = insert_picture(article, 1, candidate(goat))
    assert shown(edited) == {"hens": 1, "goat": 1, "cows": 2}
    assert picture_index(edited, goat.id) == 1
    assert (edited.placements[1].caption, edited.placements[1].alt) == ("A goat on a rock", "A white goat")
    assert delete_picture(edited, 1) == article


def test_an_inserted_picture_that_is_shown_already_moves(article: Article) -> None:
    hens = article.pictures[0]
    edited = insert_picture(article, 4, candidate(hens))
    assert shown(edited) == {"cows": 2, "hens": 4}
    assert edited.placements[0].reason == (Phrase("you_moved"),)


def test_a_moved_picture_takes_its_words_along_and_back(article: Article) -> None:
    edited = move_picture(article, 0, 4)
    assert shown(edited) == {"cows": 2, "hens": 4}
    moved = edited.placements[-1]
    assert (moved.caption, moved.candidates) == (article.placements[0].caption, article.placements[0].candidates)
    back = move_picture(edited, 2, 1)
    assert back == replace(article, placements=(replace(article.placements[0], edited=True), *article.placements[1:]))
    assert move_picture(article, 0, 1) is article


def test_an_empty_place_waits_for_a_picture(article: Article, goat: ImageRecord) -> None:
    edited = add_place(article, 0, "a  goat\n")
    place = edited.placements[0]
    assert (place.slot.caption, place.chosen, place.reason) == ("a goat", None, (Phrase("you_added"),))
    assert shown(show_picture(edited, 0, candidate(goat)))["goat"] == 0
    assert to_markdown(edited, lambda r: r.path.name) == to_markdown(article, lambda r: r.path.name)


def test_caption_and_alt_text_are_what_the_person_wrote(article: Article) -> None:
    edited = set_alt(set_caption(article, 0, " Hens,\nat last "), 0, "Five hens")
    html = to_html(edited, lambda r: r.path.name)
    assert '<span class="caption">Hens, at last</span>' in html
    assert 'alt="Five hens"' in html
    assert set_caption(edited, 0, "Hens, at last") is edited
    assert set_caption(edited, 0, "").placements[0].caption == ""


def test_a_picture_beside_text_takes_half_of_the_column_at_most_and_keeps_its_size_when_it_is_swapped(
    article: Article, goat: ImageRecord
) -> None:
    at = picture_index(article, article.pictures[0].id)
    assert at is not None
    sized = set_size(article, at, 0.75, "left")
    shown = sized.placements[at]
    assert (shown.width_share, shown.side, shown.edited) == (0.5, "left", True)
    assert sized.beside(shown.slot.after_section) == at
    swapped = show_picture(sized, at, candidate(goat))
    assert (swapped.placements[at].width_share, swapped.placements[at].side) == (0.5, "left")
    assert set_size(sized, at, 0.5, "left") is sized
    with pytest.raises(EditError, match="width_unknown"):
        set_size(article, at, 0.4, "")
    with pytest.raises(EditError, match="picture_locked"):
        set_size(lock_placement(article, at), at, 0.5, "")


def test_library_words_need_no_model() -> None:
    record = ImageRecord("0" * 64, Path("x.jpg"), 1, 1, caption="a hen", alt="A hen", captions=(("zh", "一只母鸡"),))
    assert library_words(record, "en") == PictureWords("A hen", "A hen", "metadata", "metadata")
    assert library_words(record, "zh") == PictureWords("一只母鸡", "一只母鸡", "metadata", "metadata")
    nameless = replace(record, caption="", alt="", captions=(), path=Path("/DSC_0001.jpg"))
    assert library_words(nameless, "en") == PictureWords()
    assert library_words(replace(record, caption_origin="generated"), "en").caption_origin == "drafted"


def test_what_a_person_called_the_file_is_its_caption_where_there_is_no_other() -> None:
    record = ImageRecord("a", Path("/our-old_boat (2).png"), 4, 3)
    assert library_words(record, "en").caption == "Our old boat"


def test_words_are_the_persons_once_they_are_changed_or_confirmed(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    placement = replace(article.placements[0], caption_origin="drafted", alt_origin="metadata")
    article = replace(article, placements=(placement, *article.placements[1:]))
    changed = set_caption(article, 0, "Other words").placements[0]
    assert (changed.caption_origin, changed.alt_origin) == ("person", "metadata")
    confirmed = confirm_words(article, 0).placements[0]
    assert (confirmed.caption, confirmed.caption_origin, confirmed.alt_origin) == (
        placement.caption,
        "person",
        "person",
    )
    assert confirmed.edited


@pytest.mark.parametrize(
    "edit",
    [
        lambda a: replace_picture(a, 0, a.placements[0].candidates[1].record.id),
        lambda a: show_picture(a, 0, a.placements[2].candidates[0]),
        lambda a: remove_picture(a, 0),
        lambda a: delete_picture(a, 0),
        lambda a: move_picture(a, 0, 3),
        lambda a: set_caption(a, 0, "x"),
        lambda a: set_alt(a, 0, "x"),
    ],
)
def test_a_locked_picture_stays_until_it_is_unlocked(article: Article, edit: Operation) -> None:
    locked = lock_placement(article, 0)
    with pytest.raises(EditError) as refused:
        edit(locked)
    assert refused.value.key == "picture_locked"
    assert edit(lock_placement(locked, 0, False)) == edit(article)


def test_a_locked_picture_is_not_taken_away_to_be_shown_elsewhere(article: Article) -> None:
    locked = lock_placement(article, 0)
    hens = article.pictures[0]
    for edit in (lambda: replace_picture(locked, 1, hens.id), lambda: insert_picture(locked, 4, candidate(hens))):
        with pytest.raises(EditError) as refused:
            edit()
        assert refused.value.key == "locked_elsewhere"


def test_a_locked_picture_follows_its_section(article: Article) -> None:
    locked = lock_placement(article, 0)
    assert delete_section(locked, 1).placements[0].slot.after_section == 0
    assert delete_section(locked, 1).placements[0].locked


@pytest.mark.parametrize(
    ("edit", "key"),
    [
        (lambda a: move_picture(a, 0, 5), "gone"),
        (lambda a: insert_picture(a, -1, candidate(a.pictures[0])), "gone"),
        (lambda a: add_place(a, 5), "gone"),
        (lambda a: set_caption(a, 2, "x"), "no_picture"),
        (lambda a: set_alt(a, 3, "x"), "gone"),
        (lambda a: lock_placement(a, 3), "gone"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_with_its_reason(article: Article, edit: Operation, key: str) -> None:
    with pytest.raises(EditError) as refused:
        edit(article)
    assert refused.value.key == key


def test_what_was_edited_is_exported_and_read_back(article: Article, goat: ImageRecord, tmp_path: Path) -> None:
    edited = insert_picture(set_caption(lock_placement(article, 1), 0, "Mine"), 4, candidate(goat))
    saved = save_article(edited, tmp_path / "out")
    read = load_article(tmp_path / "out")
    assert [(p.locked, p.edited, p.caption) for p in read.placements] == [
        (p.locked, p.edited, p.caption) for p in edited.placements
    ]
    assert dump(from_json(to_json(saved))) == dump(saved)
    text = (tmp_path / "out" / "article.md").read_text(encoding="utf-8")
    assert "*Mine*" in text
    assert text.rstrip().endswith("Image: C. Cee")


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    return draw(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9), st.integers(0, 9)), max_size=12))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Article:
    return farm_article(tmp_path_factory.mktemp("shared"))


def named_edit(kind: int, at: int, section: int, record: ImageRecord, one: int) -> tuple[str, Operation]:
    edits: list[tuple[str, Operation]] = [
        ("show_picture", lambda a: show_picture(a, at, candidate(record))),
        ("remove_picture", lambda a: remove_picture(a, at)),
        ("delete_picture", lambda a: delete_picture(a, at)),
        ("move_picture", lambda a: move_picture(a, at, section)),
        ("insert_picture", lambda a: insert_picture(a, section, candidate(record))),
        ("add_place", lambda a: add_place(a, section, "wish")),
        ("set_caption", lambda a: set_caption(a, at, f"caption {one}")),
        ("edit_text", lambda a: edit_text(a, section, f"text {one}")),
    ]
    return edits[kind]


@settings(max_examples=60)
@given(steps())
def test_no_edits_show_a_picture_twice_or_touch_a_lock_and_undo_leads_all_the_way_back(
    shared: Article, steps: list[tuple[int, int, int]]
) -> None:
    locked = lock_placement(shared, 1)
    cows = locked.placements[1]
    history = EditHistory(locked)
    states = [locked]
    for kind, one, other in steps:
        article = history.article
        at, section = one % max(1, len(article.placements)), other % len(article.sections)
        record = shared.placements[0].candidates[other % 3].record
        action, edit = named_edit(kind, at, section, record, one)
        try:
            history = history.do(action, edit(article))
        except EditError:
            assert history.article is article
            continue
        if history.article is not states[-1]:
            states.append(history.article)
        ids = [picture.id for picture in history.article.pictures]
        assert len(ids) == len(set(ids))
        assert cows in history.article.placements
        assert [p.slot.after_section for p in history.article.placements] == sorted(
            p.slot.after_section for p in history.article.placements
        )
    assert len(history.past) == len(states) - 1
    for state in reversed(states[:-1]):
        history = history.undo()
        assert history.article == state
    for state in states[1:]:
        history = history.redo()
        assert history.article == state


def test_the_history_names_what_would_be_undone_and_redone(article: Article) -> None:
    history = EditHistory(article)
    assert (history.undoable, history.redoable) == ("", "")
    history = history.do("edit_text", edit_text(article, 0, "x")).do("remove_picture", remove_picture(article, 0))
    assert (history.undoable, history.redoable) == ("remove_picture", "")
    history = history.undo()
    assert (history.undoable, history.redoable) == ("edit_text", "remove_picture")
    assert tables("en")["steps"][history.undoable] == "text edit"
    assert tables("zh")["steps"][history.undoable] == "修改文字"
    assert history.do("set_title", replace(article, title="New")).redoable == ""
    with pytest.raises(EditError) as refused:
        EditHistory(article).undo()
    assert refused.value.key == "nothing_to_undo"
    with pytest.raises(EditError) as refused:
        EditHistory(article).redo()
    assert refused.value.key == "nothing_to_redo"


def test_an_edit_that_changes_nothing_is_no_step(article: Article) -> None:
    history = EditHistory(article)
    assert history.do("edit_text", edit_text(article, 0, article.sections[0].text)) is history


def test_the_history_is_bounded_and_shares_what_did_not_change(article: Article) -> None:
    history = EditHistory(article)
    for number in range(MAX_STEPS + 20):
        history = history.do("edit_text", edit_text(history.article, 0, f"Sentence {number}."))
    assert len(history.past) == MAX_STEPS
    assert history.past[0].article.sections[0].text == "Sentence 19."
    assert all(step.article.placements[0].candidates is article.placements[0].candidates for step in history.past)
    assert all(step.article.sections[1] is article.sections[1] for step in history.past)


@pytest.mark.parametrize("language", UI_LANGUAGES)
def test_every_step_has_a_label_in_every_language(language: str) -> None:
    assert set(tables(language)["steps"]) == set(ACTIONS)
