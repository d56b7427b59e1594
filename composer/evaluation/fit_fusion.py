"""Fits the search's fusion weights to what a training run left of books its fits had not seen.

A gallery is one book, its pictures' alt texts are the library's words, and captions, captions with their section, and
sections are the queries; for pictures without words, alt texts and captions. The development split is not used. Prints
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from composer.evaluation.abstention import Asked, fit_min_fused
from retrieval.fit_fusion import Example, fit
from retrieval.fusion import Background, Evidence, FusionWeights, Spoken, fuse
from retrieval.lexical import LexicalIndex, WordMatch
from retrieval.score_scale import measure
from vision.errors import DataError
from vision.interfaces import JointEncoder
from vision.training.dataset import Figure

_ALONE = ("visual_alone", "context_visual_alone", "offset_alone")
Vectors = Mapping[str, np.ndarray]


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
        raise DataError(f"{folder / VECTORS_FILE} is missing; run: vignette train joint --data DATA --out {run}")
    with np.load(folder / VECTORS_FILE) as kept:
        vectors = dict(kept)
    if len(vectors["images"]) != len(figures):
        raise DataError(
            f"{run} was trained on {len(vectors['images'])} pictures, --data has {len(figures)}; name the same data"
        )

    @cache
    def encoder(fold: int) -> JointEncoder:
        return load_open_clip_encoder(str(folder / str(fold)))

    def background(rows: np.ndarray) -> Background:
        return measure(encoder(int(vectors["fold"][rows[0]])), vectors["images"][rows])

    return fit_to_galleries(figures, vectors, background, progress)


def fit_to_galleries(
    figures: Sequence[Figure],
    vectors: Vectors,
    background: Callable[[np.ndarray], Background],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Fitted:
    """``vectors``: rows of ``images``, and of the figures' texts in the joint space and in that of sentences."""
    books = np.array([figure.book for figure in figures])
    with_words: list[Example] = []
    by_looks: list[Example] = []
    names = sorted(set(books))
    for done, book in enumerate(names, 1):
        rows = np.flatnonzero(books == book)
        told, alone = _examples([figures[int(i)] for i in rows], _take(vectors, rows), background(rows))
        with_words += told
        by_looks += alone
        progress(done, len(names))
    looks = fit(by_looks)
    weights = replace(fit(with_words), **{name: getattr(looks, name) for name in _ALONE})
    return Fitted(weights, fit_min_fused(_asked(with_words, weights)))


def _asked(examples: Sequence[Example], weights: FusionWeights) -> Asked:
    """The best picture's value with the right one present and without, of captions with their sections."""
    present, right, removed = [], [], []
    for example in examples:
        if example.spoken.context and len(example.evidence.visual) > 1:
            values = fuse(example.evidence, example.spoken, example.background, weights)
            present.append(values.max())
            right.append(int(values.argmax()) == example.truth)
            removed.append(np.delete(values, example.truth).max())
    return Asked(np.array(present), np.array(right), np.array(removed))


def _take(vectors: Vectors, rows: np.ndarray) -> Vectors:
    return {name: values[rows] for name, values in vectors.items()}


def _examples(
    figures: Sequence[Figure], vectors: Vectors, background: Background
) -> tuple[list[Example], list[Example]]:
    """For pictures with words, and for those judged by their looks."""
    index = LexicalIndex.build([[(figure.alt, 1.0)] for figure in figures])
    nothing = np.zeros(len(figures), np.float32)
    no_words = WordMatch(nothing, nothing)
    no_context = (nothing, nothing, no_words)
    plain, in_context = Spoken(True, True, False, False, False), Spoken(True, True, True, True, False)

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
        spoken: Spoken,
    ) -> Example:
        (visual, textual, words), (near_visual, near_textual, near_words) = asked, around
        evidence = Evidence(
            np.ones(len(figures), bool), visual, textual, words.shared, words.covered,
            near_visual, near_textual, near_words.shared, near_words.covered, nothing,
        )  # fmt: skip
        return Example(evidence, spoken, background, row)

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
