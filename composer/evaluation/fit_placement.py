"""Fits the boundary weights to illustrated articles: which boundaries did their authors choose?

A conditional logit (McFadden, 1974) over the boundaries of each article; every article counts once, whatever its
number of pictures. Each is learned from twice, as printed and with its references to figures removed, so that the
scorer is of use before there are figures to refer to. Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from composer.pipeline.placement_model import BoundaryScorer, Passage, features, without_references

RIDGE = 5.0


@dataclass(frozen=True, slots=True)
class Illustrated:
    """An article's passages and after which of them its pictures stand (0-based, one entry a picture)."""

    passages: tuple[Passage, ...]
    places: tuple[int, ...]


def fit_boundaries(articles: Sequence[Illustrated], ridge: float = RIDGE) -> BoundaryScorer:
    """Raises ValueError where no article has a picture."""
    told = [article for article in articles if article.places]
    if not told:
        raise ValueError("there are no illustrated articles to fit the weights to")
    both = [(a.passages, a.places) for a in told]
    both += [(tuple(map(without_references, a.passages)), a.places) for a in told]
    rows = [features(passages) for passages, _ in both]
    target = np.concatenate([np.bincount(places, minlength=len(p)) / len(places) for p, places in both])
    starts = np.cumsum([0, *map(len, rows)])[:-1]
    everything = np.concatenate(rows)
    centres = everything.mean(0)
    spread = everything.std(0)
    scales = np.where(spread > 1e-6, spread, 1.0)  # what never varies tells nothing, and gets no weight
    weights = _conditional_logit((everything - centres) / scales, target, starts, ridge)
    return BoundaryScorer(centres, scales, weights)


def _conditional_logit(rows: np.ndarray, target: np.ndarray, starts: np.ndarray, ridge: float) -> np.ndarray:
    """``starts`` are the first rows of the groups; ``target`` sums to 1 in each."""
    from scipy.optimize import minimize

    group = np.repeat(np.arange(len(starts)), np.diff([*starts, len(rows)]))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = rows @ weights
        scores -= np.maximum.reduceat(scores, starts)[group]
        odds = np.exp(scores)
        total = np.add.reduceat(odds, starts)
        value = -(target * (scores - np.log(total)[group])).sum() + ridge / 2 * weights @ weights
        return float(value), rows.T @ (odds / total[group] - target) + ridge * weights

    found = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B")
    weights: np.ndarray = found.x
    return weights
