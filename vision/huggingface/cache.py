"""Forward passes of a transformers model over key-value caches that outlive one call.

``PrefixReader`` keeps one sequence read and goes back only as far as a new prompt differs from it;
``CachedRows`` are several sequences that share such a prefix and go on side by side.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vision.huggingface.prompt_encoding import EncodedPrompt, PictureSpan, PromptEncoder, shared_length

# These attend to pictures in both directions, so a picture must be read in one pass with all before it.
_TWO_WAY_PICTURES = ("gemma", "paligemma", "shieldgemma")


@dataclass(slots=True)
class CachedRows:
    """B sequences in one cache of T slots. ``mask`` (B, T) is 0 at padding, ``next_position`` is (B,)."""

    cache: Any
    mask: torch.Tensor
    next_position: torch.Tensor


class CachedForward:
    """Runs the model. ``reuses_prefix`` and ``batches_rows`` say what its cache allows.

    Both take a cache of plain key-value layers, which can be cut at any token: models with linear attention
    or state spaces have none. With sliding windows a prefix is reused but rows are not batched, because padding
    between a row's tokens would count as part of the window.
    """

    def __init__(self, model: Any) -> None:
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

        self.model = model
        self.device = model.device
        parameters = inspect.signature(model.forward).parameters
        open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        self._accepts = None if open_ended else frozenset(parameters)
        # A model within a model is asked itself: what stands around it may take positions and drop them.
        self._takes_positions = getattr(model, "takes_positions", "position_ids" in parameters)
        self._skips_logits = "logits_to_keep" in parameters
        kinds = {type(layer) for layer in DynamicCache(config=model.config).layers}
        self.reuses_prefix = kinds <= {DynamicLayer, DynamicSlidingWindowLayer} and self._takes_positions
        self.batches_rows = kinds <= {DynamicLayer} and self._takes_positions
        self.two_way_pictures = str(model.config.model_type).startswith(_TWO_WAY_PICTURES)

    def new_cache(self) -> Any:
        """An empty cache. Plain layers keep every token even of a sliding window, so that they can be cut."""
        from transformers import DynamicCache

        return DynamicCache() if self.reuses_prefix else DynamicCache(config=self.model.config)

    def empty_rows(self, count: int) -> CachedRows:
        no_tokens = torch.zeros((count, 0), dtype=torch.long, device=self.device)
        return CachedRows(self.new_cache(), no_tokens, no_tokens.sum(dim=1))

    def run(
        self,
        rows: CachedRows,
        ids: torch.Tensor,
        positions: torch.Tensor,
        *,
        mask: torch.Tensor | None = None,
        extra: dict[str, torch.Tensor] | None = None,
        keep: Sequence[int] = (-1,),
    ) -> torch.Tensor:
        """Read ``ids`` (B, n) at ``positions`` (B, n) or (axes, B, n); logits at columns ``keep``, float32 on the CPU.

        ``mask`` (B, n) is 0 at padding on the right. ``rows`` advances by n slots.
        """
        length = ids.shape[1]
        new = torch.ones_like(ids) if mask is None else mask
        columns = torch.tensor([column % length for column in keep])
        full_mask = torch.cat([rows.mask, new.to(self.device)], dim=1)
        inputs: dict[str, Any] = {
            "input_ids": ids,
            # State-space layers apply the whole mask to one new token; without batches nothing is padding anyway.
            "attention_mask": full_mask if self.batches_rows else None,
            "cache": rows.cache,
            "use_cache": True,
            **(extra or {}),
        }
        inputs = {name: self._placed(value) for name, value in inputs.items() if self._is_input(name)}
        if self._takes_positions:
            inputs["position_ids"] = positions.to(self.device)
        if self._skips_logits:
            inputs["logits_to_keep"] = columns.to(self.device)
        with torch.inference_mode():
            logits = self.model(**inputs).logits
        rows.mask = full_mask
        filled = positions if positions.dim() == 2 else positions.amax(dim=0)
        ends = filled.to(self.device).masked_fill(new.to(self.device) == 0, -1).amax(dim=1) + 1
        rows.next_position = torch.maximum(rows.next_position, ends)
        if not self._skips_logits or logits.shape[1] != len(columns):
            logits = logits[:, columns.to(logits.device)]
        return logits.float().cpu()

    def step(self, rows: CachedRows, tokens: Sequence[int]) -> torch.Tensor:
        """Append one token to each row; logits (B, V)."""
        ids = torch.tensor(tokens, device=self.device)[:, None]
        return self.run(rows, ids, rows.next_position[:, None])[:, 0]

    def extend(
        self, rows: CachedRows, pieces: Sequence[Sequence[int]], *, every: bool = False
    ) -> tuple[torch.Tensor, list[int]]:
        """Append a piece of one or more tokens to each row, padded on the right.

        Logits (B, n, V) at all columns if ``every``, else at those where a row ends; with the column of each
        row's last token among them.
        """
        lengths = [len(piece) for piece in pieces]
        width = max(lengths)
        ids = torch.tensor([[*piece, *[piece[-1]] * (width - len(piece))] for piece in pieces], device=self.device)
        mask = torch.tensor([[1] * length + [0] * (width - length) for length in lengths], device=self.device)
        positions = rows.next_position[:, None] + torch.arange(width, device=self.device)
        keep = list(range(width)) if every else sorted({length - 1 for length in lengths})
        logits = self.run(rows, ids, positions, mask=mask, keep=keep)
        return logits, [keep.index(length - 1) for length in lengths]

    def select(self, rows: CachedRows, indices: Sequence[int]) -> CachedRows:
        """New rows, copies of those at ``indices`` (repeats allowed); the old ones stay as they are."""
        chosen = torch.tensor(indices, device=self.device)
        cache = self.new_cache()
        for number, layer in enumerate(rows.cache.layers):
            cache.update(layer.keys.index_select(0, chosen), layer.values.index_select(0, chosen), number)
        return CachedRows(cache, rows.mask[chosen], rows.next_position[chosen])

    def _is_input(self, name: str) -> bool:
        return self._accepts is None or name in self._accepts

    def _placed(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.device, self.model.dtype if value.is_floating_point() else None)


class PrefixReader:
    """One sequence kept in a cache. Reading a prompt costs only what differs from the sequence before."""

    def __init__(self, forward: CachedForward, encoder: PromptEncoder) -> None:
        self._forward = forward
        self._encoder = encoder
        self.turn = 0  # rises with every prompt read, so that a writer sees that it was interrupted
        self.forget()

    def forget(self) -> None:
        self.rows = self._forward.empty_rows(1)
        self._ids: list[int] = []
        self._spans: tuple[PictureSpan, ...] = ()

    def read(self, prompt: EncodedPrompt, upto: int | None = None) -> tuple[torch.Tensor, int]:
        """Hold exactly the first ``upto`` tokens of the prompt (all by default, at least one).

        Returns the logits (V,) after the last of them and the number of tokens found in the cache.
        """
        self.turn += 1
        end = len(prompt.ids) if upto is None else upto
        start = self._reusable(prompt, end - 1)
        self._cut(start)
        span = slice(start, end)
        extra = {name: value[:, span] for name, value in prompt.aligned.items()}
        if prompt.pictures_end > start:
            extra |= self._encoder.pixels_after(prompt, start)
        positions = prompt.positions[..., None, span]
        ids = torch.tensor([prompt.ids[span]], device=self._forward.device)
        logits = self._forward.run(self.rows, ids, positions, extra=extra)
        # Recorded after the pass: where it is interrupted, the next prompt cuts every layer to what is recorded.
        self._ids = list(prompt.ids[:end])
        self._spans = tuple(picture for picture in prompt.spans if picture.end <= end)
        return logits[0, -1], start

    def append(self, token: int) -> torch.Tensor:
        """Go on by one generated token; logits (V,)."""
        logits = self._forward.step(self.rows, [token])
        self._ids.append(token)
        return logits[0]

    def _reusable(self, prompt: EncodedPrompt, limit: int) -> int:
        if not self._forward.reuses_prefix:
            return 0
        start = shared_length(self._ids, self._spans, prompt, limit)
        return 0 if self._forward.two_way_pictures and prompt.pictures_end > start else start

    def _cut(self, length: int) -> None:
        if length == 0:
            self.forget()
            return
        for layer in self.rows.cache.layers:
            layer.keys, layer.values = layer.keys[..., :length, :], layer.values[..., :length, :]
        self.rows.mask = self.rows.mask[:, :length]
        self._ids = self._ids[:length]
        self._spans = tuple(picture for picture in self._spans if picture.end <= length)
        self.rows.next_position = torch.zeros_like(self.rows.next_position)
