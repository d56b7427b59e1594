"""Fits how much a judge counts beside the search, and says what it adds to the search alone.

First its log-odds are calibrated, because models differ in how readily they say yes: Platt's curve between the true
pictures and random ones for the same slots, at even odds, so that 0 is what speaks for neither. Then a conditional
logit over the search's best candidates for each slot, with the search's log-odds and the judge's as columns; the
judge's share of the two weights is its weight. What it adds, slots whose true picture comes first, is measured on
articles left out of both fits, and the weight is shrunk by how sure that is: by the positive part of 1 − (standard
error / gain)² (James and Stein, "Estimation with quadratic loss", 1961), which is 0 where looking loses or may as
well. It is 0, too, where the pictures that would be shown are surely worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from composer.evaluation.abstention import THRESHOLDS, auc
from composer.evaluation.conditional_logit import conditional_logit, platt
from composer.evaluation.judges import Verdict
from composer.evaluation.report import Measure
from composer.evaluation.selection import accuracy
from composer.evaluation.slot_filling import WantedPicture, gain, measure_wanted, slot_values
from composer.pipeline.selection import MAX_JUDGEMENT
from composer.settings import IllustrationSettings, JudgeFit
from retrieval.candidates import log_odds
from vision.errors import DataError

_RIDGE = 0.01  # a choice; both weights stay finite where one column decides everything
_FOLDS = 5
_UNITS = ("right less wrong, a slot", "difference of fractions")  # of gains


@dataclass(frozen=True, slots=True)
class JudgedSlots:
    """Slots, the judge's verdicts on their candidates, and its log-odds for random pictures, (n,) each."""

    wanted: Sequence[WantedPicture]
    verdicts: Sequence[Verdict]
    random: Sequence[np.ndarray]

    def of(self, places: Sequence[int]) -> JudgedSlots:
        return JudgedSlots(
            [self.wanted[i] for i in places], [self.verdicts[i] for i in places], [self.random[i] for i in places]
        )

    @property
    def true(self) -> np.ndarray:
        """The judge's log-odds for the true pictures that the search found."""
        pairs = zip(self.wanted, self.verdicts, strict=True)
        return np.array([verdict.log_odds[slot.truth] for slot, verdict in pairs if slot.truth is not None])


def fit_judge(slots: JudgedSlots, settings: IllustrationSettings) -> tuple[JudgeFit, dict[str, Measure]]:
    """``judge_weight`` is shrunk, its reference the settings' own. ``slot_gain`` and ``slot_first_gain`` are what the
    judge adds to slots of articles left out of the fit.

    Raises DataError where the search found no true picture.
    """
    fitted = with_judge(slots, settings)
    search = replace(settings, judge_weight=0.0)
    gains, firsts = np.zeros(len(slots.wanted)), np.zeros(len(slots.wanted))
    for rest, left_out in _folds(slots):
        asked = slots.of(left_out)
        there = with_judge(slots.of(rest), settings)
        for into, values in zip((gains, firsts), _differences(asked, there, search), strict=True):
            into[left_out] = values
    added, first = (accuracy(values, unit=unit) for values, unit in zip((gains, firsts), _UNITS, strict=True))
    low, high, most = (float(bound or 0) for bound in (first.low, first.high, added.high))
    weight = fitted.judge_weight * certainty(firsts) if most >= 0 else 0.0
    fitted = replace(fitted, judge_weight=weight)
    fit = JudgeFit(weight, fitted.judge_slope, fitted.judge_offset, first.value, low, high, len(slots.wanted))
    random, zero = np.concatenate(slots.random), -fit.offset / fit.slope
    measures = {
        "judge_weight": Measure(weight, "share", settings.judge_weight),
        "judge_slope": Measure(fit.slope, "times", settings.judge_slope),
        "judge_offset": Measure(fit.offset, "log-odds", settings.judge_offset),
        "judge_true_over_random": Measure(auc(slots.true, random), "probability", 0.5),
        "judge_yes_to_random": Measure(float((random > zero).mean()), "fraction", float((random > 0).mean())),
        "slot_gain": added,
        "slot_first_gain": first,
    }
    shown = measure_wanted(slots.wanted, slots.verdicts, fitted)
    shown.pop("slot_first_gain")  # measured on what the fit has seen
    return fit, measures | shown | fit_least_fused(slots.wanted, slots.verdicts, fitted)


def with_judge(slots: JudgedSlots, settings: IllustrationSettings) -> IllustrationSettings:
    """The settings with weight, slope and offset fitted to the slots. Raises DataError as ``fit_judge``."""
    true, random = slots.true, np.concatenate(slots.random)
    if not len(true):
        raise DataError("none_found_to_fit")
    slope, offset = platt(np.concatenate([true, random]), np.repeat([1.0, 0.0], [len(true), len(random)]))
    offset += float(np.log(len(random) / len(true)))
    rows, right = [], []
    for slot, verdict in zip(slots.wanted, slots.verdicts, strict=True):
        if slot.truth is not None:
            found = np.array([log_odds(candidate.fused) for candidate in slot.candidates])
            judged = np.clip(slope * verdict.log_odds + offset, -MAX_JUDGEMENT, MAX_JUDGEMENT)
            rows.append(np.stack([found, judged], axis=1))
            right.append(slot.truth)
    weight = share(np.array(rows), np.array(right))
    return replace(settings, judge_weight=weight, judge_slope=float(slope), judge_offset=float(offset))


def certainty(gains: np.ndarray) -> float:
    """From 0, where the mean of the gains is no more than chance, to 1, where it is sure."""
    mean, error = float(gains.mean()), float(gains.std(ddof=1)) / len(gains) ** 0.5
    return max(0.0, 1 - (error / mean) ** 2) if mean > 0 else 0.0


def share(rows: np.ndarray, truth: np.ndarray) -> float:
    """The second column's part of the weights that make the right rows most likely; ``rows`` is (choices, n, 2)."""
    first, second = conditional_logit(list(rows), truth, _RIDGE)
    return float(second / (first + second)) if first + second > 0 else 0.0


def fit_least_fused(
    wanted: Sequence[WantedPicture], verdicts: Sequence[Verdict], settings: IllustrationSettings
) -> dict[str, Measure]:
    """The ``min_fused`` that gains most beside this ``judge_weight``, the smallest of equals.

    The reference is the settings' own.
    """
    gains = {least: gain(wanted, verdicts, replace(settings, min_fused=least)) for least in THRESHOLDS}
    best = max(gains, key=lambda least: (gains[least], -least))
    return {"min_fused": Measure(best, "fused", settings.min_fused)}


def _differences(
    slots: JudgedSlots, judging: IllustrationSettings, search: IllustrationSettings
) -> tuple[np.ndarray, np.ndarray]:
    """What the judge adds to each slot: right pictures less wrong ones, and true pictures that come first."""
    (value, first), (by_search, first_found) = (
        slot_values(slots.wanted, slots.verdicts, settings) for settings in (judging, search)
    )
    return value - by_search, first - first_found


def _folds(slots: JudgedSlots) -> Iterator[tuple[list[int], list[int]]]:
    """Slots to fit on and slots left out, by articles where there are several."""
    groups = [slot.figure.article for slot in slots.wanted]
    if len(set(groups)) == 1:
        groups = [str(place) for place in range(len(groups))]
    names = np.random.default_rng(0).permutation(sorted(set(groups))).tolist()
    for fold in range(min(_FOLDS, len(names))):
        out = set(names[fold::_FOLDS])
        left_out = [place for place, group in enumerate(groups) if group in out]
        yield [place for place, group in enumerate(groups) if group not in out], left_out
