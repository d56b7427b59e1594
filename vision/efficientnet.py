"""Reads the fetched EfficientNet-Lite2 file under the names timm gives its tensors.

The file (weights of the EfficientNet-Lite-PyTorch project) and timm's ``tf_efficientnet_lite2`` hold the same
tensors in the same order under different names; shapes are checked one by one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vision.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TIMM_NAME = "tf_efficientnet_lite2"


def read_trunk(file: Path) -> dict[str, NDArray[np.float32]]:
    """The whole network, classifier included, by timm's names. Raises ModelError where the file does not fit."""
    import timm
    import torch

    stored = torch.load(file, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        wanted = timm.create_model(TIMM_NAME, pretrained=False).state_dict()
    fits = len(stored) == len(wanted) and all(
        a.shape == b.shape for a, b in zip(stored.values(), wanted.values(), strict=True)
    )
    if not fits:
        raise ModelError(
            f"{file} does not hold the weights of {TIMM_NAME}; run: vignette models pull efficientnet-lite2"
        )
    return {name: value.numpy() for name, value in zip(wanted, stored.values(), strict=True)}
