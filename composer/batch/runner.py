"""A batch from its jobs to its report: what is there already is kept, the rest is made, several articles at once.

Threads take jobs; one stream says what they do, and whoever reads it is the only one that prints or writes files about
the run. Leaving it ends the articles at work at their next event.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO, TypeAlias

from composer.batch.article_job import (
    BatchConfig,
    Composes,
    Interrupted,
    Listener,
    Outcome,
    existing_outcome,
    run_job,
)
from composer.batch.requests import BatchJob
from composer.batch.summary import BatchSummary
from composer.errors import ComposerError
from composer.pipeline.events import Event
from vision.interfaces import Usage

if TYPE_CHECKING:
    from composer.batch.terminal import BatchTerminal

LOCK = ".vignette-batch.lock"
RunJob = Callable[[BatchJob, Listener], Outcome]
_TICK_S = 0.5


class Composers(Protocol):
    """What makes articles, ``workers`` at once."""

    workers: int

    @property
    def usage(self) -> Usage: ...

    def run_job(self, job: BatchJob, listen: Listener) -> Outcome:
        """As ``article_job.run_job``; called by as many threads as there are workers."""
        ...

    def close(self) -> None: ...


class ComposersHere:
    """Composers in this process, which share one set of models."""

    def __init__(self, config: BatchConfig, jobs: int, workers: int | None) -> None:
        """``workers`` None: as many articles at once as the model decodes together."""
        from composer.pipeline.model_pool import ModelPool

        self._config = config
        self._pool = ModelPool.load(config.profile)
        self.workers = min(workers or self._pool.workers, jobs)

    @property
    def usage(self) -> Usage:
        return self._pool.usage

    def run_job(self, job: BatchJob, listen: Listener) -> Outcome:
        return run_job(job, self._config, self._pipeline, listen)

    def _pipeline(self, job: BatchJob) -> Composes:
        return self._pool.pipeline(self._config.library_of(job), job.settings(self._config.profile))

    def close(self) -> None:
        self._pool.close()


OpenComposers: TypeAlias = Callable[[BatchConfig, int, "int | None"], Composers]


def run_batch(
    jobs: Sequence[BatchJob],
    config: BatchConfig,
    out: TextIO,
    *,
    workers: int | None,
    fail_fast: bool,
    open_composers: OpenComposers = ComposersHere,
) -> BatchSummary:
    """Make what is missing, show it on ``out``, and write the summary after every article and the report at last.

    ``workers`` None: as many articles at once as the model decodes together. Raises ComposerError where another batch
    works in the same folder, and what opening the library and loading the models raise.
    """
    from filelock import FileLock, Timeout

    from composer.batch.terminal import BatchTerminal

    summary = BatchSummary(jobs, config)
    terminal = BatchTerminal(out, total=len(jobs))
    try:
        with FileLock(config.out_dir / LOCK, timeout=0):
            try:
                existing = {job.line: o for job in jobs if (o := existing_outcome(job, config)) is not None}
                for outcome in existing.values():
                    terminal.ended(outcome)
                summary.add(existing)
                if not (fail_fast and summary.failed):
                    _make_left(summary, terminal, workers, fail_fast, open_composers)
            finally:
                terminal.close()
                summary.close()
    except Timeout as error:
        raise ComposerError("batch_running", path=str(config.out_dir)) from error
    return summary


def _make_left(
    summary: BatchSummary,
    terminal: BatchTerminal,
    workers: int | None,
    fail_fast: bool,
    open_composers: OpenComposers,
) -> None:
    """Load the models and make what is missing, showing and noting each article as it ends."""
    from image_db.stores.opening import open_library

    left, config = summary.left(), summary.config
    if not left:
        return
    if any(job.library is None for job in left):
        open_library(config.library).close()  # what is wrong with it is known before models are loaded
    started = time.perf_counter()
    composers = open_composers(config, len(left), workers)
    summary.load_seconds = time.perf_counter() - started
    summary.workers = composers.workers
    batch = BatchRun(left, composers.run_job, workers=summary.workers, fail_fast=fail_fast)
    try:
        with closing(batch.updates()) as updates:  # type: ignore[type-var]
            for update in updates:
                terminal.show(update)
                summary.add(batch.outcomes)
    finally:
        # What ended while the others were being interrupted counts, too.
        summary.add(batch.outcomes)
        summary.usage = composers.usage
        composers.close()


@dataclass(frozen=True, slots=True)
class Update:
    """``news`` is None where the job begins, then its events, and at last its outcome."""

    job: BatchJob
    news: Event | Outcome | None


class BatchRun:
    """Runs jobs in ``workers`` threads. ``outcomes`` holds, by line, all that have ended so far."""

    def __init__(self, jobs: Sequence[BatchJob], run_job: RunJob, *, workers: int, fail_fast: bool = False) -> None:
        """``fail_fast`` starts nothing new after a failure; what is at work is finished."""
        self.outcomes: dict[int, Outcome] = {}
        self._run_job = run_job
        self._fail_fast = fail_fast
        self._left = iter(jobs)
        self._taking = threading.Lock()
        self._ending = threading.Event()  # start nothing new
        self._cutting = threading.Event()  # end what is at work, too
        self._updates: queue.SimpleQueue[Update | None] = queue.SimpleQueue()
        count = max(1, min(workers, len(jobs)))
        self._threads = [threading.Thread(target=self._work, name=f"batch-{i}", daemon=True) for i in range(count)]

    def updates(self) -> Iterator[Update]:
        """What happens, in order, until every job has ended. Closing it interrupts the jobs at work and waits."""
        working = len(self._threads)
        try:
            for thread in self._threads:
                thread.start()
            while working:
                try:
                    # A wait without end would not hear Ctrl-C on every system.
                    update = self._updates.get(timeout=_TICK_S)
                except queue.Empty:
                    continue
                if update is None:
                    working -= 1
                else:
                    yield update
        finally:
            self._ending.set()
            self._cutting.set()
            for thread in self._threads:
                if thread.ident is not None:  # an interrupt may come before all are started
                    thread.join()

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._updates.put(Update(job, None))
                outcome = self._run_job(job, self._listener(job))
                if outcome.status == "failed" and self._fail_fast:
                    self._ending.set()
                self.outcomes[job.line] = outcome
                self._updates.put(Update(job, outcome))
        finally:
            self._updates.put(None)

    def _next(self) -> BatchJob | None:
        with self._taking:
            return None if self._ending.is_set() else next(self._left, None)

    def _listener(self, job: BatchJob) -> Listener:
        def listen(event: Event) -> None:
            if self._cutting.is_set():
                raise Interrupted
            self._updates.put(Update(job, event))

        return listen
