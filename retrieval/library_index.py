"""A library as of one revision, made ready for searching: vector indexes, word index and masks.

Everything here is derived and can be thrown away; what takes long to make is kept in the library's ``index`` folder.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from image_db.metadata.record import ImageRecord
from retrieval.candidates import Query
from retrieval.filters import Filters, passes
from retrieval.index import VectorIndex, keep_file
from retrieval.lexical import LexicalIndex, WordMatch
from retrieval.pool import Pool, QueryVectors
from vision.interfaces import EncoderIdentity

INDEX_FOLDER = "index"
KEEP_WORDS_FROM = 20_000  # records; below, indexing the words anew takes about a second
LEXICAL_VERSION = 3  # of tokens and weighting; a new one makes stored word indexes stale
GUESSED_WEIGHT = 0.4  # of a classifier's tag beside a person's word
VISUAL_KINDS = ("visual", "context_visual", "example")  # of QueryVectors, by the space they are compared in
TEXTUAL_KINDS = ("textual", "context_textual")
_MASKS_KEPT = 16


class CollectionVectors(Protocol):
    """Rows of a library; see ``image_db.library.VectorView``."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def visual(self) -> np.ndarray: ...
    @property
    def textual(self) -> np.ndarray: ...
    @property
    def has_text(self) -> np.ndarray: ...
    @property
    def revision(self) -> int: ...


class PictureCollection(Protocol):
    """What searching needs of a library whose vectors can be had as a whole; ``image_db.library.Library`` is one."""

    @property
    def folder(self) -> Path: ...
    @property
    def encoder(self) -> EncoderIdentity: ...
    @property
    def revision(self) -> int: ...
    def matrix(self) -> CollectionVectors:
        """Vectors of all pictures that can be shown."""
        ...

    def records(self) -> Iterator[ImageRecord]:
        """The same pictures in the same order."""
        ...

    def get(self, image_ids: Sequence[str]) -> list[ImageRecord]: ...
    def copies(self) -> Mapping[str, Sequence[Path]]:
        """All files of the pictures that have several."""
        ...


