"""Keeps a list of candidates varied: no near-duplicates, no crowd of equal captions, something different each time.

Works on candidates already scored and on what is known of them (vectors, perceptual hashes); knows no index, no
library and no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.candidates import Candidate
from retrieval.tokens import terms


@dataclass(frozen=True, slots=True)
class Sameness:
    """From where on two pictures count as the same.

    ``cosine`` of their visual vectors, or at most ``hash_bits`` differing bits of their 64-bit difference hashes
    (re-encoded or resized copies differ in 0 to 6, unrelated photographs in about 32). ``per_caption`` pictures may
    share one caption.
    """

    cosine: float = 0.97
    hash_bits: int = 6
    per_caption: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.cosine <= 1:
            raise ValueError(f"cosine is {self.cosine}; it must be in (0, 1]")
        if not 0 <= self.hash_bits <= 64:
            raise ValueError(f"hash_bits is {self.hash_bits}; it must be 0 to 64")
        if self.per_caption < 1:
            raise ValueError(f"per_caption is {self.per_caption}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class Dropped:
    candidate: Candidate
    reason: str


@dataclass(frozen=True, slots=True)
class Distinct:
    """``kept`` in the order given; ``dropped`` with the reason for each."""

    kept: list[Candidate]
    dropped: list[Dropped]


def distinct(
    candidates: Sequence[Candidate],
    *,
    vectors: Mapping[str, np.ndarray] | None = None,
    hashes: Mapping[str, int] | None = None,
    taken: Sequence[str] = (),
    sameness: Sameness | None = None,
) -> Distinct:
    """Of pictures that are the same to the eye, or share a caption, keep the first.

    ``vectors`` are unit visual vectors and ``hashes`` difference hashes by record id; a picture missing from both is
    told apart by its caption alone. ``taken`` are ids of pictures already shown elsewhere: their copies go too.
    """
    rule = sameness or Sameness()
    known_vectors, known_hashes = vectors or {}, hashes or {}
    kept: list[Candidate] = []
    dropped: list[Dropped] = []
    captions: dict[tuple[str, ...], int] = {}
    for candidate in candidates:
        id_ = candidate.record.id
        twin = next(
            (
                other
                for other in [*taken, *(c.record.id for c in kept)]
                if same_picture(id_, other, known_vectors, known_hashes, rule)
            ),
            None,
        )
        words = tuple(terms(candidate.record.caption))
        if twin is not None:
            place = "used already" if twin in taken else "ranked above it"
            dropped.append(Dropped(candidate, f"nearly the same picture as {twin[:12]}, {place}"))
        elif words and captions.get(words, 0) >= rule.per_caption:
            dropped.append(Dropped(candidate, f"same caption as one ranked above it: {candidate.record.caption!r}"))
        else:
            kept.append(candidate)
            captions[words] = captions.get(words, 0) + 1
    return Distinct(kept, dropped)


def same_picture(
    one: str, other: str, vectors: Mapping[str, np.ndarray], hashes: Mapping[str, int], sameness: Sameness
) -> bool:
    """Whether two records show the same picture; unknown vectors or hashes say nothing."""
    if one == other:
        return True
    if one in hashes and other in hashes and hash_distance(hashes[one], hashes[other]) <= sameness.hash_bits:
        return True
    if one in vectors and other in vectors:
        return float(vectors[one] @ vectors[other]) >= sameness.cosine
    return False


def hash_distance(one: int, other: int) -> int:
    """Differing bits of two 64-bit hashes; negative ones are read as SQLite stores them, in two's complement."""
    return ((one ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()


def varied(
    candidates: Sequence[Candidate], vectors: Mapping[str, np.ndarray], k: int, *, relevance: float = 0.8
) -> list[Candidate]:
    """The k candidates that are relevant and unlike each other, the best one first.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): each pick maximises ``relevance`` · fused −
    (1 − ``relevance``) · cosine to the nearest pick so far. Pictures without a vector are unlike every other.
    """
    if not 0 <= relevance <= 1:
        raise ValueError(f"relevance is {relevance}; it must be in [0, 1]")
    left = list(candidates)
    picks: list[Candidate] = []
    nearest = [0.0] * len(left)
    while left and len(picks) < k:
        if picks:
            values = [relevance * c.fused - (1 - relevance) * near for c, near in zip(left, nearest, strict=True)]
        else:
            values = [c.fused for c in left]
        best = max(range(len(left)), key=values.__getitem__)
        pick = left.pop(best)
        nearest.pop(best)
        picks.append(pick)
        latest = vectors.get(pick.record.id)
        if latest is None:
            continue
        for i, candidate in enumerate(left):
            vector = vectors.get(candidate.record.id)
            if vector is not None:
                nearest[i] = max(nearest[i], float(vector @ latest))
    return picks
