from __future__ import annotations

import numpy as np

from retrieval.candidates import Candidate
from retrieval.diversity import same_picture, without_duplicates
from tests.retrieval.small_library import make_record


def candidate(name: str, fused: float, caption: str = "") -> Candidate:
    return Candidate(make_record(name, caption=caption or f"caption {name}"), 0.5, 0.5, fused)


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def test_of_near_duplicates_the_better_ranked_stays() -> None:
    one, copy, other = candidate("one", 0.9), candidate("copy", 0.8), candidate("other", 0.7)
    vectors = {one.record.id: unit(1, 0, 0), copy.record.id: unit(1, 0.01, 0), other.record.id: unit(0, 1, 0)}
    assert without_duplicates([one, copy, other], vectors, {}) == [one, other]


def test_near_equal_hashes_are_enough() -> None:
    one, copy, other = candidate("one", 0.9), candidate("copy", 0.8), candidate("other", 0.7)
    hashes = {one.record.id: 0b1111 << 60, copy.record.id: 0b1011 << 60, other.record.id: 0xFFFF}
    assert without_duplicates([one, copy, other], {}, hashes) == [one, other]


def test_pictures_with_one_caption_do_not_crowd_the_list() -> None:
    texts = ["A red apple", "a red apple.", "red apples"]
    apples = [candidate(f"apple{i}", 0.9 - i / 10, text) for i, text in enumerate(texts)]
    pear = candidate("pear", 0.1, "a pear")
    assert without_duplicates([*apples, pear], {}, {}) == [apples[0], pear]


def test_pictures_without_captions_are_not_taken_for_each_other() -> None:
    silent = [Candidate(make_record(f"s{i}"), 0.5, 0, 0.5) for i in range(3)]
    assert without_duplicates(silent, {}, {}) == silent


def test_no_two_kept_pictures_are_the_same_and_order_stays() -> None:
    chance = np.random.default_rng(1)
    centres = chance.standard_normal((6, 8))
    candidates, vectors = [], {}
    for i in range(60):
        item = candidate(f"p{i}", 1 - i / 60)
        candidates.append(item)
        vectors[item.record.id] = unit(*(centres[i % 6] + 0.05 * chance.standard_normal(8)))
    kept = [c.record.id for c in without_duplicates(candidates, vectors, {})]
    assert 6 <= len(kept) < 60
    assert kept == [c.record.id for c in candidates if c.record.id in set(kept)]
    assert not any(same_picture(a, b, vectors, {}) for i, a in enumerate(kept) for b in kept[:i])
