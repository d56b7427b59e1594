"""The line under a picture that names its author and licence, in the article's language, as plain text."""

from __future__ import annotations

from composer.i18n import tables
from image_db.metadata.record import ImageRecord


def credit_line(record: ImageRecord, language: str) -> str:
    """``Image: A. Author, CC BY-SA 3.0`` or ``图片：A. Author，CC BY-SA 3.0``; empty where neither is known."""
    words = tables(language)["document"]
    known = words["credit_joint"].join(
        " ".join(part.split()) for part in (record.author, record.license) if part.strip()
    )
    return words["credit"].format(known=known) if known else ""
