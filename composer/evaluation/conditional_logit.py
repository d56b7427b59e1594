"""Two fits to choices whose right option is known: weights of its evidence, and a probability of its score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_LEAST_SLOPE = 0.01  # order survives where scores say nothing


def conditional_logit(
    choices: Sequence[np.ndarray],
    targets: Sequence[np.ndarray | int] | np.ndarray,
    ridge: float,
    *,
    signed: bool = False,
) -> np.ndarray:
    """Weights (f,) that make the right rows of every ``choices[i]`` (m_i, f) most likely; none below 0 unless signed.

    ``targets[i]`` is the row that is right, or how right each row is (m_i,), summing to 1. ``ridge`` a choice keeps a
    weight finite that one column alone could decide. McFadden, "Conditional logit analysis of qualitative choice
    behavior" (1974).
    """
    from scipy.optimize import minimize

    rows = np.concatenate(choices).astype(np.float64)
    sizes = [len(options) for options in choices]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    each = [t if np.ndim(t) else np.eye(size)[t] for t, size in zip(targets, sizes, strict=True)]
    true = np.concatenate(each) @ rows / len(sizes)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = rows @ weights
        top = np.maximum.reduceat(scores, starts)
        odds = np.exp(scores - np.repeat(top, sizes))
        total = np.add.reduceat(odds, starts)
        expected = (odds / np.repeat(total, sizes)) @ rows / len(sizes)
        value = (top + np.log(total)).mean() - true @ weights + ridge / 2 * weights @ weights
        return float(value), expected - true + ridge * weights

    dim = rows.shape[1]
    bounds = None if signed else [(0, None)] * dim
    options = {"ftol": 1e-10}
    found = minimize(loss, np.full(dim, 0.1), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(found.x)


def platt(scores: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logistic curve from scores to the probability of being right.

    Platt, "Probabilistic outputs for support vector machines" (1999): targets are drawn in from 0 and 1, which keeps
    the slope finite where scores separate perfectly.
    """
    from scipy.optimize import minimize

    positive, negative = right.sum(), len(right) - right.sum()
    target = np.where(right > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    centre, spread = scores.mean(), scores.std()
    if spread <= 1e-9 * (1 + abs(centre)):  # all the same but for rounding
        spread = 1.0
    scaled = (scores - centre) / spread

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        odds = line[0] * scaled + line[1]
        error = 1 / (1 + np.exp(-np.clip(odds, -60, 60))) - target
        return float((np.logaddexp(0, odds) - target * odds).mean()), np.array([(error * scaled).mean(), error.mean()])

    found = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    slope = max(float(found[0]) / spread, _LEAST_SLOPE)
    return slope, float(found[1] - slope * centre)
