"""Does the right picture win among eight? By retrieval, by the language model, and by both as the pipeline fuses them.

``selection_pixels`` knows nothing but the pictures, ``selection_texts`` the library's words (here: alt texts) as well.
The first is judged against retrieval by looks alone, the second against the same language model reading the words
alone. Ties count against the right picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from composer.evaluation.choices import COUNT, NEGATIVES, Choice, Found, make_choices, search_sections
from composer.evaluation.dataset import EvaluationGallery
from composer.evaluation.judges import Progress, Verdict, judge, question_about
from composer.evaluation.report import Measure
from composer.pipeline.selection import worth
from composer.settings import IllustrationSettings
from retrieval.candidates import Candidate
from vision.interfaces import JointEncoder, VisionLanguageModel
from vision.training.metrics import bootstrap


@dataclass(frozen=True, slots=True)
class Judged:
    """Everything known of the look-alike choices: what retrieval found and, where a model was asked, its verdicts."""

    choices: tuple[Choice, ...]
    texts: tuple[tuple[Candidate, ...], ...]
    pixels: tuple[tuple[Candidate, ...], ...]
    by_texts: tuple[Verdict, ...] = ()
    by_looking: tuple[Verdict, ...] = ()
    by_both: tuple[Verdict, ...] = ()


def judge_selection(
    gallery: EvaluationGallery,
    encoder: JointEncoder,
    rows: Sequence[int],
    *,
    model: VisionLanguageModel | None = None,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> tuple[Judged, dict[str, Measure]]:
    """Ask about the figures ``rows``; the measures are those of retrieval alone, for every kind of wrong picture."""
    figures = [gallery.figures[row] for row in rows]
    with_texts = search_sections(gallery, encoder, figures)
    by_looks = search_sections(gallery.without_texts(), encoder, figures)
    measures: dict[str, Measure] = {}
    judged: Judged | None = None
    for kind in NEGATIVES:
        choices = make_choices(gallery, rows, with_texts, kind, seed)
        prefix = "selection_" if kind == "look_alikes" else f"selection_{kind}_"
        for name, found in (("pixels", by_looks), ("texts", with_texts)):
            right = hits(choices, [found.fused(q, choice.rows) for q, choice in enumerate(choices)])
            measures[f"{prefix}{name}_retrieval"] = accuracy(right, 1 / COUNT)
        if kind == "look_alikes":
            judged = Judged(tuple(choices), _candidates(with_texts, choices), _candidates(by_looks, choices))
    assert judged is not None  # look-alikes are among the kinds
    if model is None:
        return judged, measures
    questions = [question_about(choice) for choice in judged.choices]

    def asked(several: Sequence[Sequence[Candidate]], look_in: EvaluationGallery | None = None) -> tuple[Verdict, ...]:
        pairs = list(zip(questions, several, strict=True))
        return tuple(judge(model, pairs, gallery=look_in, progress=progress))

    judged = replace(judged, by_texts=asked(judged.texts))
    if model.sees_images:
        judged = replace(judged, by_looking=asked(judged.pixels, gallery), by_both=asked(judged.texts, gallery))
    return judged, measures


def measure_selection(judged: Judged, settings: IllustrationSettings) -> dict[str, Measure]:
    """The headline figures and their parts. Without a model both are retrieval's alone, and have no reference."""
    choices = judged.choices
    measures: dict[str, Measure] = {}
    pixels = hits(choices, fused_values(judged.pixels, (), settings))
    texts = hits(choices, fused_values(judged.texts, (), settings))
    if not judged.by_texts:
        return {"selection_pixels": accuracy(pixels), "selection_texts": accuracy(texts)}
    parts = {
        "texts_model": judged.by_texts,
        "looking_model": judged.by_looking,
        "both_model": judged.by_both,
    }
    right = {name: hits(choices, [v.log_odds for v in verdicts]) for name, verdicts in parts.items() if verdicts}
    measures.update({f"selection_{name}": accuracy(values, 1 / COUNT) for name, values in right.items()})
    # A model that cannot look is not asked about pictures without words (``composer.pipeline.reranking``).
    systems = {
        "pixels": (hits(choices, fused_values(judged.pixels, judged.by_looking, settings)), pixels),
        "texts": (
            hits(choices, fused_values(judged.texts, judged.by_both or judged.by_texts, settings)),
            right["texts_model"],
        ),
    }
    for name, (values, reference) in systems.items():
        measures[f"selection_{name}"] = accuracy(values, float(reference.mean()))
        measures[f"selection_{name}_gain"] = accuracy(values - reference, unit="difference of fractions")
    return measures


def fused_values(
    candidates: Sequence[Sequence[Candidate]], verdicts: Sequence[Verdict], settings: IllustrationSettings
) -> list[np.ndarray]:
    """What each picture is worth to the pipeline, choice by choice; by retrieval alone without verdicts."""
    if not verdicts:
        return [np.array([worth(c, None, settings) for c in several]) for several in candidates]
    values = []
    for several, verdict in zip(candidates, verdicts, strict=True):
        told = [replace(c, log_prob=v.log_prob) for c, v in zip(several, verdict.candidates, strict=True)]
        values.append(np.array([worth(c, verdict.none_log_prob, settings) for c in told]))
    return values


def hits(choices: Sequence[Choice], scores: Sequence[np.ndarray]) -> np.ndarray:
    """1 where the right picture alone scores best, else 0."""
    right = []
    for choice, values in zip(choices, scores, strict=True):
        others = np.delete(np.asarray(values, float), choice.truth)
        right.append(float(values[choice.truth] > others.max()))
    return np.array(right)


def accuracy(values: np.ndarray, reference: float | None = None, unit: str = "fraction") -> Measure:
    result = bootstrap(values, lambda v: float(v.mean()))
    return Measure(result.value, unit, reference, result.low, result.high)


def _candidates(found: Found, choices: Sequence[Choice]) -> tuple[tuple[Candidate, ...], ...]:
    return tuple(tuple(found.of(query, choice.rows)) for query, choice in enumerate(choices))
