from __future__ import annotations

import pytest

from retrieval.tokens import cjk_share, is_character, terms


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("hens", "hen"),
        ("parrots", "parrot"),
        ("berries", "berry"),
        ("boxes", "box"),
        ("churches", "church"),
        ("tomatoes", "tomato"),
        ("glasses", "glass"),
        ("houses", "house"),
        ("leaves", "leaf"),
        ("women", "woman"),
        ("ties", "tie"),
    ],
)
def test_a_plural_and_its_singular_are_one_term(plural: str, singular: str) -> None:
    assert terms(plural) == terms(singular) == [singular]


@pytest.mark.parametrize("word", ["glass", "octopus", "bus", "basis", "gas", "cactus"])
def test_words_that_only_look_like_plurals_stay(word: str) -> None:
    assert terms(word) == [word]


def test_case_accents_and_possessives_do_not_matter() -> None:
    assert terms("The CAFÉ de Flore’s Hens") == terms("cafe de flore hen")


def test_full_width_letters_are_letters() -> None:
    assert terms("ＡＢＣ　１２") == ["abc", "12"]


def test_a_run_of_chinese_gives_its_characters_and_its_neighbouring_pairs() -> None:
    assert terms("红公鸡") == ["红", "公", "鸡", "红公", "公鸡"]


def test_chinese_and_english_in_one_text_are_told_apart() -> None:
    assert terms("两只hens") == ["两", "两只", "hen"]


def test_voiced_kana_keep_their_marks() -> None:
    assert "ガ" in terms("ガラス")
    assert terms("ガ") != terms("カ")


def test_function_words_are_no_terms() -> None:
    assert terms("this is a picture of the hen") == ["hen"]
    assert terms("一只鸡") == ["鸡", "只鸡"]


def test_only_a_lone_cjk_character_counts_as_one() -> None:
    assert [is_character(term) for term in ("鸡", "公鸡", "a", "7")] == [True, False, False, False]


def test_the_share_of_chinese_counts_letters_only() -> None:
    assert cjk_share("鸡, 2024!") == 1
    assert cjk_share("hen 123") == 0
    assert cjk_share("") == 0
    assert 0 < cjk_share("埃菲尔铁塔 at night") < 1
