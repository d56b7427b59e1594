"""A draft says nothing that a bridge cannot know: who it is, how many, what is written there."""

import pytest

from vision.bridge.plain_words import is_plain, is_plain_word


@pytest.mark.parametrize(
    "text",
    [
        "A woman sits at a desk, typing on a laptop.",
        "Men’s boots stand beside a child's toy (made of wood).",
        "A well-lit, red-brick building with arches; trees behind it.",
        "A person's hand",
    ],
)
def test_what_anybody_can_see_is_plain(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize(
    "text",
    [
        "President Donald Trump stands before a microphone.",
        "A portrait of Lincoln.",
        "A street in new York.",
        "An American flag.",
        "A car of 1957.",
        "Two men shake hands.",
        "A group of twenty-five people.",
        "Half of a lemon.",
        "A sign that says “stop”.",
        'A sign that says "stop".',
        "A sign that says 'stop'.",
        "A sign that says ‘stop’.",
        "A «sign».",
        "A man in a T-shirt.",
        "A label reading acme@example.",
        "A USA flag.",
        "A plate with ½ a lemon.",
    ],
)
def test_names_numbers_and_quotations_are_not(text: str) -> None:
    assert not is_plain(text)


def test_words_alone() -> None:
    assert all(map(is_plain_word, ("red", "brick-built", "women’s")))
    assert not any(map(is_plain_word, ("Rome", "3", "three", "twenty-one", "“stop”", "x2")))
