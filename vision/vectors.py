"""Vectors of unit length, so that products are cosines, one by one or several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


def columns(features: Array, widths: Sequence[int]) -> Iterator[Array]:
    """Each tower's part of features that stand side by side, ``widths`` columns each."""
    start = 0
    for width in widths:
        yield features[..., start : start + width]
        start += width


def unit(vectors: Array) -> Array:
    """Rows of unit length; a row of zeros (no signal at all) stays one instead of becoming NaN."""
    out: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return out
