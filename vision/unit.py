"""Vectors of unit length, so that products are cosines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


def unit(vectors: Array) -> Array:
    """Rows of unit length; a row of zeros (no signal at all) stays one instead of becoming NaN."""
    out: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return out
