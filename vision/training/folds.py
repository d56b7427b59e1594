"""What a fit is worth on books it has not seen: five folds, cut between books. Knows no files and no fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vision.errors import DataError
from vision.training.features import PairFeatures, unit
from vision.training.projection import Joint, recalls_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

FOLDS = 5
GALLERY = 245  # as many as the development split has, so that recalls compare


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """``recalls`` is the mean over folds. ``images`` (n, D): every picture by a fit that never saw its book."""

    recalls: dict[str, float]
    images: Array


def book_folds(books: Sequence[str], folds: int = FOLDS) -> list[NDArray[np.int64]]:
    """Rows of each fold: whole books, largest first, each to the fold that holds least.

    Raises DataError where there is only one book.
    """
    sizes = Counter(books)
    if len(sizes) < 2:
        raise DataError("the training split has one book; validation needs at least two, told apart by their `book`")
    taken: list[set[str]] = [set() for _ in range(min(folds, len(sizes)))]
    for book, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        min(taken, key=lambda fold: sum(sizes[name] for name in fold)).add(book)
    return [np.flatnonzero([book in fold for book in books]) for fold in taken]


def cross_validate(
    pairs: PairFeatures, books: Sequence[str], fit: Callable[[PairFeatures], Joint], *, seed: int = 0
) -> CrossValidated:
    """Fit without each fold and measure on it, in galleries of about ``GALLERY`` of its pictures."""
    found: list[dict[str, float]] = []
    images: Array | None = None
    everything = np.arange(len(pairs.images))
    for fold in book_folds(books):
        joint = fit(pairs.take(np.setdiff1d(everything, fold)))
        seen = unit(joint.look(pairs.images[fold]))
        if images is None:
            images = np.zeros((len(everything), seen.shape[1]), np.float32)
        images[fold] = seen
        found.append(_in_galleries(seen, pairs.take(fold), joint, seed))
    assert images is not None
    names = set.intersection(*(set(figures) for figures in found))
    return CrossValidated({name: float(np.mean([f[name] for f in found])) for name in sorted(names)}, images)


def _in_galleries(images: Array, pairs: PairFeatures, joint: Joint, seed: int) -> dict[str, float]:
    order = np.random.default_rng(seed).permutation(len(images))
    parts = np.array_split(order, max(1, round(len(images) / GALLERY)))
    found = [recalls_of(images[part], pairs.take(part), joint) for part in parts]
    names = set.intersection(*(set(figures) for figures in found))
    return {name: float(np.mean([figures[name] for figures in found])) for name in names}
