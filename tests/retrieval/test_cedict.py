"""Chinese words in English, as CC-CEDICT has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.cedict import ChineseDictionary

LINES = """# CC-CEDICT
#! entries=5
菜刀 菜刀 [cai4 dao1] /vegetable knife/CL:把[ba3]/
切 切 [qie4] /to correspond to/
切 切 [qie1] /to cut/to slice/
章魚 章鱼 [zhang1 yu2] /octopus/
風車 风车 [feng1 che1] /pinwheel/windmill/hand fan/
河 河 [he2] /river/CL:條|条[tiao2]/
水壩 水坝 [shui3 ba4] /dam/dyke/
太陽能 太阳能 [tai4 yang2 neng2] /solar energy/
板 板 [ban3] /board/plank/
張 张 [zhang1] /to open up/
偉 伟 [wei3] /big/
虎鯨 虎鲸 [hu3 jing1] /killer whale (Orcinus orca)/see 逆戟鯨|逆戟鲸[ni4 ji3 jing1]/
"""


@pytest.fixture
def dictionary(tmp_path: Path) -> ChineseDictionary:
    file = tmp_path / "words.txt"
    file.write_text(LINES, encoding="utf-8")
    return ChineseDictionary(file)


@pytest.mark.parametrize(
    ("word", "meanings"),
    [
        ("菜刀", ["vegetable knife"]),
        ("章魚", ["octopus"]),
        ("章鱼", ["octopus"]),
        ("虎鲸", ["killer whale"]),
        ("切", ["correspond to", "cut", "slice"]),
        ("刀", []),
        ("", []),
        ("#", []),
    ],
)
def test_a_word_has_its_meanings_without_asides_measure_words_and_references(
    dictionary: ChineseDictionary, word: str, meanings: list[str]
) -> None:
    assert dictionary.meanings(word) == meanings


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("風車", "pinwheel, windmill"),
        ("章鱼。", "octopus"),
        ("河上的水坝", "river dam"),
        ("一个水坝", "dam"),
        ("太阳能板", "solar energy board"),
        ("Nikon 章鱼", "nikon octopus"),
        ("张伟", ""),
        ("张伟的章鱼", ""),
        ("", ""),
    ],
)
def test_a_few_words_are_read_without_their_grammar_and_names_are_left_to_others(
    dictionary: ChineseDictionary, text: str, english: str
) -> None:
    assert dictionary.in_english(text) == english


def test_as_many_meanings_are_given_as_are_asked_for(dictionary: ChineseDictionary) -> None:
    assert dictionary.in_english("风车", 1) == "pinwheel"


def test_a_compound_is_read_from_its_end_which_says_what_it_is(dictionary: ChineseDictionary) -> None:
    assert dictionary.parts("切菜刀") == [("切", "correspond to"), ("菜刀", "vegetable knife")]
    assert dictionary.parts("abc 未知") == []
