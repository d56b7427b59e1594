"""BM25 over the words of captions, alt texts and tags: exact names count, and Chinese finds Chinese.

Postings are three flat arrays, so a query is a handful of array additions and a library of 100,000 records loads
without a line of parsing. Knows no vectors, no records and no fusion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from retrieval.errors import IndexUnusable
from retrieval.tokens import is_character, terms

K1 = 1.2  # saturation of repeated words (Robertson and Zaragoza, 2009)
B = 0.5  # length normalisation; captions vary less in length than documents, hence below the usual .75
CHARACTER_WEIGHT = 0.3  # of a lone CJK character in a query, beside the pairs it belongs to


@dataclass(frozen=True, slots=True)
class LexicalIndex:
    """Postings of n texts.

    ``rows[starts[t]:starts[t + 1]]`` are the rows holding term t in rising order, ``weights`` alongside the
    saturated frequency tf / (tf + K1 (1 - B + B len / mean len)) in (0, 1); ``idf[t]`` is positive. ``surest`` is the
    largest weight among a row's fields that have words, 0 for a row without any.
    """

    n: int
    vocabulary: dict[str, int]
    starts: np.ndarray  # (terms + 1,) int64
    rows: np.ndarray  # (postings,) int32
    weights: np.ndarray  # (postings,) float32
    idf: np.ndarray  # (terms,) float32
    surest: np.ndarray  # (n,) float32
    mean_length: float  # of rows that have words, in weighted terms

    @classmethod
    def build(cls, texts: Iterable[Sequence[tuple[str, float]]]) -> LexicalIndex:
        """Index texts, each given as (field, weight) pairs: a word in a field of weight .5 counts as half a word."""
        vocabulary: dict[str, int] = {}
        term_ids: list[int] = []
        row_ids: list[int] = []
        amounts: list[float] = []
        surest: list[float] = []
        for row, fields in enumerate(texts):
            tally: dict[int, float] = {}
            surest.append(0.0)
            for field, weight in fields:
                words = terms(field)
                if words:
                    surest[-1] = max(surest[-1], weight)
                for term in words:
                    key = vocabulary.setdefault(term, len(vocabulary))
                    tally[key] = tally.get(key, 0.0) + weight
            term_ids.extend(tally)
            row_ids.extend([row] * len(tally))
            amounts.extend(tally.values())
        n = len(surest)
        by_term = np.asarray(term_ids, np.int64)
        order = np.argsort(by_term, kind="stable")
        rows = np.asarray(row_ids, np.int32)[order]
        amount = np.asarray(amounts, np.float64)[order]
        counts = np.bincount(by_term, minlength=len(vocabulary))
        lengths = np.bincount(rows, weights=amount, minlength=n)
        mean_length = float(lengths[lengths > 0].mean()) if len(rows) else 1.0
        weights = amount / (amount + K1 * (1 - B + B * lengths[rows] / mean_length))
        return cls(
            n=n,
            vocabulary=vocabulary,
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            rows=rows,
            weights=weights.astype(np.float32),
            idf=np.log1p((n - counts + 0.5) / (counts + 0.5)).astype(np.float32),
            surest=np.asarray(surest, np.float32),
            mean_length=mean_length,
        )

    def scores(self, text: str) -> np.ndarray:
        """How much of the query's information each row's text holds: (n,) float32 in [0, 1).

        BM25 divided by its largest possible value for this query, so that figures of different queries compare.
        Words no text holds count as missing.
        """
        found = np.zeros(self.n, np.float32)
        total = 0.0
        for _, key, information in self._asked(text):
            total += information
            if key is not None:
                postings = slice(self.starts[key], self.starts[key + 1])
                found[self.rows[postings]] += information * self.weights[postings]
        return found / np.float32(total) if total else found

    def score_of(self, text: str, fields: Sequence[tuple[str, float]]) -> float:
        """What ``scores`` would give a text that is not indexed, with this index's word frequencies."""
        tally: dict[str, float] = {}
        for field, weight in fields:
            for term in terms(field):
                tally[term] = tally.get(term, 0.0) + weight
        norm = K1 * (1 - B + B * sum(tally.values()) / self.mean_length)
        found = total = 0.0
        for term, _, information in self._asked(text):
            total += information
            amount = tally.get(term, 0.0)
            found += information * amount / (amount + norm)
        return found / total if total else 0.0

    def _asked(self, text: str) -> Iterator[tuple[str, int | None, float]]:
        """A query's terms, their keys (None where no text holds one) and the information each carries."""
        unseen_idf = float(np.log1p((self.n + 0.5) / 0.5))
        for term in dict.fromkeys(terms(text)):
            weight = CHARACTER_WEIGHT if is_character(term) else 1.0
            key = self.vocabulary.get(term)
            yield term, key, weight * (unseen_idf if key is None else float(self.idf[key]))

    def save(self, path: Path) -> None:
        words = np.frombuffer("\n".join(self.vocabulary).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(
                file,
                words=words,
                starts=self.starts,
                rows=self.rows,
                weights=self.weights,
                idf=self.idf,
                surest=self.surest,
                mean_length=self.mean_length,
            )

    @classmethod
    def load(cls, path: Path) -> LexicalIndex:
        """Read what ``save`` wrote. Raises IndexUnusable where the file is not that."""
        try:
            # Opened here, since numpy leaves a damaged file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                words = stored["words"].tobytes().decode()
                vocabulary = {word: key for key, word in enumerate(words.split("\n"))} if words else {}
                index = cls(
                    n=len(stored["surest"]),
                    vocabulary=vocabulary,
                    starts=stored["starts"],
                    rows=stored["rows"],
                    weights=stored["weights"],
                    idf=stored["idf"],
                    surest=stored["surest"],
                    mean_length=float(stored["mean_length"]),
                )
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise IndexUnusable(
                f"the word index {path} cannot be read ({error}); delete it to have it rebuilt"
            ) from error
        if len(index.starts) != len(vocabulary) + 1 or len(index.rows) != index.starts[-1]:
            raise IndexUnusable(f"the word index {path} is incomplete; delete it to have it rebuilt")
        return index
