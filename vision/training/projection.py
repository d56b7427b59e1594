"""Two matrices that bring pictures and texts into one space: the fit in closed form, and what it is worth.

Both matrices leave out their side's mean direction instead of subtracting the mean. Nothing but that direction is
lost, and no bias is needed: open_clip's text projection has none, and without one on the picture side the unknown
length of a feature vector cannot matter. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vision.training.features import PairFeatures
from vision.training.metrics import ranks_of_targets, recall_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Projection:
    """``image`` (1280, D) and ``text`` (384, D), applied as vectors @ matrix."""

    image: Array
    text: Array


def fit_ridge(pairs: PairFeatures, penalty: float, caption_share: float) -> Projection:
    """Ridge regression of texts on pictures (Hoerl and Kennard, 1970); the text side stays as it is.

    A picture's target is its alt text mixed with its caption; pictures without one have the alt text alone.
    """
    no_image_mean, no_text_mean = without_means(pairs, caption_share)
    x, y = pairs.images @ no_image_mean, _targets(pairs, caption_share) @ no_text_mean
    fitted = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return Projection((no_image_mean @ fitted).astype(np.float32), no_text_mean.astype(np.float32))


def without_means(pairs: PairFeatures, caption_share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each side the matrix that takes its mean direction out."""
    return without_direction(pairs.images.mean(0)), without_direction(_targets(pairs, caption_share).mean(0))


def _targets(pairs: PairFeatures, caption_share: float) -> NDArray[np.floating]:
    share = np.where(pairs.has_caption, caption_share, 0)[:, None]
    targets: NDArray[np.floating] = pairs.alts * (1 - share) + pairs.captions * share
    return targets


def without_direction(mean: NDArray[np.floating]) -> NDArray[np.float64]:
    """The matrix that removes a vector's direction and keeps everything at right angles to it."""
    unit = mean.astype(np.float64) / np.linalg.norm(mean)
    out: NDArray[np.float64] = np.eye(len(unit)) - np.outer(unit, unit)
    return out


def recalls(projection: Projection, pairs: PairFeatures) -> dict[str, float]:
    """Recall of alt queries and, where there are any, of caption queries among these pairs' pictures."""
    images = _unit(pairs.images @ projection.image)
    told = np.flatnonzero(pairs.has_caption)
    queries = {"alt": (pairs.alts, np.arange(len(images)))}
    if len(told):
        queries["caption"] = (pairs.captions[told], told)
    found: dict[str, float] = {}
    for kind, (texts, targets) in queries.items():
        ranks = ranks_of_targets(_unit(texts @ projection.text) @ images.T, targets)
        found |= {f"{kind}_r{k}": recall_at(ranks, k) for k in (1, 10)}
    return found


def _unit(vectors: Array) -> Array:
    out: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return out
