"""Which picture ends up in a slot? The search's best, and the one that the language model and the search agree on.

Every figure's caption is what a slot wants, its section what was written before, and the question is the composer's
own. Each is asked of the library as it is and without the true picture, where the slot should stay empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from composer.evaluation.abstention import auc, query_of
from composer.evaluation.choices import COUNT, found_in
from composer.evaluation.dataset import EvaluationGallery
from composer.evaluation.judges import Progress, Verdict, judge, read_section
from composer.evaluation.report import Measure
from composer.evaluation.selection import accuracy
from composer.pipeline.prompts import Prompts
from composer.pipeline.reranking import slot_question
from composer.pipeline.selection import may_be_chosen, worth
from composer.settings import IllustrationSettings
from retrieval.candidates import Candidate
from retrieval.rerank import Question
from vision.interfaces import JointEncoder, VisionLanguageModel
from vision.training.dataset import Figure

_PLACE_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class WantedPicture:
    """``candidates`` are the search's best, one more than are judged, so that eight remain without the true one.

    ``truth`` is the true one's place among them, None where the search did not find it. ``random`` are others.
    """

    figure: Figure
    candidates: tuple[Candidate, ...]
    truth: int | None
    random: tuple[Candidate, ...] = ()


def wanted_pictures(
    gallery: EvaluationGallery, encoder: JointEncoder, rows: Sequence[int], *, random: int = 0, seed: int = 0
) -> list[WantedPicture]:
    """A slot for each figure of ``rows`` that has a caption and a paragraph before it, with so many random pictures."""
    generator = np.random.default_rng(seed)
    rows = [row for row in rows if gallery.figures[row].caption and gallery.figures[row].before]
    found = found_in(gallery, encoder, [query_of(gallery.figures[row]) for row in rows])
    wanted = []
    for row, known in zip(rows, found.candidates, strict=True):
        best = sorted(known, key=lambda other: -known[other].fused)[: COUNT + 1]
        truth = best.index(row) if row in best else None
        others = sorted(known.keys() - {row, *best})
        drawn = generator.permutation(others)[:random].tolist()
        told, chance = (tuple(known[other] for other in several) for several in (best, drawn))
        wanted.append(WantedPicture(gallery.figures[row], told, truth, chance))
    return wanted


def judge_wanted(
    model: VisionLanguageModel,
    prompts: Prompts,
    wanted: Sequence[WantedPicture],
    *,
    gallery: EvaluationGallery | None = None,
    progress: Progress = lambda *_: None,
) -> list[Verdict]:
    """The model's judgement of all candidates. It looks at the pictures of ``gallery`` where one is given."""

    asked = [(_question(prompts, slot.figure), slot.candidates) for slot in wanted]
    return judge(model, asked, gallery=gallery, progress=progress)


def judge_random(
    model: VisionLanguageModel,
    prompts: Prompts,
    wanted: Sequence[WantedPicture],
    *,
    gallery: EvaluationGallery | None = None,
    progress: Progress = lambda *_: None,
) -> list[np.ndarray]:
    """The model's log-odds for the random pictures of each slot."""
    asked = [(_question(prompts, slot.figure), slot.random) for slot in wanted]
    return [verdict.log_odds for verdict in judge(model, asked, gallery=gallery, progress=progress)]


def measure_wanted(
    wanted: Sequence[WantedPicture], verdicts: Sequence[Verdict], settings: IllustrationSettings
) -> dict[str, Measure]:
    """``slot_first``: how often the true picture is worth most; the others as the pipeline shows pictures.

    References are the search's own figures.
    """
    with_judge = _Outcomes.of(wanted, verdicts, settings)
    by_search = _Outcomes.of(wanted, (), settings)
    measures = {}
    for name in ("first", "right_shown", "wrong_shown", "shown_though_removed"):
        own, reference = getattr(with_judge, name), getattr(by_search, name)
        measures[f"slot_{name}"] = accuracy(own, float(reference.mean()))
        if name == "first":
            measures["slot_first_gain"] = accuracy(own - reference, unit="difference of fractions")
    measures["slot_none_auc"] = Measure(
        auc(with_judge.present, with_judge.removed), "probability", auc(by_search.present, by_search.removed)
    )
    return measures


def gain(wanted: Sequence[WantedPicture], verdicts: Sequence[Verdict], settings: IllustrationSettings) -> float:
    """What these settings are worth a slot: a right picture 1, a wrong one −1; the true one is there half the time."""
    return float(slot_values(wanted, verdicts, settings)[0].mean())


def slot_values(
    wanted: Sequence[WantedPicture], verdicts: Sequence[Verdict], settings: IllustrationSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Slot by slot, what ``gain`` is the mean of, and whether the true picture is worth most."""
    found = _Outcomes.of(wanted, verdicts, settings)
    return (found.right_shown - found.wrong_shown - found.shown_though_removed) / 2, found.first


def _question(prompts: Prompts, figure: Figure) -> Question:
    return slot_question(prompts, "en", figure.before[:_PLACE_CHARACTERS], figure.caption, read_section(figure))


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """A value a slot. ``present`` and ``removed``: what the best picture is worth with the true one and without."""

    first: np.ndarray
    right_shown: np.ndarray
    wrong_shown: np.ndarray
    shown_though_removed: np.ndarray
    present: np.ndarray
    removed: np.ndarray

    @classmethod
    def of(
        cls, wanted: Sequence[WantedPicture], verdicts: Sequence[Verdict], settings: IllustrationSettings
    ) -> _Outcomes:
        rows = []
        for number, slot in enumerate(wanted):
            values, showable = _values(slot.candidates, verdicts[number] if verdicts else None, settings)
            among = range(min(COUNT, len(values)))
            others = [place for place in range(len(values)) if place != slot.truth][:COUNT]
            shown = _shown(values, showable, among)
            rows.append(
                (
                    _best(values, among) == slot.truth,
                    shown is not None and shown == slot.truth,
                    shown is not None and shown != slot.truth,
                    _shown(values, showable, others) is not None,
                    values[list(among)].max(),
                    values[others].max(),
                )
            )
        return cls(*(np.array(column, float) for column in zip(*rows, strict=True)))


def _values(
    candidates: Sequence[Candidate], verdict: Verdict | None, settings: IllustrationSettings
) -> tuple[np.ndarray, np.ndarray]:
    """What each is worth to the pipeline, and whether it may be shown at all."""
    told, none = (candidates, None) if verdict is None else (verdict.candidates, verdict.none_log_prob)
    values = np.array([worth(candidate, none, settings) for candidate in told])
    return values, np.array([may_be_chosen(candidate, settings, frozenset()) for candidate in candidates])


def _best(values: np.ndarray, among: Sequence[int]) -> int:
    """The place of the most valuable; of equals, the one that the search put first."""
    return max(among, key=lambda place: (values[place], -place))


def _shown(values: np.ndarray, showable: np.ndarray, among: Sequence[int]) -> int | None:
    """The place of what the pipeline would show, None where it would rather show nothing."""
    fit = [place for place in among if showable[place] and values[place] > 0]
    return _best(values, fit) if fit else None
