"""Leaves near-duplicates and repeated captions out of a list of candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from image_db.metadata.record import ImageRecord
from image_db.phash import hash_distance
from retrieval.candidates import Candidate
from retrieval.tokens import terms

SAME_COSINE = 0.97  # of visual vectors, from here on
BURST_S = 3.0
BURST_COSINE = 0.9
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


def grouped(
    candidates: Sequence[Candidate], vectors: Mapping[str, np.ndarray], hashes: Mapping[str, int]
) -> list[tuple[Candidate, ...]]:
    """The candidates with near-duplicates and the rest of a burst behind the first of them, whose place they share."""
    groups: list[list[Candidate]] = []
    for candidate in candidates:
        for group in groups:
            first = group[0].record
            if same_picture(candidate.record.id, first.id, vectors, hashes) or _one_burst(
                candidate.record, first, vectors
            ):
                group.append(candidate)
                break
        else:
            groups.append([candidate])
    return [tuple(group) for group in groups]


def _one_burst(one: ImageRecord, other: ImageRecord, vectors: Mapping[str, np.ndarray]) -> bool:
    """Whether one camera took both within BURST_S, of the same motif."""
    if "T" not in one.taken or "T" not in other.taken or one.camera != other.camera:
        return False
    apart = abs((datetime.fromisoformat(one.taken) - datetime.fromisoformat(other.taken)).total_seconds())
    both = one.id in vectors and other.id in vectors
    return apart <= BURST_S and both and float(vectors[one.id] @ vectors[other.id]) >= BURST_COSINE


def same_picture(one: str, other: str, vectors: Mapping[str, np.ndarray], hashes: Mapping[str, int]) -> bool:
    """Whether two records show the same picture; unknown vectors or hashes say nothing."""
    if one == other:
        return True
    # A picture without contrast has no bits set: that says nothing.
    if hashes.get(one) and hashes.get(other) and hash_distance(hashes[one], hashes[other]) <= SAME_HASH_BITS:
        return True
    return one in vectors and other in vectors and float(vectors[one] @ vectors[other]) >= SAME_COSINE
