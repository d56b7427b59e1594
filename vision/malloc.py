"""Lets the C library keep memory that tensors free while many of them come and go.

glibc gives large blocks back to the system as soon as they are freed, and the next tensor of the same size faults its
pages in again, one by one. A pass of an embedded image tower over 16 pictures does so 54,000 times, a third of its
processor time. Where the C library is another one, nothing happens.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEPT = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1))
# Once set, glibc no longer adapts them by itself; these are what it adapts to in a process that uses large blocks.
_USUAL = ((_MMAP_MAX, 65536), (_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 64 << 20))

_lock = threading.Lock()
_inside = 0


@contextmanager
def memory_kept() -> Iterator[None]:
    """Within, freed memory stays with the process; at the end of the outermost it goes back to the system."""
    global _inside
    libc = _glibc()
    if libc is None:
        yield
        return
    with _lock:
        _inside += 1
        if _inside == 1:
            _set(libc, _KEPT)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _set(libc, _USUAL)
                libc.malloc_trim(0)


def give_back() -> None:
    """Return freed memory to the system at once, that of other threads too."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, options: tuple[tuple[int, int], ...]) -> None:
    for parameter, value in options:
        libc.mallopt(parameter, value)


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 - asks whether it is there
    except (AttributeError, OSError, TypeError):
        return None
    return libc
