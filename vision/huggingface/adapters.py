"""What tuning adds to a checkpoint: PEFT's low-rank layers, or virtual tokens that stand before every prompt.

Virtual tokens (prompt tuning, arXiv:2104.08691; P-tuning, arXiv:2103.10385) get ids behind the vocabulary, so that
caches, positions and pictures are those of any other prompt. PEFT's own forward would put them before each new token.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vision.errors import ModelError

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
ORIGIN_FILE = "tuned_on.json"  # whose weights the adapter was made for; other programs' adapters have none
_PROMPT_KINDS = ("PROMPT_TUNING", "P_TUNING")


@dataclass(frozen=True, slots=True)
class AttachedAdapter:
    """``opening`` are the ids of virtual tokens, if any; ``sha256`` is that of the adapter's settings and weights."""

    model: Any
    opening: tuple[int, ...]
    sha256: str


class VirtualTokens(nn.Module):
    """Word embeddings that know ``count`` more ids behind the vocabulary; ``vectors`` gives theirs, (count, width)."""

    def __init__(self, words: nn.Module, count: int, vectors: Callable[[], torch.Tensor]) -> None:
        super().__init__()
        self.words = words
        self._vectors = vectors
        self.ids = tuple(range(len(self.weight), len(self.weight) + count))

    @property
    def weight(self) -> torch.Tensor:
        weight: torch.Tensor = self.words.weight  # type: ignore[assignment]
        return weight

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        here = input_ids >= self.ids[0]
        out: torch.Tensor = self.words(input_ids.masked_fill(here, 0))
        if not here.any():
            return out
        vectors = self._vectors().to(out)
        return torch.where(here[..., None], vectors[(input_ids - self.ids[0]).clamp_min(0)], out)


def add_virtual_tokens(model: Any, count: int, vectors: Callable[[], torch.Tensor], name: str) -> tuple[int, ...]:
    """Ids of ``count`` tokens that the model knows from now on.

    Raises ModelError for an architecture that embeds words once more for each layer (Gemma 3n and 4).
    """
    if getattr(model.config.get_text_config(), "hidden_size_per_layer_input", None):
        raise ModelError("virtual_tokens_unsupported", model=name)
    embeddings = VirtualTokens(model.get_input_embeddings(), count, vectors)
    model.set_input_embeddings(embeddings)
    return embeddings.ids


def attach_adapter(model: Any, folder: Path, name: str, base_sha256: str, *, merge: bool = True) -> AttachedAdapter:
    """The checkpoint ``name`` tuned by the adapter in ``folder``, one of ``vignette train lora`` or of PEFT.

    ``merge`` adds low-rank layers to the weights, which takes no time when the model runs; quantised weights keep them
    apart. Raises ModelError where there is no adapter, or it belongs to other weights.
    """
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise ModelError("adapter_missing", folder=str(folder), file=file)
    try:
        settings = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        made_for = folder / ORIGIN_FILE
        origin = json.loads(made_for.read_text(encoding="utf-8")) if made_for.is_file() else {}
    except ValueError as error:
        raise ModelError("adapter_unreadable", folder=str(folder), reason=str(error)) from error
    if origin.get("sha256", base_sha256) != base_sha256:
        raise ModelError("adapter_of_other_weights", folder=str(folder), model=name, made_for=origin["model"])
    kind = str(settings.get("peft_type"))
    if kind in _PROMPT_KINDS:
        opening = _attach_prompt(model, folder, name)
        return AttachedAdapter(model, opening, _sha256(folder))
    return AttachedAdapter(_attach_layers(model, folder, kind, merge), (), _sha256(folder))


def _attach_prompt(model: Any, folder: Path, name: str) -> tuple[int, ...]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    width = model.get_input_embeddings().weight.shape[1]
    try:
        vectors = load_file(folder / WEIGHTS_FILE)["prompt_embeddings"]
    except (KeyError, SafetensorError) as error:
        raise ModelError("adapter_unreadable", folder=str(folder), reason=str(error)) from error
    if vectors.dim() != 2 or vectors.shape[1] != width:
        reason = f"{list(vectors.shape)}, {width}"
        raise ModelError("adapter_unreadable", folder=str(folder), reason=reason)
    vectors = vectors.to(model.device)
    return add_virtual_tokens(model, len(vectors), lambda: vectors, name)


def _attach_layers(model: Any, folder: Path, kind: str, merge: bool) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError("lora_needs_peft") from error
    from safetensors import SafetensorError

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            tuned = PeftModel.from_pretrained(model, folder, torch_device=str(model.device))
        except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError("adapter_unreadable", folder=str(folder), reason=reason) from error
        lacking = [str(warning.message) for warning in said if "missing adapter keys" in str(warning.message)]
        if lacking:
            raise ModelError("adapter_unreadable", folder=str(folder), reason=lacking[0][:300])
        if getattr(tuned.active_peft_config, "is_prompt_learning", False):
            raise ModelError("adapter_kind", folder=str(folder), kind=kind)
        # PEFT puts its layers into the model itself: what it returns besides is a shell that is not needed.
        return (tuned.merge_and_unload() if merge else model).eval()


def _sha256(folder: Path) -> str:
    seal = hashlib.sha256()
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        seal.update((folder / file).read_bytes())
    return seal.hexdigest()
