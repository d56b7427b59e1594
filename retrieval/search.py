"""Finds the pictures that fit a query: nearest by looks, by meaning of their words and by the words themselves.

Each kind of evidence proposes its best pictures; the union is scored exactly and fused (``retrieval.fusion``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np

from image_db.metadata.record import ImageRecord
from image_db.stores.milvus_library import MilvusLibrary
from retrieval.candidates import Candidate, Query
from retrieval.errors import RetrievalError
from retrieval.explanation import explain
from retrieval.filters import Filters
from retrieval.fusion import CosineScales, Evidence, FusionWeights, QueryParts, fuse, meaning_log_odds
from retrieval.library_index import LibraryIndex, PictureCollection
from retrieval.pool import Pool, QueryVectors, SearchIndex
from retrieval.score_scale import PROBES, SAMPLE, measure, read_probes
from retrieval.stores.store_index import StoreIndex
from retrieval.tokens import latin_share
from vision.errors import Phrase
from vision.interfaces import JointEncoder

LISTED = 1_000_000  # a person looks at fewer, and a library may hold more than fits into memory
POOL = 200  # proposals of each kind of evidence; the best of the union is what the whole library would give
MOSTLY_NAMED = 0.5  # of a query's information: from here on a picture fits by its words
# Half of the unrelated sentences find nothing that fits by looks and meaning (docs/research/search.md).
BAR_QUANTILE = 0.5
# In a library of fewer pictures the bar is what the best of so many like them would reach: the best of six is no match.
BAR_PICTURES = 50
SearchedLibrary: TypeAlias = PictureCollection | MilvusLibrary
_CJK_LANGUAGES = frozenset({"zh", "ja", "ko"})


@dataclass(frozen=True, slots=True)
class _Scored:
    """Pictures scored for one query: their ids, and for each its evidence, ``fused``, the part of the query that its
    words name, and what looks and meaning alone say for it, as log-odds.
    """

    query: Query
    vectors: QueryVectors
    ids: list[str]
    evidence: Evidence
    fused: np.ndarray
    named: np.ndarray
    meaning: np.ndarray

    def best(self, k: int, among: np.ndarray | None = None) -> np.ndarray:
        """The places of the k best, best first; ``among`` rising places, or all."""
        if among is None:
            return np.argsort(-self.fused, kind="stable")[:k]
        best: np.ndarray = among[np.argsort(-self.fused[among], kind="stable")[:k]]
        return best

    def candidate(self, i: int, record: ImageRecord, explained: bool) -> Candidate:
        """Row i; ``visual`` is the example's where there are no words."""
        visual, textual, example = (
            float(values[i]) for values in (self.evidence.visual, self.evidence.textual, self.evidence.example)
        )
        seen = self.vectors.visual is not None
        why: tuple[Phrase, ...] = ()
        if explained:
            why = explain(
                self.query,
                record,
                visual=visual if seen else None,
                textual=textual if seen and record.text else None,
                example=example if self.vectors.example is not None else None,
            )
        return Candidate(record, visual if seen else example, textual, float(self.fused[i]), why=why)


@dataclass(slots=True)
class _State:
    """A library as of one revision, and what is measured of it; ``bar`` when it is first needed."""

    index: SearchIndex
    scales: CosineScales
    bar: float | None = None


