from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from composer.evaluation.fit_fusion import Example, fit
from retrieval.fusion import (
    BY_LOOKS,
    DESCRIBED,
    CosineScale,
    CosineScales,
    Evidence,
    FusionWeights,
    QueryParts,
    evidence_log_odds,
    fuse,
)
from vision.errors import DataError

SCALES = CosineScales(CosineScale(0.0, 0.1), CosineScale(0.0, 0.1), CosineScale(0.0, 0.1))
PARTS = QueryParts(words=True, vectors=True, context=True, context_vectors=True, example=False)
TRUE = replace(
    FusionWeights(), visual=0.5, textual=1.5, lexical=0.8, covered=2.0,
    context_visual=0.0, context_textual=0.3, context_lexical=0.2, context_covered=0.0,
)  # fmt: skip


def gallery(chance: np.random.Generator, m: int) -> Evidence:
    cosines = (0.1 * chance.standard_normal((4, m))).astype(np.float32)
    words = chance.uniform(0, 1, (4, m)).astype(np.float32)
    return Evidence(
        np.ones(m, bool), cosines[0], cosines[1], 3 * words[0], words[1], cosines[2], cosines[3], 3 * words[2],
        words[3], np.zeros(m, np.float32),
    )  # fmt: skip


def simulated(n: int, m: int = 40, seed: int = 0) -> list[Example]:
    """Queries whose right picture is drawn as the weights TRUE say."""
    chance = np.random.default_rng(seed)
    examples = []
    for _ in range(n):
        evidence = gallery(chance, m)
        scores = evidence_log_odds(evidence, PARTS, SCALES, TRUE)
        odds = np.exp(scores - scores.max())
        examples.append(Example(evidence, PARTS, SCALES, int(chance.choice(m, p=odds / odds.sum()))))
    return examples


def test_the_proportions_of_known_weights_are_found_again() -> None:
    fitted = fit(simulated(1500))
    found = np.array([getattr(fitted, name) for name in DESCRIBED])
    meant = np.array([getattr(TRUE, name) for name in DESCRIBED])
    assert found @ meant / np.linalg.norm(found) / np.linalg.norm(meant) > 0.99
    assert found == pytest.approx(meant * (found @ meant) / (meant @ meant), abs=0.2 * found.max())


def test_evidence_that_misleads_gets_no_weight() -> None:
    turned = [
        replace(
            e, evidence=replace(e.evidence, textual=-e.evidence.textual, context_textual=-e.evidence.context_textual)
        )
        for e in simulated(300)
    ]
    fitted = fit(turned)
    assert fitted.textual == fitted.context_textual == 0
    assert fitted.covered > 0


def test_fused_values_of_the_best_say_how_often_they_are_right() -> None:
    weights = fit(simulated(1500))
    values, right = [], []
    for example in simulated(1500, seed=1):
        fused = fuse(example.evidence, PARTS, SCALES, weights)
        values += [fused.max(), np.delete(fused, example.truth).max()]
        right += [fused.argmax() == example.truth, False]
    order = np.argsort(values)
    for part in np.array_split(order, 5):
        assert np.mean(np.array(values)[part]) == pytest.approx(np.mean(np.array(right)[part]), abs=0.08)


def test_what_the_examples_do_not_tell_stays_as_it_was() -> None:
    start = FusionWeights(example=3.3, offset_example=-1.1, lexical_guessed=0.7, lexical_unread=2.2)
    fitted = fit(simulated(50), start)
    for name in ("example", "offset_example", "lexical_guessed", "lexical_unread", "offset_unread"):
        assert getattr(fitted, name) == getattr(start, name)
    assert all(getattr(fitted, name) >= 0 for name in (*DESCRIBED, *BY_LOOKS))


def test_the_same_examples_give_the_same_weights() -> None:
    assert fit(simulated(60)) == fit(simulated(60))


def test_no_examples_are_refused() -> None:
    with pytest.raises(DataError, match="no_illustrated_articles"):
        fit([])
