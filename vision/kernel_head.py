"""The joint encoder's picture side as a function of the pictures it was trained on.

What it says near an example follows that example, which a small network between them does not keep. Knows no files and
no towers; needs NumPy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vision.unit import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

KERNEL_PREFIX = "kernel."
_BLOCK = 2_000


@dataclass(frozen=True, slots=True)
class KernelHead:
    """exp(``sharpness`` · (cosine − 1)) to ``examples`` (n, C) of unit length, after ``mean`` (C,) is taken out, times
    ``answers`` (n, D): what kernel ridge regression answers with (Saunders et al., 1998).
    """

    sharpness: float
    mean: Array
    examples: Array
    answers: Array

    def __call__(self, features: Array) -> Array:
        """Pooled features of the tower (n, C) to the joint space (n, D), not normalised."""
        blocks = [features[start : start + _BLOCK] for start in range(0, len(features), _BLOCK)]
        return np.concatenate([self._look(block) for block in blocks])

    def _look(self, features: Array) -> Array:
        directions = unit(unit(features) - self.mean)
        return nearness(directions, self.examples, self.sharpness) @ self.answers

    def rounded(self) -> KernelHead:
        """As it is stored: examples and answers in half precision."""
        return KernelHead.of(self.tensors())

    def tensors(self) -> dict[str, NDArray[np.floating]]:
        """By the names under which ``trained.safetensors`` keeps them."""
        return {
            f"{KERNEL_PREFIX}sharpness": np.array([self.sharpness], np.float32),
            f"{KERNEL_PREFIX}mean": self.mean.astype(np.float32),
            f"{KERNEL_PREFIX}examples": self.examples.astype(np.float16),
            f"{KERNEL_PREFIX}answers": self.answers.astype(np.float16),
        }

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[np.floating]]) -> KernelHead:
        """From ``tensors``, with or without the prefix of their names. Raises KeyError for one that is missing."""
        bare = {name.removeprefix(KERNEL_PREFIX): np.asarray(value, np.float32) for name, value in tensors.items()}
        return cls(float(bare["sharpness"][0]), bare["mean"], bare["examples"], bare["answers"])


def nearness(directions: Array, examples: Array, sharpness: float) -> Array:
    """(n, examples): 1 for an example itself, towards 0 with the angle."""
    values: Array = np.exp(np.float32(sharpness) * (directions @ examples.T - np.float32(1)))
    return values
