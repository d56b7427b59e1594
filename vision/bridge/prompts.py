"""The words in which a model is asked about pictures: the same ones in training and in use.

What is asked comes before the picture, so that all pictures of one question share the longest beginning. Knows no
model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vision.interfaces import Message, Prompt

if TYPE_CHECKING:
    from PIL.Image import Image

SYSTEM = "You look at photographs for an editor."
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def describe(picture: Image | str) -> Prompt:
    """What does the picture show?"""
    return _asked("Describe the photograph.\n", picture)


def caption(section: str, picture: Image | str) -> Prompt:
    """What does the article say of the picture?"""
    return _asked(f"{section.strip()}\n\nWrite the caption of the photograph that stands here.\n", picture)


def speaks_of(picture: Image | str) -> Prompt:
    """Which text stands beside the picture? The text itself is what is scored as the answer."""
    return _asked("Write the text of an article beside which this photograph stands.\n", picture)


def choose(section: str, pictures: Sequence[Image | str]) -> Prompt:
    """Which of these belongs after the section? The answer is a letter."""
    parts: list[Image | str] = [f"{section.strip()}\n\nWhich of these photographs belongs here?\n"]
    for letter, picture in zip(LETTERS, pictures, strict=False):
        parts += [f"{letter}. ", picture, "\n"]
    return _asked(*parts)


def place(openings: Sequence[str], picture: Image | str) -> Prompt:
    """After which paragraph does the picture belong? The answer is its number."""
    lines = "\n".join(f"{number}. {opening}" for number, opening in enumerate(openings, 1))
    return _asked(f"{lines}\n\nAfter which of these paragraphs does the photograph belong?\n", picture)


def _asked(*parts: Image | str) -> Prompt:
    joined: list[Image | str] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return (Message.of("system", SYSTEM), Message("user", tuple(joined)))
