"""Continuous batching: prompts join, are read, decode together and leave as they finish."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vision.interfaces import Chunk, Sampling, Usage
from vision.llm.batch_runner import BatchRunner, SequenceInput
from vision.llm.kv_cache import CachedSequence
from vision.llm.prefill import prefill_with
from vision.llm.sampling import Continuation


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """Ids of the whole prompt; the last ``begun`` of them are an answer to be continued."""

    ids: list[int]
    begun: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A prompt that has not been read; ``room`` is how many tokens its answer may take."""

    index: int
    prompt: PromptTokens
    sampling: Sampling
    room: int
    usage: Usage


@dataclass(eq=False, slots=True)
class _Generation:
    """One prompt being answered; ``logits`` (vocabulary,) follow its last token."""

    index: int
    text: Continuation
    sequence: CachedSequence
    logits: np.ndarray
    reserved_tokens: int
    usage: Usage


class Scheduler:
    """Prompts waiting and prompts running. ``step`` draws one token for each running prompt.

    Prompts are read beside the tokens of those that run: a pass of sixteen rows takes little longer than one of eight.
    A prompt joins as soon as the cache has room for all it may grow to, so that none is ever cut off for another.
    ``close`` keeps what was read and written in the cache for later prompts.
    """

    def __init__(
        self,
        runner: BatchRunner,
        decode: Callable[[Sequence[int]], str],
        end_ids: frozenset[int],
        context_tokens: int,
        usage: Usage,
    ) -> None:
        self._runner, self._cache = runner, runner.cache
        self._decode, self._end_ids, self._context_tokens, self._usage = decode, end_ids, context_tokens, usage
        self._waiting: deque[_Waiting] = deque()
        self._running: list[_Generation] = []
        self._next_index = 0

    def __bool__(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._waiting or self._running)

    def add(self, prompt: PromptTokens, sampling: Sampling, usage: Usage | None = None) -> int:
        """Queue a prompt; returns the index its chunks will carry. ``usage`` is where it is counted, if not here."""
        room = min(sampling.max_tokens, self._context_tokens - len(prompt.ids))
        self._waiting.append(_Waiting(self._next_index, prompt, sampling, room, usage or self._usage))
        self._next_index += 1
        return self._next_index - 1

    def cancel(self, index: int) -> None:
        """Drop a prompt, waiting or running; no further chunk of it comes."""
        self._waiting = deque(entry for entry in self._waiting if entry.index != index)
        for generation in [g for g in self._running if g.index == index]:
            self._leave(generation)

    def close(self) -> None:
        self._waiting.clear()
        for generation in list(self._running):
            self._leave(generation)

    def step(self) -> list[Chunk]:
        """Draw a token for each running prompt, then run those tokens and the prompts that join as one batch.

        Texts held back give no chunk, and a prompt gives none in the step in which it is read.
        """
        chunks: list[Chunk] = []
        drawn = []
        for generation in list(self._running):
            chunk, token = generation.text.advance(generation.logits, generation.index)
            generation.usage.generated_tokens += 1
            if chunk is not None:
                chunks.append(chunk)
            if generation.text.finish is None:
                drawn.append(SequenceInput(generation.sequence, [token]))
            else:
                self._leave(generation)
        joining = self._joining()
        read, results = prefill_with(
            self._runner, [one.prompt.ids for one in joining], [one.usage for one in joining], drawn
        )
        for generation, result in zip(self._running, results, strict=True):
            generation.logits = result[0]
        for one, (sequence, logits) in zip(joining, read, strict=True):
            begun = one.prompt.ids[len(one.prompt.ids) - one.prompt.begun :]
            text = Continuation(one.sampling, one.room, self._decode, self._end_ids, begun)
            reserved = len(sequence) + one.room
            self._running.append(_Generation(one.index, text, sequence, logits, reserved, one.usage))
        return chunks

    def _joining(self) -> list[_Waiting]:
        """The waiting prompts that there is room for; they wait no longer."""
        joining: list[_Waiting] = []
        reserved = sum(generation.reserved_tokens for generation in self._running)
        while self._waiting:
            reserved += len(self._waiting[0].prompt.ids) + self._waiting[0].room
            if (self._running or joining) and reserved > self._cache.capacity_tokens:
                break
            joining.append(self._waiting.popleft())
        return joining

    def _leave(self, generation: _Generation) -> None:
        self._running.remove(generation)
        self._cache.close(generation.sequence)
