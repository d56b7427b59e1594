"""Jobs that wait their turn: run in the order of asking, a few at once, each on a thread of its own.

A job goes on whoever looks. One that is stopped is left at once, even while its next step is long in coming.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import TypeVar

from composer.errors import ComposerError
from vision.errors import KeyedError

END_S = 0.4  # how long a stopped job waits for a step that is about to end

Step = TypeVar("Step")


class Job:
    """One piece of work in a queue. It looks at ``stopping`` where it can end early, and keeps what stands.

    ``started_s`` is on the clock of ``time.monotonic``, None while the job waits.
    """

    def __init__(self, queue: JobQueue, work: Callable[[Job], None], moved: Callable[[], None]) -> None:
        self.work = work
        self.moved = moved
        self.started_s: float | None = None
        self._queue = queue
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._when_stopped: list[Callable[[], None]] = []

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def before(self) -> int:
        """How many jobs have to end before this one begins; 0 for one that runs or is over."""
        return self._queue.before(self)

    def stop(self) -> None:
        """End the job as soon as it looks; one that still waits gives up its place at once."""
        self._stopping.set()
        for call in self._when_stopped:
            call()
        self._queue.run_now(self)

    def when_stopped(self, call: Callable[[], None]) -> None:
        """Call it when the job is stopped, perhaps twice; now where it is stopped already."""
        self._when_stopped.append(call)
        if self.stopping:
            call()

    def wait(self, timeout_s: float | None = None) -> bool:
        """True once the job is over."""
        return self._over.wait(timeout_s)

    def run(self) -> None:
        self.started_s = time.monotonic()
        self.work(self)

    def end(self) -> None:
        self._over.set()


class JobQueue:
    """At most ``width`` jobs at once, first come, first served."""

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()

    def submit(self, work: Callable[[Job], None], moved: Callable[[], None] = lambda: None) -> Job:
        """Queue the work; it is also called, with ``stopping`` set, where the job was stopped while it waited.

        ``moved`` is called whenever fewer jobs come before it.
        """
        job = Job(self, work, moved)
        with self._lock:
            self._waiting.append(job)
        self._advance()
        return job

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    def before(self, job: Job) -> int:
        """See ``Job.before``."""
        with self._lock:
            if job not in self._waiting:
                return 0
            ahead = self._waiting.index(job) + len(self._running)
            return max(1, ahead - self.width + 1)

    def run_now(self, job: Job) -> None:
        """Run a job that still waits, whatever comes before it: it was stopped and ends at once."""
        with self._lock:
            if job not in self._waiting:
                return
            self._waiting.remove(job)
            self._start(job)
        self._advance()

    def _advance(self) -> None:
        with self._lock:
            while self._waiting and len(self._running) < self.width:
                self._start(self._waiting.popleft())
            left = tuple(self._waiting)
        for job in left:
            job.moved()

    def _start(self, job: Job) -> None:
        self._running.add(job)
        threading.Thread(target=self._run, args=(job,), daemon=True, name="vignette-job").start()

    def _run(self, job: Job) -> None:
        try:
            job.run()
        finally:
            with self._lock:
                self._running.discard(job)
            job.end()
            self._advance()


def stoppable(steps: Iterator[Step], job: Job) -> Generator[Step, None, None]:
    """The same steps until the job is stopped, those taken by then included; what they raise is raised here.

    A batch that a model was asked cannot be taken back from it, so the steps are taken on a thread of their own. Once
    the job is stopped, ``steps`` is closed after the step under way, whose outcome is lost; an exception that comes
    after that goes to ``threading.excepthook``.
    """
    if job.stopping:
        return
    taken: SimpleQueue[tuple[Step] | BaseException | None] = SimpleQueue()  # None: there are no more
    left = threading.Event()

    def take() -> None:
        try:
            with closing(steps):  # type: ignore[type-var]
                for step in steps:
                    taken.put((step,))
                    if left.is_set() or job.stopping:
                        return
            taken.put(None)
        except BaseException as error:
            if left.is_set():
                raise
            taken.put(error)

    thread = threading.Thread(target=take, daemon=True, name="vignette-steps")
    thread.start()
    job.when_stopped(lambda: taken.put(None))
    try:
        while (step := taken.get()) is not None:
            if isinstance(step, BaseException):
                raise step
            yield step[0]
    finally:
        left.set()
        thread.join(END_S)


@contextmanager
def report_outcome(report: Callable[[Exception | None], None]) -> Iterator[None]:
    """Call ``report`` when the block ends, with the error that a person is told, or None when it finished.

    An unexpected exception is reported as ComposerError and raised again, for the log.
    """
    outcome: Exception | None = ComposerError("inside")
    try:
        yield
        outcome = None
    except KeyedError as error:
        outcome = error
    finally:
        report(outcome)
