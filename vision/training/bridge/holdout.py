"""Which books a run does not train on, so that it can say what it is worth on others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vision.errors import DataError
from vision.training.dataset import Figure

SHARE = 0.15


def held_back_books(figures: Sequence[Figure]) -> tuple[str, ...]:
    """Whole books, smallest first, until they hold a share of all pictures: neighbours in a book are no strangers.

    Raises DataError where there is only one book.
    """
    sizes = Counter(figure.book for figure in figures)
    if len(sizes) < 2:
        raise DataError("one_book")
    chosen: list[str] = []
    for book, _ in sorted(sizes.items(), key=lambda item: (item[1], item[0]))[:-1]:
        if sum(sizes[b] for b in chosen) >= SHARE * len(figures):
            break
        chosen.append(book)
    return tuple(chosen)
