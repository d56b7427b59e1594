"""Words from pixels: what the image tower's own ImageNet classifier sees in a picture.

For pictures that nobody wrote anything about. The labels are guesses and are to be marked as such. torch comes only
with the first picture.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vision.joint_encoder.checkpoint import IMAGE_TOWER

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from vision.joint_encoder.open_clip import ImageTower

    Array = NDArray[np.float32]


class ImageLabeller:
    """EfficientNet-Lite2 with its classifier, 77.6 % right on ImageNet-1k. May be shared by threads."""

    def __init__(self) -> None:
        """Raises WeightsError where the tower is not on this machine."""
        from vision.downloads.store import locate

        locate(IMAGE_TOWER)
        self._loaded: tuple[ImageTower, Array, Array] | None = None
        self._loading = threading.Lock()

    def guess(self, images: Sequence[Image], min_confidence: float = 0.3) -> list[tuple[str, ...]]:
        """For each RGB picture the labels at least so probable, surest first; often none, and rightly so.

        Raises ValueError for a confidence outside (0, 1].
        """
        if not 0 < min_confidence <= 1:
            raise ValueError(f"min_confidence is {min_confidence}; it must be in (0, 1]")
        if not images:
            return []
        names = label_names()
        return [
            tuple(dict.fromkeys(names[i] for i in np.argsort(-row, kind="stable") if row[i] >= min_confidence))
            for row in self.probabilities(images)
        ]

    def probabilities(self, images: Sequence[Image]) -> Array:
        """(n, 1000), rows sum to 1, in the order of ``label_names``."""
        tower, weight, bias = self._parts()
        logits = tower.encode(images) @ weight.T + bias
        logits -= logits.max(1, keepdims=True)
        odds = np.exp(logits)
        out: Array = odds / odds.sum(1, keepdims=True)
        return out

    def _parts(self) -> tuple[ImageTower, Array, Array]:
        with self._loading:
            if self._loaded is None:
                from vision.joint_encoder.efficientnet import read_trunk
                from vision.joint_encoder.open_clip import pooled_tower

                trunk = read_trunk(IMAGE_TOWER)
                tower = pooled_tower(IMAGE_TOWER, "squash")
                self._loaded = tower, trunk["classifier.weight"], trunk["classifier.bias"]
            return self._loaded


@lru_cache(maxsize=1)
def label_names() -> tuple[str, ...]:
    """The 1,000 classes of ImageNet-1k in their order, as people call them (open_clip's curated list)."""
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    return tuple(IMAGENET_CLASSNAMES)
