"""Zip files of unknown origin, which DOCX and EPUB are: refused where they are locked or unpack to too much."""

from __future__ import annotations

import io
from zipfile import BadZipFile, ZipFile

from composer.errors import SourceError

MOST_UNPACKED_BYTES = 1 << 30
_ENCRYPTED = 0x1  # flag bit of an entry


def checked_zip(data: bytes) -> ZipFile:
    """The archive, opened. Raises SourceError for one that is damaged, encrypted or too large."""
    try:
        archive = ZipFile(io.BytesIO(data))
    except (BadZipFile, ValueError) as error:
        raise SourceError("source_damaged", reason=str(error)) from error
    if sum(entry.file_size for entry in archive.infolist()) > MOST_UNPACKED_BYTES:
        raise SourceError("source_unpacks_large", limit_mb=MOST_UNPACKED_BYTES >> 20)
    if any(entry.flag_bits & _ENCRYPTED for entry in archive.infolist()):
        raise SourceError("source_locked")
    return archive


def member(archive: ZipFile, name: str) -> bytes:
    """The bytes of a file that must be there. Raises SourceError."""
    try:
        return archive.read(name)
    except KeyError as error:
        raise SourceError("source_damaged", reason=f"{name or 'a file'} is missing") from error
