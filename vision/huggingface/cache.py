"""Forward passes of a transformers model over caches that outlive one call.

A ``PrefixReader`` keeps one sequence read and goes back only as far as a new prompt differs from it, a
``CheckpointReader`` to where it kept a copy; ``CachedRows`` are several sequences that share such a prefix and go on
side by side.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from vision.errors import ModelError
from vision.huggingface.prompt_encoding import EncodedPrompt, PictureSpan, PromptEncoder, shared_length

# These attend to pictures in both directions, so a picture must be read in one pass with all before it.
_TWO_WAY_PICTURES = ("gemma", "paligemma", "shieldgemma")
# A copy of Qwen3.5-2B's states is 20 MB and its keys and values of 2,000 tokens 50.
_MOST_KEPT = 6
# A pass of its own costs about as much as reading this many tokens again.
_LEAST_SHARED_TOKENS = 16
# Tokens to go on from and by, and the part of their logits by which two ways may differ through rounding.
_PROBED, _SAME_LOGITS, _SAME_HALVED_LOGITS = 8, 2e-3, 0.06


@dataclass(slots=True)
class CachedRows:
    """B sequences in one cache of T slots. ``mask`` (B, T) is 0 at padding, ``next_position`` is (B,)."""

    cache: Any
    mask: torch.Tensor
    next_position: torch.Tensor


class CachedForward:
    """Runs the model. ``cuts`` and ``pads`` say what its cache allows.

    A cache of plain key-value layers can be cut at any token. States of linear attention, state spaces and
    convolutions cannot be gone back from: they are copied (``copy``) where one will want to go on. Rows can go on after
    padding (``pads``) only where it can be masked and positions can be given: not as part of a window or a state.
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
        self.takes_positions = getattr(model, "takes_positions", "position_ids" in parameters)
        self._skips_logits = "logits_to_keep" in parameters
        kinds = {type(layer) for layer in DynamicCache(config=model.config).layers}
        self.cuts = kinds <= {DynamicLayer, DynamicSlidingWindowLayer}
        self.pads = kinds <= {DynamicLayer} and self.takes_positions
        self.two_way_pictures = str(model.config.model_type).startswith(_TWO_WAY_PICTURES)

    def new_cache(self) -> Any:
        """An empty cache. Plain layers keep every token even of a sliding window, so that they can be cut."""
        from transformers import DynamicCache

        return DynamicCache() if self.cuts else DynamicCache(config=self.model.config)

    def empty_rows(self, count: int) -> CachedRows:
        no_tokens = torch.zeros((count, 0), dtype=torch.long, device=self.device)
        return CachedRows(self.new_cache(), no_tokens, no_tokens.sum(dim=1))

    def logits(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        keep: torch.Tensor,
        extra: Mapping[str, torch.Tensor],
        cache: Any = None,
    ) -> torch.Tensor:
        """One pass over ``ids`` (B, n) at ``positions`` (B, n) or (axes, B, n); logits (B, len(keep), V).

        ``mask`` is 0 at padding and covers what ``cache`` holds as well; without a cache none is made. ``extra`` are
        further inputs; those that the architecture does not know are left out. ``keep`` are columns of ``ids``.
        """
        inputs: dict[str, Any] = {
            "input_ids": ids,
            # State-space layers apply the whole mask to one new token. Padding on the right is behind what is asked.
            "attention_mask": mask if self.pads or cache is None else None,
            "cache": cache,
            "use_cache": cache is not None,
            **extra,
        }
        inputs = {name: self._placed(value) for name, value in inputs.items() if self._is_input(name)}
        if self.takes_positions:
            inputs["position_ids"] = positions.to(self.device)
        if self._skips_logits:
            inputs["logits_to_keep"] = keep.to(self.device)
        logits: torch.Tensor = self.model(**inputs).logits
        if not self._skips_logits or logits.shape[1] != len(keep):
            logits = logits[:, keep.to(logits.device)]
        return logits

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
        with torch.inference_mode():
            if length > 1 and rows.mask.shape[1] and not self._goes_on_by_many:
                logits = self._one_by_one(rows, ids, positions, columns)
            else:
                logits = self.logits(ids, positions, full_mask, columns, extra or {}, rows.cache)
        rows.mask = full_mask
        filled = positions if positions.dim() == 2 else positions.amax(dim=0)
        ends = filled.to(self.device).masked_fill(new.to(self.device) == 0, -1).amax(dim=1) + 1
        rows.next_position = torch.maximum(rows.next_position, ends)
        return logits.float().cpu()

    @cached_property
    def _goes_on_by_many(self) -> bool:
        """Whether several tokens at once go on from a state: Mamba's scan begins anew unless it is one."""
        if self.cuts:
            return True
        ids = torch.arange(1, 1 + 2 * _PROBED)[None]
        return self._same(self._whole(ids)[:, _PROBED:], self._in_pieces(ids, by_many=True))

    def check(self, ids: Sequence[int], name: str) -> None:
        """Raises ModelError where the architecture does not read as a writer must: each token from those before it
        alone, and alike whether whole or from a cache, even one that waited while another was read.

        ``ids`` are an even number of any tokens that are no pictures.
        """
        row, half = torch.tensor([list(ids)]), len(ids) // 2
        kind = self.model.config.model_type
        try:
            whole, alone = self._whole(row), self._whole(row[:, :half])
            if not self._same(whole[:, :half], alone):
                raise ModelError("checkpoint_looks_ahead", model=name, kind=kind)
            parts = self._in_pieces(row, by_many=self._goes_on_by_many)
        except torch.cuda.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ModelError("checkpoint_not_run", model=name, kind=kind, reason=reason) from error
        if not self._same(whole[:, half:], parts):
            raise ModelError("checkpoint_forgets", model=name, kind=kind)

    @torch.inference_mode()
    def _whole(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits of all ``ids`` (1, n), read without a cache."""
        places, mask = torch.arange(ids.shape[1])[None], torch.ones_like(ids)
        return self.logits(ids, places, mask, torch.arange(ids.shape[1]), {}).float()

    @torch.inference_mode()
    def _in_pieces(self, ids: torch.Tensor, *, by_many: bool) -> torch.Tensor:
        """Logits of the second half of ``ids`` (1, 2n), read after the first half from a cache."""
        half = ids.shape[1] // 2
        places, mask, columns = torch.arange(2 * half)[None], torch.ones_like(ids), torch.arange(half)
        rows, others = self.empty_rows(1), self.empty_rows(1)
        for held, read in ((rows, ids[:, :half]), (others, ids[:, :half].flip(1))):
            self.logits(read, places[:, :half], mask[:, :half], columns, {}, held.cache)
        rows.mask = mask[:, :half]
        if by_many:
            parts = self.logits(ids[:, half:], places[:, half:], mask, columns, {}, rows.cache)
        else:
            parts = self._one_by_one(rows, ids[:, half:], places[:, half:], columns)
        return parts.float()

    def _same(self, one: torch.Tensor, other: torch.Tensor) -> bool:
        """But for rounding, of a type of 16 bits more."""
        most = _SAME_LOGITS if self.model.dtype == torch.float32 else _SAME_HALVED_LOGITS
        return float((one - other).norm() / one.norm()) < most

    def _one_by_one(
        self, rows: CachedRows, ids: torch.Tensor, positions: torch.Tensor, columns: torch.Tensor
    ) -> torch.Tensor:
        wanted = set(columns.tolist())
        found = []
        for column in range(ids.shape[1]):
            here = slice(column, column + 1)
            mask = torch.ones(len(ids), rows.mask.shape[1] + column + 1, dtype=torch.long)
            logits = self.logits(
                ids[:, here], positions[..., here], mask, torch.zeros(1, dtype=torch.long), {}, rows.cache
            )
            found += [logits] if column in wanted else []
        return torch.cat(found, dim=1)

    def step(self, rows: CachedRows, tokens: Sequence[int]) -> torch.Tensor:
        """Append one token to each row; logits (B, V)."""
        ids = torch.tensor(tokens, device=self.device)[:, None]
        return self.run(rows, ids, rows.next_position[:, None])[:, 0]

    def extend(
        self, rows: CachedRows, pieces: Sequence[Sequence[int]], *, every: bool = False
    ) -> tuple[torch.Tensor, list[int]]:
        """Append a piece of one or more tokens to each row, padded on the right.

        Where the forward does not pad, rows of unequal pieces must not go on afterwards. Logits (B, n, V) at all
        columns if ``every``, else at those where a row ends; with the column of each row's last token among them.
        """
        lengths = [len(piece) for piece in pieces]
        width = max(lengths)
        ids = torch.tensor([[*piece, *[piece[-1]] * (width - len(piece))] for piece in pieces], device=self.device)
        mask = torch.tensor([[1] * length + [0] * (width - length) for length in lengths], device=self.device)
        positions = rows.next_position[:, None] + torch.arange(width, device=self.device)
        keep = list(range(width)) if every else sorted({length - 1 for length in lengths})
        logits = self.run(rows, ids, positions, mask=mask, keep=keep)
        return logits, [keep.index(length - 1) for length in lengths]

    def copy(self, rows: CachedRows) -> CachedRows:
        """The same rows, which may go on without changing the first."""
        cache = copy.copy(rows.cache)
        cache.layers = [self._copied(layer) for layer in rows.cache.layers]
        return CachedRows(cache, rows.mask, rows.next_position)

    def select(self, rows: CachedRows, indices: Sequence[int]) -> CachedRows:
        """New rows, copies of those at ``indices`` (repeats allowed); the old ones stay as they are."""
        chosen = torch.tensor(indices, device=self.device)
        cache = self.copy(rows).cache
        cache.reorder_cache(chosen)
        return CachedRows(cache, rows.mask[chosen], rows.next_position[chosen])

    @staticmethod
    def _copied(layer: Any) -> Any:
        from transformers.cache_utils import DynamicLayer

        # Every pass makes new tensors of keys and values, but writes into those of states.
        return copy.copy(layer) if type(layer) is DynamicLayer else copy.deepcopy(layer)

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

    def read(self, prompt: EncodedPrompt, keep: Sequence[int] = ()) -> tuple[torch.Tensor, int]:
        """Hold exactly the prompt; logits (V,) after its last token and the number of tokens found in the cache.

        ``keep`` are numbers of tokens after which other prompts will go on.
        """
        end = len(prompt.ids)
        logits, cached = self._reach(prompt, end, end - 1, keep)
        assert logits is not None  # its last token at least was read
        return logits, cached

    def hold(self, prompt: EncodedPrompt, upto: int, keep: Sequence[int] = ()) -> int:
        """Hold exactly the first ``upto`` tokens of the prompt; the number found in the cache."""
        return self._reach(prompt, upto, upto, keep)[1]

    def append(self, token: int) -> torch.Tensor:
        """Go on by one generated token; logits (V,)."""
        logits = self._forward.step(self.rows, [token])
        self._ids.append(token)
        return logits[0]

    def _reach(
        self,
        prompt: EncodedPrompt,
        end: int,
        limit: int,
        keep: Sequence[int],  # noqa: ARG002 - a cache that can be cut holds them all
    ) -> tuple[torch.Tensor | None, int]:
        """Hold ``end`` tokens, at most ``limit`` of them found; logits (V,) if any was read, and the number found."""
        self.turn += 1
        start = self._reusable(prompt, limit)
        self._cut(start)
        if start == end > 0:
            self.rows.next_position = prompt.positions[..., :end].max()[None].to(self._forward.device) + 1
        logits = self._pass(self.rows, prompt, start, end) if start < end else None
        # Recorded after the pass: where it is interrupted, the next prompt cuts every layer to what is recorded.
        self._record(prompt, end)
        return logits, start

    def _pass(self, rows: CachedRows, prompt: EncodedPrompt, start: int, end: int) -> torch.Tensor:
        """Read tokens ``start`` to ``end`` of the prompt after those before; logits (V,)."""
        span = slice(start, end)
        extra: dict[str, Any] = {name: value[:, span] for name, value in prompt.aligned.items()}
        if any(start <= picture.start < end for picture in prompt.spans):
            extra |= self._encoder.pictures_between(prompt, start, end)
        positions = prompt.positions[..., None, span]
        ids = torch.tensor([prompt.ids[span]], device=self._forward.device)
        return self._forward.run(rows, ids, positions, extra=extra)[0, -1]

    def _record(self, prompt: EncodedPrompt, end: int) -> None:
        self._ids = list(prompt.ids[:end])
        self._spans = prompt.spans_before(end)

    def _reusable(self, prompt: EncodedPrompt, limit: int) -> int:
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


@dataclass(frozen=True, slots=True, eq=False)
class _Checkpoint:
    """A sequence of these ids and pictures, and the cache that has read it."""

    rows: CachedRows
    ids: Sequence[int]
    spans: tuple[PictureSpan, ...]


class CheckpointReader(PrefixReader):
    """The same where a cache cannot be cut: prompts go on from copies kept where others parted or will part."""

    def forget(self) -> None:
        self._let_go()
        self._kept: list[_Checkpoint] = []  # the last used at the end

    def append(self, token: int) -> torch.Tensor:
        rows, ids, spans = self.rows, self._ids, self._spans
        self._let_go()
        logits = self._forward.step(rows, [token])
        ids.append(token)
        self.rows, self._ids, self._spans = rows, ids, spans
        return logits[0]

    def _reach(
        self, prompt: EncodedPrompt, end: int, limit: int, keep: Sequence[int]
    ) -> tuple[torch.Tensor | None, int]:
        self.turn += 1
        known = [*self._kept, _Checkpoint(self.rows, self._ids, self._spans)]
        shared = [shared_length(checkpoint.ids, checkpoint.spans, prompt, limit) for checkpoint in known]
        whole = [i for i, checkpoint in enumerate(known) if shared[i] == len(checkpoint.ids)]
        found = known[max(whole, key=lambda i: (shared[i], i))] if whole else None
        first = prompt.pictures_end if self._forward.two_way_pictures else 0
        if found is not None and len(found.ids) < first:
            found = None
        start = cached = len(found.ids) if found else 0
        stops = {stop for stop in keep if max(first, start + 1) <= stop <= end}
        parting = max(shared)
        if parting - max({start, *stops}) >= _LEAST_SHARED_TOKENS and parting >= first:
            stops.add(parting)
        rows = self._go_on_from(found)
        logits = None
        for stop in sorted({*stops, end}):
            if any(picture.start < stop < picture.end for picture in prompt.spans):
                continue
            if start < stop:
                logits = self._pass(rows, prompt, start, stop)
            if stop in stops:
                kept = _Checkpoint(self._forward.copy(rows), prompt.ids[:stop], prompt.spans_before(stop))
                self._kept = [*self._kept, kept][-_MOST_KEPT:]
            start = stop
        self.rows = rows
        self._record(prompt, end)
        return logits, cached

    def _go_on_from(self, found: _Checkpoint | None) -> CachedRows:
        """Rows that hold what ``found`` has read. The reader lets go of its own: interrupted, a pass spoils them."""
        if found in self._kept:
            self._kept.remove(found)
            self._kept.append(found)
            found = replace(found, rows=self._forward.copy(found.rows))
        self._let_go()
        return found.rows if found else self._forward.empty_rows(1)

    def _let_go(self) -> None:
        self.rows = self._forward.empty_rows(1)
        self._ids: list[int] = []
        self._spans: tuple[PictureSpan, ...] = ()
