"""Copies of pictures for the screen, named by hash in one folder: the only pictures the page ever serves.

A library's own files are never exposed, and a photograph of 40 megabytes is not sent to show a thumbnail. Knows no
page and no article.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from composer.export.picture_files import picture_bytes
from image_db.metadata.record import ImageRecord

THUMBNAIL_PX = 240
ARTICLE_PX = 1440
_SMALL_ENOUGH_BYTES = 1_500_000


class Showcase:
    """Makes each copy once, when it is first asked for. Threads may share one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def copy(self, record: ImageRecord, width_px: int) -> Path:
        """The picture no wider than ``width_px``. Raises ImageError where it is gone or is no picture.

        A small file is copied as it is, transparency and all.
        """
        # An id read from an article.json of unknown origin must not steer where a file goes.
        name = hashlib.sha256(f"{record.id} {width_px}".encode()).hexdigest()[:40]
        found = next((p for p in (self.folder / f"{name}{s}" for s in _SUFFIXES) if p.exists()), None)
        if found is not None:
            return found
        kind, data = picture_bytes(record.path)
        if record.width_px <= width_px and len(data) <= _SMALL_ENOUGH_BYTES:
            return self._write(name + kind.suffix, data)
        return self._write(name + ".webp", _scaled(data, width_px, str(record.path)))

    def _write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        partial = self.folder / f".{name}.{os.getpid()}-{secrets.token_hex(4)}"
        partial.write_bytes(data)
        partial.replace(path)
        return path


_SUFFIXES = (".webp", ".jpg", ".png", ".gif", ".avif", ".bmp")


def _scaled(data: bytes, width_px: int, name: str) -> bytes:
    import io

    from PIL import Image

    from vision.images import load_image

    image = load_image(data, target_px=width_px, name=name)
    if image.width > width_px:
        height_px = max(1, round(image.height * width_px / image.width))
        image = image.resize((width_px, height_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()
