"""Addresses of pictures and finished exports: unguessable names for exactly the files that a page was told of.

A copy for the screen is made when the browser asks for it, not when the page is drawn. No path ever comes from a
browser. Knows no web server.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from composer.studio.showcase import ARTICLE_PX, THUMBNAIL_PX, Showcase
from image_db.metadata.record import ImageRecord

PREFIX = "vignette"
MOST_KNOWN = 100_000
# What an answer carries, so that a file which is not the picture it seems to be cannot act as anything else.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=86400",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A file to send; ``download`` is the name it is saved under, empty where it is shown."""

    path: Path
    download: str = ""


class Gallery:
    """Gives addresses out and looks them up again. Threads may share one."""

    def __init__(self, showcase: Showcase) -> None:
        self._showcase = showcase
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._pictures: OrderedDict[str, tuple[ImageRecord, int]] = OrderedDict()
        self._files: dict[str, Served] = {}

    def picture(self, record: ImageRecord) -> str:
        return self._address(record, ARTICLE_PX)

    def thumbnail(self, record: ImageRecord) -> str:
        return self._address(record, THUMBNAIL_PX)

    def file(self, path: Path, name: str) -> str:
        """A file that is to be downloaded, once or again, as ``name``."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._files[token] = Served(path, name)
        return f"{PREFIX}/{token}"

    def find(self, token: str) -> Served | None:
        """What an address stands for, None for one that was never given out. Raises ImageError for a lost picture."""
        with self._lock:
            known = self._pictures.get(token)
            if known is None:
                return self._files.get(token)
        record, width_px = known
        return Served(self._showcase.copy(record, width_px))

    def _address(self, record: ImageRecord, width_px: int) -> str:
        # The path takes part: an id read from a file of unknown origin must not lead to another's copy.
        told = f"{record.id}\n{record.path}\n{width_px}".encode("utf-8", "surrogateescape")
        token = hmac.new(self._secret, told, hashlib.sha256).hexdigest()[:40]
        if token not in self._pictures:
            with self._lock:
                self._pictures[token] = (record, width_px)
                while len(self._pictures) > MOST_KNOWN:
                    self._pictures.popitem(last=False)
        return f"{PREFIX}/{token}"
