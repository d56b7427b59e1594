from __future__ import annotations

from string import Formatter

from retrieval.candidates import Query
from retrieval.explanation import SHOWN_CHARACTERS, WORDINGS, Wording, explain, shared_words
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


def test_reasons_are_in_the_language_of_the_article_and_quote_its_own_words() -> None:
    hens = make_record("hens", caption="Two hens in a yard", captions=(("zh", "院子里的两只母鸡"),))
    query = Query("院子里的母鸡", english="hens in a yard", language="zh")
    why = explain(query, hens, visual=0.241, textual=0.618, example=None)
    assert why == "图片说明与“院子里的母鸡”相符（0.62）；相同的词：院子里、母鸡；画面本身0.24"
    assert explain(query, make_record("bare"), visual=0.2, textual=None, example=0.9) == (
        "画面与“院子里的母鸡”相符（0.20）；与示例图片相似（0.90）"
    )
    guessed = make_record("guessed", guessed_tags=("hen",))
    assert explain(query, guessed, visual=None, textual=0.5, example=None).startswith(
        "分类器辨认出的内容与“院子里的母鸡”"
    )
    assert explain(Query("鹦鹉", language="zh"), guessed, visual=None, textual=None, example=None) == "没有明确相符之处"


def test_every_language_words_every_part_of_a_reason_with_the_same_fields() -> None:
    def fields(template: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(template) if name}

    for wording in WORDINGS.values():
        for part in Wording.__dataclass_fields__:
            assert fields(getattr(wording, part)) == fields(getattr(WORDINGS["en"], part))


def test_a_language_without_words_of_its_own_is_answered_in_english() -> None:
    assert explain(Query("poule", language="fr"), HENS, visual=0.2, textual=None, example=None) == (
        "its looks match “poule” (0.20)"
    )
