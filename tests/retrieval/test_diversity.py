from __future__ import annotations

import numpy as np
import pytest

from retrieval.candidates import Candidate
from retrieval.diversity import Sameness, distinct, hash_distance, same_picture, varied
from tests.retrieval.shelves import make_record


def candidate(name: str, fused: float, caption: str = "") -> Candidate:
    return Candidate(make_record(name, caption=caption or f"caption {name}"), 0.5, 0.5, fused)


def ids(candidates: list[Candidate]) -> list[str]:
    return [c.record.id for c in candidates]


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def test_of_near_duplicates_the_better_ranked_stays() -> None:
    one, copy, other = candidate("one", 0.9), candidate("copy", 0.8), candidate("other", 0.7)
    vectors = {
        one.record.id: unit(1, 0, 0),
        copy.record.id: unit(1, 0.01, 0),
        other.record.id: unit(0, 1, 0),
    }
    result = distinct([one, copy, other], vectors=vectors)
    assert result.kept == [one, other]
    assert [d.candidate for d in result.dropped] == [copy]
    assert result.dropped[0].reason == f"nearly the same picture as {one.record.id[:12]}, ranked above it"


def test_near_equal_hashes_are_enough() -> None:
    one, copy, other = candidate("one", 0.9), candidate("copy", 0.8), candidate("other", 0.7)
    hashes = {one.record.id: 0b1111 << 60, copy.record.id: 0b1011 << 60, other.record.id: 0xFFFF}
    assert distinct([one, copy, other], hashes=hashes).kept == [one, other]


def test_a_copy_of_a_picture_shown_elsewhere_goes_too() -> None:
    shown, copy, other = candidate("shown", 0.9), candidate("copy", 0.8), candidate("other", 0.7)
    hashes = {shown.record.id: 5, copy.record.id: 4, other.record.id: (1 << 64) - 1}
    result = distinct([copy, other], hashes=hashes, taken=[shown.record.id])
    assert result.kept == [other]
    assert result.dropped[0].reason.endswith("used already")


def test_pictures_with_one_caption_do_not_crowd_the_list() -> None:
    apples = [
        candidate(f"apple{i}", 0.9 - i / 10, text)
        for i, text in enumerate(["A red apple", "a red apple.", "red apples"])
    ]
    pear = candidate("pear", 0.1, "a pear")
    result = distinct([*apples, pear])
    assert result.kept == [apples[0], pear]
    assert "same caption as one ranked above it" in result.dropped[0].reason
    assert distinct([*apples, pear], sameness=Sameness(per_caption=2)).kept == [*apples[:2], pear]


def test_pictures_without_captions_are_not_taken_for_each_other() -> None:
    silent = [Candidate(make_record(f"s{i}"), 0.5, 0, 0.5) for i in range(3)]
    assert distinct(silent).kept == silent


def test_no_two_kept_pictures_are_the_same_and_order_stays() -> None:
    chance = np.random.default_rng(1)
    centres = chance.standard_normal((6, 8))
    candidates, vectors = [], {}
    for i in range(60):
        item = candidate(f"p{i}", 1 - i / 60)
        candidates.append(item)
        vectors[item.record.id] = unit(*(centres[i % 6] + 0.05 * chance.standard_normal(8)))
    result = distinct(candidates, vectors=vectors)
    kept = ids(result.kept)
    assert 6 <= len(kept) < 60
    assert len(kept) + len(result.dropped) == 60
    assert kept == [c.record.id for c in candidates if c.record.id in set(kept)]
    rule = Sameness()
    assert not any(same_picture(a, b, vectors, {}, rule) for i, a in enumerate(kept) for b in kept[:i])


def test_hash_distance_reads_both_ways_of_storing_64_bits() -> None:
    assert hash_distance(0, 0) == 0
    assert hash_distance(-1, (1 << 64) - 1) == 0
    assert hash_distance(-1, 0) == 64
    assert hash_distance(0b1010, 0b0101) == 4


def test_variety_prefers_something_else_over_more_of_the_same() -> None:
    hens = [candidate(f"hen{i}", 0.9 - i / 100) for i in range(3)]
    barn = candidate("barn", 0.8)
    vectors = {c.record.id: unit(1, 0.01 * i, 0) for i, c in enumerate(hens)} | {barn.record.id: unit(0, 0, 1)}
    assert varied([*hens, barn], vectors, 2) == [hens[0], barn]
    assert varied([*hens, barn], vectors, 2, relevance=1.0) == hens[:2]


def test_variety_returns_each_candidate_once_and_no_more_than_asked() -> None:
    items = [candidate(f"p{i}", i / 10) for i in range(5)]
    assert sorted(ids(varied(items, {}, 9))) == sorted(ids(items))
    assert varied(items, {}, 3) == items[:1:-1]
    assert varied([], {}, 3) == []


@pytest.mark.parametrize(("field", "value"), [("cosine", 0.0), ("hash_bits", 65), ("per_caption", 0)])
def test_impossible_rules_are_refused_with_their_value(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} is {value}"):
        Sameness(**{field: value})
