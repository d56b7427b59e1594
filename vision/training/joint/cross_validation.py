"""What a fit is worth on books it has not seen: recalls, and folds cut between books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vision.errors import DataError
from vision.training.joint.features import PairFeatures
from vision.training.metrics import mrr_at, ranks_of_targets, recall_at
from vision.vectors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

FOLDS = 5
GALLERY = 245  # as many as the development split has, so that recalls compare


class Projector(Protocol):
    """Both sides of a fit on top of the towers. Vectors are not normalised."""

    def select_texts(self, pairs: PairFeatures) -> PairFeatures:
        """The pairs with texts as the tower reads them whose vectors ``embed_texts`` takes."""
        ...

    def embed_images(self, images: Array) -> Array:
        """Pooled features (n, C) of all towers to the joint space."""
        ...

    def embed_texts(self, texts: Array) -> Array:
        """Sentence vectors of selected texts to the joint space."""
        ...


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """``recalls`` is the mean over folds; every row of the rest is by a fit that never saw its book: ``images`` (n, D)
    in the joint space, ``pairs`` with the texts as that fit's tower reads them, ``fold`` (n,) which one it was.
    """

    recalls: dict[str, float]
    images: Array
    pairs: PairFeatures
    fold: NDArray[np.int64]
    seed: int

    def recalls_of(self, fits: Sequence[Projector]) -> dict[str, float]:
        """The same mean for other fits of the same folds. Raises ValueError where there is not one for each."""
        found = []
        for number, fitted in zip(np.unique(self.fold), fits, strict=True):
            own = self.pairs.take(self.fold == number)
            found.append(_recalls_in_galleries(unit(fitted.embed_images(own.images)), own, fitted, self.seed))
        return _mean(found)


def book_folds(books: Sequence[str], folds: int = FOLDS) -> list[NDArray[np.int64]]:
    """Rows of each fold: whole books, largest first, each to the fold that holds least.

    Raises DataError where there is only one book.
    """
    sizes = Counter(books)
    if len(sizes) < 2:
        raise DataError("one_book")
    taken: list[set[str]] = [set() for _ in range(min(folds, len(sizes)))]
    for book, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        min(taken, key=lambda fold: sum(sizes[name] for name in fold)).add(book)
    return [np.flatnonzero([book in fold for book in books]) for fold in taken]


def cross_validate(
    pairs: PairFeatures,
    books: Sequence[str],
    fit: Callable[[PairFeatures], Projector],
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
    rows: list[NDArray[np.int64]] = []
    seen: list[tuple[Array, PairFeatures]] = []
    for number, fold in enumerate(book_folds(books, folds)):
        rest = np.setdiff1d(everything, fold)
        read = pairs if reread is None else reread(rest)
        fitted = fit(read.take(rest))
        images, unseen = unit(fitted.embed_images(pairs.images[fold])), read.take(fold)
        rows.append(fold)
        seen.append((images, unseen))
        which[fold] = number
        found.append(_recalls_in_galleries(images, unseen, fitted, seed))
    order = np.argsort(np.concatenate(rows))
    return CrossValidated(
        _mean(found),
        np.concatenate([images for images, _ in seen])[order],
        _joined([part for _, part in seen]).take(order),
        which,
        seed,
    )


def recalls(fitted: Projector, pairs: PairFeatures) -> dict[str, float]:
    """Recall of alt queries and, where there are any, of caption queries among these pairs' pictures."""
    return _recalls(unit(fitted.embed_images(pairs.images)), pairs, fitted)


def _recalls(images: Array, pairs: PairFeatures, fitted: Projector) -> dict[str, float]:
    """``recalls`` where the pictures' vectors (n, D) are known."""
    captioned = np.flatnonzero(pairs.has_caption)
    asked = fitted.select_texts(pairs)
    queries = {"alt": (asked.alts, np.arange(len(images)))}
    if len(captioned):
        queries["caption"] = (asked.captions[captioned], captioned)
    found: dict[str, float] = {}
    for kind, (texts, places) in queries.items():
        ranks = ranks_of_targets(unit(fitted.embed_texts(texts)) @ images.T, places)
        found |= {f"{kind}_r{k}": recall_at(ranks, k) for k in (1, 10)}
    # Texts that find texts, without pixels: what tuning the text tower is for.
    if len(captioned):
        ranks = ranks_of_targets(pairs.captions[captioned] @ pairs.alts.T, captioned)
        found["caption_text_r1"] = recall_at(ranks, 1)
    if pairs.sections is not None:
        ranks = ranks_of_targets(pairs.sections @ pairs.alts.T, np.arange(len(images)))
        found["section_text_mrr10"] = mrr_at(ranks, 10)
    return found


def _recalls_in_galleries(images: Array, pairs: PairFeatures, fitted: Projector, seed: int) -> dict[str, float]:
    order = np.random.default_rng(seed).permutation(len(images))
    parts = np.array_split(order, max(1, round(len(images) / GALLERY)))
    return _mean([_recalls(images[part], pairs.take(part), fitted) for part in parts])


def _mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    names = set.intersection(*(set(figures) for figures in found))
    return {name: float(np.mean([figures[name] for figures in found])) for name in sorted(names)}


def _joined(parts: Sequence[PairFeatures]) -> PairFeatures:
    sections = [part.sections for part in parts if part.sections is not None]
    query_texts = [part.query_texts for part in parts if part.query_texts is not None]
    return PairFeatures(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.alts for part in parts]),
        np.concatenate([part.captions for part in parts]),
        np.concatenate(sections) if len(sections) == len(parts) else None,
        parts[0].widths,
        _joined(query_texts) if len(query_texts) == len(parts) else None,
    )
