"""The shape of a language model: what the metadata of a GGUF file says of a llama, qwen2 or qwen3 model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vision.errors import ModelError, WeightsError
from vision.llm.gguf import GGUF, Tensor

BLOCK = 32  # inputs that the kernels multiply at a time
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


class _Fields:
    """The metadata of one architecture. Raises WeightsError for a value that is missing or out of its range."""

    def __init__(self, metadata: Mapping[str, Any], architecture: str) -> None:
        self._metadata, self._architecture = metadata, architecture

    def get(self, key: str, default: Any = None) -> Any:
        value = self._metadata.get(f"{self._architecture}.{key}", default)
        if value is None:
            raise WeightsError("gguf_key_missing", field=f"{self._architecture}.{key}")
        return value

    def size(self, key: str, default: int | None = None, *, most: int = 1 << 20, multiple: int = 1) -> int:
        value = self.get(key, default)
        if type(value) is not int or not 1 <= value <= most or value % multiple:
            raise WeightsError("gguf_value_wrong", field=f"{self._architecture}.{key}", value=repr(value)[:80])
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.get(key, default)
        if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 < value < 1e15:
            raise WeightsError("gguf_value_wrong", field=f"{self._architecture}.{key}", value=repr(value)[:80])
        return float(value)


def model_config(gguf: GGUF) -> ModelConfig:
    """The shape that metadata and tensors agree on.

    Raises ModelError for what the engine cannot run, WeightsError where a value is missing or impossible, or a tensor
    has another shape than the metadata say: the kernels believe what stands here.
    """
    name = gguf.metadata.get("general.architecture", "(none)")
    if name not in ARCHITECTURES:
        raise ModelError("architecture_unknown", name=name, known=ARCHITECTURES)
    fields = _Fields(gguf.metadata, name)
    if experts := fields.get("expert_count", 0):
        raise ModelError("experts_unsupported", experts=experts)
    scaling = fields.get("rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise ModelError("rope_scaling_unknown", scaling=scaling)
    heads, width = fields.size("attention.head_count"), fields.size("embedding_length", multiple=BLOCK)
    kv_heads = fields.size("attention.head_count_kv", heads)
    head_size = fields.size("attention.key_length", width // heads)
    rotated = fields.size("rope.dimension_count", head_size)
    if head_size % 8 or rotated != head_size or heads * head_size % BLOCK:
        raise ModelError("head_size_unsupported", size=head_size, rotated=rotated)
    if heads % kv_heads:
        raise WeightsError("heads_do_not_divide", heads=heads, kv_heads=kv_heads)
    embedding = gguf.tensors.get("token_embd.weight")
    config = ModelConfig(
        name=name,
        layers=fields.size("block_count"),
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        hidden=fields.size("feed_forward_length", multiple=BLOCK),
        vocabulary=embedding.shape[0] if embedding is not None else 0,
        trained_context_tokens=fields.size("context_length", most=1 << 31),
        rope_base=fields.number("rope.freq_base", 10000.0),
        rope_scale=fields.number("rope.scaling.factor", 1.0) if scaling == "linear" else 1.0,
        epsilon=fields.number("attention.layer_norm_rms_epsilon"),
    )
    _check_shapes(config, gguf.tensors)
    return config


def _check_shapes(config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
    """Every tensor the model needs is there in its size, and none that would be left out of the computation."""
    width, hidden, size = config.width, config.hidden, config.head_size
    heads, kv_heads = config.heads * size, config.kv_heads * size
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (width,),
        "ffn_norm.weight": (width,),
        "attn_q.weight": (heads, width),
        "attn_k.weight": (kv_heads, width),
        "attn_v.weight": (kv_heads, width),
        "attn_output.weight": (width, heads),
        "ffn_gate.weight": (hidden, width),
        "ffn_up.weight": (hidden, width),
        "ffn_down.weight": (width, hidden),
    }
    optional: dict[str, tuple[int, ...]] = {
        "attn_q.bias": (heads,),
        "attn_k.bias": (kv_heads,),
        "attn_v.bias": (kv_heads,),
        "attn_q_norm.weight": (size,),
        "attn_k_norm.weight": (size,),
        "attn_rot_embd.freqs": (size // 2,),  # of old files, and computed here
    }
    outside: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (config.vocabulary, width),
        "output_norm.weight": (width,),
    }
    known = outside | {"output.weight": (config.vocabulary, width), "rope_freqs.weight": (size // 2,)}
    required = [*outside]
    for number in range(config.layers):
        if f"blk.{number}.attn_norm.weight" not in tensors:  # before a giant count of layers takes up memory
            raise WeightsError("tensor_missing", tensor=f"blk.{number}.attn_norm.weight")
        known |= {f"blk.{number}.{part}": shape for part, shape in (layer | optional).items()}
        required += [f"blk.{number}.{part}" for part in layer]
    for name in required:
        if name not in tensors:
            raise WeightsError("tensor_missing", tensor=name)
    for name, tensor in tensors.items():
        if name not in known:
            raise ModelError("tensor_unknown", tensor=name, architecture=config.name)
        if tensor.shape != known[name]:
            raise WeightsError("tensor_shape", tensor=name, shape=list(tensor.shape), wanted=list(known[name]))


def rope_tables(config: ModelConfig, tokens: int, factors: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines, (tokens, head_size / 2) float32. Llama 3 divides the frequencies by ``factors``."""
    exponents = np.arange(0, config.head_size, 2, dtype=np.float64) / config.head_size
    frequencies = config.rope_base**-exponents / config.rope_scale
    if factors is not None:
        frequencies = frequencies / factors.astype(np.float64)
    angles = np.outer(np.arange(tokens, dtype=np.float64), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
