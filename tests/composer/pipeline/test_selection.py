"""Slots are filled jointly; every outcome carries its reason."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.article.model import Placement, Slot
from composer.pipeline.selection import Considered, assign, choose, worth
from composer.settings import IllustrationSettings
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from vision.errors import Phrase

SETTINGS = IllustrationSettings(min_fused=0.3, judge_weight=0.5)


def candidate(name: str, fused: float, log_prob: float | None = None) -> Candidate:
    record = ImageRecord(id=name, path=Path(f"/{name}.jpg"), width_px=640, height_px=480, caption=name)
    return Candidate(record, 0.3, 0.4, fused, log_prob, why=(Phrase("verbatim", {"text": f"matches {name}"}),))


def pick(*slots: list[Candidate], none: float | None = None, **options) -> tuple[Placement, ...]:
    considered = [Considered(Slot(i, "x"), tuple(c), none) for i, c in enumerate(slots)]
    return choose(considered, SETTINGS, **options)


def ids(placements: tuple[Placement, ...]) -> list[str | None]:
    return [p.chosen.id if p.chosen else None for p in placements]


def test_two_slots_that_want_one_picture_share_out_by_the_total() -> None:
    placements = pick([candidate("a", 0.9), candidate("b", 0.8)], [candidate("a", 0.85), candidate("c", 0.4)])
    assert ids(placements) == ["b", "a"]
    assert placements[0].reason == (Phrase("chosen_next"), *candidate("b", 0.8).why)


def test_the_reason_of_the_best_says_by_how_much() -> None:
    (placement,) = pick([candidate("a", 0.8), candidate("b", 0.5)])
    best, why = placement.reason
    assert (best.key, why) == ("chosen_first", *candidate("a", 0.8).why)
    assert best.values["times"] == pytest.approx(4.0)


def test_a_weak_picture_is_left_out_with_both_figures() -> None:
    (placement,) = pick([candidate("a", 0.12)])
    assert placement.chosen is None
    assert placement.reason == (Phrase("nothing_fits", {"best": 0.12, "needed": 0.3}),)


def test_an_empty_list_of_candidates_says_so() -> None:
    assert pick([])[0].reason == (Phrase("nothing_found"),)


def test_the_judge_can_refuse_what_retrieval_likes() -> None:
    (placement,) = pick([candidate("a", 0.4, log_prob=-5.0)], none=-0.1)
    assert placement.chosen is None
    assert placement.reason == (Phrase("model_prefers_none"),)


def test_a_slot_whose_picture_is_shown_elsewhere_says_so() -> None:
    placements = pick([candidate("a", 0.9)], [candidate("a", 0.8)])
    assert ids(placements) == ["a", None]
    assert placements[1].reason == (Phrase("taken"),)


def test_the_judges_over_confidence_is_bounded() -> None:
    sure = worth(candidate("a", 0.3, log_prob=0.0), -50.0, SETTINGS)
    assert sure == pytest.approx(0.5 * 4.0)


def test_more_evidence_of_either_kind_is_worth_more() -> None:
    base = candidate("a", 0.5, log_prob=-1.0)
    assert worth(replace(base, fused=0.6), -1.0, SETTINGS) > worth(base, -1.0, SETTINGS)
    assert worth(replace(base, log_prob=-0.5), -1.0, SETTINGS) > worth(base, -1.0, SETTINGS)


def test_a_required_picture_is_shown_however_weak() -> None:
    placements = pick(
        [candidate("a", 0.9), candidate("u", 0.01)],
        [candidate("b", 0.9), candidate("u", 0.02)],
        required=frozenset("u"),
    )
    assert "u" in ids(placements)
    required = next(p for p in placements if p.chosen and p.chosen.id == "u")
    assert required.reason[0] == Phrase("required")


def test_of_two_look_alikes_the_weaker_gives_way() -> None:
    twins = {"a", "b"}
    placements = pick(
        [candidate("a", 0.9)],
        [candidate("b", 0.8), candidate("c", 0.5)],
        same=lambda one, other: {one, other} == twins,
    )
    assert ids(placements) == ["a", "c"]


def test_the_chosen_candidate_comes_first_and_all_are_kept() -> None:
    (placement,) = pick([candidate("b", 0.4), candidate("a", 0.9), candidate("c", 0.1)])
    assert [c.record.id for c in placement.candidates] == ["a", "b", "c"]


# The joint choice alone

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
