"""Finds the pictures that fit a query: nearest by looks, by meaning of their words and by the words themselves.

Each kind of evidence proposes its best pictures; the union is scored exactly and fused (``retrieval.fusion``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate, Query
from retrieval.errors import RetrievalError
from retrieval.explanation import explain
from retrieval.fusion import CosineScales, Evidence, FusionWeights, QueryParts, fuse
from retrieval.lexical import WordMatch
from retrieval.library_index import LibraryIndex, PictureCollection
from retrieval.score_scale import measure
from retrieval.tokens import cjk_share
from vision.errors import Phrase
from vision.interfaces import JointEncoder

POOL = 200  # proposals of each kind of evidence; the best of the union is what the whole library would give
_CJK_LANGUAGES = frozenset({"zh", "ja", "ko"})


@dataclass(frozen=True, slots=True)
class _Vectors:
    """A query as vectors; None where it has nothing of the kind or the encoder does not read its language."""

    visual: np.ndarray | None
    textual: np.ndarray | None
    context_visual: np.ndarray | None
    context_textual: np.ndarray | None
    example: np.ndarray | None


class Searcher:
    """Searches one library; follows it as it changes. Threads may share one if the encoder allows it."""

    def __init__(self, library: PictureCollection, encoder: JointEncoder, weights: FusionWeights | None = None) -> None:
        """Raises RetrievalError where the library's vectors were made by another encoder."""
        if library.encoder.sha256 != encoder.identity.sha256:
            names = {"made_by": library.encoder.name, "given": encoder.identity.name}
            raise RetrievalError("encoder_mismatch", library=str(library.folder), **names)
        self.library = library
        self.encoder = encoder
        self.weights = weights or FusionWeights()
        self._state: tuple[LibraryIndex, CosineScales] | None = None
        self._lock = threading.Lock()

    @property
    def index(self) -> LibraryIndex:
        """What is searched, as of the library's present revision; its ``notes`` name anything amiss."""
        return self._current()[0]

    def search(self, query: Query, k: int) -> list[Candidate]:
        """The best k pictures, best first; fewer where the library or the filters leave fewer."""
        return self.search_batch([query], k)[0]

    def search_batch(self, queries: Sequence[Query], k: int, *, explained: bool = True) -> list[list[Candidate]]:
        """``search`` for several queries; their texts are encoded as one batch.

        Without ``explained`` no candidate says why: comparing words takes longer than finding them.
        Equal values keep the library's order. Raises ValueError for a query without caption and example.
        """
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        for query in queries:
            if not query.caption.strip() and not query.english.strip() and query.example is None:
                raise ValueError("a query needs a caption or an example picture")
        index, scales = self._current()
        if index.n == 0 or not queries:
            return [[] for _ in queries]
        vectors = self._encode(queries)
        allowed = [index.allowed(query.filters, query.exclude) for query in queries]
        matches = [(_better(q, index.words.match), index.words.match(q.context)) for q in queries]
        pools = _propose(index, queries, vectors, matches, allowed, max(POOL, 2 * k))
        ranked = []
        for query, vector, words, pool in zip(queries, vectors, matches, pools, strict=True):
            evidence = _gather(index, vector, words, pool)
            fused = fuse(evidence, _query_parts(query, vector), scales, self.weights)
            best = np.argsort(-fused, kind="stable")[:k]
            ranked.append((pool[best], fused[best], [_row_of(evidence, i) for i in best]))
        ids = [index.vectors.ids[row] for rows, _, _ in ranked for row in rows]
        records = iter(self.library.get(ids))
        return [
            [
                _candidate(query, vector, next(records), float(value), scores, explained)
                for value, scores in zip(values, found, strict=True)
            ]
            for query, vector, (_, values, found) in zip(queries, vectors, ranked, strict=True)
        ]

    def visual_vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Unit visual vectors of those pictures that are in the library, for telling them apart."""
        index = self.index
        return {index.vectors.ids[row]: np.asarray(index.vectors.visual[row]) for row in index.rows_of(ids)}

    def _current(self) -> tuple[LibraryIndex, CosineScales]:
        with self._lock:
            if self._state is None or self._state[0].revision != self.library.revision:
                index = LibraryIndex(self.library)
                self._state = (index, measure(self.encoder, index.vectors.visual))
            return self._state

    def _encode(self, queries: Sequence[Query]) -> list[_Vectors]:
        """All texts once each, in one call a space."""
        wanted = {
            text: None
            for query in queries
            for text in (query.wording, query.context.strip())
            if text and self._reads(text)
        }
        texts = list(wanted)
        visual = dict(zip(texts, self.encoder.encode_texts(texts), strict=True)) if texts else {}
        textual = dict(zip(texts, self.encoder.encode_sentences(texts), strict=True)) if texts else {}
        examples = [query.example for query in queries if query.example is not None]
        pictures = iter(self.encoder.encode_images(examples)) if examples else iter(())
        return [
            _Vectors(
                visual=visual.get(query.wording),
                textual=textual.get(query.wording),
                context_visual=visual.get(query.context.strip()),
                context_textual=textual.get(query.context.strip()),
                example=next(pictures) if query.example is not None else None,
            )
            for query in queries
        ]

    def _reads(self, text: str) -> bool:
        """Whether the encoder reads a text, as far as its script tells."""
        languages = self.encoder.languages
        return languages is None or bool(languages & _CJK_LANGUAGES) or cjk_share(text) < 0.3


def _query_parts(query: Query, vectors: _Vectors) -> QueryParts:
    return QueryParts(
        words=bool(query.wording),
        vectors=vectors.visual is not None,
        context=bool(query.context.strip()),
        context_vectors=vectors.context_visual is not None,
        example=vectors.example is not None,
    )


def _propose(
    index: LibraryIndex,
    queries: Sequence[Query],
    vectors: Sequence[_Vectors],
    matches: Sequence[tuple[WordMatch, WordMatch]],
    allowed: Sequence[np.ndarray | None],
    width: int,
) -> list[np.ndarray]:
    """Rows worth scoring for each query, rising. Queries with the same restriction share one pass of each index."""
    proposals: list[list[np.ndarray]] = [[] for _ in queries]
    groups: dict[tuple, list[int]] = {}
    for i, query in enumerate(queries):
        groups.setdefault((query.filters, query.exclude), []).append(i)
    has_text = np.asarray(index.vectors.has_text, bool)
    for members in groups.values():
        mask = allowed[members[0]]
        with_text = None if mask is None and has_text.all() else has_text if mask is None else mask & has_text
        for space, kinds, restriction in (
            (index.visual, ("visual", "context_visual", "example"), mask),
            (index.textual, ("textual", "context_textual"), with_text),
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


def _better(query: Query, match: Callable[[str], WordMatch]) -> WordMatch:
    """The better of the caption's and its English twin's word scores: they are two ways of saying one thing."""
    found = match(query.caption)
    if not query.english.strip():
        return found
    twin = match(query.english)
    return WordMatch(np.maximum(found.shared, twin.shared), np.maximum(found.covered, twin.covered))


def _gather(index: LibraryIndex, vectors: _Vectors, words: tuple[WordMatch, WordMatch], pool: np.ndarray) -> Evidence:
    """Exact scores of the pool, whatever the indexes approximated."""
    has_vector = np.asarray(index.vectors.has_text[pool], bool)
    visual = np.asarray(index.vectors.visual[pool], np.float32)
    textual = np.where(has_vector[:, None], np.asarray(index.vectors.textual[pool], np.float32), 0)
    caption_words, context_words = words
    return Evidence(
        has_text=index.described[pool],
        visual=_cosines(visual, vectors.visual),
        textual=_cosines(textual, vectors.textual),
        lexical=caption_words.shared[pool],
        covered=caption_words.covered[pool],
        context_visual=_cosines(visual, vectors.context_visual),
        context_textual=_cosines(textual, vectors.context_textual),
        context_lexical=context_words.shared[pool],
        context_covered=context_words.covered[pool],
        example=_cosines(visual, vectors.example),
    )


def _cosines(rows: np.ndarray, vector: np.ndarray | None) -> np.ndarray:
    if vector is None:
        return np.zeros(len(rows), np.float32)
    return np.clip(rows @ vector, -1, 1)


def _row_of(evidence: Evidence, i: int) -> tuple[float, float, float]:
    """Visual (the example's where there are no words), textual, example."""
    return float(evidence.visual[i]), float(evidence.textual[i]), float(evidence.example[i])


def _candidate(
    query: Query,
    vectors: _Vectors,
    record: ImageRecord,
    fused: float,
    scores: tuple[float, float, float],
    explained: bool,
) -> Candidate:
    visual, textual, example = scores
    seen = vectors.visual is not None
    why: tuple[Phrase, ...] = ()
    if explained:
        why = explain(
            query,
            record,
            visual=visual if seen else None,
            textual=textual if seen and record.text else None,
            example=example if vectors.example is not None else None,
        )
    return Candidate(record=record, visual=visual if seen else example, textual=textual, fused=fused, why=why)
