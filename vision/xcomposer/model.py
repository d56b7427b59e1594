"""InternLM-XComposer whole: tower, projector, separators, language model, under the published tensors' names."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from vision.errors import ModelError
from vision.xcomposer.config import XComposerConfig
from vision.xcomposer.language import InternLM2
from vision.xcomposer.pictures import ClipTower, arrange, cut


class XComposerCausalLM(nn.Module):
    """Has the face of a transformers model, so that ``vision.huggingface.cache`` runs it.

    Where ``input_ids`` hold ``picture_id``, which is no token of the vocabulary, the rows of ``picture_vectors`` stand
    in order.
    """

    def __init__(self, config: XComposerConfig) -> None:
        from transformers import PreTrainedConfig

        super().__init__()
        self.settings = config
        self.config = PreTrainedConfig(num_hidden_layers=config.layers)
        self.model = InternLM2(config)
        self.output = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.vit = ClipTower(config.tower)
        seen = config.tower.width * (4 if config.tiles else 1)
        self.vision_proj = nn.Sequential(
            nn.Linear(seen, config.hidden_size), nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size)
        )
        if config.tiles:
            self.plora_glb_GN = nn.Parameter(torch.zeros(1, 1, seen))
            self.plora_sub_GN = nn.Parameter(torch.zeros(1, 1, 1, seen))

    @property
    def picture_id(self) -> int:
        return self.settings.vocab_size

    @property
    def device(self) -> torch.device:
        return self.output.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.output.weight.dtype

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """A picture (1, 3, H, W) as ``PictureLayout.pixels`` gives it → (N, width), one vector a place in the text."""
        px = self.settings.tower.square_px
        if not self.settings.tiles:
            grid = self.vit(pixels.to(self.device, self.dtype))
            return self._projected(grid[0].flatten(0, 1))
        squares = cut(pixels, px).to(self.device, self.dtype)
        rows, columns = pixels.shape[2] // px, pixels.shape[3] // px
        return self._projected(arrange(self.vit(squares), rows, columns, self.plora_glb_GN, self.plora_sub_GN))

    def embed(self, input_ids: torch.Tensor, picture_vectors: torch.Tensor | None = None) -> torch.Tensor:
        """(B, n) ids → (B, n, width). Raises ModelError where vectors and places do not match."""
        here = input_ids == self.picture_id
        out: torch.Tensor = self.model.tok_embeddings(input_ids.masked_fill(here, 0))
        given, places = 0 if picture_vectors is None else len(picture_vectors), int(here.sum())
        if given != places:
            raise ModelError("xcomposer_places", vectors=given, places=places)
        if picture_vectors is None:
            return out
        return out.masked_scatter(here[..., None], picture_vectors.to(out.device, out.dtype))

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        cache: Any = None,
        position_ids: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: torch.Tensor | Sequence[int] | None = None,
        picture_vectors: torch.Tensor | None = None,
    ) -> Any:
        """``logits`` (B, n or ``logits_to_keep``, V), float32. Positions count all tokens from 0 unless given."""
        if position_ids is None:
            past = 0 if cache is None else int(cache.get_seq_length())
            position_ids = torch.arange(past, past + input_ids.shape[1], device=input_ids.device)[None]
        states = self.model(
            self.embed(input_ids, picture_vectors),
            input_ids == self.picture_id,
            position_ids,
            attention_mask,
            cache if use_cache is not False else None,
        )
        if logits_to_keep is not None:
            states = states[:, torch.as_tensor(logits_to_keep, device=states.device)]
        return SimpleNamespace(logits=self.output(states).float())

    def _projected(self, seen: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.vision_proj(seen)
        return out
