"""Does the pipeline leave a place empty when nothing fits? Libraries with the true picture and with it removed.

Every figure is asked for twice, by its caption and section as the pipeline asks. A good pipeline shows the true
picture where the library has it and nothing where it does not. By retrieval alone: what the language model adds
is measured in ``composer.evaluation.selection``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from composer.evaluation.choices import found_in
from composer.evaluation.dataset import EvaluationGallery
from composer.evaluation.report import Measure
from composer.evaluation.selection import accuracy
from retrieval.candidates import Query
from vision.interfaces import JointEncoder
from vision.training.dataset import Figure

THRESHOLDS = tuple(round(0.02 * k, 2) for k in range(1, 50))
WRONGLY_EMPTY = (0.1, 0.2, 0.3)


@dataclass(frozen=True, slots=True)
class Asked:
    """``fused`` of the best picture for each figure, (n,), and whether it is the true one where that is present."""

    present: np.ndarray
    right: np.ndarray  # bool
    removed: np.ndarray


def query_of(figure: Figure) -> Query:
    """As the pipeline asks: what the picture shows, with title and section around it."""
    return Query(caption=figure.caption or figure.section, context=figure.section if figure.caption else "")


def ask_with_and_without(gallery: EvaluationGallery, encoder: JointEncoder) -> Asked:
    found = found_in(gallery, encoder, [query_of(figure) for figure in gallery.figures])
    every = range(len(gallery.figures))
    present, right, removed = [], [], []
    for row in every:
        fused = found.fused(row, every)
        present.append(fused.max())
        right.append(int(fused.argmax()) == row)
        removed.append(np.delete(fused, row).max())
    return Asked(np.array(present), np.array(right), np.array(removed))


def measure_abstention(asked: Asked, min_fused: float) -> dict[str, Measure]:
    """``none_auc`` is the chance that the best picture of a library with the true one scores above that of one without.

    The ``none_…`` shares are those at ``min_fused``; ``none_empty_when_removed_atNN`` are points of the ROC: how often
    a place is rightly left empty at the threshold that leaves NN % wrongly empty.
    """
    empty_removed, empty_present = asked.removed < min_fused, asked.present < min_fused
    measures = {
        "none_auc": Measure(auc(asked.present, asked.removed), "probability", 0.5),
        "none_empty_when_removed": accuracy(empty_removed.astype(float)),
        "none_empty_when_present": accuracy(empty_present.astype(float)),
        "none_right_when_present": accuracy((~empty_present & asked.right).astype(float)),
        "none_wrong_when_present": accuracy((~empty_present & ~asked.right).astype(float)),
    }
    for share in WRONGLY_EMPTY:
        threshold = np.quantile(asked.present, share)
        name = f"none_empty_when_removed_at{round(100 * share)}"
        measures[name] = accuracy((asked.removed < threshold).astype(float), share)
    return measures


def fit_min_fused(asked: Asked) -> float:
    """The threshold at which most is gained, a right picture being worth what a wrong one costs; the true one is
    there half the time. The smallest of equals.
    """
    gains = []
    for threshold in THRESHOLDS:
        shown = asked.present >= threshold
        right = (shown & asked.right).sum()
        wrong = (shown & ~asked.right).sum() + (asked.removed >= threshold).sum()
        gains.append(right - wrong)
    return THRESHOLDS[int(np.argmax(gains))]


def auc(higher: Sequence[float] | np.ndarray, lower: Sequence[float] | np.ndarray) -> float:
    """Probability that one of ``higher`` exceeds one of ``lower``; ties count half."""
    a, b = np.asarray(higher, float)[:, None], np.asarray(lower, float)[None]
    return float((a > b).mean() + (a == b).mean() / 2)
