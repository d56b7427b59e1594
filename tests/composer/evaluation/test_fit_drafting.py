"""The weights of a draft's sentence are those that the labelled sentences give, and tell on articles held back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from composer.evaluation.fit_drafting import LabelledSentences, fit, held_back_odds, read_labels
from composer.pipeline.writing.drafting import BIAS, WEIGHTS
from vision.joint_encoder.encoder import load_embedded_encoder

LABELS = Path(__file__).parents[3] / "docs" / "research" / "draft-labels.jsonl"


@pytest.fixture(scope="module")
def labels(model_path: Callable[[str], Path]) -> LabelledSentences:
    model_path("minilm-l6-v2")
    return read_labels(LABELS, load_embedded_encoder(device="cpu").encode_sentences)


def test_the_shipped_weights_are_those_of_the_labels(labels: LabelledSentences) -> None:
    weights, bias = fit(labels.features, labels.fine)
    assert np.round(weights, 2).tolist() == pytest.approx(WEIGHTS.tolist(), abs=0.06)
    assert bias == pytest.approx(BIAS, abs=0.06)


def test_what_is_kept_of_articles_held_back_is_better_than_the_rest(labels: LabelledSentences) -> None:
    odds = held_back_odds(labels)
    kept = odds > np.quantile(odds, 0.65)
    assert labels.fine[kept].mean() > labels.fine.mean() + 0.15
