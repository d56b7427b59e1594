from __future__ import annotations

from retrieval.candidates import Query
from retrieval.explanation import SHOWN_CHARACTERS, explain, shared_words
from tests.retrieval.small_library import make_record
from vision.errors import Phrase

HENS = make_record("hens", caption="Two hens in a yard")


def test_words_and_looks_are_named_with_their_figures() -> None:
    why = explain(Query("a hen in the yard"), HENS, visual=0.241, textual=0.618, example=None)
    assert why == (
        Phrase("caption_matches", {"wanted": "a hen in the yard", "score": 0.618}),
        Phrase("words_shared", {"words": ["yard", "hen"]}),
        Phrase("looks_too", {"score": 0.241}),
    )


def test_a_classifiers_words_are_not_called_a_caption() -> None:
    guessed = make_record("guessed", guessed_tags=("hen",))
    why = explain(Query("hens"), guessed, visual=0.2, textual=0.5, example=None)
    assert why[0] == Phrase("guess_matches", {"wanted": "hens", "score": 0.5})


def test_a_persons_own_words_are_quoted_and_not_their_translation() -> None:
    hens = make_record("hens", caption="Two hens in a yard", captions=(("zh", "院子里的两只母鸡"),))
    why = explain(Query("院子里的母鸡", english="hens in a yard"), hens, visual=0.2, textual=0.6, example=None)
    assert why[:2] == (
        Phrase("caption_matches", {"wanted": "院子里的母鸡", "score": 0.6}),
        Phrase("words_shared", {"words": ["院子里", "母鸡"]}),
    )


def test_looks_alone_quote_what_was_wanted() -> None:
    why = explain(Query("a hen"), make_record("bare"), visual=0.2, textual=None, example=0.9)
    assert why == (
        Phrase("looks_match", {"wanted": "a hen", "score": 0.2}),
        Phrase("looks_like_example", {"score": 0.9}),
    )


def test_a_picture_that_nothing_speaks_for_says_so() -> None:
    assert explain(Query("一只鹦鹉"), HENS, visual=None, textual=None, example=None) == (Phrase("nothing_matches"),)


def test_long_queries_are_cut_to_one_line() -> None:
    (why,) = explain(Query("word " * 100 + "\nend"), HENS, visual=0.1, textual=None, example=None)
    quoted = str(why.values["wanted"])
    assert len(quoted) <= SHOWN_CHARACTERS
    assert quoted.endswith("…")
    assert "\n" not in quoted


def test_chinese_shares_whole_runs_and_english_whole_words() -> None:
    assert shared_words("埃菲尔铁塔的灯光", "夜晚的埃菲尔铁塔") == ["埃菲尔铁塔"]
    assert shared_words("巴黎的铁塔与灯光", "灯光下的铁塔") == ["铁塔", "灯光"]
    assert shared_words("the hens of Paris", "A hen in paris") == ["Paris", "hens"]
    assert shared_words("nothing alike", "某物") == []
