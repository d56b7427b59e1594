"""Work that is left as soon as it is not wanted any more, even while its next step is long in coming.

What a model was asked in one batch cannot be taken back from it. So the steps are taken on a thread of their own: the
reader goes when told to, the thread ends after the step it is in. Knows no models and no pages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import TypeVar

# The reader looks this often, and waits at most so long for a step that is about to end.
LOOK_S = 0.1
END_S = 0.4

Step = TypeVar("Step")


def heeded(steps: Iterator[Step], stopping: Callable[[], bool]) -> Generator[Step, None, None]:
    """The same steps until ``stopping()`` is true, those taken by then included; what they raise is raised here.

    Once stopped, ``steps`` is closed after the step under way, whose outcome nobody hears of; an exception that comes
    after that goes to ``threading.excepthook``.
    """
    box: SimpleQueue[tuple[Step | None, BaseException | None, bool]] = SimpleQueue()
    left = threading.Event()

    def run() -> None:
        try:
            with closing(steps):  # type: ignore[type-var]
                for step in steps:
                    box.put((step, None, False))
                    if left.is_set() or stopping():
                        return
            box.put((None, None, True))
        except BaseException as error:
            if left.is_set():
                raise
            box.put((None, error, True))

    thread = threading.Thread(target=run, daemon=True, name="vignette-steps")
    thread.start()
    try:
        while True:
            if stopping():
                left.set()
            try:
                step, error, over = box.get(timeout=0 if left.is_set() else LOOK_S)
            except Empty:
                if left.is_set():
                    return
                continue
            if error is not None:
                raise error
            if over:
                return
            yield step  # type: ignore[misc]
    finally:
        left.set()
        thread.join(END_S)
