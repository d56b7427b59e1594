"""Work that waits in line: jobs run in the order of asking, a few at once, each on a thread of its own.

Knows no models and no articles. Nobody's page needs to stay open for a job to go on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

State = Literal["waiting", "running", "over"]


class Job:
    """One piece of work. It looks at ``stopping`` where it can end early, and keeps what stands."""

    def __init__(self, work: Callable[[Job], None]) -> None:
        self._work = work
        self._stop = threading.Event()
        self._over = threading.Event()
        self.state: State = "waiting"
        self.asked_s = time.monotonic()
        self.started_s: float | None = None

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """True once the job is over."""
        return self._over.wait(timeout_s)

    def run(self) -> None:
        self.state, self.started_s = "running", time.monotonic()
        try:
            self._work(self)
        finally:
            self.state = "over"
            self._over.set()


class Line:
    """At most ``width`` jobs at once, first come, first served."""

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()

    def submit(self, work: Callable[[Job], None]) -> Job:
        """Queue the work; it is also called, with ``stopping`` set, where the job was stopped while it waited."""
        job = Job(work)
        with self._lock:
            self._waiting.append(job)
        self._advance()
        return job

    def before(self, job: Job) -> int:
        """How many jobs have to end before this one begins; 0 for one that runs or is over."""
        with self._lock:
            if job not in self._waiting:
                return 0
            ahead = self._waiting.index(job) + len(self._running)
            return max(1, ahead - self.width + 1)

    def stop(self, job: Job) -> None:
        """End the job as soon as it looks; one that still waits gives up its place at once."""
        job.stop()
        with self._lock:
            if job not in self._waiting:
                return
            self._waiting.remove(job)
            self._running.add(job)
        threading.Thread(target=self._run, args=(job,), daemon=True).start()

    def _advance(self) -> None:
        with self._lock:
            while self._waiting and len(self._running) < self.width:
                job = self._waiting.popleft()
                self._running.add(job)
                threading.Thread(target=self._run, args=(job,), daemon=True, name="vignette-job").start()

    def _run(self, job: Job) -> None:
        try:
            job.run()
        finally:
            with self._lock:
                self._running.discard(job)
            self._advance()