class LibraryIndex:
    """What a search reads. ``described`` (n,) bool marks pictures that a person gave words to.

    Raises LibraryError as the library does, IndexUnusable where vectors do not fit the encoder.
    """

    def __init__(self, library: PictureCollection) -> None:
        self.library = library
        self.vectors = library.matrix()
        self.revision = self.vectors.revision
        self.n = len(self.vectors.ids)
        self._rows = {id_: row for row, id_ in enumerate(self.vectors.ids)}
        self._masks: dict[Filters, np.ndarray] = {}
        self._masking = threading.Lock()  # threads search one snapshot
        folder = library.folder / INDEX_FOLDER
        name = str(self.revision)
        self.visual = VectorIndex.open(self.vectors.visual, "visual", name, library.encoder, folder)
        self.textual = VectorIndex.open(self.vectors.textual, "textual", name, library.encoder, folder)
        self.words = self._open_words(folder)
        self.described = self.words.surest >= 1

    def listed(self, query: Query, most: int) -> list[str]:
        allowed = self.allowed(query.filters, query.exclude, query.without)
        rows = range(self.n) if allowed is None else np.flatnonzero(allowed).tolist()
        return [self.vectors.ids[row] for row in rows[:most]]

    def visual_sample(self, most: int) -> np.ndarray:
        visual = self.vectors.visual
        return np.asarray(visual[:: max(1, -(-self.n // most))], np.float32)

    def visual_of(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        return {self.vectors.ids[row]: np.asarray(self.vectors.visual[row]) for row in self.rows_of(ids)}

    def pools(self, queries: Sequence[Query], vectors: Sequence[QueryVectors], width: int) -> list[Pool]:
        allowed = [self.allowed(query.filters, query.exclude, query.without) for query in queries]
        matches = [(self._match(query), self.words.match(query.context)) for query in queries]
        return [
            self._pool(rows, *words)
            for rows, words in zip(self._propose(queries, vectors, matches, allowed, width), matches, strict=True)
        ]

    def _match(self, query: Query) -> WordMatch:
        found = self.words.match(query.caption)
        return found.or_better(self.words.match(query.english)) if query.english.strip() else found

    def _pool(self, rows: np.ndarray, caption_words: WordMatch, context_words: WordMatch) -> Pool:
        has_vector = np.asarray(self.vectors.has_text[rows], bool)
        return Pool(
            ids=[self.vectors.ids[row] for row in rows],
            described=self.described[rows],
            visual=np.asarray(self.vectors.visual[rows], np.float32),
            textual=np.where(has_vector[:, None], np.asarray(self.vectors.textual[rows], np.float32), np.float32(0)),
            caption_words=caption_words.taken(rows),
            context_words=context_words.taken(rows),
        )

    def _propose(
        self,
        queries: Sequence[Query],
        vectors: Sequence[QueryVectors],
        matches: Sequence[tuple[WordMatch, WordMatch]],
        allowed: Sequence[np.ndarray | None],
        width: int,
    ) -> list[np.ndarray]:
        """Rows worth scoring for each query, rising. Queries with the same restriction share one pass of each index."""
        proposals: list[list[np.ndarray]] = [[] for _ in queries]
        groups: dict[tuple, list[int]] = {}
        for i, query in enumerate(queries):
            groups.setdefault((query.filters, query.exclude, query.without), []).append(i)
        has_text = np.asarray(self.vectors.has_text, bool)
        for members in groups.values():
            mask = allowed[members[0]]
            with_text = None if mask is None and has_text.all() else has_text if mask is None else mask & has_text
            for space, kinds, restriction in (
                (self.visual, VISUAL_KINDS, mask),
                (self.textual, TEXTUAL_KINDS, with_text),
            ):
                asked = [(i, v) for i in members for kind in kinds if (v := getattr(vectors[i], kind)) is not None]
                if asked:
                    _, rows = space.search(np.stack([vector for _, vector in asked]), width, restriction)
                    for (i, _), found in zip(asked, rows, strict=True):
                        proposals[i].append(found[found >= 0])
            for i in members:
                for match in matches[i]:
                    scores = match.shared if mask is None else np.where(mask, match.shared, 0)
                    rows = np.argpartition(-scores, width)[:width] if len(scores) > width else np.arange(len(scores))
                    proposals[i].append(rows[scores[rows] > 0])
        return [np.unique(np.concatenate(found)) if found else np.empty(0, np.int64) for found in proposals]

    def rows_of(self, ids: Sequence[str] | frozenset[str]) -> list[int]:
        """Row numbers of those ids that are in the library."""
        return [self._rows[id_] for id_ in ids if id_ in self._rows]

    def allowed(
        self, filters: Filters, exclude: frozenset[str] = frozenset(), without: tuple[str, ...] = ()
    ) -> np.ndarray | None:
        """Which rows may be found, (n,) bool; None means all. Rows whose words hold a phrase of ``without`` may not."""
        mask = None if filters == Filters() else self._mask(filters)
        gone = [*self.rows_of(exclude), *(row for phrase in without for row in self.words.holding(phrase))]
        if gone:
            mask = np.ones(self.n, bool) if mask is None else mask.copy()
            mask[gone] = False
        return mask

    def _mask(self, filters: Filters) -> np.ndarray:
        with self._masking:
            found = self._masks.get(filters)
            if found is None:
                copies = self.library.copies() if any(each.field == "folder" for each in filters.where) else {}
                fits = (r is not None and passes(r, filters, copies.get(r.id, ())) for r in self._aligned())
                found = np.fromiter(fits, bool, self.n)
                while len(self._masks) >= _MASKS_KEPT:
                    del self._masks[next(iter(self._masks))]
                self._masks[filters] = found
            return found

    def _open_words(self, folder: Path) -> LexicalIndex:
        path = folder / f"words-{LEXICAL_VERSION}-{self.revision}.npz"
        kept = LexicalIndex.load(path) if self.n >= KEEP_WORDS_FROM else None
        if kept is not None and kept.n == self.n:
            return kept
        texts = (fields(record) if record else [] for record in self._aligned())
        built = LexicalIndex.build(texts)
        if self.n >= KEEP_WORDS_FROM and self.library.revision == self.revision:
            keep_file(path, built.save)
        return built

    def _aligned(self) -> Iterator[ImageRecord | None]:
        """One record a row. The library may have changed since: None for what left it, nothing for what is new."""
        row = 0
        for record in self.library.records():
            target = self._rows.get(record.id, -1)
            if target >= row:
                yield from (None for _ in range(target - row))
                yield record
                row = target + 1
        yield from (None for _ in range(self.n - row))


def fields(record: ImageRecord) -> list[tuple[str, float]]:
    """A record's texts with what a word in each is worth; a text given twice counts once."""
    generated = record.caption_origin == "generated"
    said = ["" if generated else record.caption, record.alt, *record.tags, *(text for _, text in record.captions)]
    guessed = [record.caption, *record.guessed_tags] if generated else record.guessed_tags
    return [*((text, 1.0) for text in dict.fromkeys(said)), *((text, GUESSED_WEIGHT) for text in guessed)]
