"""Positions are in range, unique, sorted, spaced, as many as asked, and the best there are."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.article.model import Section
from composer.pipeline.placement import LEAST_STEP, choose_places, eligible, number_of_pictures

LONG = "Twelve plain words stand here so that a picture may follow this paragraph."


@given(st.data())
def test_chosen_places_are_valid_and_exactly_as_many_as_asked(data: st.DataObject) -> None:
    sections = data.draw(st.integers(1, 30))
    places = sorted(data.draw(st.sets(st.integers(0, sections - 1), min_size=1)))
    scores = data.draw(st.lists(st.floats(-9, 9), min_size=len(places), max_size=len(places)))
    count = data.draw(st.integers(0, 12))
    chosen = choose_places(places, scores, count, sections)
    assert len(chosen) == min(count, len(places))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(places)


@given(st.lists(st.integers(-40, 40), min_size=3, max_size=9), st.integers(2, 4))
def test_the_choice_is_the_best_of_all_with_its_spacing(scores: list[int], count: int) -> None:
    places = list(range(len(scores)))
    chosen = choose_places(places, [float(s) for s in scores], count, len(scores))
    gap = min((b - a for a, b in itertools.pairwise(chosen)), default=len(scores))
    wanted = max(1, round(LEAST_STEP * len(scores) / min(count, len(scores))))
    allowed = [
        c
        for c in itertools.combinations(places, len(chosen))
        if all(b - a >= min(gap, wanted) for a, b in itertools.pairwise(c))
    ]
    assert sum(scores[i] for i in chosen) == max(sum(scores[i] for i in c) for c in allowed)


def test_neighbours_are_kept_apart_where_there_is_room() -> None:
    chosen = choose_places(list(range(16)), [9, 8, *[0] * 13, 1], 2, 16)
    assert chosen == [0, 15]


def test_short_lines_and_lead_ins_are_no_places() -> None:
    sections = [Section("Too short."), Section(LONG), Section(LONG[:-1] + ":"), Section(f"## Head\n\n{LONG}")]
    assert eligible(sections) == [1, 3]


def test_a_text_of_short_lines_still_has_places() -> None:
    assert eligible([Section("One."), Section("Two.")]) == [0, 1]


def test_no_picture_stands_after_a_list_a_table_or_code_unless_more_are_asked_for() -> None:
    listed = f"- {LONG}\n- {LONG}"
    table = f"| a |\n|---|\n| {LONG} |"
    code = f"```\n{LONG}\n```"
    sections = [Section(text) for text in (listed, table, code, f"## Head\n\n{listed}", f"> {LONG}", "Short.")]
    assert eligible(sections) == [4]
    assert eligible(sections, 2) == [4, 5]
    assert eligible(sections, 3) == [0, 1, 2, 3, 4, 5]
    assert eligible(sections[:4]) == [0, 1, 2, 3]


@pytest.mark.parametrize("empty", ["![Boats](b.jpg)", "![](b.jpg)", "<!-- a -->", "<div>", "```\n```", "- ", "***"])
def test_a_block_without_words_is_no_place_however_many_are_asked_for(empty: str) -> None:
    assert eligible([Section(LONG), Section(empty), Section("End.")], 9) == [0, 2]
    assert eligible([Section(empty)]) == []
    assert number_of_pictures([Section(empty)], 100) == 0


def test_a_longer_text_gets_more_pictures_but_never_more_than_places() -> None:
    sections = [Section(LONG)] * 30
    assert number_of_pictures(sections[:1], 130) == 1
    assert number_of_pictures(sections, 130) == 3
    assert number_of_pictures(sections, 1) == 30
