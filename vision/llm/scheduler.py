"""Several continuations at once: prompts join, are read, decode together and leave as they finish.

Works on token ids; knows the runner and the cache, but neither templates nor weights.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vision.interfaces import Chunk, FinishReason, Sampling, Usage
from vision.llm.batch_runner import BatchRunner, SequenceInput
from vision.llm.kv_cache import CachedSequence
from vision.llm.prefill import read_beside
from vision.llm.sampling import Sampler, TextStream


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """Ids of the whole prompt; the last ``begun`` of them are an answer to be continued."""

    ids: list[int]
    begun: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A prompt that has not been read; ``left`` is how many tokens its answer may take."""

    index: int
    prompt: PromptTokens
    sampling: Sampling
    left: int
    usage: Usage


class _Generation:
    """One prompt being answered."""

    __slots__ = ("index", "left", "logits", "reserved_tokens", "sampler", "sequence", "text", "usage")

    def __init__(
        self,
        index: int,
        sampler: Sampler,
        text: TextStream,
        sequence: CachedSequence,
        logits: np.ndarray,
        left: int,
        usage: Usage,
    ) -> None:
        self.index, self.sampler, self.text, self.usage = index, sampler, text, usage
        self.sequence, self.logits, self.left = sequence, logits, left
        self.reserved_tokens = len(sequence) + left


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
        left = min(sampling.max_tokens, self._context_tokens - len(prompt.ids))
        self._waiting.append(_Waiting(self._next_index, prompt, sampling, left, usage or self._usage))
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
        pieces = []
        for generation in list(self._running):
            token = generation.sampler.draw(generation.logits)
            if self._account(generation, token, chunks):
                pieces.append(SequenceInput(generation.sequence, [token]))
        joining = self._joining()
        read, results = read_beside(
            self._runner, [one.prompt.ids for one in joining], [one.usage for one in joining], pieces
        )
        for generation, result in zip(self._running, results, strict=True):
            generation.logits = result[0]
        for one, (sequence, logits) in zip(joining, read, strict=True):
            begun = one.prompt.ids[len(one.prompt.ids) - one.prompt.begun :]
            sampler, text = Sampler(one.sampling, begun), TextStream(self._decode, one.sampling.stop, begun)
            self._running.append(_Generation(one.index, sampler, text, sequence, logits, one.left, one.usage))
        return chunks

    def _joining(self) -> list[_Waiting]:
        """The waiting prompts that there is room for; they wait no longer."""
        joining: list[_Waiting] = []
        reserved = sum(generation.reserved_tokens for generation in self._running)
        while self._waiting:
            reserved += len(self._waiting[0].prompt.ids) + self._waiting[0].left
            if (self._running or joining) and reserved > self._cache.capacity_tokens:
                break
            joining.append(self._waiting.popleft())
        return joining

    def _account(self, generation: _Generation, token: int, chunks: list[Chunk]) -> bool:
        """Note a drawn token; whether the generation goes on."""
        generation.usage.generated_tokens += 1
        generation.left -= 1
        text = ""
        finish: FinishReason | None = None
        if token in self._end_ids:
            finish = "stop"
        else:
            text = generation.text.push(token)
            if generation.text.stopped:
                finish = "stop"
            elif generation.left <= 0:
                finish = "length"
        if finish:
            text += generation.text.finish()
            self._leave(generation)
        if text or finish:
            chunks.append(Chunk(text, generation.index, finish))
        return finish is None

    def _leave(self, generation: _Generation) -> None:
        self._running.remove(generation)
        self._cache.close(generation.sequence)
