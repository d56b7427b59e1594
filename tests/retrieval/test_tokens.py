from __future__ import annotations

import pytest

from retrieval.tokens import HEAD, asked_terms, cjk_share, folded, indexed_terms, is_character, latin_share, terms


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
        ("atlases", "atlas"),
        ("walruses", "walrus"),
        ("blouses", "blouse"),
        ("oases", "oasis"),
        ("calves", "calf"),
        ("olives", "olive"),
        ("midwives", "midwife"),
        ("grandchildren", "grandchild"),
        ("snowmen", "snowman"),
        ("larvae", "larva"),
        ("fungi", "fungus"),
        ("plateaux", "plateau"),
        ("kiwis", "kiwi"),
        ("tvs", "tv"),
    ],
)
def test_a_plural_and_its_singular_are_one_term(plural: str, singular: str) -> None:
    assert terms(plural) == terms(singular) == [singular]


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("zombies", "zombie"),
        ("selfies", "selfie"),
        ("axes", "axe"),
        ("canoes", "canoe"),
        ("moustaches", "moustache"),
        ("prizes", "prize"),
        ("waltzes", "waltz"),
        ("quizzes", "quiz"),
    ],
)
def test_an_ending_that_two_singulars_could_have_is_dropped_from_both(plural: str, singular: str) -> None:
    assert terms(plural) == terms(singular)


@pytest.mark.parametrize(
    ("one", "other"),
    [("base", "bass"), ("lens", "len"), ("cave", "café"), ("muse", "mu"), ("analysis", "analyst"), ("tease", "tea")],
)
def test_different_words_stay_different(one: str, other: str) -> None:
    assert terms(one) != terms(other)


@pytest.mark.parametrize("word", ["glass", "octopus", "bus", "basis", "gas", "cactus", "iris", "canvas", "tennis"])
def test_words_that_only_look_like_plurals_stay(word: str) -> None:
    assert terms(word) == [word]


def test_case_accents_and_possessives_do_not_matter() -> None:
    assert terms("The CAFÉ de Flore’s Hens") == terms("cafe de flore hen")


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("Wrocław", "Wroclaw"),
        ("Ærøskøbing", "Aeroskobing"),
        ("Đông Hồ", "Dong Ho"),
        ("Þingvellir", "Thingvellir"),
        ("Großglockner", "Grossglockner"),
        ("bœuf", "boeuf"),
        ("Iğdır", "Igdir"),
        ("Għarb", "Gharb"),
        ("Hawaiʻi", "Hawaii"),
        ("مَدِينَة", "مدينة"),
    ],
)
def test_letters_that_a_keyboard_lacks_are_found_without_them(written: str, typed: str) -> None:
    assert terms(written) == terms(typed)


def test_traditional_and_simplified_chinese_are_the_same_terms() -> None:
    assert terms("鐵路與橋樑") == terms("铁路与桥梁")
    assert folded("馬戲團") == "马戏团"


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


def test_a_chinese_word_of_one_character_is_found_as_a_word_or_as_the_end_of_one() -> None:
    (_, dragon) = asked_terms("龙")
    assert dragon == "龙" + HEAD
    assert dragon in indexed_terms("龙在云里")
    assert dragon not in indexed_terms("龙虾在盘子里")  # a lobster
    assert "鱼" + HEAD in indexed_terms("水里的金鱼")
    assert asked_terms("红色的鱼")[-1] == "鱼" + HEAD
    assert not any(term.endswith(HEAD) for term in asked_terms("鱼市场"))


def test_scripts_without_spaces_and_with_vowel_signs_give_terms_that_can_be_shared() -> None:
    assert set(terms("ตลาด")) <= set(terms("ตลาดน้ำในกรุงเทพ"))
    assert terms("दिल्ली का बाज़ार")[0] == "दिल्ली"
    assert terms("🐈!") == []


def test_what_is_said_to_be_missing_is_another_term() -> None:
    assert terms("a lake without boats or swimmers in summer") == ["lake", "-boat", "-swimmer", "summer"]
    assert terms("no cars, many bicycles") == ["-car", "many", "bicycle"]
    assert terms("a no parking sign") == ["parking", "sign"]
    assert "-船" in terms("湖上没有船")
    assert "-雪" in terms("没有雪的山")
    assert "山" in terms("没有雪的山")


def test_latin_letters_and_digits_count_as_such_whatever_their_accents() -> None:
    assert latin_share("Łódź 1905") == 1
    assert latin_share("кот") == latin_share("🐈") == 0
    assert 0 < latin_share("кот and dog") < 1


def test_only_a_lone_cjk_character_counts_as_one() -> None:
    assert [is_character(term) for term in ("鸡", "公鸡", "a", "7")] == [True, False, False, False]


def test_the_share_of_chinese_counts_letters_only() -> None:
    assert cjk_share("鸡, 2024!") == 1
    assert cjk_share("hen 123") == 0
    assert cjk_share("") == 0
    assert 0 < cjk_share("埃菲尔铁塔 at night") < 1
