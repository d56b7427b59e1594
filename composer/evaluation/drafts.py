"""Are drafts of pictures good words to search by? Alt texts and captions that people wrote look for them, without
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from composer.evaluation.dataset import EvaluationGallery
from composer.evaluation.report import Measure
from composer.evaluation.retrieval import recalls
from vision.bridge.plain_words import is_plain, is_plain_word
from vision.interfaces import JointEncoder
from vision.training.metrics import ranks_of_targets


def measure_drafts(
    drafted: EvaluationGallery, labelled: EvaluationGallery, encoder: JointEncoder
) -> dict[str, Measure]:
    """``drafted`` and ``labelled`` hold the same pictures, with drafts and with a classifier's labels for words; the
    labels' figures are the references. ``drafts_not_plain`` is the share of drafts with a name, a number or a
    quotation.
    """
    figures = drafted.figures
    captioned = np.flatnonzero([bool(figure.caption) for figure in figures])
    queries = {
        "alt": (encoder.encode_sentences([figure.alt for figure in figures]), np.arange(len(figures))),
        "caption": (encoder.encode_sentences([figures[row].caption for row in captioned]), captioned),
    }
    measures: dict[str, Measure] = {}
    for kind, (vectors, targets) in queries.items():
        if not len(targets):
            continue
        by_labels = recalls(f"draft_{kind}", ranks_of_targets(vectors @ labelled.textual.T, targets))
        by_drafts = recalls(f"draft_{kind}", ranks_of_targets(vectors @ drafted.textual.T, targets))
        for name, measure in by_drafts.items():
            reference = by_labels[name].value
            measures[name] = Measure(measure.value, measure.unit, reference, measure.low, measure.high)
    records = list(drafted.records())
    measures["drafts_silent"] = Measure(_share([not record.caption for record in records]), "fraction")
    plain = [_is_plain(record.caption, record.guessed_tags) for record in records]
    measures["drafts_not_plain"] = Measure(_share([not value for value in plain]), "fraction")
    return measures


def _is_plain(sentence: str, tags: Sequence[str]) -> bool:
    return is_plain(sentence) and all(is_plain_word(tag) for tag in tags)


def _share(values: Sequence[bool]) -> float:
    return float(np.mean(values))
