"""Words of a library in a database: the same BM25 as ``retrieval.lexical``, without all texts at hand.

How many pictures have a word, and how long texts are, is counted once when a library is loaded. From these each picture
gets the sparse vector that proposes it, and every picture that is proposed is compared exactly.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from image_db.metadata.record import ImageRecord
from image_db.stores.milvus_client import NOTHING
from retrieval.lexical import CHARACTER_WEIGHT, K1, B, WordMatch, inverse_frequency, surest_of, tally_of
from retrieval.library_index import fields
from retrieval.tokens import HEAD, asked_terms, is_character

_DIMENSIONS = 2**32 - 2  # Milvus' sparse vectors; 0 is for pictures without words


@dataclass(frozen=True, slots=True)
class WordStatistics:
    """What BM25 needs to know of all ``n`` texts together."""

    n: int
    mean_length: float
    counts: Mapping[str, int]

    @classmethod
    def of(cls, records: Iterable[ImageRecord]) -> WordStatistics:
        counts: Counter[str] = Counter()
        n, worded, total = 0, 0, 0.0
        for record in records:
            n += 1
            tally = tally_of(fields(record))
            counts.update(tally.keys())
            length = length_of(tally)
            worded, total = worded + (length > 0), total + length
        return cls(n, total / worded if worded else 1.0, counts)

    def information(self, words: Sequence[str]) -> np.ndarray:
        """Of each word, in nats (float32)."""
        return inverse_frequency(self.n, np.asarray([self.counts.get(word, 0) for word in words], np.float64))


@dataclass(frozen=True, slots=True)
class WordsOfPicture:
    """Terms with their BM25 weights in (0, 1), the sum of their information, and the surest field's weight."""

    weights: Mapping[str, float]
    information: float
    surest: float

    @property
    def sparse(self) -> dict[int, float]:
        """The same by dimension. Two words of one dimension, of millions, only propose a picture too many."""
        return {dimension(term): weight for term, weight in self.weights.items()}


def words_of(record: ImageRecord, statistics: WordStatistics) -> WordsOfPicture:
    """What ``LexicalIndex`` holds of a picture."""
    given = fields(record)
    tally = tally_of(given)
    known = list(tally)
    adding = [term for term in known if not term.endswith(HEAD)]
    surest = surest_of(given) if tally else 0.0
    information = float(statistics.information(adding).sum(dtype=np.float64)) if adding else 0.0
    return WordsOfPicture(saturated(tally, statistics.mean_length), information, surest)


def length_of(tally: Mapping[str, float]) -> float:
    """The head of a Chinese word repeats one of its characters: it adds nothing."""
    return sum(amount for term, amount in tally.items() if not term.endswith(HEAD))


def dimension(term: str) -> int:
    return NOTHING + 1 + zlib.crc32(term.encode()) % _DIMENSIONS


class AskedWords:
    """The words of a query and what each tells, for comparing with any number of pictures."""

    def __init__(self, text: str, n: int, counts: Mapping[str, int]) -> None:
        """``counts`` says how many of ``n`` pictures have each word; a word without a count is in none."""
        self._terms = list(dict.fromkeys(asked_terms(text)))
        told = WordStatistics(n, 1.0, counts).information(self._terms)
        shares = [CHARACTER_WEIGHT if is_character(term) else 1.0 for term in self._terms]
        self._told = [float(value) * share for value, share in zip(told, shares, strict=True)]

    @property
    def sparse(self) -> dict[int, float]:
        """What is searched for; empty for a text without words."""
        return {dimension(term): told for term, told in zip(self._terms, self._told, strict=True)}

    def match(self, weights: Sequence[Mapping[str, float]], information: np.ndarray) -> WordMatch:
        """What pictures' words have in common with the query, as ``LexicalIndex.match`` finds it.

        ``weights`` are those of each picture's terms, ``information`` (m,) what all its words tell.
        """
        shared = np.zeros(len(weights), np.float32)
        covered = np.zeros(len(weights), np.float32)
        named = np.zeros(len(weights), np.float32)
        asked = sum(self._told)
        for row, own in enumerate(weights if asked else ()):
            for term, told in zip(self._terms, self._told, strict=True):
                if term in own:
                    shared[row] += told * np.float32(own[term])
                    covered[row] += told
        if asked:
            shared /= np.float32(asked**0.5)
            named = covered / np.float32(asked)
        covered /= np.maximum(information, np.float32(1e-6))
        return WordMatch(shared, np.minimum(covered, 1), named)


def saturated(tally: Mapping[str, float], mean_length: float) -> dict[str, float]:
    """BM25's weight of each term, in (0, 1): repetition and length count ever less."""
    length = length_of(tally)
    return {term: amount / (amount + K1 * (1 - B + B * length / mean_length)) for term, amount in tally.items()}
