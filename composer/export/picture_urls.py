"""Where an export finds its pictures: beside it in ``images/``, or inside it as data URIs.

Whatever else maps a picture to an address (the app's file route, say) is a ``PictureUrl`` as well.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import quote

from composer.article.model import Article
from composer.errors import ComposerError
from composer.export.markdown_html import TextPictureUrl
from composer.export.picture_export import Pictures, PreparedPicture
from composer.export.picture_files import IMAGES_DIR
from image_db.metadata.record import ImageRecord

PictureUrl: TypeAlias = Callable[[ImageRecord], str]


def beside(article: Article) -> PictureUrl:
    """``images/NAME`` for each picture of a saved article. Raises ComposerError for one that was never saved."""

    def url(record: ImageRecord) -> str:
        name = article.files.get(record.id)
        if name is None:
            raise ComposerError("picture_without_file", picture=record.id[:12])
        return _beside(name)

    return url


def carried(pictures: Pictures) -> PictureUrl:
    """``images/NAME`` for pictures that an export brings along under the names it gives them."""
    return lambda record: _beside(pictures.carried(record).name)


def embedded(pictures: Pictures) -> PictureUrl:
    """The picture as the export carries it, as a data URI."""

    return lambda record: _data_uri(pictures.carried(record))


def text_beside(pictures: Pictures) -> TextPictureUrl:
    """The address in the text itself, for a page beside which the text's pictures lie; empty for one that is not."""
    return lambda address: address if pictures.text_file(address) is not None else ""


def text_embedded(pictures: Pictures) -> TextPictureUrl:
    """A picture of the text as a data URI; empty for one that is not there."""

    def url(address: str) -> str:
        picture = pictures.of_text(address)
        return _data_uri(picture) if picture is not None else ""

    return url


def _data_uri(picture: PreparedPicture) -> str:
    return f"data:{picture.kind.media_type};base64,{base64.b64encode(picture.data).decode('ascii')}"


def _beside(name: str) -> str:
    # Letters of every script stay readable: both formats are UTF-8.
    return f"{IMAGES_DIR}/" + re.sub(r"[^\w.-]", lambda match: quote(match[0]), name)
