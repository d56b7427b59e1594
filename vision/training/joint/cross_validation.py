"""What a fit is worth on books it has not seen: five folds, cut between books. Knows no files and no fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vision.errors import DataError
from vision.training.joint.features import PairFeatures
from vision.training.joint.linear_fit import Joint, recalls_of
from vision.vectors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

FOLDS = 5
GALLERY = 245  # as many as the development split has, so that recalls compare


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """``recalls`` is the mean over folds; every row of the rest is by a fit that never saw its book: ``images`` (n, D)
    in the joint space, ``pairs`` with the texts as that fit's tower reads them, ``fold`` (n,) which one it was, and
    ``joints`` the fits.
    """

    recalls: dict[str, float]
    images: Array
    pairs: PairFeatures
    fold: NDArray[np.int64]
    joints: tuple[Joint, ...]
    seed: int

    def recalls_of(self, joints: Sequence[Joint]) -> dict[str, float]:
        """The same mean for other fits of the same folds. Raises ValueError where there is not one for each."""
        if len(joints) != len(self.joints):
            raise ValueError(f"{len(joints)} fits for {len(self.joints)} folds")
        found = []
        for number, joint in enumerate(joints):
            own = self.pairs.take(self.fold == number)
            found.append(_in_galleries(unit(joint.look(own.images)), own, joint, self.seed))
        return _mean(found)


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
    pairs: PairFeatures,
    books: Sequence[str],
    fit: Callable[[PairFeatures], Joint],
    *,
    folds: int = FOLDS,
    reread: Callable[[NDArray[np.int64]], PairFeatures] | None = None,
    seed: int = 0,
) -> CrossValidated:
    """Fit without each fold and measure on it, in galleries of about ``GALLERY`` of its pictures.

    ``reread`` gives all pairs as a text tower reads them that was tuned on the rows given alone.
    """
    found: list[dict[str, float]] = []
    everything = np.arange(len(pairs.images))
    which = np.zeros(len(everything), np.int64)
    seen: list[tuple[NDArray[np.int64], Array, PairFeatures]] = []
    joints: list[Joint] = []
    for number, fold in enumerate(book_folds(books, folds)):
        rest = np.setdiff1d(everything, fold)
        told = pairs if reread is None else reread(rest)
        joint = fit(told.take(rest))
        joints.append(joint)
        images, unseen = unit(joint.look(pairs.images[fold])), told.take(fold)
        seen.append((fold, images, unseen))
        which[fold] = number
        found.append(_in_galleries(images, unseen, joint, seed))
    order = np.argsort(np.concatenate([rows for rows, _, _ in seen]))
    return CrossValidated(
        _mean(found),
        np.concatenate([images for _, images, _ in seen])[order],
        _joined([part for _, _, part in seen]).take(order),
        which,
        tuple(joints),
        seed,
    )


def _mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    names = set.intersection(*(set(figures) for figures in found))
    return {name: float(np.mean([figures[name] for figures in found])) for name in sorted(names)}


def _joined(parts: Sequence[PairFeatures]) -> PairFeatures:
    sections = [part.sections for part in parts if part.sections is not None]
    asked = [part.asked for part in parts if part.asked is not None]
    return PairFeatures(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.alts for part in parts]),
        np.concatenate([part.captions for part in parts]),
        np.concatenate(sections) if len(sections) == len(parts) else None,
        parts[0].widths,
        _joined(asked) if len(asked) == len(parts) else None,
    )


def _in_galleries(images: Array, pairs: PairFeatures, joint: Joint, seed: int) -> dict[str, float]:
    order = np.random.default_rng(seed).permutation(len(images))
    parts = np.array_split(order, max(1, round(len(images) / GALLERY)))
    return _mean([recalls_of(images[part], pairs.take(part), joint) for part in parts])
