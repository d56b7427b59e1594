"""The text side of a joint encoder where it is a BERT: words to vectors without torch.

Reads tokenizer and weights from an open_clip checkpoint and gives what open_clip gives; or, for what a picture should
show, goes through a fetched sentence encoder that open_clip has no place for.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.downloads.files import map_safetensors, read_json
from vision.errors import ModelError
from vision.joint_encoder.bert_numpy import BertConfig, BertTower, gelu
from vision.joint_encoder.checkpoint import QUERY_PROJECTION
from vision.vectors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from vision.joint_encoder.checkpoint import Checkpoint

    Array = NDArray[np.float32]

_CHUNK = 512  # texts tokenized at a time: bounds memory, not speed
QUERY_TOKENS = 128  # what all-mpnet-base-v2 was trained on; a paragraph takes a third of a second to read


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
        weights = checkpoint.tensors("text.")
        tower = {name.removeprefix("transformer."): value for name, value in weights.items()}
        context = checkpoint.text_cfg.get("context_length", 77)
        self._tower = SentenceTower(checkpoint.text_folder, tower, context)
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
        return self._tower.pooled(texts)


class QueryTower:
    """What a picture should show, to the joint space: a fetched sentence encoder and a projection. Not normalised."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Raises WeightsError where the sentence encoder is not on this machine."""
        self._tower = fetched_sentence_tower(checkpoint.query_tower)
        prefix, name = QUERY_PROJECTION.split(".", 1)
        found = checkpoint.tensors(f"{prefix}.")
        if name not in found:
            raise ModelError("query_tower_lacks", name=checkpoint.name, tower=checkpoint.query_tower, tensor=name)
        self._projection = found[name].T

    def encode(self, texts: Sequence[str]) -> Array:
        # Without the mean direction length matters: the projection was fitted to sentences of unit length.
        return unit(self._tower.pooled(texts)) @ self._projection


class SentenceTower:
    """Texts to the means of a sentence encoder's last layer, at most ``max_tokens`` of each text.

    A text of which the tokenizer knows nothing (another script, an endless word) becomes zeros: its tokens would be
    those of any other such text.
    """

    def __init__(self, folder: Path, weights: Mapping[str, Array], max_tokens: int) -> None:
        """``folder`` has config.json and tokenizer.json. Raises ModelError where they or the weights do not fit."""
        self._tokenizer = _tokenizer(folder, max_tokens)
        unknown = self._tokenizer.token_to_id(getattr(self._tokenizer.model, "unk_token", None) or "")
        self._unknown = unknown
        self._says_nothing = {*self._tokenizer.encode("").ids, unknown}
        config = read_json(folder / "config.json")
        self._tower = BertTower(BertConfig.from_dict(config), weights)

    def pooled(self, texts: Sequence[str]) -> Array:
        chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
        return np.concatenate([self._pooled(_ids(self._tokenizer, chunk)) for chunk in chunks])

    def _pooled(self, ids: list[list[int]]) -> Array:
        pooled = self._tower.pool(ids)
        pooled[[self._unknown in row and self._says_nothing.issuperset(row) for row in ids]] = 0
        return pooled


def fetched_sentence_tower(name: str) -> SentenceTower:
    """A sentence encoder of the manifest. Raises WeightsError where it is not on this machine."""
    from vision.downloads.store import locate

    folder = locate(name)
    # Mapped, not read: composing needs few of its rows, and the system may drop and read them again.
    weights = map_safetensors(folder / "model.safetensors")
    return SentenceTower(folder, weights, QUERY_TOKENS)


def token_ids(checkpoint: Checkpoint, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Texts as the tower reads them, special tokens included, no padding. Raises ModelError as the tower does."""
    return _ids(_tokenizer(checkpoint.text_folder, max_tokens), texts)


def _tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError("weights_unreadable", file=str(folder / "tokenizer.json"), reason=str(error)) from error
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
        raise ModelError("text_projection_unlike", name=name, tensors=list(found))
    return [weights[key].T for key in known[found]]


def _clean(text: str) -> str:
    """What open_clip does to a text before the tokenizer."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())
