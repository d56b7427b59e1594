"""What work on a thread of its own came to: nothing amiss, an error that a person is told, or a mistake of ours.

Knows no jobs and no pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from composer.errors import ComposerError
from image_db.errors import LibraryError
from retrieval.errors import RetrievalError
from vision.errors import VisionError

EXPECTED = (ComposerError, LibraryError, RetrievalError, VisionError)


@contextmanager
def settled(settle: Callable[[Exception | None], None]) -> Iterator[None]:
    """Whatever the block comes to, ``settle`` hears of it: None, or what a person is to be told.

    A mistake of ours goes on to the log, after ``settle``.
    """
    trouble: Exception | None = ComposerError("something went wrong inside; the log of the server says what", "inside")
    try:
        yield
        trouble = None
    except EXPECTED as error:
        trouble = error
    finally:
        settle(trouble)
