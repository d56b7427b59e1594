"""The line under a picture that names its author and licence, in the article's language.

Knows no renderer: what it returns is plain text, which every export escapes for itself.
"""

from __future__ import annotations

from image_db.metadata.record import ImageRecord

_ENGLISH = ("Image: ", ", ")
_WORDING = {"en": _ENGLISH, "zh": ("图片：", "，")}


def credit_line(record: ImageRecord, language: str) -> str:
    """``Image: A. Author, CC BY-SA 3.0`` or ``图片：A. Author，CC BY-SA 3.0``; empty where neither is known."""
    prefix, comma = _WORDING.get(language, _ENGLISH)
    known = [" ".join(part.split()) for part in (record.author, record.license)]
    named = comma.join(part for part in known if part)
    return prefix + named if named else ""
