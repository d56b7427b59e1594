"""What streams out of the filter may be printed as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.pipeline.writing.sentence_filter import SentenceFilter, split_sentences, strip_quotes


def run(text: str, size: int = 3, complete: bool = True) -> str:
    prose = SentenceFilter()
    out = "".join(prose.feed(text[i : i + size]) for i in range(0, len(text), size))
    return out + prose.finish(complete=complete)


@given(st.integers(1, 40))
def test_the_result_does_not_depend_on_how_the_text_was_cut(size: int) -> None:
    text = "Hens lay eggs, e.g. at dawn. Dr. Smith counts 3.5 of them!\n\nHe said “Enough.” Then he left for town."
    assert run(text, size) == text


def test_an_unfinished_last_sentence_is_dropped() -> None:
    assert run("The cows come home. Then the farmer", complete=False) == "The cows come home."


def test_chinese_sentences_need_no_space_between_them() -> None:
    assert run("猫爱干净。它每天梳理毛发。然后它", complete=False) == "猫爱干净。它每天梳理毛发。"


def test_a_sentence_said_before_is_dropped_even_when_slightly_changed() -> None:
    first = "The red barn is where the hay for the winter is kept dry."
    assert run(f"{first} {first} The red barn is where the hay for the long winter is kept dry.") == first


def test_a_repeated_chinese_sentence_is_dropped() -> None:
    once = "每天给狗狗准备新鲜的饮用水和食物。"
    assert run(once * 2) == once


def test_different_sentences_with_common_words_stay() -> None:
    text = "The cow gives milk to the calf. The goat gives milk to the kid."
    assert run(text) == text


@pytest.mark.parametrize(
    "chatter", ["Sure, here is the text. ", "Here's an article about hens. ", "当然，以下是文章。", "## A heading\n"]
)
def test_chatter_and_headings_of_the_models_own_are_dropped(chatter: str) -> None:
    assert run(chatter + "Hens lay eggs.") == "Hens lay eggs."


def test_sentences_about_the_pictures_are_dropped() -> None:
    assert run("Hens peck. As you see in the picture, they are red. They sleep.") == "Hens peck. They sleep."


@pytest.mark.parametrize(
    "sentence",
    [
        "This article explores how hens live. ",
        "In this article, we meet a hen. ",
        "下面我将详细说明。",
        "本文将介绍母鸡。",
    ],
)
def test_sentences_about_the_article_are_dropped(sentence: str) -> None:
    assert run(f"Hens peck. {sentence}They sleep.") == "Hens peck. They sleep."


def test_a_dropped_sentence_keeps_the_paragraph_break_after_it() -> None:
    text = "One hen is in the yard today.\nOne hen is in the yard today.\n\nTwo cows are in the field."
    assert run(text) == "One hen is in the yard today.\n\nTwo cows are in the field."


def test_bold_marks_are_taken_out_even_when_they_arrive_in_halves() -> None:
    assert run("The **red** barn.", size=1) == "The red barn."


@pytest.mark.parametrize(
    ("raw", "clean"),
    [('"A Day"', "A Day"), ("## 3. Hens", "Hens"), ("《猫》", "猫"), ("**Bold** mv", "Bold mv"), ("1950s", "1950s")],
)
def test_titles_lose_the_marks_models_put_around_them(raw: str, clean: str) -> None:
    assert strip_quotes(raw) == clean


def test_sentences_are_split_in_order() -> None:
    assert split_sentences("One. Two! 三。四？") == ["One.", "Two!", "三。", "四？"]


def test_a_list_is_printed_as_sentences() -> None:
    assert run("1. Hens lay eggs.\n2. Cows give milk.\n- Pigs sleep.") == "Hens lay eggs.\nCows give milk.\nPigs sleep."


@pytest.mark.parametrize(
    ("said", "again", "kept"),
    [
        ("The sheep of the farm graze on green hills all day.", "They like it there. Dogs watch.", "Dogs watch."),
        ("The sheep of the farm graze on green hills all day.", "Dogs watch. They bark.", "Dogs watch. They bark."),
        ("农场里的羊整天在青翠的山坡上安静地吃草。", "它们喜欢那里。狗在一旁看守。", "狗在一旁看守。"),
    ],
)
@pytest.mark.parametrize("break_", [" ", "\n\n"])
def test_nothing_opens_by_pointing_back_to_a_dropped_sentence(said: str, again: str, kept: str, break_: str) -> None:
    prose = SentenceFilter()
    prose.note(said)
    assert prose.feed(f"{said}{break_}{again}") + prose.finish(complete=True) == kept
    assert run(f"{said}\n\n{said}{break_}{again}\n\nRain fell.") == f"{said}\n\n{kept}\n\nRain fell."
