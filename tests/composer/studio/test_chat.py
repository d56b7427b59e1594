"""What a model that does not see may say of pictures: what is known of them, or that it is not known."""

from __future__ import annotations

import pytest

from composer.studio.chat import said_of

KNOWN = "A blue wall in the old town\nwalls\nWhat colour is the wall?"


def answer(text: str, known: str = KNOWN, *, every: bool = True) -> tuple[str, bool]:
    *_, last = said_of(iter(text.split(" ")[0:1] + [f" {word}" for word in text.split(" ")[1:]]), known, every=every)
    return last


@pytest.mark.parametrize(
    ("text", "given", "left_out"),
    [
        ("The wall is blue. Two children play football on the grass.", "The wall is blue.", True),
        ("The old town. I cannot see more than that.", "The old town. I cannot see more than that.", False),
        ("A cat sleeps on a red bench beside a fountain.", "", True),
        ("- a blue wall\n- the old town", "- a blue wall\n- the old town", False),
    ],
)  # fmt: skip
def test_of_a_picture_only_what_is_known_is_said(text: str, given: str, left_out: bool) -> None:
    assert answer(text) == (given, left_out)


def test_of_the_article_all_is_said_but_for_inventions_about_its_pictures() -> None:
    said, left_out = answer(
        "The farm wakes at four. The first picture shows a tractor under heavy snow.", "The farm wakes.", every=False
    )
    assert (said, left_out) == ("The farm wakes at four.", True)
    assert answer("Anything at all about the photo.", "") == ("Anything at all about the photo.", False), "it sees"


def test_words_appear_as_they_come_unless_they_may_have_to_be_taken_back() -> None:
    pieces = ["Hens ", "wake ", "early. ", "The ", "picture ", "shows ", "a volcano erupting."]
    shown = [said for said, _ in said_of(iter(pieces), "Hens wake early.", every=False)]
    assert shown[:2] == ["Hens ", "Hens wake "]
    assert not any("picture" in said for said in shown)
    assert shown[-1] == "Hens wake early."
    assert all("volcano" not in said for said, _ in said_of(iter(pieces), "Hens", every=True))
