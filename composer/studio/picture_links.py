"""Addresses of pictures and finished exports: unguessable names for exactly the files that a page was told of.

A copy for the screen is made when the browser asks for it, not when the page is drawn. A library's own files are never
served, and no path ever comes from a browser. Copies nobody looked at for a day and exports of an hour ago are removed.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from composer.export.picture_files import read_picture, shown_as
from image_db.metadata.record import ImageRecord
from vision.downloads.files import write_atomic

# Not "vignette": a proxy that serves the page under /vignette would take such an address for one of its own.
PREFIX = "vignette-files"
MOST_LINKS = 100_000
THUMBNAIL_PX = 240
ARTICLE_PX = 1440
EXPORT_KEPT_S = 3600.0
THUMBNAIL_KEPT_S = 24 * 3600.0
_SWEEP_S = 600.0
_SMALL_ENOUGH_BYTES = 1_500_000
# What an answer carries, so that a file which is not the picture it seems to be cannot act as anything else.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=86400",
    "Referrer-Policy": "no-referrer",
}

_SUFFIXES = (".webp", ".jpg", ".png", ".gif", ".avif", ".bmp")


class ThumbnailCache:
    """Copies of pictures for the screen in one folder, each made when it is first asked for. Threads may share one.

    ``clock`` gives seconds since 1970, as files' times do.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._clock = clock
        self._swept_s = clock()

    def copy(self, record: ImageRecord, width_px: int) -> Path:
        """The picture no wider than ``width_px``. Raises ImageError where it is gone or is no picture.

        A small file is copied as it is, transparency and all.
        """
        # An id read from an article.json of unknown origin must not steer where a file goes.
        name = hashlib.sha256(f"{record.id} {width_px}".encode()).hexdigest()[:40]
        for suffix in _SUFFIXES:
            known = self.folder / f"{name}{suffix}"
            if known.exists():
                os.utime(known, (self._clock(), self._clock()))
                return known
        data = read_picture(record.path)
        if record.width_px <= width_px and len(data) <= _SMALL_ENOUGH_BYTES:
            kind, data = shown_as(data, str(record.path))
            return self._write(name + kind.suffix, data)
        return self._write(name + ".webp", _scaled(data, width_px, str(record.path)))

    def _write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        write_atomic(path, data)
        if self._clock() - self._swept_s > _SWEEP_S:
            self._swept_s = self._clock()
            for old in self.folder.iterdir():
                if self._clock() - old.stat().st_mtime > THUMBNAIL_KEPT_S:
                    old.unlink(missing_ok=True)
        return path


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A file to send; ``download`` is the name it is saved under, empty where it is shown."""

    path: Path
    download: str = ""


class PictureLinks:
    """Gives addresses out and looks them up again. Threads may share one.

    ``root`` is the path or address under which a proxy serves the page, empty where none does.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time, *, root: str = "") -> None:
        self.root = root
        self._prefix = f"{urlsplit(root).path}/{PREFIX}"
        self._thumbnails = ThumbnailCache(folder / "pictures", clock)
        self._exports = folder / "exports"
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._pictures: OrderedDict[str, tuple[ImageRecord, int]] = OrderedDict()
        self._files: dict[str, tuple[LinkedFile, float]] = {}

    def picture(self, record: ImageRecord) -> str:
        return self._address(record, ARTICLE_PX)

    def thumbnail(self, record: ImageRecord) -> str:
        return self._address(record, THUMBNAIL_PX)

    def export_folder(self) -> Path:
        """Where one export may be made; see ``export``."""
        return self._exports / secrets.token_hex(16)

    def export(self, path: Path) -> str:
        """The address of a file made in a folder of ``export_folder``, to be downloaded until it expires."""
        token, now_s = secrets.token_urlsafe(24), self._clock()
        with self._lock:
            self._files[token] = (LinkedFile(path, path.name), now_s)
            old = [key for key, (_, made_s) in self._files.items() if now_s - made_s > EXPORT_KEPT_S]
            expired = [self._files.pop(key)[0].path for key in old]
        for gone in expired:
            shutil.rmtree(self._exports / gone.relative_to(self._exports).parts[0], ignore_errors=True)
        return f"{self._prefix}/{token}"

    def find(self, token: str) -> LinkedFile | None:
        """What an address stands for, None for one that was never given out. Raises ImageError for a lost picture."""
        with self._lock:
            known = self._pictures.get(token)
            if known is None:
                file, _ = self._files.get(token, (None, 0.0))
                return file
        record, width_px = known
        return LinkedFile(self._thumbnails.copy(record, width_px))

    def _address(self, record: ImageRecord, width_px: int) -> str:
        # The path takes part: an id read from a file of unknown origin must not lead to another's copy.
        named = f"{record.id}\n{record.path}\n{width_px}".encode("utf-8", "surrogateescape")
        token = hmac.new(self._secret, named, hashlib.sha256).hexdigest()[:40]
        if token not in self._pictures:
            with self._lock:
                self._pictures[token] = (record, width_px)
                while len(self._pictures) > MOST_LINKS:
                    self._pictures.popitem(last=False)
        return f"{self._prefix}/{token}"


def _scaled(data: bytes, width_px: int, name: str) -> bytes:
    from PIL import Image

    from vision.images import load_image

    image = load_image(data, target_px=width_px, name=name)
    if image.width > width_px:
        height_px = max(1, round(image.height * width_px / image.width))
        image = image.resize((width_px, height_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()
