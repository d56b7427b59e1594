"""Leaves near-duplicates and repeated captions out of a list of candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from image_db.phash import hash_distance
from retrieval.candidates import Candidate
from retrieval.tokens import terms

SAME_COSINE = 0.97  # of visual vectors, from here on
SAME_HASH_BITS = 6  # up to here; re-encoded or resized copies differ in 0 to 6 bits, unrelated photographs in about 32


def without_duplicates(
    candidates: Sequence[Candidate], vectors: Mapping[str, np.ndarray], hashes: Mapping[str, int]
) -> list[Candidate]:
    """Of pictures that are the same to the eye, or share a caption, the first.

    ``vectors`` are unit visual vectors and ``hashes`` 64-bit difference hashes by record id; a picture missing from
    both is told apart by its caption alone.
    """
    kept: list[Candidate] = []
    captions: set[tuple[str, ...]] = set()
    for candidate in candidates:
        words = tuple(terms(candidate.record.caption))
        twins = (other for other in kept if same_picture(candidate.record.id, other.record.id, vectors, hashes))
        if words in captions or next(twins, None) is not None:
            continue
        kept.append(candidate)
        if words:
            captions.add(words)
    return kept


def same_picture(one: str, other: str, vectors: Mapping[str, np.ndarray], hashes: Mapping[str, int]) -> bool:
    """Whether two records show the same picture; unknown vectors or hashes say nothing."""
    if one == other:
        return True
    if one in hashes and other in hashes and hash_distance(hashes[one], hashes[other]) <= SAME_HASH_BITS:
        return True
    return one in vectors and other in vectors and float(vectors[one] @ vectors[other]) >= SAME_COSINE
