"""The shape of a language model: what the metadata of a GGUF file says of a llama, qwen2 or qwen3 model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vision.errors import ModelError

ARCHITECTURES = ("llama", "qwen2", "qwen3")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes in elements. ``interleaved_rope`` pairs neighbours (llama GGUFs), otherwise the halves of a head."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    hidden: int
    vocabulary: int
    trained_context_tokens: int
    rope_base: float
    rope_scale: float
    epsilon: float

    @property
    def interleaved_rope(self) -> bool:
        return self.name == "llama"


def model_config(metadata: Mapping[str, Any], vocabulary: int) -> ModelConfig:
    """Raises ModelError for what the engine cannot run, naming it."""
    name = metadata.get("general.architecture", "(none)")
    if name not in ARCHITECTURES:
        raise ModelError("architecture_unknown", name=name, known=ARCHITECTURES)

    def get(key: str, default: Any = None) -> Any:
        value = metadata.get(f"{name}.{key}", default)
        if value is None:
            raise ModelError("gguf_key_missing", field=f"{name}.{key}")
        return value

    if experts := get("expert_count", 0):
        raise ModelError("experts_unsupported", experts=experts)
    scaling = get("rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise ModelError("rope_scaling_unknown", scaling=scaling)
    heads, width = get("attention.head_count"), get("embedding_length")
    head_size = get("attention.key_length", width // heads)
    rotated = get("rope.dimension_count", head_size)
    if head_size % 8 or rotated != head_size:
        raise ModelError("head_size_unsupported", size=head_size, rotated=rotated)
    return ModelConfig(
        name=name,
        layers=get("block_count"),
        width=width,
        heads=heads,
        kv_heads=get("attention.head_count_kv", heads),
        head_size=head_size,
        hidden=get("feed_forward_length"),
        vocabulary=vocabulary,
        trained_context_tokens=get("context_length"),
        rope_base=float(get("rope.freq_base", 10000.0)),
        rope_scale=float(get("rope.scaling.factor", 1.0)) if scaling == "linear" else 1.0,
        epsilon=float(get("attention.layer_norm_rms_epsilon")),
    )


def rope_tables(config: ModelConfig, tokens: int, factors: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines, (tokens, head_size / 2) float32. Llama 3 divides the frequencies by ``factors``."""
    exponents = np.arange(0, config.head_size, 2, dtype=np.float64) / config.head_size
    frequencies = config.rope_base**-exponents / config.rope_scale
    if factors is not None:
        frequencies = frequencies / factors.astype(np.float64)
    angles = np.outer(np.arange(tokens, dtype=np.float64), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
