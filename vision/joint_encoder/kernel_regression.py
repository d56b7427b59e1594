"""The joint encoder's picture side as a function of the pictures it was trained on.

What it says near an example follows that example, which a small network between them does not keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vision.vectors import columns, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

REGRESSION_PREFIX = "kernel."
_BLOCK_ROWS = 2_000
_STEPS = 127  # of a signed byte


@dataclass(frozen=True, slots=True)
class KernelRegression:
    """exp(``sharpness`` · (cosine − 1)) to ``examples`` (n, C), after ``mean`` (C,) is taken out, times ``answers``
    (n, D): what kernel ridge regression answers with (Saunders et al., 1998).

    Features of several towers stand side by side, ``widths`` columns each, and so do the examples, whose rows have unit
    length in every tower: the cosine is the mean of the towers' cosines.
    """

    sharpness: float
    mean: Array
    examples: Array
    answers: Array
    widths: tuple[int, ...]

    def __call__(self, features: Array) -> Array:
        """Pooled features of the towers (n, C) to the joint space (n, D), not normalised."""
        blocks = [features[start : start + _BLOCK_ROWS] for start in range(0, len(features), _BLOCK_ROWS)]
        return np.concatenate([self._answer(block) for block in blocks])

    def _answer(self, features: Array) -> Array:
        near = nearness(directions(features, self.mean, self.widths), self.examples, self.sharpness, len(self.widths))
        return near @ self.answers

    def rounded(self) -> KernelRegression:
        """As it is stored: examples in bytes, answers in half precision."""
        return KernelRegression.of(self.tensors())

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """By the names under which ``trained.safetensors`` keeps them."""
        largest = np.maximum(np.abs(self.examples).max(1, keepdims=True), np.float32(1e-12))
        steps = (largest / _STEPS).astype(np.float32)
        return {
            f"{REGRESSION_PREFIX}sharpness": np.array([self.sharpness], np.float32),
            f"{REGRESSION_PREFIX}mean": self.mean.astype(np.float32),
            f"{REGRESSION_PREFIX}examples": np.rint(self.examples / steps).astype(np.int8),
            f"{REGRESSION_PREFIX}steps": steps[:, 0],
            f"{REGRESSION_PREFIX}answers": self.answers.astype(np.float16),
            f"{REGRESSION_PREFIX}widths": np.array(self.widths, np.int32),
        }

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[np.generic]]) -> KernelRegression:
        """From ``tensors``, with or without the prefix of their names. Raises KeyError for one that is missing."""
        bare = {name.removeprefix(REGRESSION_PREFIX): np.asarray(value, np.float32) for name, value in tensors.items()}
        examples = bare["examples"] * bare["steps"][:, None]
        widths = tuple(int(width) for width in bare["widths"])
        return cls(float(bare["sharpness"][0]), bare["mean"], examples, bare["answers"], widths)


def directions(features: Array, mean: Array, widths: tuple[int, ...]) -> Array:
    """In each tower's columns a row of unit length without the tower's mean direction. (n, C) as ``features``."""
    towers = zip(columns(features, widths), columns(mean, widths), strict=True)
    return np.concatenate([unit(unit(seen) - usual) for seen, usual in towers], 1)


def nearness(directions: Array, examples: Array, sharpness: float, towers: int) -> Array:
    """(n, examples): 1 for an example itself, towards 0 with the angle."""
    cosines = (directions @ examples.T) / np.float32(towers)
    values: Array = np.exp(np.float32(sharpness) * (cosines - np.float32(1)))
    return values
