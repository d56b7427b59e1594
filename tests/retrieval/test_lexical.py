from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from retrieval.lexical import CHARACTER_WEIGHT, K1, LEAST_TEXTS, B, LexicalIndex
from retrieval.tokens import is_character, terms

CAPTIONS = [
    "Two hens in the yard",
    "The Eiffel Tower at night",
    "A red apple on a table",
    "",
    "公鸡在院子里",
    "夜晚的埃菲尔铁塔",
    "An apple tree in a yard, with apples on every branch and a yard dog below",
]


def index_of(texts: list[str]) -> LexicalIndex:
    return LexicalIndex.build([[(text, 1.0)] for text in texts])


def plain_idf(bags: list[Counter], term: str) -> float:
    holding = sum(1 for bag in bags if term in bag)
    return math.log(1 + (LEAST_TEXTS - holding + 0.5) / (holding + 0.5))


def plain_cover(texts: list[str], query: str) -> list[float]:
    bags = [Counter(terms(text)) for text in texts]
    asked = set(terms(query))
    found = []
    for bag in bags:
        whole = sum(plain_idf(bags, term) for term in bag)
        held = [plain_idf(bags, t) * (CHARACTER_WEIGHT if is_character(t) else 1) for t in bag if t in asked]
        found.append(sum(held) / whole if whole else 0.0)
    return found


def plain_bm25(texts: list[str], query: str) -> list[float]:
    """The formula, one text and one term at a time."""
    bags = [Counter(terms(text)) for text in texts]
    lengths = [sum(bag.values()) for bag in bags]
    mean = sum(lengths) / sum(1 for length in lengths if length)
    found, total = [0.0] * len(texts), 0.0
    for term in set(terms(query)):
        idf = plain_idf(bags, term) * (CHARACTER_WEIGHT if is_character(term) else 1)
        total += idf
        for i, bag in enumerate(bags):
            found[i] += idf * bag[term] / (bag[term] + K1 * (1 - B + B * lengths[i] / mean))
    return [value / math.sqrt(total) for value in found]


@pytest.mark.parametrize("query", ["hens in a yard", "apples", "an unheard-of apple", "埃菲尔铁塔夜景", "公鸡 apple"])
def test_scores_agree_with_the_formula_written_out(query: str) -> None:
    match = index_of(CAPTIONS).match(query)
    assert match.shared == pytest.approx(plain_bm25(CAPTIONS, query), abs=1e-5)
    assert match.covered == pytest.approx(plain_cover(CAPTIONS, query), abs=1e-6)


def test_scores_agree_with_the_formula_on_random_texts() -> None:
    chance = random.Random(5)
    texts = [" ".join(chance.choices([f"word{i}" for i in range(40)], k=chance.randrange(12))) for _ in range(60)]
    index = index_of(texts)
    for query in texts[:20]:
        if query:
            assert index.match(query).shared == pytest.approx(plain_bm25(texts, query), abs=1e-5)
            assert index.match(query).covered == pytest.approx(plain_cover(texts, query), abs=1e-5)


def test_a_chinese_caption_finds_the_picture_with_a_chinese_caption() -> None:
    index = index_of(CAPTIONS)
    assert int(index.match("埃菲尔铁塔的灯光").shared.argmax()) == 5
    assert int(index.match("一只公鸡").shared.argmax()) == 4


def test_an_exact_name_outweighs_common_words() -> None:
    texts = ["a tower in the evening light of the city"] * 20 + ["Tokyo Skytree"]
    assert int(index_of(texts).match("Tokyo Skytree, a tower in the evening light").shared.argmax()) == 20


def test_matches_are_finite_and_covering_is_a_share() -> None:
    index = index_of(CAPTIONS)
    for query in [*CAPTIONS, "", "words nobody wrote", "   ", " ".join(CAPTIONS)]:
        match = index.match(query)
        assert match.shared.shape == match.covered.shape == (len(CAPTIONS),)
        assert np.isfinite(match.shared).all()
        assert (match.shared >= 0).all()
        assert ((match.covered >= 0) & (match.covered <= 1)).all()
    for query in ("", "of the", "unheard-of"):
        assert not index.match(query).shared.any()
        assert not index.match(query).covered.any()


def test_a_text_said_in_full_is_covered_in_full_however_long_the_query() -> None:
    covered = (
        index_of(CAPTIONS).match("Long ago two old hens lived in the yard of a mill, and much befell them").covered
    )
    assert covered[0] == pytest.approx(1)
    assert covered[1:].max() < 0.5


def test_a_small_library_has_rare_words_too() -> None:
    few, many = index_of(["a hen"]), index_of(["a hen"] + ["a cow"] * (LEAST_TEXTS - 1))
    assert few.match("hen").shared[0] == pytest.approx(many.match("hen").shared[0])


def test_words_that_no_text_holds_lower_every_score() -> None:
    index = index_of(CAPTIONS)
    assert index.match("hens zeppelin").shared[0] < index.match("hens").shared[0]


def test_a_guessed_word_counts_less_than_a_given_one() -> None:
    index = LexicalIndex.build([[("hen", 1.0)], [("hen", 0.4)], [("cow", 1.0)]])
    scores = index.match("hen").shared
    assert scores[0] > scores[1] > scores[2] == 0
    assert index.surest.tolist() == pytest.approx([1.0, 0.4, 1.0])


def test_a_row_without_words_is_not_sure_of_anything() -> None:
    assert LexicalIndex.build([[], [("", 1.0)], [("…", 1.0)]]).surest.tolist() == [0, 0, 0]


def test_an_empty_library_scores_nothing() -> None:
    assert LexicalIndex.build([]).match("hen").shared.shape == (0,)


def test_what_is_saved_comes_back_the_same(tmp_path: Path) -> None:
    index = index_of(CAPTIONS)
    index.save(tmp_path / "words.npz")
    again = LexicalIndex.load(tmp_path / "words.npz")
    assert again is not None
    for query in CAPTIONS:
        one, other = index.match(query), again.match(query)
        assert np.array_equal(one.shared, other.shared)
        assert np.array_equal(one.covered, other.covered)


@pytest.mark.parametrize("keep", [0, 10, 500])
def test_a_damaged_file_is_not_read(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "words.npz"
    index_of(CAPTIONS).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    assert LexicalIndex.load(path) is None
