"""Fits how much the language model's judgement counts beside retrieval.

A conditional logit over the search's best candidates for a wanted picture, with two columns: the search's log-odds and
the model's, bounded as the pipeline bounds them. The share of the second weight is the profile's ``judge_weight``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from composer.errors import UsageError
from composer.evaluation.abstention import THRESHOLDS
from composer.evaluation.conditional_logit import conditional_logit
from composer.evaluation.judges import Verdict
from composer.evaluation.report import Measure
from composer.evaluation.slot_filling import WantedPicture, gain
from composer.pipeline.selection import MAX_JUDGEMENT
from composer.settings import IllustrationSettings
from retrieval.candidates import log_odds
from vision.errors import DataError
from vision.training.metrics import bootstrap

_RIDGE = 0.01  # a choice; both weights stay finite where one column decides everything


def fit_judge_weight(wanted: Sequence[WantedPicture], verdicts: Sequence[Verdict]) -> dict[str, Measure]:
    """``judge_weight`` with its bootstrap interval over the slots whose true picture the search found.

    Raises UsageError where the model was not asked, DataError where the search found none.
    """
    if not verdicts:
        raise UsageError("fit_needs_judge")
    rows, truth = [], []
    for slot, verdict in zip(wanted, verdicts, strict=True):
        if slot.truth is None:
            continue
        found = np.array([log_odds(c.fused) for c in slot.candidates])
        judgement = np.clip(verdict.log_odds, -MAX_JUDGEMENT, MAX_JUDGEMENT)
        rows.append(np.stack([found, judgement], axis=1))
        truth.append(slot.truth)
    if not rows:
        raise DataError("none_found_to_fit")
    stacked, right = np.array(rows), np.array(truth)
    result = bootstrap(np.arange(len(right)), lambda draw: share(stacked[draw], right[draw]), resamples=200)
    return {"judge_weight": Measure(result.value, "share", None, result.low, result.high)}


def fit_least_fused(
    wanted: Sequence[WantedPicture], verdicts: Sequence[Verdict], settings: IllustrationSettings
) -> dict[str, Measure]:
    """The ``min_fused`` that gains most beside this ``judge_weight``, the smallest of equals, and what it gains a slot.

    References are the settings' own.
    """
    gains = {least: gain(wanted, verdicts, replace(settings, min_fused=least)) for least in THRESHOLDS}
    best = max(gains, key=lambda least: (gains[least], -least))
    return {
        "min_fused": Measure(best, "fused", settings.min_fused),
        "slot_gain": Measure(gains[best], "right less wrong, a slot", gain(wanted, verdicts, settings)),
    }


def share(rows: np.ndarray, truth: np.ndarray) -> float:
    """The second column's part of the weights that make the right rows most likely; ``rows`` is (choices, n, 2)."""
    first, second = conditional_logit(list(rows), truth, _RIDGE)
    return float(second / (first + second)) if first + second > 0 else 0.0
