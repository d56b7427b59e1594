"""Fits the fusion weights to examples: queries whose right picture is known.

Two steps for each of the two kinds of pictures, those with words and those judged by their looks. The direction of the
weights is a conditional logit (McFadden, 1974): the right picture against the others of its gallery, no weight below
zero. Length and offset then follow Platt (1999) from the best-ranked pictures, once with the right picture in the
gallery and once with it taken out, so that ``fused`` of the best candidate is the probability that it is the one
meant. Knows no files, no encoder and no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from retrieval.fusion import ALONE, TOLD, Background, Evidence, FusionWeights, Spoken, features

_STEPS = 60
_RIDGE = 1e-3  # per example; keeps a weight finite that one kind of evidence alone could decide


@dataclass(frozen=True, slots=True)
class Example:
    """One query on one gallery of m pictures; ``truth`` is the row of the right one, of which there is one."""

    evidence: Evidence
    spoken: Spoken
    background: Background
    truth: int


@dataclass(frozen=True, slots=True)
class _Choice:
    rows: np.ndarray  # (m, features)
    truth: int


def fit(examples: Sequence[Example], start: FusionWeights | None = None) -> FusionWeights:
    """Weights of the words-and-looks path and of the looks-only path; the others stay as in ``start``.

    Every example serves both paths: the second one forgets what is known of the pictures. Raises ValueError for no
    examples.
    """
    if not examples:
        raise ValueError("there are no examples to fit the weights to")
    told, alone = [], []
    for example in examples:
        with_words, by_looks = features(example.evidence, example.spoken, example.background)
        told.append(_Choice(with_words, example.truth))
        by_looks = by_looks.copy()
        by_looks[:, ALONE.index("lexical_guessed")] = 0
        alone.append(_Choice(by_looks, example.truth))
    weights = start or FusionWeights()
    values, offset = _fit_path(told)
    weights = replace(weights, offset=offset, **dict(zip(TOLD, values, strict=True)))
    values, offset = _fit_path(alone)
    found = {name: value for name, value in zip(ALONE, values, strict=True) if name != "lexical_guessed"}
    return replace(weights, offset_alone=offset, **found)


def _fit_path(choices: Sequence[_Choice]) -> tuple[list[float], float]:
    direction = _conditional_logit(choices)
    tops, right = [], []
    for choice in choices:
        scores = choice.rows @ direction
        best = int(scores.argmax())
        tops.append(scores[best])
        right.append(best == choice.truth)
        if len(scores) > 1:
            tops.append(np.delete(scores, choice.truth).max())
            right.append(False)
    slope, offset = _platt(np.array(tops), np.array(right, float))
    return [float(value) for value in slope * direction], offset


def _conditional_logit(choices: Sequence[_Choice]) -> np.ndarray:
    """Non-negative weights that make the right pictures most likely, by projected Newton steps."""
    dim = choices[0].rows.shape[1]
    weights = np.full(dim, 0.1)
    loss, gradient, curvature = _choice_loss(choices, weights)
    for _ in range(_STEPS):
        free = (weights > 0) | (gradient < 0)
        if not free.any() or np.abs(gradient[free]).max() < 1e-6:
            break
        step = np.zeros(dim)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], -gradient[free])
        length = 1.0
        while length > 1e-6:
            tried = np.maximum(weights + length * step, 0)
            result = _choice_loss(choices, tried)
            if result[0] <= loss:
                break
            length /= 2
        else:
            break
        weights, (loss, gradient, curvature) = tried, result
    return weights


def _choice_loss(choices: Sequence[_Choice], weights: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean negative log-likelihood with a ridge, its gradient and Hessian."""
    dim = len(weights)
    loss, gradient, curvature = 0.0, np.zeros(dim), np.zeros((dim, dim))
    for choice in choices:
        scores = choice.rows @ weights
        top = scores.max()
        odds = np.exp(scores - top)
        total = odds.sum()
        odds /= total
        mean = odds @ choice.rows
        loss += top + np.log(total) - scores[choice.truth]
        gradient += mean - choice.rows[choice.truth]
        curvature += (choice.rows * odds[:, None]).T @ choice.rows - np.outer(mean, mean)
    n = len(choices)
    ridge = _RIDGE * np.eye(dim)
    return loss / n + _RIDGE / 2 * weights @ weights, gradient / n + _RIDGE * weights, curvature / n + ridge


def _platt(scores: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope (at least 0.01, so that order survives) and offset of the logistic curve through right and wrong.

    Targets are drawn in from 0 and 1 as Platt does, which keeps the slope finite where scores separate perfectly.
    """
    positive, negative = right.sum(), len(right) - right.sum()
    target = np.where(right > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    centre, spread = scores.mean(), scores.std() or 1.0
    rows = np.stack([(scores - centre) / spread, np.ones(len(scores))], axis=1)
    line = np.zeros(2)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(rows @ line, -30, 30)))
        gradient = rows.T @ (p - target)
        curvature = (rows * (p * (1 - p))[:, None]).T @ rows + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, -gradient)
        line = line + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    slope = max(float(line[0]) / spread, 0.01)
    return slope, float(line[1] - slope * centre)