class Searcher:
    """Searches one library; follows it as it changes. Threads may share one if the encoder allows it."""

    def __init__(self, library: SearchedLibrary, encoder: JointEncoder, weights: FusionWeights | None = None) -> None:
        """Raises RetrievalError where the library's vectors were made by another encoder."""
        if library.encoder.sha256 != encoder.identity.sha256:
            names = {"made_by": library.encoder.name, "given": encoder.identity.name}
            raise RetrievalError("encoder_mismatch", library=str(library.folder), **names)
        self.library = library
        self.encoder = encoder
        self.weights = weights or FusionWeights()
        self._state: _State | None = None
        self._lock = threading.Lock()

    def search(self, query: Query, k: int) -> list[Candidate]:
        """The best k pictures, best first; fewer where the library or the filters leave fewer."""
        return self.search_batch([query], k)[0]

    def search_batch(self, queries: Sequence[Query], k: int, *, explained: bool = True) -> list[list[Candidate]]:
        """``search`` for several queries; their texts are encoded as one batch.

        Without ``explained`` no candidate says why: comparing words takes longer than finding them.
        Equal values keep the library's order. Raises ValueError for a query without caption and example.
        """
        return self._candidates([(scored, scored.best(k)) for scored in self._score(queries, k)], explained)

    def find(self, query: Query, k: int) -> list[Candidate]:
        """``search`` for a person who looks at what comes: only pictures that fit, so none where none does.

        A picture fits where its words name most of what the query asks for, or where looks and meaning say more for it
        than for what sentences about other things find in this library: the best of many is better than that of few.
        With an example everything fits, since something is always most like it. Raises as ``search_batch``.
        """
        (scored,) = self._score([query], k)
        fits = np.ones(len(scored.ids), bool)
        if query.example is None:
            fits = (scored.named > MOSTLY_NAMED) | (scored.meaning > self._bar())
        return self._candidates([(scored, scored.best(k, np.flatnonzero(fits)))], True)[0]

    def listed(self, query: Query) -> list[Candidate]:
        """The pictures that the query's filters let through, in the library's order: for one without words.

        LISTED at most.
        """
        ids = self._current().index.listed(query, LISTED)
        return [Candidate(record, 0.0, 0.0, 0.0) for record in self.library.get(ids)]

    def passes(self, filters: Filters) -> bool:
        """Whether the filters let any picture through."""
        return bool(self._current().index.listed(Query("", filters=filters), 1))

    def _score(self, queries: Sequence[Query], k: int) -> list[_Scored]:
        """The pictures worth scoring for each query."""
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        for query in queries:
            if not query.caption.strip() and not query.english.strip() and query.example is None:
                raise ValueError("a query needs a caption or an example picture")
        state = self._current()
        vectors = self._encode(queries) if state.index.n else [QueryVectors() for _ in queries]
        return self._score_vectors(state, queries, vectors, max(POOL, 2 * k))

    def _score_vectors(
        self, state: _State, queries: Sequence[Query], vectors: Sequence[QueryVectors], width: int
    ) -> list[_Scored]:
        scored = []
        for query, vector, proposed in zip(queries, vectors, state.index.pools(queries, vectors, width), strict=True):
            pool = _not_alike(vector, proposed)
            evidence = _gather(vector, pool)
            parts = _query_parts(query, vector)
            fused = fuse(evidence, parts, state.scales, self.weights)
            meaning = np.full(len(pool.ids), -np.inf)
            if vector.visual is not None:
                meaning = meaning_log_odds(evidence, parts, state.scales, self.weights)
            scored.append(_Scored(query, vector, pool.ids, evidence, fused, pool.caption_words.named, meaning))
        return scored

    def _candidates(self, ranked: Sequence[tuple[_Scored, np.ndarray]], explained: bool) -> list[list[Candidate]]:
        records = iter(self.library.get([scored.ids[i] for scored, best in ranked for i in best]))
        return [[scored.candidate(int(i), next(records), explained) for i in best] for scored, best in ranked]

    def _bar(self) -> float:
        """What looks and meaning say for the best picture of an unrelated sentence, as log-odds; see BAR_QUANTILE."""
        state = self._current()
        if state.bar is None:
            texts, sentences = read_probes(self.encoder)
            vectors = [QueryVectors(visual=v, textual=t) for v, t in zip(texts, sentences, strict=True)]
            found = self._score_vectors(state, [Query(probe) for probe in PROBES], vectors, POOL)
            state.bar = _bar([scored.meaning for scored in found if scored.ids])
        return state.bar

    def visual_vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Unit visual vectors of those pictures that are in the library, for telling them apart."""
        return self._current().index.visual_of(ids)

    def _current(self) -> _State:
        with self._lock:
            if self._state is None or self._state.index.revision != self.library.revision:
                index = _open_index(self.library)
                self._state = _State(index, measure(self.encoder, index.visual_sample(SAMPLE)))
            return self._state

    def _encode(self, queries: Sequence[Query]) -> list[QueryVectors]:
        """All texts once each, in one call a space."""
        wanted = {
            text: None
            for query in queries
            for text in (query.wording, query.context.strip(), *query.without)
            if text and self.reads(text)
        }
        texts = list(wanted)
        visual = _known(texts, self.encoder.encode_texts(texts)) if texts else {}
        textual = _known(texts, self.encoder.encode_sentences(texts)) if texts else {}
        examples = [query.example for query in queries if query.example is not None]
        pictures = iter(self.encoder.encode_images(examples)) if examples else iter(())
        return [
            QueryVectors(
                visual=visual.get(query.wording),
                textual=textual.get(query.wording),
                context_visual=visual.get(query.context.strip()),
                context_textual=textual.get(query.context.strip()),
                example=next(pictures) if query.example is not None else None,
                without=tuple(visual[phrase] for phrase in query.without if phrase in visual),
            )
            for query in queries
        ]

    def reads(self, text: str) -> bool:
        """Whether the encoder reads a text, as far as its script tells."""
        languages = self.encoder.languages
        return languages is None or bool(languages & _CJK_LANGUAGES) or latin_share(text) > 0.7


def _bar(found: Sequence[np.ndarray]) -> float:
    """The bar by what looks and meaning say for the pictures that each of the unrelated sentences finds."""
    if not found:
        return -np.inf
    bar = float(np.quantile([values.max() for values in found], BAR_QUANTILE))
    if max(map(len, found)) < BAR_PICTURES:
        every = np.concatenate(found)
        deviations = NormalDist().inv_cdf(BAR_QUANTILE ** (1 / BAR_PICTURES))
        bar = max(bar, float(every.mean() + deviations * every.std()))
    return bar


def _open_index(library: SearchedLibrary) -> SearchIndex:
    """FAISS over the vectors of a folder; a store searches for itself."""
    return StoreIndex(library) if isinstance(library, MilvusLibrary) else LibraryIndex(library)


def _known(texts: Sequence[str], vectors: np.ndarray) -> dict[str, np.ndarray]:
    """The texts with their vectors, but for those that are zero: the encoder knows no word of them."""
    return {text: vector for text, vector in zip(texts, vectors, strict=True) if vector.any()}


def _not_alike(vectors: QueryVectors, pool: Pool) -> Pool:
    """The pool without those pictures that have no words and look more like what they should not show."""
    if vectors.visual is None or not vectors.without or not pool.ids:
        return pool
    cosines = pool.visual @ np.stack((vectors.visual, *vectors.without)).T
    alike = cosines[:, 1:].max(1) > cosines[:, 0]
    return pool.taken(pool.described | ~alike)


def _query_parts(query: Query, vectors: QueryVectors) -> QueryParts:
    return QueryParts(
        words=bool(query.wording),
        vectors=vectors.visual is not None,
        context=bool(query.context.strip()),
        context_vectors=vectors.context_visual is not None,
        example=vectors.example is not None,
    )


def _gather(vectors: QueryVectors, pool: Pool) -> Evidence:
    """Exact scores of the pool, whatever the indexes approximated."""
    return Evidence(
        has_text=pool.described,
        visual=_cosines(pool.visual, vectors.visual),
        textual=_cosines(pool.textual, vectors.textual),
        lexical=pool.caption_words.shared,
        covered=pool.caption_words.covered,
        context_visual=_cosines(pool.visual, vectors.context_visual),
        context_textual=_cosines(pool.textual, vectors.context_textual),
        context_lexical=pool.context_words.shared,
        context_covered=pool.context_words.covered,
        example=_cosines(pool.visual, vectors.example),
    )


def _cosines(rows: np.ndarray, vector: np.ndarray | None) -> np.ndarray:
    if vector is None:
        return np.zeros(len(rows), np.float32)
    return np.clip(rows @ vector, -1, 1)
