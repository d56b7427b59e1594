"""Both sides of an open_clip model as torch runs them.

Import it lazily: torch, torchvision, timm and transformers come with it. Vectors leave it
as NumPy arrays, not normalised.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vision.downloads.checkpoints import hub_failure
from vision.errors import ModelError
from vision.joint_encoder.efficientnet import TOWERS, build_trunk
from vision.joint_encoder.hub_files import HUB
from vision.joint_encoder.kernel_regression import REGRESSION_PREFIX, KernelRegression
from vision.joint_encoder.precision import autocast, tower_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from vision.joint_encoder.checkpoint import Checkpoint

    Array = NDArray[np.float32]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # timm and open_clip deprecate their own imports
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

IMAGE_BATCH, TEXT_BATCH = 8, 64  # 16 pictures take 140 MB more on a CPU, and no less time (docs/research/search.md)
GPU_IMAGE_BATCH = 128


class ImageTower:
    """Pictures to the joint space. ``visual`` is open_clip's image tower with its projection."""

    def __init__(self, visual: torch.nn.Module, transform: Callable[[Image], torch.Tensor], device: str) -> None:
        # Convolutions run about twice as fast on channels-last memory, and nothing else minds.
        self._visual = visual.eval().to(device).to(memory_format=torch.channels_last)
        self._transform = transform
        self._device = torch.device(device)
        self._dtype = tower_dtype(self._device)

    def encode(self, images: Sequence[Image]) -> Array:
        out = []
        on_gpu = self._device.type == "cuda"
        batch = GPU_IMAGE_BATCH if on_gpu else IMAGE_BATCH
        for start in range(0, len(images), batch):
            pixels = torch.stack([self._transform(image) for image in images[start : start + batch]])
            if on_gpu:  # out of pinned memory the card fetches by itself
                pixels = pixels.pin_memory()
            pixels = pixels.to(self._device, memory_format=torch.channels_last, non_blocking=on_gpu)
            with torch.inference_mode(), autocast(self._dtype, self._device):
                out.append(self._visual(pixels).float().cpu().numpy())
        return np.concatenate(out)


class TextTower:
    """Texts to the joint space, through open_clip's own tokenizer and model."""

    def __init__(self, model: torch.nn.Module, tokenizer: Callable[[list[str]], torch.Tensor], device: str) -> None:
        self._encode: Callable[[torch.Tensor], torch.Tensor] = model.encode_text  # type: ignore[assignment]
        self._tokenizer = tokenizer
        self._device = torch.device(device)
        self._dtype = tower_dtype(self._device)

    def encode(self, texts: Sequence[str]) -> Array:
        out = []
        for start in range(0, len(texts), TEXT_BATCH):
            tokens = self._tokenizer(list(texts[start : start + TEXT_BATCH])).to(self._device)
            with torch.inference_mode(), autocast(self._dtype, self._device):
                out.append(self._encode(tokens).float().cpu().numpy())
        return np.concatenate(out)

    def sentences(self, texts: Sequence[str]) -> Array:
        return self.encode(texts)


class RegressionTower:
    """Pictures to the joint space through several towers and a regression that open_clip has no place for."""

    def __init__(self, towers: Sequence[ImageTower], regression: KernelRegression) -> None:
        self._towers, self._regression = tuple(towers), regression

    def encode(self, images: Sequence[Image]) -> Array:
        return self._regression(np.concatenate([tower.encode(images) for tower in self._towers], 1))


def image_tower(checkpoint: Checkpoint, device: str) -> ImageTower | RegressionTower:
    """The image side alone of a checkpoint on disk, its regression where it has one. Its text side is never built."""
    if regression := checkpoint.tensors(REGRESSION_PREFIX):
        towers = [pooled_tower(name, checkpoint.resize_mode, device) for name in checkpoint.image_towers]
        return RegressionTower(towers, KernelRegression.of(regression))
    visual = build_visual(checkpoint.model_cfg)
    load_exactly(visual, checkpoint.tensors("visual."), checkpoint.name)
    return ImageTower(visual, _transform(checkpoint), device)


def pooled_tower(name: str, resize_mode: str, device: str = "cpu") -> ImageTower:
    """A fetched tower before any projection: pictures to (n, 1280). Raises WeightsError where it is not here."""
    return ImageTower(build_trunk(name), preprocess(TOWERS[name].preprocess_cfg(resize_mode)), device)


def _transform(checkpoint: Checkpoint) -> Callable[[Image], torch.Tensor]:
    size = {"size": checkpoint.model_cfg["vision_cfg"].get("image_size", 224)}
    return preprocess(size | checkpoint.preprocess_cfg)


def build_visual(model_cfg: dict[str, Any]) -> torch.nn.Module:
    """open_clip's image tower with random weights."""
    # open_clip builds both sides or none: give it the smallest text side there is.
    least = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
    more = {key: value for key, value in model_cfg.items() if key == "quick_gelu"}
    built = open_clip.CustomTextCLIP(model_cfg["embed_dim"], dict(model_cfg["vision_cfg"]), least, **more)
    visual: torch.nn.Module = built.visual
    return visual


def load_exactly(module: torch.nn.Module, tensors: dict[str, Array], name: str) -> None:
    """Raises ModelError where a tensor is missing, left over or of another shape."""
    try:
        module.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in tensors.items()})
    except RuntimeError as error:
        raise ModelError("weights_do_not_fit", name=name, reason=str(error)) from error


def preprocess(config: dict[str, Any]) -> Callable[[Image], torch.Tensor]:
    """open_clip's own inference transform for a ``preprocess_cfg``."""
    known = PreprocessCfg.__dataclass_fields__
    transform: Callable[[Image], torch.Tensor] = image_transform_v2(
        PreprocessCfg(**{key: value for key, value in config.items() if key in known}), is_train=False
    )
    return transform


def whole_model(name: str, pretrained: str | None, device: str) -> tuple[ImageTower, TextTower, dict[str, Any], str]:
    """Any model open_clip can make: both sides, its configuration, and the hash of its weights.

    Raises ModelError with open_clip's reason and what to name instead.
    """
    builtin = name.replace("/", "-")
    if ":" not in name and open_clip.get_model_config(builtin) is None:
        near = get_close_matches(builtin, open_clip.list_models(), 5, cutoff=0.3)
        raise ModelError("open_clip_near" if near else "open_clip_unknown", name=name, near=near)
    try:
        model, transform = open_clip.create_model_from_pretrained(name, pretrained, device=device)
        tokenizer = open_clip.get_tokenizer(name)
        config = open_clip.get_model_config(name if ":" in name else builtin)
    except (RuntimeError, OSError, ValueError) as error:
        if name.startswith(HUB) and (lost := hub_failure(name.removeprefix(HUB), error)).key != "hub_fetch_failed":
            raise lost from error
        tags = open_clip.list_pretrained_tags_by_model(builtin)
        key = "open_clip_tags" if tags else "open_clip_cannot_load"
        shown = f"{name} {pretrained}" if pretrained else name
        raise ModelError(key, name=shown, reason=str(error), tags=tags) from error
    model.eval()
    hashed = state_sha256(model)
    return ImageTower(model.visual, transform, device), TextTower(model, tokenizer, device), config, hashed


def state_sha256(model: torch.nn.Module) -> str:
    """Hash of names, shapes and values of all tensors, whatever file they came from."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
