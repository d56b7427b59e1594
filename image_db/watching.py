"""Tells when files below some folders change, in batches, until it is stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from image_db.errors import LibraryError

SETTLED_MS = 1_600  # a camera's card or a sync writes many files: one look afterwards is enough
_STEP_MS = 200


def changes(
    paths: Sequence[Path], *, ignored: Path, stop: Event | None = None, settled_ms: int = SETTLED_MS
) -> Iterator[None]:
    """Once for every batch of changes; ends when ``stop`` is set. Ctrl-C raises KeyboardInterrupt.

    What happens below ``ignored`` counts for nothing: a library may lie among the pictures it is made of.

    Raises LibraryError where the system does not let so many folders be watched.
    """
    import watchfiles

    watched = [path.expanduser().absolute() for path in paths]
    apart = ignored.expanduser().resolve()
    try:
        for _ in watchfiles.watch(
            *watched,
            watch_filter=lambda _, path: not Path(path).is_relative_to(apart),
            debounce=settled_ms,
            step=min(_STEP_MS, settled_ms),
            stop_event=stop,
            raise_interrupt=True,
            ignore_permission_denied=True,
        ):
            yield
    except (OSError, RuntimeError) as error:
        raise LibraryError("watch_failed", paths=[str(path) for path in watched], reason=str(error)) from error
