"""From several kinds of evidence to one calibrated value.

Cosines of different encoders live on different scales, so each is first standardised against the cosines that
unrelated texts and pictures have (``Background``). A weighted sum of the evidence is the log-odds that the picture
is the one meant; pictures without any text have weights of their own, since they can only be judged by their looks.
The value depends on nothing but the query and the picture, so a threshold means the same for every query. Knows no
index, no library and no encoder.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation of cosines between things that have nothing to do with each other."""

    mean: float
    std: float

    def standardise(self, cosines: np.ndarray) -> np.ndarray:
        return (cosines - self.mean) / self.std


@dataclass(frozen=True, slots=True)
class Background:
    """The scales of one encoder on one library: text to picture, text to text, and picture to picture."""

    visual: Scale
    textual: Scale
    example: Scale


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of m pictures for one query, each (m,) float32.

    Cosines are raw; lexical scores in [0, 1] as ``LexicalIndex.scores`` gives them. ``has_text`` says which
    pictures could be found by words at all.
    """

    has_text: np.ndarray  # bool
    visual: np.ndarray
    textual: np.ndarray
    lexical: np.ndarray
    context_visual: np.ndarray
    context_textual: np.ndarray
    context_lexical: np.ndarray
    example: np.ndarray


@dataclass(frozen=True, slots=True)
class Spoken:
    """Which kinds of evidence a query has at all; an absent kind adds nothing, rather than a low score."""

    words: bool  # there is a caption
    vectors: bool  # the encoder reads the caption's language
    context: bool
    context_vectors: bool
    example: bool


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Log-odds per standard deviation (cosines) or per unit (square roots of lexical scores).

    No weight is negative: more of any evidence never lowers a picture. See docs/retrieval.md for the origin of the
    defaults.
    """

    visual: float = 0.4
    textual: float = 1.6
    lexical: float = 11.0
    context_visual: float = 0.1
    context_textual: float = 0.4
    context_lexical: float = 3.0
    offset: float = -13.0
    visual_alone: float = 1.2
    context_visual_alone: float = 0.3
    offset_alone: float = -6.0
    example: float = 2.0
    example_offset: float = -5.0
    unread: float = 12.0  # lexical weight where the encoder does not read the query's language
    unread_offset: float = -6.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 and not field.name.endswith("offset") and field.name != "offset_alone":
                raise ValueError(f"{field.name} is {value}; a weight must not be negative")


def log_odds(evidence: Evidence, spoken: Spoken, background: Background, weights: FusionWeights) -> np.ndarray:
    """Log-odds (m,) that each picture is the one meant."""
    m = len(evidence.has_text)
    total = np.zeros(m)
    if spoken.words and spoken.vectors:
        visual = background.visual.standardise(evidence.visual)
        textual = background.textual.standardise(evidence.textual)
        told = weights.offset + weights.visual * visual + weights.textual * textual
        told = told + weights.lexical * np.sqrt(evidence.lexical)
        mute = weights.offset_alone + weights.visual_alone * visual
    else:
        told = weights.unread_offset + weights.unread * np.sqrt(evidence.lexical)
        mute = np.full(m, weights.unread_offset)
    if spoken.context:
        told = told + weights.context_lexical * np.sqrt(evidence.context_lexical)
    if spoken.context_vectors:
        context_visual = background.visual.standardise(evidence.context_visual)
        told = told + weights.context_textual * background.textual.standardise(evidence.context_textual)
        told = told + weights.context_visual * context_visual
        mute = mute + weights.context_visual_alone * context_visual
    if spoken.words:
        total += np.where(evidence.has_text, told, mute)
    if spoken.example:
        total += weights.example * background.example.standardise(evidence.example)
        if not spoken.words:
            total += weights.example_offset
    return total


def fuse(evidence: Evidence, spoken: Spoken, background: Background, weights: FusionWeights) -> np.ndarray:
    """``log_odds`` as probabilities in [0, 1], (m,) float64."""
    return 1 / (1 + np.exp(-np.clip(log_odds(evidence, spoken, background, weights), -60, 60)))
