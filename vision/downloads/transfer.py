"""What all kinds of source share: progress, cancelling, checking, and moving finished models into place.

A fetch fills a staging folder that survives a kill, so that the next one goes on from there; nothing is looked at
elsewhere before ``install`` has renamed it into place.
"""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vision.downloads.files import file_sha256, sync
from vision.downloads.manifest import WeightEntry
from vision.errors import Phrase, WeightsError

if TYPE_CHECKING:
    from types import TracebackType


SPARE_BYTES = 64 << 20  # that a fetch leaves free
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class SourceFailed(WeightsError):
    """A source did not give what the manifest says it has; another source may. Its words have no full stop."""


class Cancelled(Exception):
    """A fetch was told to stop by another thread of it that failed."""


class Transfer:
    """Bytes that have arrived, by part, and the wish to stop: shared by the threads of one fetch."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._done_bytes: dict[str, int] = {}
        self._lock = threading.Lock()
        self.cancelled = threading.Event()

    def set(self, part: str, done_bytes: int) -> None:
        """Say how much of ``part`` is there. Raises Cancelled where the fetch is to stop."""
        if self.cancelled.is_set():
            raise Cancelled
        with self._lock:
            self._done_bytes[part] = done_bytes
            self._report(sum(self._done_bytes.values()))


class ArrivedBytes:
    """Counts what ``huggingface_hub``'s ``http_get`` receives: what it takes for a progress bar."""

    def __init__(self, part: str, have: int, transfer: Transfer) -> None:
        self._part, self._bytes, self._transfer = part, have, transfer

    def __enter__(self) -> ArrivedBytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, size: int) -> None:
        self._bytes += size
        self._transfer.set(self._part, self._bytes)


def check_room(place: Path, need_bytes: int, key: str, *, name: str, folder: Path) -> None:
    """Raises WeightsError ``key`` where the disk of ``place`` has no room; the words name ``folder``."""
    need, free = need_bytes + SPARE_BYTES, shutil.disk_usage(place).free
    if free < need:
        raise WeightsError(key, name=name, folder=str(folder), need_mb=need / 1e6, free_mb=free / 1e6)


def not_stored(name: str, folder: Path, error: OSError) -> WeightsError:
    """What to tell of a disk that did not take the model ``name``."""
    key = "model_disk_full" if error.errno in DISK_FULL else "model_not_stored"
    return WeightsError(key, name=name, folder=str(folder), reason=str(error))


def check_files(entry: WeightEntry, folder: Path, on_bytes: Callable[[int], None] | None = None) -> Phrase | None:
    """What is wrong with the model in ``folder``, or None: every file is there, of the right size and hash."""
    for file in entry.files:
        path = folder / file.path
        if not path.is_file():
            return Phrase("file_missing", {"file": file.path})
        if (size := path.stat().st_size) != file.size_bytes:
            return Phrase("source_other_size", {"file": file.path, "bytes": size, "wanted": file.size_bytes})
        if (sha256 := file_sha256(path, on_bytes)) != file.sha256:
            return Phrase("source_other_hash", {"file": file.path, "sha256": sha256[:12], "wanted": file.sha256[:12]})
    return None


def install(staged: Path, target: Path) -> None:
    """Move a complete folder into place, replacing what stands there; a reader sees the old one, none, or the new."""
    sync(path for path in staged.rglob("*") if path.is_file())
    target.parent.mkdir(parents=True, exist_ok=True)
    discarded = staged.with_name(staged.name + ".replaced")
    shutil.rmtree(discarded, ignore_errors=True)
    if target.exists():
        target.replace(discarded)
    staged.replace(target)
    sync([target.parent])
    shutil.rmtree(discarded, ignore_errors=True)
