"""Sentence towers in NumPy, BERT and MPNet: token ids to one mean-pooled vector a text.

Composing reads queries and nothing else of the joint encoder. Through open_clip that costs the import of torch and
transformers, many seconds and half a gigabyte, for a model that needs milliseconds; this one starts at once.
Agrees with open_clip's ``HFTextEncoder`` (mean pooler) to rounding, which tests hold it to.

Architectures: BERT, arXiv:1810.04805, and MPNet, arXiv:2004.09297, which adds a bias by distance to its attention and
starts its positions after the number of padding; checkpoint names as transformers writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

_BATCH_TOKENS = 2048  # padded tokens a pass: larger gains nothing on a CPU and spills its caches
_FARTHEST = 128  # tokens apart beyond which MPNet keeps no distances apart
_MPNET_PADDING = 1  # whatever its config.json says
_BERT_NAMES = {
    "attention.attn.q.": "attention.self.query.",
    "attention.attn.k.": "attention.self.key.",
    "attention.attn.v.": "attention.self.value.",
    "attention.attn.o.": "attention.output.dense.",
    "attention.LayerNorm.": "attention.output.LayerNorm.",
}


@dataclass(frozen=True, slots=True)
class BertConfig:
    layers: int
    heads: int
    hidden: int
    layer_norm_eps: float
    pad_id: int
    distances: int = 0

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> BertConfig:
        """From a transformers config.json. Raises ModelError where it is not a BERT or MPNet this module runs."""
        kind = config.get("model_type")
        known = kind if kind == "mpnet" else "bert"
        wanted = {"model_type": known, "hidden_act": "gelu", "position_embedding_type": "absolute"}
        for key, value in wanted.items():
            if config.get(key, value) != value:
                raise ModelError("text_tower_unlike", setting=key, value=str(config[key]), wanted=value)
        return cls(
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["hidden_size"],
            config.get("layer_norm_eps", 1e-12),
            config.get("pad_token_id", _MPNET_PADDING if kind == "mpnet" else 0),
            config.get("relative_attention_num_buckets", 32) if kind == "mpnet" else 0,
        )


class BertTower:
    """``weights``: float32 arrays under the names of a transformers ``BertModel`` or ``MPNetModel``."""

    def __init__(self, config: BertConfig, weights: Mapping[str, Array]) -> None:
        self.config = config
        self._by_distance: Array | None = None
        try:
            if config.distances:
                self._by_distance = weights["encoder.relative_attention_bias.weight"]
                weights = {_as_bert(name): value for name, value in weights.items()}
            self._embeddings = [weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position")]
            if config.distances:
                self._embeddings[1] = self._embeddings[1][_MPNET_PADDING + 1 :]
            else:
                # Single texts are all of the first type, so its row is a constant of every position.
                self._embeddings[1] = self._embeddings[1] + weights["embeddings.token_type_embeddings.weight"][0]
            self._norm = _norm(weights, "embeddings.LayerNorm")
            self._layers = [BertLayer.of(weights, f"encoder.layer.{i}") for i in range(config.layers)]
        except KeyError as error:
            raise ModelError("text_tower_lacks", tensor=str(error.args[0])) from error

    def pool(self, ids: Sequence[Sequence[int]]) -> Array:
        """Texts as token ids (special tokens included, no padding) to (n, hidden): means over their tokens."""
        out = np.empty((len(ids), self.config.hidden), dtype=np.float32)
        # Texts of like length share a pass, so that little of it is padding.
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and len(ids[order[end]]) * (end + 1 - start) <= _BATCH_TOKENS:
                end += 1
            chosen = order[start:end]
            out[chosen] = self._forward([ids[i] for i in chosen])
            start = end
        return out

    def _forward(self, ids: Sequence[Sequence[int]]) -> Array:
        config = self.config
        lengths = np.array([len(row) for row in ids])
        count, width = len(ids), int(lengths.max())
        tokens = np.full((count, width), config.pad_id, dtype=np.int64)
        for row, text in zip(tokens, ids, strict=True):
            row[: len(text)] = text
        real = np.arange(width) < lengths[:, None]  # (n, t)
        blocked = np.where(real, np.float32(0), np.float32(-1e9))[:, None, None, :]
        if self._by_distance is not None:
            blocked = blocked + self._by_distance[_distances(width, config.distances)].transpose(2, 0, 1)
        words, positions = self._embeddings
        x = _layer_norm(words[tokens] + positions[:width], self._norm, config.layer_norm_eps)
        for layer in self._layers:
            x = layer(x, blocked, config.heads, config.layer_norm_eps)
        weight = real[:, :, None].astype(np.float32)
        pooled: Array = (x * weight).sum(1) / weight.sum(1)
        return pooled


@dataclass(frozen=True, slots=True)
class BertLayer:
    qkv: tuple[Array, Array]
    attended: tuple[Array, Array]
    norm1: tuple[Array, Array]
    up: tuple[Array, Array]
    down: tuple[Array, Array]
    norm2: tuple[Array, Array]

    @classmethod
    def of(cls, weights: Mapping[str, Array], name: str) -> BertLayer:
        def linear(part: str) -> tuple[Array, Array]:
            return weights[f"{name}.{part}.weight"].T, weights[f"{name}.{part}.bias"]

        parts = [linear(f"attention.self.{part}") for part in ("query", "key", "value")]
        return cls(
            (np.concatenate([w for w, _ in parts], 1), np.concatenate([b for _, b in parts])),
            linear("attention.output.dense"),
            _norm(weights, f"{name}.attention.output.LayerNorm"),
            linear("intermediate.dense"),
            linear("output.dense"),
            _norm(weights, f"{name}.output.LayerNorm"),
        )

    def __call__(self, x: Array, blocked: Array, heads: int, eps: float) -> Array:
        count, width, hidden = x.shape
        flat = x.reshape(-1, hidden)
        qkv = (flat @ self.qkv[0] + self.qkv[1]).reshape(count, width, 3, heads, hidden // heads)
        query, key, value = qkv.transpose(2, 0, 3, 1, 4)  # each (n, heads, t, d)
        weight = _softmax(query @ key.swapaxes(2, 3) / np.float32(np.sqrt(hidden // heads)) + blocked)
        mixed = (weight @ value).transpose(0, 2, 1, 3).reshape(-1, hidden)
        flat = _layer_norm(mixed @ self.attended[0] + self.attended[1] + flat, self.norm1, eps)
        inner = gelu(flat @ self.up[0] + self.up[1])
        return _layer_norm(inner @ self.down[0] + self.down[1] + flat, self.norm2, eps).reshape(x.shape)


def _as_bert(name: str) -> str:
    """A tensor of MPNet by the name of its twin in BERT."""
    for own, bert in _BERT_NAMES.items():
        name = name.replace(own, bert)
    return name


def _distances(width: int, kinds: int) -> NDArray[np.int64]:
    """(t, t): which of MPNet's kinds of distance lies between a token (row) and one it attends to; half the kinds are
    for those after it. Short distances are kept one by one, longer ones in growing steps (arXiv:1910.10683, 2.1).
    """
    ahead = np.arange(width)[None, :] - np.arange(width)[:, None]
    half, exact = kinds // 2, kinds // 4
    apart = np.abs(ahead)
    # In float32, as checkpoints were trained: a step's edge may fall on a whole number.
    steps = np.log(np.maximum(apart, 1).astype(np.float32) / np.float32(exact)) / np.float32(np.log(_FARTHEST / exact))
    grown = np.minimum(exact + (steps * np.float32(half - exact)).astype(np.int64), half - 1)
    kind: NDArray[np.int64] = np.where(apart < exact, apart, grown) + np.where(ahead > 0, half, 0)
    return kind


def _norm(weights: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _layer_norm(x: Array, norm: tuple[Array, Array], eps: float) -> Array:
    x = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(eps))
    out: Array = x * scale * norm[0] + norm[1]
    return out


def _softmax(x: Array) -> Array:
    x = np.exp(x - x.max(-1, keepdims=True))
    out: Array = x / x.sum(-1, keepdims=True)
    return out


def gelu(x: Array) -> Array:
    """x·Φ(x) with the error function of Abramowitz and Stegun 7.1.26, off by at most 1.5e-7: float32's own rounding."""
    z = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429) * t
    for term in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += np.float32(term)
        series *= t
    series *= np.exp(-z * z)  # 1 - erf(z)
    series *= np.float32(0.5)
    out: Array = x * np.where(x < 0, series, 1 - series)
    return out
