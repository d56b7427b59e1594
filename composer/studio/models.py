"""The models that all sessions share, and the two queues of jobs that ask them.

Articles take minutes and wait in one queue; questions about a paragraph take seconds and wait in another, so that
nobody who edits has to wait for the articles of others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from composer.studio.job_queue import Job, JobQueue
from composer.studio.metrics import StudioMetrics
from composer.studio.time_estimate import TimeEstimator
from vision.errors import KeyedError

if TYPE_CHECKING:
    from image_db.metadata.generate import Drafting
    from vision.interfaces import JointEncoder


class LoadedModels(Protocol):
    """What ``composer.pipeline.model_pool`` offers: models loaded once, a pipeline for each job."""

    encoder: JointEncoder
    draft: Drafting  # of pictures without words

    @property
    def workers(self) -> int: ...

    def pipeline(self, library_dir: Path) -> Any: ...


class StudioModels:
    """Loads the models when they are first needed. Threads may share one."""

    def __init__(self, load: Callable[[], LoadedModels]) -> None:
        self._load = load
        self._models: LoadedModels | None = None
        self._loading = threading.Lock()
        self._articles, self._questions = JobQueue(), JobQueue()
        self.times = TimeEstimator()
        self.metrics = StudioMetrics()

    def loaded(self) -> LoadedModels:
        """Raises what loading raises; the next call tries again."""
        with self._loading:
            if self._models is None:
                self._models = self._load()
                self._articles.width = max(1, self._models.workers)
            return self._models

    def pipeline(self, library: Path) -> Any:
        """A pipeline for one job that takes pictures from the library. Raises LibraryError where it does not open."""
        return self.loaded().pipeline(library)

    def warm_up(self) -> None:
        """Begin loading while the person still types. A failure is raised again to whoever needs the models first."""

        def load() -> None:
            with suppress(KeyedError):
                self.loaded()

        threading.Thread(target=load, daemon=True, name="vignette-load").start()

    @property
    def are_loaded(self) -> bool:
        return self._models is not None

    def exposition(self) -> str:
        """The numbers for Prometheus."""
        return self.metrics.exposition(waiting=self._articles.waiting, running=self._articles.running)

    def make_article(self, work: Callable[[Job], None], moved: Callable[[], None]) -> Job:
        return self._articles.submit(work, moved)

    def answer(self, work: Callable[[Job], None]) -> Job:
        return self._questions.submit(work)
