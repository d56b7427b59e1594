"""Zip files that are the same bytes for the same content, as exports are: fixed times, fixed order.

EPUB and DOCX are zip files with rules about what stands first.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

# Compressed already: zip would only spend time on them.
_PACKED = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".docx", ".epub", ".pdf")


def packed(entries: Iterable[tuple[str, bytes]], *, stored: Iterable[str] = ()) -> bytes:
    """The entries in their order as one zip; those named in ``stored`` are not compressed."""
    plain = set(stored)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            as_is = name in plain or name.lower().endswith(_PACKED)
            entry.compress_type = zipfile.ZIP_STORED if as_is else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()


def repacked(data: bytes) -> bytes:
    """A zip made by another program, without its times."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return packed((name, archive.read(name)) for name in archive.namelist())
