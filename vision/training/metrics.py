"""How well queries find what they should: recall, ranks and how sure one may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ranks = NDArray[np.int64]


_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its 95 % bootstrap interval over queries."""

    value: float
    low: float
    high: float


def ranks_of_targets(scores: NDArray[np.floating], targets: NDArray[np.integer]) -> Ranks:
    """1-based rank of each query's own item. ``scores``: (queries, gallery); ``targets``: (queries,) indices.

    Ties count against the query: items that score like the target, to the rounding of float32 products, stand before
    it, so constant scores are worth the last place and not the first.
    """
    own = scores[np.arange(len(scores)), targets][:, None]
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinity; ranks of such would be meaningless")
    ranks: Ranks = (scores >= own - _ROUNDING).sum(1)
    return ranks


def recall_at(ranks: Ranks, k: int) -> float:
    """Part of the queries whose item is among the first k."""
    return float((ranks <= k).mean())


def mrr_at(ranks: Ranks, k: int) -> float:
    """Mean reciprocal rank, 0 for an item after the first k."""
    return float(np.where(ranks <= k, 1 / ranks, 0).mean())


def median_rank(ranks: Ranks) -> float:
    return float(np.median(ranks))


def bootstrap(values: Ranks, figure: Callable[[Ranks], float], *, resamples: int = 1000, seed: int = 0) -> Measured:
    """The figure of all queries, and the 2.5 % and 97.5 % quantiles over resampled ones (Efron's percentile method)."""
    generator = np.random.default_rng(seed)
    draws = [figure(values[generator.integers(0, len(values), len(values))]) for _ in range(resamples)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Measured(figure(values), float(low), float(high))
