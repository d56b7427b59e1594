"""Rules that place pictures without learning anything: what every placement has to beat.

A rule is given an article's passages and how many pictures it has, and answers with that many distinct boundaries
(0-based: after which passage). "Evenly spaced" is the reference of the data's README.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from composer.pipeline.placement_model import REFERENCE, HeadedText

Rule: TypeAlias = Callable[[Sequence[HeadedText], int], list[int]]


def evenly_spaced(passages: Sequence[HeadedText], count: int) -> list[int]:
    """Each picture in the middle of its equal share of the text."""
    n = len(passages)
    return _distinct((round((k + 0.5) * n / count) - 1 for k in range(count)), n, count)


def from_the_start(passages: Sequence[HeadedText], count: int) -> list[int]:
    """After the first passage, and from there in equal steps: books open their chapters with a picture."""
    n = len(passages)
    return _distinct((round(k * n / count) for k in range(count)), n, count)


def every_third(passages: Sequence[HeadedText], count: int) -> list[int]:
    """After the first passage and then after every third: within one of each boundary there is a picture."""
    return _distinct((3 * k for k in range(count)), len(passages), count)


def longest_passages(passages: Sequence[HeadedText], count: int) -> list[int]:
    by_length = sorted(range(len(passages)), key=lambda i: (-len(passages[i].text), i))
    return _distinct(by_length, len(passages), count)


def at_references(passages: Sequence[HeadedText], count: int) -> list[int]:
    """After the first passages that refer to a figure; pictures left over as ``from_the_start``."""
    referring = [i for i, passage in enumerate(passages) if REFERENCE.search(passage.text)]
    return _distinct([*referring[:count], *from_the_start(passages, count)], len(passages), count)


RULES: Mapping[str, Rule] = {
    "evenly": evenly_spaced,
    "from_the_start": from_the_start,
    "every_third": every_third,
    "longest": longest_passages,
    "references": at_references,
}


def _distinct(wanted: Iterable[int], n: int, count: int) -> list[int]:
    """The first ``count`` of ``wanted``, brought into range; one already taken moves to the next free place."""
    free = list(range(n))
    taken: list[int] = []
    for place in wanted:
        if len(taken) == count or not free:
            break
        nearest = next((p for p in free if p >= place), free[0])
        free.remove(nearest)
        taken.append(nearest)
    return sorted(taken)
