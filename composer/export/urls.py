"""Where an export finds its pictures: beside it in ``images/``, or inside it as data URIs.

Knows no format. Whatever else maps a picture to an address (the app's file route, say) is a ``PictureUrl`` as well.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from composer.article import Article
from composer.errors import ComposerError
from composer.export.files import picture_bytes
from image_db.records import ImageRecord

PictureUrl: TypeAlias = Callable[[ImageRecord], str]

IMAGES_DIR = "images"


def beside(article: Article) -> PictureUrl:
    """``images/NAME`` for each picture of a saved article. Raises ComposerError for one that was never saved."""

    def url(record: ImageRecord) -> str:
        name = article.files.get(record.id)
        if name is None:
            raise ComposerError(f"picture {record.id[:12]} has no file name yet; save the article before exporting it")
        # Letters of every script stay readable: both formats are UTF-8.
        return f"{IMAGES_DIR}/" + re.sub(r"[^\w.-]", lambda match: quote(match[0]), name)

    return url


def inside(article: Article, folder: Path | None = None) -> PictureUrl:
    """The picture itself as a data URI, read from the output ``folder`` of a saved article or else from the library.

    Raises ImageError where the file is gone or is no picture.
    """

    def url(record: ImageRecord) -> str:
        name = article.files.get(record.id)
        path = folder / IMAGES_DIR / name if folder is not None and name else record.path
        kind, data = picture_bytes(path)
        return f"data:{kind.media_type};base64,{base64.b64encode(data).decode('ascii')}"

    return url
