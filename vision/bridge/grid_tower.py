"""Vision towers without their heads: pictures in, a grid of features out, for a bridge to read.

A tower is named ``efficientnet-lite2`` (the one Vignette fetches), ``timm:NAME`` or ``open_clip:NAME[:PRETRAINED]``;
any trunk of those libraries will do. Import it lazily: torch and timm come with it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vision.errors import ModelError
from vision.interfaces import ModelIdentity
from vision.joint_encoder.open_clip import preprocess, state_sha256

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    Array = NDArray[np.float32]
    Transform = Callable[[Image], torch.Tensor]
    Grid = Callable[[torch.Tensor], torch.Tensor]

EMBEDDED = "efficientnet-lite2"
_BATCH = 16


class VisionTower:
    """(B, 3, H, W) pixels → (B, N, D) features, in reading order and without class tokens. Frozen.

    ``tokens`` is N and ``width`` D for the pictures its own transform makes.
    """

    def __init__(
        self, identity: ModelIdentity, module: torch.nn.Module, grid: Grid, transform: Transform, device: str = "cpu"
    ) -> None:
        self.identity = identity
        self._device = torch.device(device)
        self._module = module.eval().requires_grad_(False).to(self._device).to(memory_format=torch.channels_last)
        self._grid = grid
        self._transform = transform
        from PIL import Image as PIL

        self.tokens, self.width = self.features([PIL.new("RGB", (32, 32))]).shape[1:]

    def grid(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W), normalised as the tower was trained → (B, N, D)."""
        with torch.inference_mode():
            return self._grid(pixels.to(self._device, memory_format=torch.channels_last))

    def features(self, images: Sequence[Image]) -> Array:
        """RGB pictures of any size → (n, N, D) float32."""
        parts = []
        for start in range(0, len(images), _BATCH):
            pixels = torch.stack([self._transform(image) for image in images[start : start + _BATCH]])
            parts.append(self.grid(pixels).float().cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, self.tokens, self.width), np.float32)


def load_tower(name: str, device: str = "cpu") -> VisionTower:
    """Raises ModelError for a tower nobody knows, WeightsError where the embedded one is not on this machine."""
    if name == EMBEDDED:
        return _embedded(device)
    kind, _, rest = name.partition(":")
    if kind == "timm" and rest:
        return _timm(rest, device)
    if kind == "open_clip" and rest:
        model, _, pretrained = rest.partition(":")
        return _open_clip(model, pretrained or None, device)
    raise ModelError("tower_unknown", tower=name)


def timm_grid(trunk: Any, features: torch.Tensor) -> torch.Tensor:
    """What a timm trunk's ``forward_features`` gives, as (B, N, D): maps of either layout, or tokens."""
    if features.dim() == 4:
        channels_first = features.shape[1] == trunk.num_features
        return features.flatten(2).transpose(1, 2) if channels_first else features.flatten(1, 2)
    return features[:, getattr(trunk, "num_prefix_tokens", 0) :]


def _embedded(device: str) -> VisionTower:
    """EfficientNet-Lite2 at 260 px: 9 × 9 places of 1280 features, pictures squashed to a square."""
    from vision.downloads.store import manifest
    from vision.joint_encoder.efficientnet import TOWERS, build_trunk

    trunk: Any = build_trunk(EMBEDDED)
    transform = preprocess(TOWERS[EMBEDDED].preprocess_cfg())
    return _timm_tower(EMBEDDED, manifest()[EMBEDDED].files[0].sha256, trunk, transform, device)


def _timm(name: str, device: str, *, pretrained: bool = True) -> VisionTower:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm
        from timm.data import create_transform, resolve_model_data_config
    try:
        trunk = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelError("tower_not_loaded", tower=f"timm:{name}", reason=str(error)) from error
    transform = create_transform(**resolve_model_data_config(trunk), is_training=False)
    return _timm_tower(f"timm:{name}", state_sha256(trunk), trunk, transform, device)


def _timm_tower(name: str, sha256: str, trunk: Any, transform: Transform, device: str) -> VisionTower:
    def grid(pixels: torch.Tensor) -> torch.Tensor:
        return timm_grid(trunk, trunk.forward_features(pixels))

    return VisionTower(ModelIdentity(name, sha256), trunk, grid, transform, device)


def _open_clip(name: str, pretrained: str | None, device: str) -> VisionTower:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import open_clip
    full_name = f"open_clip:{name}" + (f":{pretrained}" if pretrained else "")
    try:
        model, transform = open_clip.create_model_from_pretrained(name, pretrained)
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelError("tower_not_loaded", tower=full_name, reason=str(error)) from error
    visual = model.visual
    if not hasattr(visual, "forward_intermediates"):
        raise ModelError("tower_without_grid", tower=full_name)

    def grid(pixels: torch.Tensor) -> torch.Tensor:
        # The last block but one, as LLaVA takes CLIP (arXiv:2304.08485): the last serves the class token alone.
        found = visual.forward_intermediates(
            pixels, indices=2, normalize_intermediates=True, intermediates_only=True, output_fmt="NLC"
        )
        first: torch.Tensor = found["image_intermediates"][0]
        return first

    return VisionTower(ModelIdentity(full_name, state_sha256(visual)), visual, grid, transform, device)
