"""What an index proposes for a query: pictures worth scoring, with everything that scoring reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from retrieval.candidates import Query
from retrieval.lexical import WordMatch


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """A query as vectors; None where it has nothing of the kind or the encoder does not read its language."""

    visual: np.ndarray | None = None
    textual: np.ndarray | None = None
    context_visual: np.ndarray | None = None
    context_textual: np.ndarray | None = None
    example: np.ndarray | None = None
    without: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, slots=True)
class Pool:
    """m pictures in the library's order. ``described`` (m,) bool marks those that a person gave words to.

    ``visual`` (m, D) and ``textual`` (m, T) are unit vectors, float32; a row of ``textual`` is zero where the picture
    has none. The matches are with the query's caption, or its English twin where that is better, and its context.
    """

    ids: list[str]
    described: np.ndarray
    visual: np.ndarray
    textual: np.ndarray
    caption_words: WordMatch
    context_words: WordMatch

    def taken(self, kept: np.ndarray) -> Pool:
        """The pictures at ``kept``, rising places or a mask."""
        places = np.flatnonzero(kept) if kept.dtype == bool else kept
        return Pool(
            [self.ids[place] for place in places],
            self.described[places],
            self.visual[places],
            self.textual[places],
            self.caption_words.taken(places),
            self.context_words.taken(places),
        )


class SearchIndex(Protocol):
    """A library as of one revision, made ready for searching."""

    @property
    def n(self) -> int: ...
    @property
    def revision(self) -> int: ...

    def pools(self, queries: Sequence[Query], vectors: Sequence[QueryVectors], width: int) -> list[Pool]:
        """The best ``width`` pictures of each kind of evidence, together, for each query."""
        ...

    def listed(self, query: Query, most: int) -> list[str]:
        """Ids of the pictures that the query's filters let through, in the library's order; at most so many."""
        ...

    def visual_sample(self, most: int) -> np.ndarray:
        """Visual vectors of pictures evenly spread over the library, (at most ``most``, D) float32."""
        ...

    def visual_of(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Visual vectors of those ids that are in the library."""
        ...
