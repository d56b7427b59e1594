"""One language model for several callers at once.

A model that ``ServesMany`` decodes its callers together. Any other serves
one caller at a time: its callers take turns, call by call, in the order in which they asked. Knows no articles.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from vision.interfaces import Chunk, ModelIdentity, Prompt, Sampling, Usage, VisionLanguageModel


@runtime_checkable
class ServesMany(Protocol):
    """A model that decodes several callers together, each through a view of its own."""

    callers_at_once: int  # that it serves together with a gain

    @property
    def usage(self) -> Usage: ...

    def caller(self) -> VisionLanguageModel: ...

    def close(self) -> None: ...


def shared(model: VisionLanguageModel) -> VisionLanguageModel | ServesMany:
    """The model ready for several callers: Vignette's own engine decodes them together, others are left as they are."""
    from vision.llm.model import GgufModel
    from vision.llm.server import BatchingServer

    return BatchingServer(model) if isinstance(model, GgufModel) else model


def callers_at_once(model: VisionLanguageModel | ServesMany) -> int:
    """How many callers the model serves together with a gain; 1 where callers take turns."""
    return model.callers_at_once if isinstance(model, ServesMany) else 1


class Turns:
    """A lock handed on in the order of asking. Any thread may release it: a generator's steps may run in several."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._next_ticket = 0
        self._served = 0

    def acquire(self) -> None:
        with self._condition:
            ticket = self._next_ticket
            self._next_ticket += 1
            self._condition.wait_for(lambda: self._served == ticket)

    def release(self) -> None:
        with self._condition:
            self._served += 1
            self._condition.notify_all()

    @property
    def waiting(self) -> int:
        """Callers that have asked and not been served, the present one included."""
        return self._next_ticket - self._served


class InTurns:
    """A caller's own view of a model it shares with others; ``usage`` counts what this caller used.

    A call inside a stream that this view has not finished belongs to the same turn.
    """

    def __init__(self, model: VisionLanguageModel, turns: Turns) -> None:
        self.identity: ModelIdentity = model.identity
        self.sees_images: bool = model.sees_images
        self.context_tokens: int = model.context_tokens
        self.usage = Usage()
        self._model, self._turns = model, turns
        self._depth = 0
        self._before = Usage()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._depth == 0:
            self._turns.acquire()
            self._before = self._model.usage.copy()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                used = self._model.usage.since(self._before)
                self.usage.prompt_tokens += used.prompt_tokens
                self.usage.cached_tokens += used.cached_tokens
                self.usage.generated_tokens += used.generated_tokens
                self._turns.release()

    def count_tokens(self, prompt: Prompt) -> int:
        with self._turn():
            return self._model.count_tokens(prompt)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        with self._turn():
            yield from self._model.stream(prompt, sampling)

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        with self._turn():
            yield from self._model.stream_batch(prompts, samplings)

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        with self._turn():
            return self._model.score(prompt, options)

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        with self._turn():
            return self._model.score_batch(prompts, options)
