"""Where pictures belong in a text, learned from illustrated books: a few countable facts about each paragraph.

Every boundary after a paragraph gets a score; differences between scores of one text are log-odds. The weights are a
conditional logit over the boundaries of each article (``composer.evaluation.fit_placement``), shipped as JSON with
their model card. Reads no language in particular: lengths, positions, headings, digits, and marks that refer to a
figure in English and Chinese.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np

from composer.article.language import count_words
from composer.article.markdown import plain_text
from composer.article.model import Section
from composer.errors import ComposerError

# A reference to a figure: "Figure 3", "(Fig. 2)", "图3", "如图所示", or the parentheses that a removed link leaves.
REFERENCE = re.compile(r"\b[Ff]ig(?:ures?|\.)(?:\s*\d|\s+(?:above|below))|\(\s*\)|（\s*）|\[link\]|如图|见图|图\s*\d")
# Words that speak of a picture without a number.
SHOWN = re.compile(
    r"\b(?:photo\w*|images?|pictures?|pictured|posters?|paintings?|portraits?|shown|depict\w*|illustrat\w*)\b"
    r"|照片|图片|画面|油画|海报",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?<!\d)(?:1\d{3}|20\d\d)(?!\d)")
_SYMBOL = re.compile(r"[=+×→]")
_WORD = re.compile(r"[^\W\d_]+")
_LISTED = re.compile(r"[-•*\d(（]")
SHORT_WORDS, BRIEF_WORDS = 12, 30


@dataclass(frozen=True, slots=True)
class HeadedText:
    """A paragraph's words, and whether a heading stands above it."""

    text: str
    headed: bool = False


def passages_of(sections: Sequence[Section]) -> list[HeadedText]:
    return [HeadedText(plain_text(section.body), bool(section.heading)) for section in sections]


def without_references(passage: HeadedText) -> HeadedText:
    """The passage as someone writes it who has no pictures yet."""
    return HeadedText(" ".join(REFERENCE.sub("", passage.text).split()), passage.headed)


def _next(column: np.ndarray) -> np.ndarray:
    """The value of the passage after each; 0 after the last."""
    return np.append(column[1:], 0)[: len(column)]


def _capitals(text: str) -> float:
    """Share of words that begin with a capital, the first word aside: names, mostly."""
    words = _WORD.findall(text)
    return sum(word[0].isupper() for word in words[1:]) / max(1, len(words))


def features(passages: Sequence[HeadedText]) -> np.ndarray:
    """(n, len(FEATURES)): what is known of the boundary after each passage."""
    columns = _columns(passages).values()
    return np.stack([np.asarray(column, float) for column in columns], axis=1)


def _columns(passages: Sequence[HeadedText]) -> dict[str, Sequence[float] | np.ndarray]:
    n = len(passages)
    texts = [passage.text for passage in passages]
    length = np.array([count_words(text) for text in texts], float)
    headed = np.array([passage.headed for passage in passages], float)
    reference = np.array([bool(REFERENCE.search(text)) for text in texts], float)
    shown = np.array([bool(SHOWN.search(text)) for text in texts], float)
    at = np.arange(n)
    first, words, short = at == 0, np.log1p(length), length < SHORT_WORDS
    return {
        "first": first,
        "second": at == 1,
        "third": at == 2,
        "last": at == n - 1,
        "last_but_one": at == n - 2,
        "position": (at + 1) / n,
        "position_squared": ((at + 1) / n) ** 2,
        "early": 1 / (at + 1),
        "first_of_many": first * np.log(max(n, 1)),
        "first_without_references": first * (not reference.any()),
        "words": words,
        "short": short,
        "brief": length < BRIEF_WORDS,
        "next_words": _next(words),
        "next_short": _next(short),
        "lead_in": [text.rstrip().endswith((":", "：")) for text in texts],
        "question": [text.rstrip().endswith(("?", "？")) for text in texts],
        "listed": [bool(_LISTED.match(text)) for text in texts],
        "headed": headed,
        "next_headed": _next(headed),
        "next_but_one_headed": _next(_next(headed)),
        "reference": reference,
        "next_reference": _next(reference),
        "earlier_reference": np.cumsum(reference) - reference > 0,
        "shown": shown,
        "next_shown": _next(shown),
        "capitals": [_capitals(text) for text in texts],
        "years": [min(3, len(_YEAR.findall(text))) for text in texts],
        "digits": [sum(c.isdigit() for c in text) / (len(text) + 1) for text in texts],
        "symbols": [bool(_SYMBOL.search(text)) for text in texts],
        "quotes": [any(mark in text for mark in '“”"「」') for text in texts],
    }


FEATURES = tuple(_columns(()))


@dataclass(frozen=True, slots=True)
class PlacementModel:
    """Log-odds of boundaries. ``weights`` belong to FEATURES, which are first centred and divided by ``scales``."""

    centres: np.ndarray
    scales: np.ndarray
    weights: np.ndarray

    def scores(self, passages: Sequence[HeadedText]) -> np.ndarray:
        """(n,) one value a boundary; only differences within a text mean anything."""
        scores: np.ndarray = ((features(passages) - self.centres) / self.scales) @ self.weights
        return scores

    def as_json(self) -> str:
        rows = zip(FEATURES, self.centres, self.scales, self.weights, strict=True)
        values = {
            name: {"centre": round(float(c), 6), "scale": round(float(s), 6), "weight": round(float(w), 6)}
            for name, c, s, w in rows
        }
        return json.dumps(values, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> PlacementModel:
        """Raises ComposerError where the file belongs to other features."""
        values = json.loads(text)
        if tuple(values) != FEATURES:
            raise ComposerError("placement_weights_old")
        columns = [np.array([row[key] for row in values.values()]) for key in ("centre", "scale", "weight")]
        return cls(*columns)


@lru_cache(maxsize=1)
def shipped_placement_model() -> PlacementModel:
    """The weights that come with Vignette."""
    file = resources.files("composer.pipeline") / "placement_model.json"
    return PlacementModel.from_json(file.read_text(encoding="utf-8"))
