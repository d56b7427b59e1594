"""Any causal language model as a transformers model with its tokenizer: to train through, and to put a bridge before.

A model is named as everywhere: a name of ``vignette models list``, a .gguf file, a folder or a hub name. GGUF weights
are dequantised. Import it lazily: torch and transformers come with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

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
    from vision.huggingface.loading import open_causal, open_gguf

    if name in manifest():
        sha256, model, tokenizer = open_gguf(locate(name), name, dtype)
    elif name.endswith(".gguf"):
        sha256, model, tokenizer = open_gguf(Path(name).expanduser(), name, dtype)
    else:
        sha256, model, tokenizer = open_causal(name, dtype)
    model.to(device).eval().requires_grad_(False)
    made_for = getattr(model.config, "max_position_embeddings", None) or 2048
    return CausalModel(ModelIdentity(name, sha256), model, tokenizer, int(made_for))
