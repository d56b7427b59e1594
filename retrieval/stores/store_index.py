"""Searches a library that a database holds: it proposes, and what it proposes is scored here as from a folder.

Queries go to the store's indexes of looks, of meaning and of words; filters become its expressions. Only the pictures
that are proposed come over the wire, with their vectors and words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter

import numpy as np

from image_db.stores.milvus_library import MilvusLibrary, PictureRow
from retrieval.candidates import Query
from retrieval.lexical import tally_of
from retrieval.library_index import TEXTUAL_KINDS, VISUAL_KINDS, fields
from retrieval.pool import Pool, QueryVectors
from retrieval.stores.store_filters import expression
from retrieval.stores.store_words import AskedWords, saturated
from retrieval.tokens import asked_terms


class StoreIndex:
    """See ``retrieval.pool.SearchIndex``."""

    def __init__(self, library: MilvusLibrary) -> None:
        self._library = library
        self.n = len(library)
        self.revision = library.revision

    def listed(self, query: Query, most: int) -> list[str]:
        return self._library.listed(expression(query, self._library.values), most)

    def visual_sample(self, most: int) -> np.ndarray:
        step = max(1, math.ceil(self.n / most))
        return self._library.sample(range(0, self.n, step))

    def visual_of(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        return self._library.vectors(ids)

    def pools(self, queries: Sequence[Query], vectors: Sequence[QueryVectors], width: int) -> list[Pool]:
        """The store is asked once a space and restriction, and once for the words and pictures of all queries."""
        words = self._asked_words(queries)
        proposed: list[dict[str, None]] = [{} for _ in queries]
        for restriction, members in _grouped(expression(query, self._library.values) for query in queries):
            all_told = self._library.with_text == self.n
            with_text = " and ".join(filter(None, (restriction, "" if all_told else "has_text == true")))
            looks = [(i, v) for i in members for kind in VISUAL_KINDS if (v := getattr(vectors[i], kind)) is not None]
            meant = [(i, v) for i in members for kind in TEXTUAL_KINDS if (v := getattr(vectors[i], kind)) is not None]
            said = [(i, asked.sparse) for i in members for asked in words[i] if asked.sparse]
            for space, asked, allowed in (
                ("visual", looks, restriction),
                ("textual", meant, with_text),
                ("words", said, restriction),
            ):
                found = self._library.search(space, [what for _, what in asked], width, allowed) if self.n else []
                for (i, _), ids in zip(asked, found, strict=bool(self.n)):
                    proposed[i] |= dict.fromkeys(ids)
        rows = {row.id: row for row in self._library.rows(list(dict.fromkeys(id_ for ids in proposed for id_ in ids)))}
        return [
            self._pool(sorted((rows[id_] for id_ in ids), key=attrgetter("place")), *asked)
            for ids, asked in zip(proposed, words, strict=True)
        ]

    def _asked_words(self, queries: Sequence[Query]) -> list[tuple[AskedWords, AskedWords, AskedWords]]:
        """Of each query's caption, English twin and context."""
        texts = [(query.caption, query.english, query.context) for query in queries]
        terms = dict.fromkeys(term for text in chain(*texts) for term in asked_terms(text))
        counts = self._library.word_counts(list(terms)) if terms else {}
        return [
            (
                AskedWords(caption, self.n, counts),
                AskedWords(english, self.n, counts),
                AskedWords(context, self.n, counts),
            )
            for caption, english, context in texts
        ]

    def _pool(self, rows: list[PictureRow], caption: AskedWords, english: AskedWords, context: AskedWords) -> Pool:
        information = np.asarray([row.information for row in rows], np.float32)
        weights = [saturated(tally_of(fields(row.record)), self._library.facts.mean_length) for row in rows]
        words = caption.match(weights, information)
        if english.sparse:
            words = words.or_better(english.match(weights, information))
        return Pool(
            ids=[row.id for row in rows],
            described=np.asarray([row.surest >= 1 for row in rows], bool),
            visual=_stacked(rows, "visual", self._library.encoder.visual_dim),
            textual=_stacked(rows, "textual", self._library.encoder.textual_dim),
            caption_words=words,
            context_words=context.match(weights, information),
        )


def _grouped(keys: Iterable[str]) -> list[tuple[str, list[int]]]:
    """The positions of equal keys."""
    groups: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    return list(groups.items())


def _stacked(rows: Sequence[PictureRow], name: str, dim: int) -> np.ndarray:
    return np.asarray([getattr(row, name) for row in rows], np.float32).reshape(len(rows), dim)
