"""One language model for several callers at once: their prompts are decoded as one batch, on a thread of its own.

Prompts join while others are being answered and leave as they finish; scoring goes in between. Every caller gets what
it would get alone, to the last bit, because the engine computes each row by itself.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from vision.errors import ModelError
from vision.interfaces import Chunk, Prompt, Sampling, Usage
from vision.llm.model import GgufModel
from vision.llm.scheduler import PromptTokens, Scheduler

# Rows a step of the C kernels takes for little more than one: measured in docs/research/engine.md.
CALLERS_AT_ONCE = 8


@dataclass(eq=False, slots=True)
class _Call:
    """Prompts of one call; ``answers`` brings its chunks, then None, or what went wrong.

    What it used is added to its client's usage when it has ended.
    """

    prompts: list[tuple[PromptTokens, Sampling]]
    client: Usage
    left: int
    usage: Usage = field(default_factory=Usage)
    answers: queue.SimpleQueue[Chunk | BaseException | None] = field(default_factory=queue.SimpleQueue)
    indices: list[int] = field(default_factory=list)


class BatchingServer:
    """Hands out ``caller()`` views of a model. Owns the model from now on: use it through the views only."""

    callers_at_once = CALLERS_AT_ONCE

    def __init__(self, model: GgufModel) -> None:
        self.model = model
        self._calls = _Calls(model.open_batch(), model.usage)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()  # run between two steps
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def usage(self) -> Usage:
        """Of all callers together, streams under way apart."""
        return self.model.usage

    def caller(self) -> ServerClient:
        """A view for one caller, which counts its own ``usage``."""
        return ServerClient(self)

    def close(self) -> None:
        """End the thread; calls that are still running get a ModelError. Safe to repeat."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._inbox.put(lambda: None)
        if thread is not None:
            thread.join()

    def submit(self, call: _Call) -> None:
        """For the views. Raises ModelError after ``close``."""
        self._post(lambda: self._calls.begin(call))

    def cancel(self, call: _Call) -> None:
        """For the views; after ``close`` nothing is left to cancel."""
        with self._lock:
            self._inbox.put(lambda: self._calls.cancel(call))

    def score(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]], usage: Usage) -> list[list[float]]:
        """For the views. Raises ModelError after ``close``."""
        answer: Future[list[list[float]]] = Future()

        def work() -> None:
            before = self.model.usage.copy()
            try:
                found = self.model.score_batch(prompts, options)
            except BaseException as error:  # noqa: BLE001 - belongs to the caller, who raises it
                answer.set_exception(error)
            else:
                usage.add(self.model.usage.since(before))
                answer.set_result(found)

        self._post(work)
        return answer.result()

    def _post(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._closed:
                raise ModelError("model_closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="language-model", daemon=True)
                self._thread.start()
            self._inbox.put(work)

    def _serve(self) -> None:
        closed = False
        while not closed:
            # With answers under way nobody waits for post; with none there is nothing else to do.
            if not self._calls:
                self._inbox.get()()
            closed = self._closed  # read before the last of the post, none of which may be left lying
            while not self._inbox.empty():
                self._inbox.get()()
            if self._calls and not closed:
                self._calls.step()
        self._calls.fail(ModelError("model_closed"))


class _Calls:
    """The calls under way, by the batch's index: whose each prompt is, and its place in the call."""

    def __init__(self, batch: Scheduler, total: Usage) -> None:
        self._batch, self._total = batch, total
        self._prompts: dict[int, tuple[_Call, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._prompts)

    def begin(self, call: _Call) -> None:
        for place, (prompt, sampling) in enumerate(call.prompts):
            index = self._batch.add(prompt, sampling, call.usage)
            call.indices.append(index)
            self._prompts[index] = (call, place)

    def cancel(self, call: _Call) -> None:
        found = [index for index in call.indices if self._prompts.pop(index, None) is not None]
        for index in found:
            self._batch.cancel(index)
        if found:
            self._count(call)

    def step(self) -> None:
        try:
            chunks = self._batch.step()
        except BaseException as error:  # noqa: BLE001 - nobody knows whose it was, and every caller must hear of an end
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
        self._batch.close()
        for call in {id(call): call for call, _ in self._prompts.values()}.values():
            call.left = 0
            self._count(call)
            call.answers.put(error)
        self._prompts.clear()

    def _count(self, call: _Call) -> None:
        call.client.add(call.usage)
        self._total.add(call.usage)


class ServerClient:
    """One caller's view of a served model. See ``VisionLanguageModel``; a stream may be left at any token."""

    def __init__(self, server: BatchingServer) -> None:
        self._server, self._model = server, server.model
        self.identity, self.sees_images = self._model.identity, self._model.sees_images
        self.context_tokens = self._model.context_tokens
        self.usage = Usage()

    def count_tokens(self, prompt: Prompt) -> int:
        return self._model.count_tokens(prompt)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return self.stream_batch([prompt], [sampling])

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        encoded = [self._model.encode(prompt) for prompt in prompts]
        return self._answers(_Call(list(zip(encoded, samplings, strict=True)), self.usage, len(encoded)))

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self.score_batch([prompt], [options])[0]

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        return self._server.score(prompts, options, self.usage)

    def _answers(self, call: _Call) -> Iterator[Chunk]:
        if not call.left:
            return
        self._server.submit(call)
        try:
            while (chunk := call.answers.get()) is not None:
                if isinstance(chunk, BaseException):
                    raise chunk
                yield chunk
        finally:
            if call.left:
                self._server.cancel(call)
