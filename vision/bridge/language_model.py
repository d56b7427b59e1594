"""Any causal language model as a transformers model with its tokenizer: to train through, and to put a bridge before.

A model is named as everywhere: a name of ``vignette models list``, a .gguf file, a folder or a hub name. GGUF weights
are dequantised. Import it lazily: torch and transformers come with it. Knows no pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vision.errors import ModelError
from vision.interfaces import ModelIdentity


@dataclass(frozen=True, slots=True)
class CausalModel:
    """A ``PreTrainedModel`` in evaluation mode without gradients, and its ``PreTrainedTokenizer``."""

    identity: ModelIdentity
    model: Any
    tokenizer: Any
    context_tokens: int

    @property
    def embeddings(self) -> torch.Tensor:
        """(V, width)."""
        weight: torch.Tensor = self.model.get_input_embeddings().weight
        return weight


def load_causal(name: str, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> CausalModel:
    """Raises WeightsError or ModelError saying what to fetch or name instead."""
    from vision.downloads.store import locate, manifest

    if name in manifest():
        return _from_gguf(locate(name), name, dtype, device)
    if name.endswith(".gguf"):
        return _from_gguf(Path(name).expanduser(), name, dtype, device)
    return _from_hub(name, dtype, device)


def _from_gguf(path: Path, name: str, dtype: torch.dtype, device: str) -> CausalModel:
    from transformers import PreTrainedTokenizerFast

    from vision.downloads.store import manifest
    from vision.joint_encoder.checkpoint import file_sha256
    from vision.llm.gguf import read_gguf
    from vision.llm.gguf_tokenizer import build_tokenizer, special_tokens
    from vision.llm.to_transformers import as_transformers

    metadata = read_gguf(path).metadata
    special = special_tokens(metadata)
    template = metadata.get("tokenizer.chat_template", "")
    if not template:
        raise ModelError(f"{name} has no chat template in its GGUF file; use an instruction-tuned model")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(metadata),
        bos_token=special["bos"] or None,
        eos_token=special["eos"] or None,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = template
    model: Any = as_transformers(path, dtype).to(device)
    sha256 = manifest()[name].files[0].sha256 if name in manifest() else file_sha256(path)
    return _frozen(ModelIdentity(name, sha256), model, tokenizer)


def _from_hub(name: str, dtype: torch.dtype, device: str) -> CausalModel:
    from vision.huggingface.loading import open_causal

    folder_hash, model, tokenizer = open_causal(name, dtype)
    return _frozen(ModelIdentity(name, folder_hash), model.to(device), tokenizer)


def _frozen(identity: ModelIdentity, model: Any, tokenizer: Any) -> CausalModel:
    model.eval().requires_grad_(False)
    made_for = getattr(model.config, "max_position_embeddings", None) or 2048
    return CausalModel(identity, model, tokenizer, int(made_for))
