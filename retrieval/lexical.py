"""BM25 over the words of captions, alt texts and tags: exact names count, and Chinese finds Chinese.

Postings are three flat arrays, so a query is a handful of array additions and a library of 100,000 records loads
without a line of parsing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from retrieval.tokens import HEAD, asked_terms, indexed_terms, is_character, terms

K1 = 1.2  # saturation of repeated words (Robertson and Zaragoza, 2009)
B = 0.5  # length normalisation; captions vary less in length than documents, hence below the usual .75
CHARACTER_WEIGHT = 0.3  # of a lone CJK character in a query, beside the pairs it belongs to
_ARRAYS = ("starts", "rows", "weights", "idf", "information", "surest")

LEAST_TEXTS = 300  # a smaller library is taken for a sample of one of this size, or no word in it would be rare


@dataclass(frozen=True, slots=True)
class WordMatch:
    """Words in common. ``shared`` is the information of the query's words that a text holds (BM25 in nats, over the
    square root of all the query asks for: 0 and up), ``covered`` the part of the text's own information that the
    query accounts for, and ``named`` the part of the query's that the text holds, however often; both in [0, 1].
    """

    shared: np.ndarray
    covered: np.ndarray
    named: np.ndarray

    def taken(self, rows: np.ndarray) -> WordMatch:
        return WordMatch(self.shared[rows], self.covered[rows], self.named[rows])

    def or_better(self, other: WordMatch) -> WordMatch:
        """The better of two, row by row: of two ways of saying one thing."""
        pairs = ((self.shared, other.shared), (self.covered, other.covered), (self.named, other.named))
        return WordMatch(*(np.maximum(one, two) for one, two in pairs))


@dataclass(frozen=True, slots=True)
class LexicalIndex:
    """Postings of n texts.

    ``rows[starts[t]:starts[t + 1]]`` are the rows holding term t in rising order, ``weights`` alongside the
    saturated frequency tf / (tf + K1 (1 - B + B len / mean len)) in (0, 1); ``idf[t]`` is positive. ``information``
    is the sum of idf over a row's terms, ``surest`` the largest weight among its fields that have words, else 0.
    """

    n: int
    vocabulary: dict[str, int]
    starts: np.ndarray  # (terms + 1,) int64
    rows: np.ndarray  # (postings,) int32
    weights: np.ndarray  # (postings,) float32
    idf: np.ndarray  # (terms,) float32
    information: np.ndarray  # (n,) float32
    surest: np.ndarray  # (n,) float32

    @classmethod
    def build(cls, texts: Iterable[Sequence[tuple[str, float]]]) -> LexicalIndex:
        """Index texts, each given as (field, weight) pairs: a word in a field of weight .5 counts as half a word."""
        vocabulary: dict[str, int] = {}
        term_ids: list[int] = []
        row_ids: list[int] = []
        amounts: list[float] = []
        surest: list[float] = []
        for row, fields in enumerate(texts):
            tally = tally_of(fields)
            surest.append(surest_of(fields) if tally else 0.0)
            term_ids.extend(vocabulary.setdefault(term, len(vocabulary)) for term in tally)
            row_ids.extend([row] * len(tally))
            amounts.extend(tally.values())
        n = len(surest)
        by_term = np.asarray(term_ids, np.int64)
        order = np.argsort(by_term, kind="stable")
        rows = np.asarray(row_ids, np.int32)[order]
        amount = np.asarray(amounts, np.float64)[order]
        counts = np.bincount(by_term, minlength=len(vocabulary))
        # The head of a Chinese word repeats one of its characters: it adds neither length nor information.
        adds = np.asarray([not term.endswith(HEAD) for term in vocabulary], np.float32)
        lengths = np.bincount(rows, weights=amount * adds[by_term[order]], minlength=n)
        idf = inverse_frequency(n, counts)
        mean_length = float(lengths[lengths > 0].mean()) if len(rows) else 1.0
        weights = amount / (amount + K1 * (1 - B + B * lengths[rows] / mean_length))
        return cls(
            n=n,
            vocabulary=vocabulary,
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            rows=rows,
            weights=weights.astype(np.float32),
            idf=idf,
            information=np.bincount(rows, weights=(idf * adds)[by_term[order]], minlength=n).astype(np.float32),
            surest=np.asarray(surest, np.float32),
        )

    def match(self, text: str) -> WordMatch:
        """What each row's text has in common with a query; rows (n,)."""
        shared = np.zeros(self.n, np.float32)
        covered = np.zeros(self.n, np.float32)
        named = np.zeros(self.n, np.float32)
        asked = 0.0
        for _, key, information in self._asked(text):
            asked += information
            if key is not None:
                postings = slice(self.starts[key], self.starts[key + 1])
                shared[self.rows[postings]] += information * self.weights[postings]
                covered[self.rows[postings]] += information
        if asked:
            shared /= np.float32(asked**0.5)
            named = covered / np.float32(asked)
        # Lone characters count less in a query than in a text, hence never above 1, at worst below.
        covered /= np.maximum(self.information, np.float32(1e-6))
        return WordMatch(shared, np.minimum(covered, 1), named)

    def holding(self, phrase: str) -> np.ndarray:
        """The rows whose texts name all words of a phrase, rising; none for a phrase without words."""
        keys = [self.vocabulary.get(term) for term in dict.fromkeys(asked_terms(phrase))]
        found = [self.rows[self.starts[key] : self.starts[key + 1]] for key in keys if key is not None]
        if not keys or len(found) < len(keys):
            return np.empty(0, np.int32)
        return reduce(np.intersect1d, found)

    def _asked(self, text: str) -> Iterator[tuple[str, int | None, float]]:
        """A query's terms, their keys (None where no text holds one) and the information each carries."""
        for term in dict.fromkeys(asked_terms(text)):
            key = self.vocabulary.get(term)
            yield term, key, self._idf(key) * (CHARACTER_WEIGHT if is_character(term) else 1.0)

    def _idf(self, key: int | None) -> float:
        return float(inverse_frequency(self.n, np.zeros(1))[0]) if key is None else float(self.idf[key])

    def save(self, path: Path) -> None:
        words = np.frombuffer("\n".join(self.vocabulary).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, words=words, **{name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def load(cls, path: Path) -> LexicalIndex | None:
        """Read what ``save`` wrote; None where the file is not that or not whole."""
        try:
            # Opened here, since numpy leaves a damaged file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                words = stored["words"].tobytes().decode()
                vocabulary = {word: key for key, word in enumerate(words.split("\n"))} if words else {}
                index = cls(len(stored["surest"]), vocabulary, **{name: stored[name] for name in _ARRAYS})
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        whole = len(index.starts) == len(vocabulary) + 1 and len(index.rows) == index.starts[-1]
        return index if whole else None


def tally_of(fields: Sequence[tuple[str, float]]) -> dict[str, float]:
    """How often each term occurs, weighted by its field."""
    tally: dict[str, float] = {}
    for field, weight in fields:
        for term in indexed_terms(field):
            tally[term] = tally.get(term, 0.0) + weight
    return tally


def surest_of(fields: Sequence[tuple[str, float]]) -> float:
    """The largest weight of a field that has words."""
    return max((weight for field, weight in fields if terms(field)), default=0.0)


def inverse_frequency(n: int, counts: np.ndarray) -> np.ndarray:
    """The information of words that ``counts`` of ``n`` texts hold, in nats."""
    return np.log1p((max(n, LEAST_TEXTS) - counts + 0.5) / (counts + 0.5)).astype(np.float32)
