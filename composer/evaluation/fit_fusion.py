"""Fits the search's fusion weights to what a training run left of books its fits had not seen.

A gallery is one book, its pictures' alt texts are the library's words, and captions, captions with their section, and
sections are the queries; for pictures without words, alt texts and captions. The development split is not used.

The direction of the weights is a conditional logit: the right picture against the others of its gallery, no weight
below zero. Length and offset are Platt's curve through the best-ranked pictures, once with the right picture in the
gallery and once with it taken out, so that ``fused`` of the best candidate is the probability that it is the one meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from composer.evaluation.abstention import Asked, fit_min_fused
from composer.evaluation.conditional_logit import conditional_logit, platt
from retrieval.fusion import BY_LOOKS, DESCRIBED, CosineScales, Evidence, FusionWeights, QueryParts, features, fuse
from retrieval.lexical import LexicalIndex, WordMatch
from retrieval.score_scale import measure
from vision.errors import DataError
from vision.interfaces import JointEncoder
from vision.training.dataset import Figure

_ALONE = ("visual_alone", "context_visual_alone", "offset_alone")
_RIDGE = 1e-3
Vectors = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Example:
    """One query on one gallery of m pictures; ``truth`` is the row of the right one, of which there is one."""

    evidence: Evidence
    parts: QueryParts
    scales: CosineScales
    truth: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """``min_fused`` is where most is gained by captions with their sections, as ``fit_min_fused`` reckons."""

    weights: FusionWeights
    min_fused: float


def fit_fusion(run: Path, figures: Sequence[Figure], progress: Callable[[int, int], None] = lambda *_: None) -> Fitted:
    """``run`` is the folder of a joint encoder's training, ``figures`` those it was trained on.

    Raises DataError where the run left nothing to fit to, or was trained on others.
    """
    from vision.joint_encoder.encoder import load_open_clip_encoder
    from vision.training.joint.train import UNSEEN_FOLDER, VECTORS_FILE

    folder = run / UNSEEN_FOLDER
    if not (folder / VECTORS_FILE).is_file():
        raise DataError("no_vectors_of_run", path=str(folder / VECTORS_FILE), run=str(run))
    with np.load(folder / VECTORS_FILE) as kept:
        vectors = dict(kept)
    if len(vectors["images"]) != len(figures):
        raise DataError("run_of_other_data", run=str(run), pictures=len(vectors["images"]), count=len(figures))

    @cache
    def encoder(fold: int) -> JointEncoder:
        return load_open_clip_encoder(str(folder / str(fold)))

    def scales(rows: np.ndarray) -> CosineScales:
        return measure(encoder(int(vectors["fold"][rows[0]])), vectors["images"][rows])

    return fit_to_galleries(figures, vectors, scales, progress)


def fit_to_galleries(
    figures: Sequence[Figure],
    vectors: Vectors,
    scales: Callable[[np.ndarray], CosineScales],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Fitted:
    """``vectors``: rows of ``images``, and of the figures' texts in the joint space and in that of sentences."""
    books = np.array([figure.book for figure in figures])
    with_words: list[Example] = []
    by_looks: list[Example] = []
    names = sorted(set(books))
    for done, book in enumerate(names, 1):
        rows = np.flatnonzero(books == book)
        told, alone = _examples([figures[int(i)] for i in rows], _take(vectors, rows), scales(rows))
        with_words += told
        by_looks += alone
        progress(done, len(names))
    looks = fit(by_looks)
    weights = replace(fit(with_words), **{name: getattr(looks, name) for name in _ALONE})
    return Fitted(weights, fit_min_fused(_asked(with_words, weights)))


