"""Fetches a model's files from a hub repository over HTTPS, going on from where an earlier fetch was cut off.

Judges only sizes; the hash of what arrived is checked by the caller, whatever the source was.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from vision.downloads.files import CHUNK_BYTES
from vision.downloads.manifest import HubSource, WeightEntry, WeightFile
from vision.downloads.transfer import SourceFailed, Transfer

DEFAULT_ENDPOINT = "https://huggingface.co"
# Also the limit of one read: a hub that cannot be reached must not hold up the next source for long.
TIMEOUT_S = 6.0
# Connections in a row that may bring nothing; one that brought bytes does not count.
BARREN_TRIES = 2


class HubUnreachable(SourceFailed):
    """No connection to the hub at all: its other repositories need not be tried either."""


def endpoint() -> str:
    """The hub's address: $HF_ENDPOINT, the variable that the hub's own tools read, or huggingface.co."""
    return os.environ.get("HF_ENDPOINT", DEFAULT_ENDPOINT).rstrip("/")


def staged_bytes(entry: WeightEntry, folder: Path) -> int:
    """Bytes that an earlier fetch left in ``folder``."""
    return sum(
        path.stat().st_size
        for file in entry.files
        for path in (folder / file.path, _partial(folder / file.path))
        if path.is_file()
    )


def fetch_from_hub(entry: WeightEntry, source: HubSource, folder: Path, transfer: Transfer) -> None:
    """Fill ``folder`` with the entry's files. Raises SourceFailed, HubUnreachable, OSError of the disk."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "true", "yes"):
        raise HubUnreachable("the hub is not asked because HF_HUB_OFFLINE is set")
    for file in entry.files:
        path = urllib.parse.quote(f"{source.repository}/resolve/{source.revision}/{file.path}")
        _fetch_file(f"{endpoint()}/{path}", file, folder / file.path, transfer)


def _fetch_file(url: str, file: WeightFile, target: Path, transfer: Transfer) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(target)
    if target.exists():
        target.replace(partial)
    barren = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        if before > file.size_bytes:
            partial.unlink()
            before = 0
        transfer.set(file.path, before)
        if before == file.size_bytes:
            break
        failure = _append(url, file, partial, before, transfer)
        size = partial.stat().st_size if partial.exists() else 0
        if failure is None and size < file.size_bytes:
            failure = f"{url} broke off at {size} of {file.size_bytes} bytes"
        barren = 0 if size > before else barren + 1
        if failure is not None and barren >= BARREN_TRIES:
            raise SourceFailed(failure)
    partial.replace(target)


def _append(url: str, file: WeightFile, partial: Path, start: int, transfer: Transfer) -> str | None:
    """Append to ``partial`` what one connection brings; the failure where it broke off in a way worth a retry."""
    headers = {"User-Agent": "vignette", "Accept-Encoding": "identity", "Range": f"bytes={start}-"}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        raise SourceFailed(f"{url} answers {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise HubUnreachable(f"no connection to {urllib.parse.urlsplit(url).netloc or url} ({reason})") from error
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            start = 0  # the server sends the whole file again
        length = response.headers.get("Content-Length")
        if length is not None and start + int(length) != file.size_bytes:
            raise SourceFailed(f"{url} has {start + int(length)} bytes, not {file.size_bytes}")
        with partial.open("r+b" if start else "wb") as out:
            out.seek(start)
            while True:
                try:
                    chunk = response.read(CHUNK_BYTES)
                except (OSError, http.client.HTTPException) as error:
                    return f"{url} broke off at {start} of {file.size_bytes} bytes ({error})"
                if not chunk:
                    return None
                if start + len(chunk) > file.size_bytes:
                    raise SourceFailed(f"{url} sends more than {file.size_bytes} bytes")
                out.write(chunk)
                start += len(chunk)
                transfer.set(file.path, start)


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".partial")
