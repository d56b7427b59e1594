"""From several kinds of evidence to one calibrated value.

Cosines of different encoders live on different scales, so each is first standardised against the cosines that
unrelated texts and pictures have (``CosineScales``). A weighted sum of the evidence is the log-odds that the picture
is the one meant; pictures without any text have weights of their own, since they can only be judged by their looks.
The value depends on nothing but the query and the picture, so a threshold means the same for every query.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class CosineScale:
    """Mean and standard deviation of cosines between things that have nothing to do with each other."""

    mean: float
    std: float

    def standardise(self, cosines: np.ndarray) -> np.ndarray:
        return (cosines - self.mean) / self.std


@dataclass(frozen=True, slots=True)
class CosineScales:
    """The scales of one encoder on one library: text to picture, text to text, and picture to picture."""

    visual: CosineScale
    textual: CosineScale
    example: CosineScale


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of m pictures for one query, each (m,) float32.

    Cosines are raw; ``lexical`` and ``covered`` are ``shared`` and ``covered`` of
    ``WordMatch``. ``has_text`` says which
    pictures could be found by words at all.
    """

    has_text: np.ndarray  # bool
    visual: np.ndarray
    textual: np.ndarray
    lexical: np.ndarray
    covered: np.ndarray
    context_visual: np.ndarray
    context_textual: np.ndarray
    context_lexical: np.ndarray
    context_covered: np.ndarray
    example: np.ndarray


@dataclass(frozen=True, slots=True)
class QueryParts:
    """Which kinds of evidence a query has at all; an absent kind adds nothing, rather than a low score."""

    words: bool  # there is a caption
    vectors: bool  # the encoder reads the caption's language
    context: bool
    context_vectors: bool
    example: bool


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Log-odds per standard deviation of a cosine and per unit of a word match.

    No weight is negative: more of any evidence never lowers a picture. The defaults were fitted by
    ``composer.evaluation.fit_fusion`` on the train split of OpenStax, pixels through projections that had not seen the
    book (docs/research/search.md); ``lexical_guessed``, ``example`` and ``offset_example`` are set by hand for want of
    examples.
    """

    visual: float = 0.22
    textual: float = 0.36
    lexical: float = 1.37
    covered: float = 1.43
    context_visual: float = 0.06
    context_textual: float = 0.0
    context_lexical: float = 0.39
    context_covered: float = 0.39
    offset: float = -4.41
    visual_alone: float = 0.66
    lexical_guessed: float = 0.4
    context_visual_alone: float = 0.0
    offset_alone: float = -4.59
    lexical_unread: float = 3.2  # where the encoder does not read the query's language
    offset_unread: float = -4.1
    example: float = 2.0
    offset_example: float = -5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 and not field.name.startswith("offset"):
                raise ValueError(f"{field.name} is {value}; a weight must not be negative")


# Names of weights, in the order of the columns of ``features``.
DESCRIBED = (
    "visual",
    "textual",
    "lexical",
    "covered",
    "context_visual",
    "context_textual",
    "context_lexical",
    "context_covered",
)
BY_LOOKS = ("visual_alone", "lexical_guessed", "context_visual_alone")


def features(evidence: Evidence, parts: QueryParts, scales: CosineScales) -> tuple[np.ndarray, np.ndarray]:
    """What the weights multiply: (m, 8) for pictures with words, (m, 3) for those judged by their looks.

    Cosines are standardised. Evidence that a query lacks is 0, as if it were of the scales.
    """
    m = len(evidence.has_text)
    nothing = np.zeros(m)

    def cosine(values: np.ndarray, scale: CosineScale, present: bool) -> np.ndarray:
        return scale.standardise(values) if present else nothing

    read = parts.words and parts.vectors
    visual = cosine(evidence.visual, scales.visual, read)
    context_visual = cosine(evidence.context_visual, scales.visual, parts.context_vectors)
    described = [
        visual,
        cosine(evidence.textual, scales.textual, read),
        evidence.lexical,
        evidence.covered,
        context_visual,
        cosine(evidence.context_textual, scales.textual, parts.context_vectors),
        evidence.context_lexical,
        evidence.context_covered,
    ]
    return np.stack(described, axis=1), np.stack([visual, evidence.lexical, context_visual], axis=1)


def evidence_log_odds(
    evidence: Evidence, parts: QueryParts, scales: CosineScales, weights: FusionWeights
) -> np.ndarray:
    """Log-odds (m,) that each picture is the one meant."""
    total = np.zeros(len(evidence.has_text))
    if parts.words:
        described, alone = features(evidence, parts, scales)
        read = parts.vectors
        values = np.array([getattr(weights, name) for name in DESCRIBED])
        if not read:
            values[DESCRIBED.index("lexical")] = weights.lexical_unread
        described_odds = described @ values + (weights.offset if read else weights.offset_unread)
        alone_odds = alone @ np.array([getattr(weights, name) for name in BY_LOOKS])
        alone_odds = alone_odds + (weights.offset_alone if read else weights.offset_unread)
        total = np.where(evidence.has_text, described_odds, alone_odds)
    if parts.example:
        total = total + weights.example * scales.example.standardise(evidence.example)
        if not parts.words:
            total = total + weights.offset_example
    return total


def meaning_log_odds(evidence: Evidence, parts: QueryParts, scales: CosineScales, weights: FusionWeights) -> np.ndarray:
    """``evidence_log_odds`` by looks and meaning alone: shared words, context and example left out."""
    nothing = np.zeros(len(evidence.has_text))
    alone = replace(evidence, lexical=nothing, covered=nothing, context_lexical=nothing, context_covered=nothing)
    return evidence_log_odds(
        alone, replace(parts, context=False, context_vectors=False, example=False), scales, weights
    )


def fuse(evidence: Evidence, parts: QueryParts, scales: CosineScales, weights: FusionWeights) -> np.ndarray:
    """``evidence_log_odds`` as probabilities in [0, 1], (m,) float64."""
    return 1 / (1 + np.exp(-np.clip(evidence_log_odds(evidence, parts, scales, weights), -60, 60)))
