"""The shape of a runner: what GGUF metadata says of a llama, qwen2 or qwen3 model. Knows no tensor data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def model_config(metadata: Mapping[str, Any], vocabulary: int) -> ModelConfig:
    """Raises ModelError for what the engine cannot run, naming it."""
    name = metadata.get("general.architecture", "(none)")
    if name not in ARCHITECTURES:
        raise ModelError(
            f"the GGUF file holds a model of architecture {name!r}; the engine runs {', '.join(ARCHITECTURES)}"
        )

    def get(key: str, default: Any = None) -> Any:
        value = metadata.get(f"{name}.{key}", default)
        if value is None:
            raise ModelError(f"the GGUF file lacks {name}.{key}; it was written by an unsuitable converter")
        return value

    if get("expert_count", 0):
        raise ModelError(
            f"the GGUF file holds a mixture of {get('expert_count')} experts; the engine runs dense models"
        )
    scaling = get("rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise ModelError(f"the GGUF file asks for {scaling!r} RoPE scaling; the engine knows none and linear")
    heads = get("attention.head_count")
    width = get("embedding_length")
    head_size = get("attention.key_length", width // heads)
    if head_size % 8 or get("rope.dimension_count", head_size) != head_size:
        raise ModelError(f"heads of {head_size} with rotated part {get('rope.dimension_count')} are not supported")
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


def rope_tables(arch: ModelConfig, tokens: int, factors: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines, (tokens, head_size / 2) float32. Llama 3 divides the frequencies by ``factors``."""
    exponents = np.arange(0, arch.head_size, 2, dtype=np.float64) / arch.head_size
    frequencies = arch.rope_base**-exponents / arch.rope_scale
    if factors is not None:
        frequencies = frequencies / factors.astype(np.float64)
    angles = np.outer(np.arange(tokens, dtype=np.float64), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
