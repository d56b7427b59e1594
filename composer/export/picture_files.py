"""Pictures as files of an export: what kind they are, and what they are called.

A picture keeps its bytes (and with them its transparency, profile and EXIF turn, which browsers apply) wherever a
browser shows its format; any other (HEIC, camera RAW, TIFF, …) becomes JPEG, or PNG where that suits it.
"""

from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vision.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

IMAGES_DIR = "images"
_HASH_CHARS = 8
_JPEG_QUALITY = 86
# Drawings stay exact as PNG; a photograph that came as PNG is worth a JPEG where that takes less than half the bytes.
_PNG_MAY_TAKE = 2.0


@dataclass(frozen=True, slots=True)
class MediaKind:
    media_type: str
    suffix: str


JPEG = MediaKind("image/jpeg", ".jpg")
PNG = MediaKind("image/png", ".png")
_GIF = MediaKind("image/gif", ".gif")
_WEBP = MediaKind("image/webp", ".webp")
_AVIF = MediaKind("image/avif", ".avif")
_BMP = MediaKind("image/bmp", ".bmp")


def read_picture(path: Path) -> bytes:
    """The file's own bytes. Raises ImageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError("picture_unreadable", path=str(path), reason=error.strerror) from error


def shown_as(data: bytes, name: str) -> tuple[MediaKind, bytes]:
    """A file's own bytes where a browser shows them, a JPEG or PNG of it otherwise; ``name`` stands for it in messages.

    The kind is read from the bytes: a name like ``photo.jpg`` proves nothing. Raises ImageError for what is no picture.
    """
    kind = kind_of(data)
    if kind is not None:
        return kind, data
    from vision.images import load_display_image

    return encoded(load_display_image(data, name=name))


def encoded(image: Image.Image, *, photograph: bool = False) -> tuple[MediaKind, bytes]:
    """The picture as PNG where something shows through or that suits it, as JPEG otherwise and every ``photograph``."""
    image.info.clear()  # Pillow would write text and profiles from here
    if image.mode == "RGBA":
        return PNG, _written(image, "PNG")
    jpeg = _written(image, "JPEG", quality=_JPEG_QUALITY, optimize=True, progressive=True)
    if not photograph and len(png := _written(image, "PNG")) <= _PNG_MAY_TAKE * len(jpeg):
        return PNG, png
    return JPEG, jpeg


def _written(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def kind_of(data: bytes) -> MediaKind | None:
    """The kind of the bytes if every current browser shows it."""
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _GIF
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _WEBP
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return _AVIF
    # Two letters alone would take any text that begins with "BM"; the size of the header follows at byte 14.
    if data[:2] == b"BM" and data[14:18] in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        return _BMP
    return None


def slug(text: str, max_chars: int = 40) -> str:
    """The text as part of a file name: lower-case letters and digits of any script, joined by hyphens, or empty.

    Cut at a word where one ends in the second half of what is allowed. Never a dot, slash or control character.
    """
    plain = unicodedata.normalize("NFC", text).casefold()
    words = re.sub(r"[\W_]+", "-", plain).strip("-")
    if len(words) > max_chars:
        cut = words.rfind("-", max_chars // 2, max_chars + 1)
        words = words[: cut if cut > 0 else max_chars].strip("-")
    return words


def picture_name(words: str, record_id: str, kind: MediaKind) -> str:
    """``hens-leave-the-barn-4f2a9c10.jpg``: readable, and unique by the picture's hash."""
    return f"{slug(words) or 'picture'}-{slug(record_id)[:_HASH_CHARS]}{kind.suffix}"


def is_plain_name(name: str) -> bool:
    """Whether a file name read from outside stays inside the folder it is joined to."""
    return bool(name) and name not in (".", "..") and not re.search(r"[/\\:\0]", name)
