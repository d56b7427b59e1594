"""One language model for several callers at once: their prompts are decoded as one batch, on a thread of its own.

Prompts join while others are being answered and leave as they finish; scoring goes in between. Every caller gets what
it would get alone, to the last bit, because the engine computes each row by itself. Knows no articles.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vision.errors import ModelError
from vision.interfaces import Chunk, Prompt, Sampling, Usage
from vision.llm.model import GgufModel
from vision.llm.scheduler import PromptTokens, Scheduler

# RowsStruct a step of the C kernels takes for little more than one: measured in docs/performance.md.
CALLERS_AT_ONCE = 8


@dataclass(eq=False, slots=True)
class _Answering:
    """Prompts of one call; ``answers`` brings its chunks, then None, or what went wrong.

    What it used is its caller's when it has ended.
    """

    prompts: list[tuple[PromptTokens, Sampling]]
    caller: Usage
    usage: Usage = field(default_factory=Usage)
    answers: queue.SimpleQueue[Chunk | BaseException | None] = field(default_factory=queue.SimpleQueue)
    left: int = 0
    indices: list[int] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _Scoring:
    prompts: Sequence[Prompt]
    options: Sequence[Sequence[str]]
    usage: Usage
    answer: queue.SimpleQueue[list[list[float]] | BaseException] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class _Cancelling:
    call: _Answering


class BatchingServer:
    """Hands out ``caller()`` views of a model. Owns the model from now on: use it through the views only."""

    callers_at_once = CALLERS_AT_ONCE

    def __init__(self, model: GgufModel) -> None:
        self.model = model
        self._inbox: queue.SimpleQueue[_Answering | _Scoring | _Cancelling | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def usage(self) -> Usage:
        """Of all callers together, streams under way apart."""
        return self.model.usage

    def caller(self) -> Caller:
        """A view for one caller, which counts its own ``usage``."""
        return Caller(self)

    def close(self) -> None:
        """End the thread; calls that are still running get a ModelError. Safe to repeat."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._inbox.put(None)
        if thread is not None:
            thread.join()

    def submit(self, work: _Answering | _Scoring | _Cancelling) -> None:
        """For the views. Raises ModelError after ``close``."""
        with self._lock:
            if self._closed:
                if isinstance(work, _Cancelling):
                    return
                raise ModelError("the model was closed while somebody still asked it; open it again")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="language-model", daemon=True)
                self._thread.start()
            self._inbox.put(work)

    def _serve(self) -> None:
        batch, running = self.model.open_batch(), _Running(self.model.usage)
        while True:
            # With answers under way nobody waits for post; with none there is nothing else to do.
            work = self._next(wait=not running)
            while work is not None:
                if isinstance(work, _Answering):
                    running.begin(batch, work)
                elif isinstance(work, _Scoring):
                    self._score(work)
                else:
                    running.cancel(batch, work.call)
                work = self._next(wait=False)
            if self._closed:
                break
            if running:
                running.step(batch)
        batch.close()
        running.fail(ModelError("the model was closed before the answer was complete; open it again"))

    def _next(self, *, wait: bool) -> _Answering | _Scoring | _Cancelling | None:
        try:
            return self._inbox.get(block=wait)
        except queue.Empty:
            return None

    def _score(self, work: _Scoring) -> None:
        before = self.model.usage.copy()
        try:
            answer = self.model.score_batch(work.prompts, work.options)
        except BaseException as error:  # noqa: BLE001 - belongs to the caller, who raises it
            work.answer.put(error)
        else:
            work.usage.add(self.model.usage.since(before))
            work.answer.put(answer)


class _Running:
    """The calls under way, by the batch's index: whose each prompt is, and its place in the call."""

    def __init__(self, total: Usage) -> None:
        self._prompts: dict[int, tuple[_Answering, int]] = {}
        self._total = total

    def __bool__(self) -> bool:
        return bool(self._prompts)

    def begin(self, batch: Scheduler, call: _Answering) -> None:
        for place, (prompt, sampling) in enumerate(call.prompts):
            index = batch.add(prompt, sampling, call.usage)
            call.indices.append(index)
            self._prompts[index] = (call, place)

    def cancel(self, batch: Scheduler, call: _Answering) -> None:
        found = [index for index in call.indices if self._prompts.pop(index, None) is not None]
        for index in found:
            batch.cancel(index)
        if found:
            self._count(call)

    def step(self, batch: Scheduler) -> None:
        try:
            chunks = batch.step()
        except BaseException as error:  # noqa: BLE001 - nobody knows whose it was, and every caller must hear of an end
            batch.close()
            self.fail(error)
            return
        for chunk in chunks:
            call, place = self._prompts[chunk.index]
            if chunk.finish:
                del self._prompts[chunk.index]
                call.left -= 1
            if not call.left:
                self._count(call)
            call.answers.put(Chunk(chunk.text, place, chunk.finish))
            if not call.left:
                call.answers.put(None)

    def fail(self, error: BaseException) -> None:
        for call in {id(call): call for call, _ in self._prompts.values()}.values():
            call.left = 0
            self._count(call)
            call.answers.put(error)
        self._prompts.clear()

    def _count(self, call: _Answering) -> None:
        call.caller.add(call.usage)
        self._total.add(call.usage)


class Caller:
    """One caller's view of a served model. See ``VisionLanguageModel``; a stream may be left at any token."""

    def __init__(self, served: BatchingServer) -> None:
        self._served, self._model = served, served.model
        self.identity, self.sees_images = self._model.identity, self._model.sees_images
        self.context_tokens = self._model.context_tokens
        self.usage = Usage()

    def count_tokens(self, prompt: Prompt) -> int:
        return self._model.count_tokens(prompt)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return self.stream_batch([prompt], [sampling])

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        encoded = [self._model.encode(prompt) for prompt in prompts]
        call = _Answering(list(zip(encoded, samplings, strict=True)), self.usage, left=len(encoded))
        return self._answers(call)

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self.score_batch([prompt], [options])[0]

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        work = _Scoring(prompts, options, self.usage)
        self._served.submit(work)
        answer = work.answer.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _answers(self, call: _Answering) -> Iterator[Chunk]:
        if not call.left:
            return
        self._served.submit(call)
        try:
            while (chunk := call.answers.get()) is not None:
                if isinstance(chunk, BaseException):
                    raise chunk
                yield chunk
        finally:
            if call.left:
                self._served.submit(_Cancelling(call))
