"""Fits the boundary weights to illustrated articles: which boundaries did their authors choose?

A conditional logit (McFadden, 1974) over the boundaries of each article; every article counts once, whatever its
number of pictures. Each is learned from twice, as printed and with its references to figures removed, so that the
scorer is of use before there are figures to refer to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from composer.evaluation.conditional_logit import conditional_logit
from composer.pipeline.placement_model import HeadedText, PlacementModel, features, without_references
from vision.errors import DataError

RIDGE = 5.0


@dataclass(frozen=True, slots=True)
class Illustrated:
    """An article's passages and after which of them its pictures stand (0-based, one entry a picture)."""

    passages: tuple[HeadedText, ...]
    places: tuple[int, ...]


def fit_boundaries(articles: Sequence[Illustrated], ridge: float = RIDGE) -> PlacementModel:
    """Raises DataError where no article has a picture."""
    illustrated = [article for article in articles if article.places]
    if not illustrated:
        raise DataError("no_illustrated_articles")
    both = [(a.passages, a.places) for a in illustrated]
    both += [(tuple(map(without_references, a.passages)), a.places) for a in illustrated]
    rows = [features(passages) for passages, _ in both]
    targets = [np.bincount(places, minlength=len(p)) / len(places) for p, places in both]
    everything = np.concatenate(rows)
    centres = everything.mean(0)
    spread = everything.std(0)
    scales = np.where(spread > 1e-6, spread, 1.0)  # what never varies tells nothing, and gets no weight
    scaled = [(own - centres) / scales for own in rows]
    weights = conditional_logit(scaled, targets, ridge / len(rows), signed=True)
    return PlacementModel(centres, scales, weights)
