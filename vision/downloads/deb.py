"""Fetches files out of a package of Debian, on any system: neither apt nor dpkg is asked.

The package comes over HTTP, going on from where an earlier fetch was cut off, and counts only when its SHA-256 is the
manifest's; then it is unpacked. httpx, not huggingface_hub's client: the hub's offline mode and token are not for it.
"""

from __future__ import annotations

import io
import lzma
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from vision.downloads.files import CHUNK_BYTES, file_sha256
from vision.downloads.manifest import DebSource, WeightEntry
from vision.downloads.transfer import SourceFailed, Transfer

if TYPE_CHECKING:
    import httpx

PACKAGE = "package.deb"
CONNECT_S, READ_S = 6.0, 30.0
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


def fetch_from_deb(entry: WeightEntry, source: DebSource, staging: Path, folder: Path, transfer: Transfer) -> None:
    """Fill ``folder`` with the entry's files; ``staging`` keeps the package. Raises SourceFailed, OSError of a disk."""
    package = staging / PACKAGE
    _fetch_package(source, package, transfer)
    if (sha256 := file_sha256(package)) != source.sha256:
        package.unlink()
        raise SourceFailed("source_other_hash", file=source.url, sha256=sha256[:12], wanted=source.sha256[:12])
    _unpack(entry, source, package, folder)


def _fetch_package(source: DebSource, package: Path, transfer: Transfer) -> None:
    """Connections that break off are taken up again as long as each brings something."""
    import httpx

    package.touch()
    if package.stat().st_size > source.size_bytes:
        package.unlink()
        package.touch()
    reached, most = False, package.stat().st_size
    while (have := package.stat().st_size) < source.size_bytes:
        transfer.set(PACKAGE, have)
        # Unencoded: the bytes of the range are those of the file.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
        try:
            with httpx.stream("GET", source.url, headers=headers, timeout=timeout, follow_redirects=True) as answer:
                answer.raise_for_status()
                reached = True
                _write(answer, source, package, transfer)
        except httpx.HTTPStatusError as error:
            raise SourceFailed("hub_refused", url=source.url, status=error.response.status_code) from error
        except httpx.HTTPError as error:
            arrived = package.stat().st_size
            if arrived > most:
                most = arrived
                continue
            key = "hub_broke_off" if reached else "address_not_reached"
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise SourceFailed(key, url=source.url, reason=reason) from error
    transfer.set(PACKAGE, have)


def _write(answer: httpx.Response, source: DebSource, package: Path, transfer: Transfer) -> None:
    """Append what arrives, or begin anew where the server knows no ranges. Raises SourceFailed at another size."""
    with package.open("ab") as out:
        if answer.status_code != 206:
            out.truncate(0)
        have = out.seek(0, io.SEEK_END)
        for chunk in answer.iter_bytes(CHUNK_BYTES):
            have += len(chunk)
            if have > source.size_bytes:
                break
            out.write(chunk)
            transfer.set(PACKAGE, have)
    if have != source.size_bytes:
        package.unlink()
        raise SourceFailed("source_other_size", file=source.url, bytes=have, wanted=source.size_bytes)


def _unpack(entry: WeightEntry, source: DebSource, package: Path, folder: Path) -> None:
    """The entry's files and no others. Raises SourceFailed where the package has not got them."""
    wanted = {f"{source.folder}/{file.path}": folder / file.path for file in entry.files}
    try:
        with tarfile.open(fileobj=io.BytesIO(_ar_member(package, "data.tar.xz")), mode="r|xz") as tar:
            for member in tar:
                target = wanted.get(member.name.removeprefix("./"))
                content = tar.extractfile(member) if target is not None and member.isfile() else None
                if target is None or content is None:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as out:
                    shutil.copyfileobj(content, out, CHUNK_BYTES)
    except (ValueError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
        package.unlink()
        raise SourceFailed("archive_unreadable", name=entry.name, reason=str(error)) from error


def _ar_member(path: Path, name: str) -> bytes:
    """A file of an ``ar`` archive (https://man7.org/linux/man-pages/man5/deb.5.html). Raises ValueError."""
    with path.open("rb") as file:
        if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise ValueError("it is no ar archive")
        while len(header := file.read(_AR_HEADER_BYTES)) == _AR_HEADER_BYTES:
            size = int(header[48:58])
            if header[:16].decode("ascii").strip().rstrip("/") == name:
                return file.read(size)
            file.seek(size + size % 2, io.SEEK_CUR)  # members begin at even bytes
    raise ValueError(f"it holds no {name}")
