"""The text side of a joint encoder where it is a BERT: words to vectors without torch.

Reads tokenizer and weights from an open_clip checkpoint and gives what open_clip gives. Knows no images.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.bert import BertConfig, BertTower, gelu
from vision.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from vision.joint_checkpoint import Checkpoint

    Array = NDArray[np.float32]

_CHUNK = 512  # texts tokenized at a time: bounds memory, not speed


def reads_natively(text_cfg: Mapping[str, Any], tower_config: Mapping[str, Any] | None) -> bool:
    """Whether ``BertTextTower`` runs this text tower: a BERT behind open_clip's mean pooler."""
    return (
        bool(text_cfg.get("hf_model_name"))
        and text_cfg.get("hf_pooler_type", "mean_pooler") == "mean_pooler"
        and not text_cfg.get("tokenizer_mode")
        and tower_config is not None
        and tower_config.get("model_type") == "bert"
        and tower_config.get("hidden_act", "gelu") == "gelu"
    )


class BertTextTower:
    """Texts to the joint space (``encode``) and to the tower's own sentence space (``sentences``). Not normalised."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Raises ModelError where the checkpoint lacks a tensor or its tokenizer is unreadable."""
        self._tokenizer = _tokenizer(checkpoint, checkpoint.text_cfg.get("context_length", 77))
        config = checkpoint.text_tower_config()
        if config is None:
            raise ModelError(f"the text tower of {checkpoint.name} has no config.json; fetch it again")
        weights = checkpoint.tensors("text.")
        tower = {name.removeprefix("transformer."): value for name, value in weights.items()}
        self._tower = BertTower(BertConfig.from_dict(config), tower)
        self._projection = _projection(weights, checkpoint.name)
        self._pooled_sentences = checkpoint.pooled_sentences

    def encode(self, texts: Sequence[str]) -> Array:
        x = self.pooled(texts)
        for i, matrix in enumerate(self._projection):
            x = (gelu(x) if i else x) @ matrix
        return x

    def sentences(self, texts: Sequence[str]) -> Array:
        return self.pooled(texts) if self._pooled_sentences else self.encode(texts)

    def pooled(self, texts: Sequence[str]) -> Array:
        """The tower's output before any projection."""
        chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
        return np.concatenate([self._tower.pool(_ids(self._tokenizer, chunk)) for chunk in chunks])


def token_ids(checkpoint: Checkpoint, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Texts as the tower reads them, special tokens included, no padding. Raises ModelError as the tower does."""
    return _ids(_tokenizer(checkpoint, max_tokens), texts)


def _tokenizer(checkpoint: Checkpoint, max_tokens: int) -> Tokenizer:
    from tokenizers import Tokenizer

    file = checkpoint.text_folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the text tower of {checkpoint.name} cannot be read: {error}; fetch it again") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [encoded.ids for encoded in tokenizer.encode_batch([_clean(text) for text in texts])]


def _projection(weights: Mapping[str, Array], name: str) -> list[Array]:
    """open_clip's ``proj``: none (identity), one matrix, or two with a GELU between."""
    known = {
        (): [],
        ("proj.weight",): ["proj.weight"],
        ("proj.0.weight", "proj.2.weight"): ["proj.0.weight", "proj.2.weight"],
    }
    found = tuple(sorted(key for key in weights if key.startswith("proj.")))
    if found not in known:
        raise ModelError(f"the text projection of {name} has the tensors {', '.join(found)}; this is not open_clip's")
    return [weights[key].T for key in known[found]]


def _clean(text: str) -> str:
    """What open_clip does to a text before the tokenizer."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())
