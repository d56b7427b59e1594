"""What a person who searches is shown: only what fits, near-duplicates once, in the order they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from retrieval.candidates import Candidate, Query
from retrieval.diversity import grouped
from retrieval.search import POOL, Searcher

Order: TypeAlias = Literal["relevance", "newest", "oldest"]
ORDERS: tuple[Order, ...] = ("relevance", "newest", "oldest")
_LISTED_TOGETHER = 2_000  # of pictures found without words, so many are compared for near-duplicates at most


class HashedLibrary(Protocol):
    def phashes(self, image_ids: Sequence[str] | None = None) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class Result:
    """A picture, and those that look the same to the eye and fit as well."""

    candidate: Candidate
    alike: tuple[Candidate, ...] = ()


def results(
    searcher: Searcher,
    library: HashedLibrary,
    query: Query,
    k: int,
    *,
    order: Order = "relevance",
    together: bool = True,
) -> list[Result]:
    """The first k of what fits the query; where it has neither words nor example, of what its filters let through.

    By date means: of everything that fits, POOL pictures at most, by when it was taken; undated ones last. Without
    ``together`` near-duplicates stand for themselves. Raises as ``Searcher.find``.
    """
    if query.wording or query.example is not None:
        found = searcher.find(query, max(POOL, k))
    else:
        found = searcher.listed(query)
        order = "newest" if order == "relevance" else order
    found = in_order(found, order)
    if not together:
        return [Result(candidate) for candidate in found[:k]]
    compared, ids = found[:_LISTED_TOGETHER], [candidate.record.id for candidate in found[:_LISTED_TOGETHER]]
    groups = grouped(compared, searcher.visual_vectors(ids), library.phashes(ids))
    groups += [(candidate,) for candidate in found[_LISTED_TOGETHER:]]
    return [Result(group[0], group[1:]) for group in groups[:k]]


def in_order(found: Sequence[Candidate], order: Order) -> list[Candidate]:
    """By when pictures were taken, those without a date last; equal ones, and all by relevance, stay as they are."""
    if order == "relevance":
        return list(found)
    dated = [candidate for candidate in found if candidate.record.taken]
    dated.sort(key=lambda candidate: candidate.record.taken, reverse=order == "newest")
    return dated + [candidate for candidate in found if not candidate.record.taken]
