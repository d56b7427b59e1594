from __future__ import annotations

from retrieval.candidates import Query
from retrieval.explanation import SHOWN_CHARACTERS, explain, shared_words
from tests.retrieval.shelves import make_record

HENS = make_record("hens", caption="Two hens in a yard")


def test_words_and_looks_are_named_with_their_figures() -> None:
    why = explain(Query("a hen in the yard"), HENS, visual=0.241, textual=0.618, example=None)
    assert why == "its caption matches “a hen in the yard” (0.62); shared words: yard, hen; the picture itself 0.24"


def test_a_classifiers_words_are_not_called_a_caption() -> None:
    guessed = make_record("guessed", guessed_tags=("hen",))
    why = explain(Query("hens"), guessed, visual=0.2, textual=0.5, example=None)
    assert why.startswith("what a classifier saw in it matches “hens” (0.50)")


def test_the_english_wording_is_quoted_where_it_was_compared() -> None:
    why = explain(Query("母鸡", english="a hen"), HENS, visual=0.2, textual=0.5, example=None)
    assert "“a hen”" in why


def test_an_example_is_named() -> None:
    assert explain(Query(), HENS, visual=None, textual=None, example=0.9) == "looks like the example (0.90)"


def test_a_picture_that_nothing_speaks_for_says_so() -> None:
    why = explain(Query("一只鹦鹉"), HENS, visual=None, textual=None, example=None)
    assert why == "nothing definite matches"


def test_long_queries_are_cut_to_one_line() -> None:
    why = explain(Query("word " * 100 + "\nend"), HENS, visual=0.1, textual=None, example=None)
    quoted = why[why.index("“") + 1 : why.index("”")]
    assert len(quoted) <= SHOWN_CHARACTERS
    assert quoted.endswith("…")
    assert "\n" not in why


def test_chinese_shares_whole_runs_and_english_whole_words() -> None:
    assert shared_words("埃菲尔铁塔的灯光", "夜晚的埃菲尔铁塔") == ["埃菲尔铁塔"]
    assert shared_words("巴黎的铁塔与灯光", "灯光下的铁塔") == ["铁塔", "灯光"]
    assert shared_words("the hens of Paris", "A hen in paris") == ["paris", "hen"]
    assert shared_words("nothing alike", "某物") == []
