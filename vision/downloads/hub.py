"""Fetches a model's files from a hub repository, going on from where an earlier fetch was cut off.

``hf_hub_download`` begins a file from the start after a kill (since huggingface_hub 2), so ``http_get``, which it is
built on, is given the file to append to. Address, token, proxy and offline mode are huggingface_hub's. The hash of what
arrived is checked by the caller, whatever the source was.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from vision.downloads.manifest import HubSource, WeightEntry, WeightFile
from vision.downloads.transfer import ArrivedBytes, SourceFailed, Transfer

TIMEOUT_S = 6.0  # to answer at all: a hub that cannot be reached must not hold up the next source for long


class HubUnreachable(SourceFailed):
    """No connection to the hub at all: its other repositories need not be tried either."""


def endpoint() -> str | None:
    """The hub's address where $HF_ENDPOINT names another than huggingface_hub's own."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def fetch_from_hub(entry: WeightEntry, source: HubSource, folder: Path, transfer: Transfer) -> None:
    """Fill ``folder`` with the entry's files. Raises SourceFailed, HubUnreachable, OSError of the disk."""
    from huggingface_hub import hf_hub_url

    for file in entry.files:
        url = hf_hub_url(source.repository, file.path, revision=source.revision, endpoint=endpoint())
        _fetch_file(url, file, folder / file.path, transfer)


def _fetch_file(url: str, file: WeightFile, target: Path, transfer: Transfer) -> None:
    from huggingface_hub import errors, get_hf_file_metadata

    target.parent.mkdir(parents=True, exist_ok=True)
    have = target.stat().st_size if target.exists() else 0
    if have > file.size_bytes:
        target.unlink()
        have = 0
    transfer.set(file.path, have)
    if have == file.size_bytes:
        return
    reached = False
    try:
        size = get_hf_file_metadata(url, timeout=TIMEOUT_S).size
        reached = True
        if size not in (None, file.size_bytes):
            raise SourceFailed("source_other_size", file=url, bytes=size, wanted=file.size_bytes)
        append_from_hub(url, target, file.size_bytes, ArrivedBytes(file.path, have, transfer))
    except errors.HfHubHTTPError as error:
        raise SourceFailed("hub_refused", url=url, status=error.response.status_code) from error
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        if getattr(error, "errno", None) is not None:
            raise  # of the disk
        reason = str(error).partition("\n")[0] or type(error).__name__
        if reached:
            raise SourceFailed("hub_broke_off", url=url, reason=reason) from error
        raise HubUnreachable("hub_not_reached", url=url, reason=reason) from error


def append_from_hub(url: str, target: Path, size_bytes: int, arrived: ArrivedBytes) -> None:
    """Add to ``target`` what it lacks of the file. Raises what huggingface_hub raises, and OSError of the disk."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    with target.open("ab") as out:
        http_get(
            url,
            out,
            resume_size=out.tell(),
            headers=build_hf_headers(library_name="vignette"),
            expected_size=size_bytes,
            tqdm_class=cast(Any, lambda **_: arrived),
        )
