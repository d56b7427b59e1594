"""Pictures go to slots jointly: best total, none twice, required ones always."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.pipeline.assignment import assign

OPTIONS = st.dictionaries(st.sampled_from("abcd"), st.integers(-5, 5), max_size=4)


def total(values: list[dict[str, int]], chosen: tuple[str | None, ...]) -> float:
    return sum(0 if c is None else v[c] for v, c in zip(values, chosen, strict=True))


@given(st.lists(OPTIONS, max_size=4))
def test_the_total_is_the_best_of_all_assignments(values: list[dict[str, int]]) -> None:
    chosen = assign(values)
    shown = [c for c in chosen if c is not None]
    assert len(shown) == len(set(shown))
    assert all(c is None or c in v for v, c in zip(values, chosen, strict=True))
    possible = [
        combo
        for combo in itertools.product(*[[None, *v] for v in values])
        if len([c for c in combo if c]) == len({c for c in combo if c})
    ]
    assert total(values, tuple(chosen)) == max(total(values, combo) for combo in possible)


def test_a_required_picture_is_shown_where_it_costs_least() -> None:
    assert assign([{"a": -1.0, "b": 0.9}, {"a": -0.5, "b": 0.3}], frozenset("a")) == ["b", "a"]


def test_a_picture_worth_less_than_nothing_is_left_out() -> None:
    assert assign([{"a": -0.1}]) == [None]


def test_more_required_pictures_than_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="2 required pictures do not fit into 1 slots"):
        assign([{"a": 1.0, "b": 1.0}], frozenset("ab"))
