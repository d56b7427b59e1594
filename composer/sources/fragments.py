"""Passages cut into what one sentence can retell: a sentence or two, without what only its own document understands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from composer.article.citation import Passage
from composer.article.language import count_words
from composer.sources.passages import sentences_of

FRAGMENT_WORDS = 32  # what short sentences are joined up to
FEWEST_WORDS, MOST_WORDS = 6, 70

_CITED = re.compile(
    r"\s*\(\s*\)|\s*\[\d+(?:[,–-]\s*\d+)*\]"
    r"|\s*\((?:see |e\.g\.,? |cf\. )?[^()]*\b(?:1[5-9]|20)\d\d[a-z]?\)"  # (Roth, 2007; Wagner et al., 1998)
    r"|\s*\((?:see )?(?:fig|figure|table|chapter|credit|abb|siehe)\b[^()]*\)",
    re.IGNORECASE,
)
# Speaks to its reader or of itself: questions, figures, exercises, what was said earlier.
_UNFIT = re.compile(
    r"\?|\b(?:(?-i:I)|me|my|mine|you|your|yours|let’s|let's)\b(?!\.)"
    r"|\b(?:figure|fig\.|table|chapter|section|appendix|module)s? (?:\d|above|below)"
    r"|\b(?:this|the (?:next|previous|following|last)) (?:chapter|section|module|unit|figure|table|book|text)\b"
    r"|\b(?:video|website|click|http|www)\b|\bas (?:mentioned|discussed|described|noted)\b|\bsee (?:also|below|above)\b"
    r"|[我你您](?!国)|如图|本[章节书文]|见[图表]|[？]|:$",
    re.IGNORECASE,
)
_CAPTION = re.compile(r"^(?:figure|fig\.|table|photo|image|图|表)\s*[\d.]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fragment:
    """What is retold at once, the words before it, and the passage that is cited for it.

    ``place`` is (position of the passage, position in it): fragments whose places follow each other belong together.
    """

    text: str
    before: str
    passage: Passage
    place: tuple[int, int]


def fragments_of(passages: Sequence[Passage], positions: Sequence[int]) -> list[Fragment]:
    """The usable fragments of the passages at ``positions`` of all."""
    return [fragment for position in positions for fragment in _fragments(passages[position], position)]


def _fragments(passage: Passage, position: int) -> list[Fragment]:
    found: list[Fragment] = []
    held, before, spoken = "", "", ""
    join = "" if passage.text[-1:] > "\u2e80" else " "
    for number, raw in enumerate(sentences_of(passage.text)):
        sentence = _CITED.sub("", raw).strip()
        if _UNFIT.search(sentence) or _CAPTION.match(sentence) or count_words(sentence) > MOST_WORDS:
            _add(found, held, spoken, passage, (position, number))
            held, before = "", sentence
            continue
        if held and count_words(held) + count_words(sentence) > FRAGMENT_WORDS:
            _add(found, held, spoken, passage, (position, number))
            held, before = "", held
        if not held:
            spoken = before
        held = f"{held}{join}{sentence}" if held else sentence
    _add(found, held, spoken, passage, (position, 1_000))
    return found


def _add(found: list[Fragment], text: str, before: str, passage: Passage, place: tuple[int, int]) -> None:
    if count_words(text) >= FEWEST_WORDS:
        found.append(Fragment(text, before, passage, place))
