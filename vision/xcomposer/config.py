"""The settings of an InternLM-XComposer checkpoint: ``config.json``, and what only the shapes of its tensors say.

``config.json`` describes the language model alone; the original code fetches the vision tower's settings from another
checkpoint. Defaults are those of the published configuration class (InternLM-XComposer-2.5-OmniLive, ``base``,
configuration_internlm_xcomposer2.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from vision.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]

RANK = ALPHA = 256  # of Partial LoRA, in every published checkpoint
CLIP_HEAD_WIDTH = 64  # of every CLIP ViT
TOWER = "vit.vision_tower.vision_model."
SEPARATORS = ("plora_glb_GN", "plora_sub_GN")
_TILE_OF_4KHD = 336


@dataclass(frozen=True, slots=True)
class TowerConfig:
    """A CLIP vision transformer that sees squares of ``grid`` × ``grid`` patches of ``patch_px`` pixels."""

    width: int
    mlp_width: int
    layers: int
    patch_px: int
    grid: int

    @property
    def heads(self) -> int:
        return self.width // CLIP_HEAD_WIDTH

    @property
    def square_px(self) -> int:
        return self.grid * self.patch_px


@dataclass(frozen=True, slots=True)
class XComposerConfig:
    """InternLM2 with Partial LoRA, and its tower.

    ``tiles`` is whether pictures are cut into tiles with learned separators (2.5 and 2-4KHD) or squashed to one square
    (2). ``rope_factor`` belongs to ``rope_kind``, ``dtype`` is what the files are said to be in.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    max_positions: int
    norm_eps: float
    rope_theta: float
    rope_kind: Literal["plain", "linear", "dynamic"]
    rope_factor: float
    bias: bool
    tower: TowerConfig
    tiles: bool
    dtype: torch.dtype

    @property
    def head_width(self) -> int:
        return self.hidden_size // self.heads

    @property
    def of_4khd(self) -> bool:
        """The tiles of InternLM-XComposer2-4KHD are cut by rules of their own."""
        return self.tiles and self.tower.square_px == _TILE_OF_4KHD


def read_config(folder: Path, shapes: Shapes, name: str) -> XComposerConfig:
    """Settings of the checkpoint in ``folder`` whose tensors have ``shapes``. Raises ModelError where it is no such."""
    try:
        values: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError("not_a_checkpoint", folder=str(folder)) from error
    if any(tensor.startswith("Qformer.") for tensor in shapes) or values.get("model_type") == "InternLMXComposer":
        raise ModelError("xcomposer_first_generation", model=name)
    kind, factor = _rope(values.get("rope_scaling"), name)
    tower, heads = _tower(shapes, name), _whole(values, "num_attention_heads", 32, name)
    tiles = any(separator in shapes for separator in SEPARATORS)
    size = values.get("img_size")
    if not tiles and size is not None and size != tower.square_px:
        raise ModelError("xcomposer_image_size", model=name, config=size, tensors=tower.square_px)
    if tiles and tower.grid % 2:
        raise ModelError("xcomposer_setting", model=name, setting="image_size", given=tower.square_px)
    if (activation := values.get("hidden_act", "silu")) != "silu":
        raise ModelError("xcomposer_setting", model=name, setting="hidden_act", given=activation)
    config = XComposerConfig(
        vocab_size=_whole(values, "vocab_size", 103168, name),
        hidden_size=_whole(values, "hidden_size", 4096, name),
        intermediate_size=_whole(values, "intermediate_size", 11008, name),
        layers=_whole(values, "num_hidden_layers", 32, name),
        heads=heads,
        kv_heads=_whole(values, "num_key_value_heads", heads, name),
        max_positions=_whole(values, "max_position_embeddings", 2048, name),
        norm_eps=float(values.get("rms_norm_eps", 1e-6)),
        rope_theta=float(values.get("rope_theta", 10000)),
        rope_kind=kind,
        rope_factor=factor,
        bias=bool(values.get("bias", True)),
        tower=tower,
        tiles=tiles,
        dtype=_dtype(values.get("torch_dtype", values.get("dtype"))),
    )
    if config.hidden_size % (2 * heads) or heads % config.kv_heads:
        raise ModelError("xcomposer_setting", model=name, setting="num_attention_heads", given=heads)
    return config


def _whole(values: Mapping[str, Any], key: str, default: int, name: str) -> int:
    given = values.get(key)
    if given is None:
        return default
    if not isinstance(given, int) or given < 1:
        raise ModelError("xcomposer_setting", model=name, setting=key, given=given)
    return given


def _dtype(said: Any) -> torch.dtype:
    return {"float16": torch.float16, "float32": torch.float32}.get(str(said), torch.bfloat16)


def _rope(scaling: Any, name: str) -> tuple[Literal["plain", "linear", "dynamic"], float]:
    if scaling is None:
        return "plain", 1.0
    kind = scaling.get("type", scaling.get("rope_type")) if isinstance(scaling, dict) else None
    factor = scaling.get("factor") if isinstance(scaling, dict) else None
    if kind not in ("linear", "dynamic") or not isinstance(factor, (int, float)) or factor < 1:
        raise ModelError("xcomposer_setting", model=name, setting="rope_scaling", given=scaling)
    return kind, float(factor)


def _tower(shapes: Shapes, name: str) -> TowerConfig:
    """The tower's measures from its tensors; ``vision.xcomposer.checkpoint`` compares every shape afterwards."""
    patches = shapes.get(f"{TOWER}embeddings.patch_embedding.weight", ())
    places = shapes.get(f"{TOWER}embeddings.position_embedding.weight", ())
    wide = shapes.get(f"{TOWER}encoder.layers.0.mlp.fc1.weight", ())
    grid = math.isqrt(max(0, places[0] - 1)) if places else 0
    fits = len(patches) == 4 and len(places) == 2 and len(wide) == 2 and grid > 0 and places[0] == grid * grid + 1
    if not fits or patches[0] % CLIP_HEAD_WIDTH:
        raise ModelError("xcomposer_without_tower", model=name)
    layers = {int(found[1]) for tensor in shapes if (found := re.match(rf"{TOWER}encoder\.layers\.(\d+)\.", tensor))}
    return TowerConfig(width=patches[0], mlp_width=wide[0], layers=max(layers) + 1, patch_px=patches[2], grid=grid)
