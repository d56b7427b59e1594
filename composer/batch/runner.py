"""Several articles at once: threads that take jobs, and one stream of what they do.

Whoever reads the stream is the only one that prints or writes files about the run. Leaving it ends the articles at
work at their next event. Knows no models: making is a function it is given.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from composer.batch.article_job import Hear, Interrupted, Outcome
from composer.batch.requests import BatchJob
from composer.pipeline.events import Event

Make = Callable[[BatchJob, Hear], Outcome]
_TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Began:
    job: BatchJob


@dataclass(frozen=True, slots=True)
class Heard:
    job: BatchJob
    event: Event


@dataclass(frozen=True, slots=True)
class Ended:
    job: BatchJob
    outcome: Outcome


Update = Began | Heard | Ended


class BatchRun:
    """Makes jobs with ``workers`` threads. ``outcomes`` holds, by line, all that has ended so far."""

    def __init__(self, jobs: Sequence[BatchJob], make: Make, *, workers: int, fail_fast: bool = False) -> None:
        """``fail_fast`` starts nothing new after a failure; what is at work is finished."""
        self.outcomes: dict[int, Outcome] = {}
        self._make = make
        self._fail_fast = fail_fast
        self._left = iter(jobs)
        self._taking = threading.Lock()
        self._ending = threading.Event()  # start nothing new
        self._cutting = threading.Event()  # end what is at work, too
        self._told: queue.SimpleQueue[Update | None] = queue.SimpleQueue()
        count = max(1, min(workers, len(jobs)))
        self._threads = [threading.Thread(target=self._work, name=f"batch-{i}", daemon=True) for i in range(count)]

    def updates(self) -> Iterator[Update]:
        """What happens, in config, until every job has ended. Closing it interrupts the jobs at work and waits."""
        for thread in self._threads:
            thread.start()
        working = len(self._threads)
        try:
            while working:
                try:
                    # A wait without end would not hear Ctrl-C on every system.
                    update = self._told.get(timeout=_TICK_S)
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
                thread.join()

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._told.put(Began(job))
                outcome = self._make(job, self._hear(job))
                if outcome.status == "failed" and self._fail_fast:
                    self._ending.set()
                self.outcomes[job.line] = outcome
                self._told.put(Ended(job, outcome))
        finally:
            self._told.put(None)

    def _next(self) -> BatchJob | None:
        with self._taking:
            return None if self._ending.is_set() else next(self._left, None)

    def _hear(self, job: BatchJob) -> Hear:
        def hear(event: Event) -> None:
            if self._cutting.is_set():
                raise Interrupted
            self._told.put(Heard(job, event))

        return hear
