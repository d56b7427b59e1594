"""One long writer at a time: indexing, compacting, making vectors anew, repairing.

The lock is the operating system's, so a process that is killed leaves none behind. Single changes, such as a corrected
caption, need none: they are transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image_db import catalog
from image_db.errors import LibraryError

LOCK_NAME = "writer.lock"


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Held until left; waits for another holder, saying so by ``catalog.on_wait``.

    Raises LibraryError where the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_NAME)
    try:
        try:
            lock.acquire(timeout=catalog.SILENT_S)
        except Timeout:
            if catalog.on_wait is not None:
                catalog.on_wait(folder)
            lock.acquire()
    except OSError as error:
        raise LibraryError("library_not_usable", folder=str(folder), reason=error.strerror or str(error)) from error
    try:
        yield
    finally:
        lock.release()
