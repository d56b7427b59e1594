"""One set of models for many requests: pipelines that share them, each for one caller at a time.

Threads may share a pool. A ``BatchingModel`` decodes its callers together; any other model serves one caller at a
time, call by call, in the order in which they asked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from composer.pipeline.wordless import SharedDrafting
from vision.errors import Phrase
from vision.interfaces import Chunk, ModelIdentity, Prompt, Sampling, Usage, VisionLanguageModel

if TYPE_CHECKING:
    from composer.pipeline.pipeline import Pipeline
    from composer.settings import Settings
    from image_db.metadata.generate import Drafting
    from image_db.stores.opening import AnyLibrary
    from retrieval.search import Searcher
    from vision.interfaces import JointEncoder

WORKERS = 8  # articles at once, where the model decodes them together


@runtime_checkable
class BatchingModel(Protocol):
    """A model that decodes several callers together, each through a view of its own."""

    callers_at_once: int  # that it serves together with a gain

    @property
    def usage(self) -> Usage: ...

    def caller(self) -> VisionLanguageModel: ...

    def close(self) -> None: ...


def for_many_callers(model: VisionLanguageModel) -> VisionLanguageModel | BatchingModel:
    """The model ready for several callers: Vignette's own engine decodes them together, others are left as they are."""
    from vision.llm.model import GgufModel
    from vision.llm.server import BatchingServer

    return BatchingServer(model) if isinstance(model, GgufModel) else model


def callers_at_once(model: VisionLanguageModel | BatchingModel) -> int:
    """How many callers the model serves together with a gain; 1 where callers take turns."""
    return model.callers_at_once if isinstance(model, BatchingModel) else 1


class FairLock:
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


class ExclusiveView:
    """A caller's own view of a model it shares with others; ``usage`` counts what this caller used.

    A call inside a stream that this view has not finished belongs to the same turn.
    """

    def __init__(self, model: VisionLanguageModel, lock: FairLock) -> None:
        self.identity: ModelIdentity = model.identity
        self.sees_images: bool = model.sees_images
        self.context_tokens: int = model.context_tokens
        self.notice: Phrase | None = getattr(model, "notice", None)
        self.usage = Usage()
        self._model, self._lock = model, lock
        self._depth = 0
        self._before = Usage()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._depth == 0:
            self._lock.acquire()
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
                self._lock.release()

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


class _Shared:
    """One model and what its callers take turns by."""

    def __init__(self, model: VisionLanguageModel | BatchingModel) -> None:
        self.model = model
        self._lock = FairLock()

    def view(self) -> VisionLanguageModel:
        return self.model.caller() if isinstance(self.model, BatchingModel) else ExclusiveView(self.model, self._lock)


class ModelPool:
    """Models of one profile, and the libraries that its pipelines take pictures from, each opened once."""

    def __init__(
        self,
        settings: Settings,
        model: VisionLanguageModel | BatchingModel,
        encoder: JointEncoder,
        judge: VisionLanguageModel | BatchingModel | None = None,
    ) -> None:
        """``model`` writes, and judges too where there is no ``judge``."""
        self.settings = settings
        self.encoder = encoder
        self.draft: Drafting = SharedDrafting(settings, encoder)
        self._shared = [_Shared(one) for one in (model, judge) if one is not None]
        self._libraries: dict[Path, tuple[AnyLibrary, Searcher]] = {}
        self._opening = threading.Lock()

    @classmethod
    def load(cls, settings: Settings) -> ModelPool:
        """Load the profile's models. Raises WeightsError or ModelError saying what to fetch or change."""
        from composer.pipeline.loading import check_fits, load_encoder, load_judge, load_language_model

        check_fits(settings)
        writer, judge = for_many_callers(load_language_model(settings.writer)), load_judge(settings)
        return cls(settings, writer, load_encoder(settings), judge and for_many_callers(judge))

    @property
    def workers(self) -> int:
        """How many requests at once are worth it with this model."""
        return min(WORKERS, callers_at_once(self._shared[0].model))

    @property
    def usage(self) -> Usage:
        """What all pipelines used together since the models were loaded."""
        used = Usage()
        for shared in self._shared:
            used.add(shared.model.usage)
        return used

    def pipeline(self, library_dir: Path, settings: Settings | None = None) -> Pipeline:
        """A pipeline for one caller. ``settings`` may differ from the pool's in all but the models.

        Raises LibraryError where the library cannot be opened or was made with another encoder.
        """
        from composer.pipeline.judge_fits import with_judge_fit
        from composer.pipeline.pipeline import Pipeline

        library, searcher = self._library(library_dir)
        model, *judges = views = [shared.view() for shared in self._shared]
        settings = with_judge_fit(settings or self.settings, views[-1].identity, self.encoder.identity)
        return Pipeline(settings, model, self.encoder, library, searcher, *judges, draft=self.draft)

    def close(self) -> None:
        with self._opening:
            for library, _ in self._libraries.values():
                library.close()
            self._libraries.clear()
        for shared in self._shared:
            if isinstance(shared.model, BatchingModel):
                shared.model.close()

    def _library(self, folder: Path) -> tuple[AnyLibrary, Searcher]:
        from image_db.stores.addresses import settled
        from image_db.stores.opening import open_library
        from retrieval.search import Searcher

        key = settled(folder)
        with self._opening:
            if key not in self._libraries:
                library = open_library(key, self.encoder.identity)
                self._libraries[key] = (library, Searcher(library, self.encoder))
            return self._libraries[key]