def fit(examples: Sequence[Example], start: FusionWeights | None = None) -> FusionWeights:
    """Weights of pictures with words and of those judged by their looks; the others stay as in ``start``.

    Every example serves both: the second fit forgets what is known of the pictures. Raises DataError for no examples.
    """
    if not examples:
        raise DataError("no_illustrated_articles")
    both = [features(example.evidence, example.parts, example.scales) for example in examples]
    truth = [example.truth for example in examples]
    looks = [name for name in BY_LOOKS if name != "lexical_guessed"]
    columns = [BY_LOOKS.index(name) for name in looks]
    described, offset = _fit_path([rows for rows, _ in both], truth)
    alone, offset_alone = _fit_path([rows[:, columns] for _, rows in both], truth)
    values = dict(zip(DESCRIBED, described, strict=True)) | dict(zip(looks, alone, strict=True))
    return replace(start or FusionWeights(), offset=offset, offset_alone=offset_alone, **values)


def _fit_path(galleries: Sequence[np.ndarray], truth: Sequence[int]) -> tuple[list[float], float]:
    direction = conditional_logit(galleries, truth, _RIDGE)
    tops, right = [], []
    for rows, row in zip(galleries, truth, strict=True):
        scores = rows @ direction
        tops.append(scores.max())
        right.append(scores.argmax() == row)
        if len(scores) > 1:
            tops.append(np.delete(scores, row).max())
            right.append(False)
    slope, offset = platt(np.array(tops), np.array(right, float))
    return [float(value) for value in slope * direction], offset


def _asked(examples: Sequence[Example], weights: FusionWeights) -> Asked:
    """The best picture's value with the right one present and without, of captions with their sections."""
    present, right, removed = [], [], []
    for example in examples:
        if example.parts.context and len(example.evidence.visual) > 1:
            values = fuse(example.evidence, example.parts, example.scales, weights)
            present.append(values.max())
            right.append(int(values.argmax()) == example.truth)
            removed.append(np.delete(values, example.truth).max())
    return Asked(np.array(present), np.array(right), np.array(removed))


def _take(vectors: Vectors, rows: np.ndarray) -> Vectors:
    return {name: values[rows] for name, values in vectors.items()}


def _examples(figures: Sequence[Figure], vectors: Vectors, scales: CosineScales) -> tuple[list[Example], list[Example]]:
    """For pictures with words, and for those judged by their looks."""
    index = LexicalIndex.build([[(figure.alt, 1.0)] for figure in figures])
    nothing = np.zeros(len(figures), np.float32)
    no_words = WordMatch(nothing, nothing, nothing)
    no_context = (nothing, nothing, no_words)
    plain, in_context = QueryParts(True, True, False, False, False), QueryParts(True, True, True, True, False)

    def scores(kind: str, row: int, text: str) -> tuple[np.ndarray, np.ndarray, WordMatch]:
        return (
            vectors["images"] @ vectors[f"joint_{kind}"][row],
            vectors["alts"] @ vectors[kind][row],
            index.match(text),
        )

    def example(
        row: int,
        asked: tuple[np.ndarray, np.ndarray, WordMatch],
        around: tuple[np.ndarray, np.ndarray, WordMatch],
        parts: QueryParts,
    ) -> Example:
        (visual, textual, words), (near_visual, near_textual, near_words) = asked, around
        evidence = Evidence(
            np.ones(len(figures), bool), visual, textual, words.shared, words.covered,
            near_visual, near_textual, near_words.shared, near_words.covered, nothing,
        )  # fmt: skip
        return Example(evidence, parts, scales, row)

    told: list[Example] = []
    alone: list[Example] = []
    for row, figure in enumerate(figures):
        around = scores("sections", row, figure.section)
        told.append(example(row, around, no_context, plain))
        # A description is no query for its own words; its looks it may be asked for.
        alone.append(example(row, (scores("alts", row, figure.alt)[0], nothing, no_words), no_context, plain))
        if figure.caption:
            caption = scores("captions", row, figure.caption)
            captioned = [example(row, caption, no_context, plain), example(row, caption, around, in_context)]
            told += captioned
            alone += captioned
    return told, alone
