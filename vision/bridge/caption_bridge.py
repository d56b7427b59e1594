"""A bridge from the joint encoder's space to the words of a small language model, in numpy.

The picture enters last: the language model reads what has been said so far and nothing else, and where it would go on,
the bridge moves its last state by what the picture's vector says (the merging of Tanti et al., arXiv:1703.09137). So
training runs the language model once over its texts, and pictures that begin alike share what it read.

Of the model's vocabulary only words are kept that no name, number or quotation begins with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.downloads.files import read_json
from vision.errors import ModelError
from vision.joint_encoder.bert_numpy import gelu
from vision.joint_encoder.checkpoint import read_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

SHIPPED = Path(__file__).parent / "shipped"
WEIGHTS_FILE, CONFIG_FILE = "caption_bridge.safetensors", "caption_bridge.json"
_STEM_LETTERS = 5


def shipped_language_model() -> str:
    """The model that pictures are drafted with, by its name in the manifest."""
    return str(read_json(SHIPPED / CONFIG_FILE)["language_model"])


@dataclass(frozen=True, slots=True)
class CaptionBridgeConfig:
    """``encoder_sha256`` and ``language_sha256`` are those of the exact weights it was trained between; ``lead`` is
    what the language model reads before the first word; ``tags`` are the words that can be guessed without a sentence,
    ``words`` all that a sentence may hold.
    """

    encoder: str
    encoder_sha256: str
    language_model: str
    language_sha256: str
    lead: str
    tags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptionBridge:
    """``tokens`` (V,) are the vocabulary's ids in the language model, row i of ``embeddings`` (V, width) its vector of
    token i. Weights are (out, in). ``tag_weight`` (tags, D) and ``tag_bias`` rate the words of ``config.tags``.
    """

    config: CaptionBridgeConfig
    tokens: NDArray[np.int64]
    weights: Mapping[str, Array]

    def log_probs(self, states: Array, pictures: Array) -> Array:
        """The language model's states (n, width) beside the pictures' vectors (n, D) of unit length → (n, V)."""
        w = self.weights
        hidden = states @ w["state.weight"].T + pictures @ w["picture.weight"].T + w["state.bias"]
        moved = states + gelu(hidden) @ w["out.weight"].T + pictures @ w["direct.weight"].T + w["out.bias"]
        logits = moved @ w["embeddings"].T + w["token_bias"]
        logits -= logits.max(1, keepdims=True)
        out: Array = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return out

    def tags(self, pictures: Array, count: int) -> list[tuple[str, ...]]:
        """The words that say most of what sets each picture (n, D) apart, likeliest first, kindred ones once."""
        scores = pictures @ self.weights["tag_weight"].T + self.weights["tag_bias"]
        return [self._apart(np.argsort(-row, kind="stable"), count) for row in scores]

    def _apart(self, order: NDArray[np.int64], count: int) -> tuple[str, ...]:
        chosen: list[str] = []
        for number in order:
            word = self.config.tags[number]
            if not any(_kindred(word, other) for other in chosen):
                chosen.append(word)
            if len(chosen) == count:
                break
        return tuple(chosen)

    def save(self, folder: Path) -> None:
        """Write ``caption_bridge.json`` and ``caption_bridge.safetensors`` (float16)."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        half = {name: np.ascontiguousarray(value, np.float16) for name, value in self.weights.items()}
        save_file({**half, "tokens": self.tokens.astype(np.float32)}, folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(json.dumps(asdict(self.config)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> CaptionBridge:
        """Raises ModelError where the folder holds none, or one of another make."""
        file = folder / CONFIG_FILE
        try:
            values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            lists = {name: tuple(values[name]) for name in ("tags", "words")}
            config = CaptionBridgeConfig(**values | lists)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelError("bridge_unreadable", file=str(file), reason=str(error)) from error
        weights = read_tensors(folder / WEIGHTS_FILE, "")
        return cls(config, weights.pop("tokens").astype(np.int64), weights)


def _kindred(one: str, other: str) -> bool:
    """Singular and plural, or words with the same five letters to begin with: painter, painting."""
    short, long = sorted((one, other), key=len)
    return long in (f"{short}s", f"{short}es") or (
        len(short) >= _STEM_LETTERS and long.startswith(short[:_STEM_LETTERS])
    )
