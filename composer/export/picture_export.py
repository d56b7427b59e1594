"""Pictures made ready to print in a document: of sensible size, upright, in sRGB, and without hidden data.

A photograph carries where and when it was taken and with which camera; none of that belongs in what is published, so
every picture is either written anew or, where it is a JPEG of the right size already, freed of everything but its
pixels and its colour profile. Knows no format's layout and no library: the caller says where a picture's file is.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from composer.article.model import Article
from composer.errors import ComposerError, UsageError
from composer.export.picture_files import (
    IMAGES_DIR,
    JPEG,
    PNG,
    MediaKind,
    is_plain_name,
    kind_of,
    picture_name,
    read_picture,
    shown_as,
)
from image_db.metadata.record import ImageRecord
from vision.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

PictureFile: TypeAlias = Callable[[ImageRecord], Path]

DEFAULT_MAX_PX = 1600
SMALLEST_MAX_PX, LARGEST_MAX_PX = 64, 16_384
_JPEG_QUALITY = 86
_MOST_AT_ONCE = 4  # each holds a whole photograph in memory
# Drawings stay exact as PNG; a photograph that came as PNG is worth a JPEG where that takes less than half the bytes.
_PNG_MAY_TAKE = 2.0


@dataclass(frozen=True, slots=True)
class ExportedPictureSettings:
    """``max_px`` bounds the longer side. With ``originals`` no picture is made smaller, and formats that carry files
    as they are (Markdown, HTML) carry the original bytes with all their metadata."""

    max_px: int = DEFAULT_MAX_PX
    originals: bool = False

    def __post_init__(self) -> None:
        if not SMALLEST_MAX_PX <= self.max_px <= LARGEST_MAX_PX:
            raise UsageError("image_px_range", px=self.max_px, least=SMALLEST_MAX_PX, most=LARGEST_MAX_PX)


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """A picture's bytes as they go into a document; width and height are those a reader sees."""

    name: str
    kind: MediaKind
    data: bytes
    width_px: int
    height_px: int


class Pictures:
    """The chosen pictures of one article, each made ready once, however many formats ask for it."""

    def __init__(self, article: Article, file_of: PictureFile, settings: ExportedPictureSettings | None = None) -> None:
        self.settings = settings or ExportedPictureSettings()
        self._file_of = file_of
        self._captions = {p.chosen.id: p.caption for p in reversed(article.placements) if p.chosen is not None}
        self._ready: dict[tuple[str, bool], PreparedPicture] = {}

    def ready(self, record: ImageRecord) -> PreparedPicture:
        """JPEG or PNG, for formats that show nothing else. Raises ImageError naming a file that is gone or damaged."""
        return self._get(record, as_it_is=False)

    def carried(self, record: ImageRecord) -> PreparedPicture:
        """``ready``, or with ``originals`` the file's own bytes where a browser shows them."""
        return self._get(record, as_it_is=self.settings.originals)

    def prepare_all(self, records: Sequence[ImageRecord], *, as_they_are: bool = False) -> None:
        """Make several pictures ready at once, on all processors: decoding and encoding do not hold Python's lock."""
        different = {record.id: record for record in records}.values()
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_AT_ONCE)) as pool:
            list(pool.map(lambda record: self._get(record, as_they_are and self.settings.originals), different))

    def make(self, record: ImageRecord, *, as_it_is: bool) -> PreparedPicture:
        """``carried`` or ``ready``, made anew and not kept in memory."""
        from vision.images import image_size

        path = self._file_of(record)
        data = read_picture(path)
        if as_it_is:
            kind, made = shown_as(data, str(path))
            size_px = image_size(made, name=str(path))
        else:
            kind, made, size_px = prepare(data, None if self.settings.originals else self.settings.max_px, str(path))
        words = self._captions.get(record.id) or record.caption or record.path.stem
        return PreparedPicture(picture_name(words, record.id, kind), kind, made, *size_px)

    def _get(self, record: ImageRecord, as_it_is: bool) -> PreparedPicture:
        key = (record.id, as_it_is)
        if key not in self._ready:
            self._ready[key] = self.make(record, as_it_is=as_it_is)
        return self._ready[key]


def in_folder(article: Article, images: Path) -> PictureFile:
    """Pictures of a saved article, from its ``images`` folder and from nowhere else: article.json is not trusted to
    name a file elsewhere. Raises ImageError for a picture that is not there."""
    inside = images.resolve()

    def file_of(record: ImageRecord) -> Path:
        name = article.files.get(record.id)
        if name is None or not is_plain_name(name):
            raise ComposerError("picture_without_file", picture=record.id[:12])
        path = images / name
        if not path.is_file():
            raise ImageError("picture_missing", path=str(path))
        if not path.resolve().is_relative_to(inside):
            raise ImageError("picture_links_out", path=str(path))
        return path

    return file_of


def indexed_file(article: Article) -> PictureFile:
    """Where the library has the picture, checked to be the one that was indexed. Raises ImageError."""

    def file_of(record: ImageRecord) -> Path:
        path = record.path
        # A picture of a folder this program wrote may be smaller than the library's, which its id is the hash of.
        from_saved_folder = article.files.get(record.id) == path.name and path.parent.name == IMAGES_DIR
        if not from_saved_folder and hashlib.sha256(read_picture(path)).hexdigest() != record.id:
            raise ImageError("picture_changed", path=str(path))
        return path

    return file_of


def in_library(record: ImageRecord) -> Path:
    """Where the library has the picture: for an article of this session, not yet saved."""
    return record.path


def prepare(data: bytes, max_px: int | None, name: str) -> tuple[MediaKind, bytes, tuple[int, int]]:
    """The picture as JPEG or PNG without metadata, its longer side at most ``max_px``, and its size in pixels.

    A JPEG that needs no change keeps its pixels to the bit. Raises ImageError.
    """
    from vision.images import image_size, load_display_image

    kind = kind_of(data)
    if kind is JPEG and (bare := _bare_jpeg(data, max_px)) is not None:
        return JPEG, bare, image_size(bare, name=name)
    image = load_display_image(data, longest_px=max_px, name=name)
    if image.mode == "RGBA":
        return PNG, _png(image), image.size
    jpeg = _jpeg(image)
    if kind is not JPEG and len(png := _png(image)) <= _PNG_MAY_TAKE * len(jpeg):
        return PNG, png, image.size
    return JPEG, jpeg, image.size


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True, progressive=True)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    image.info.clear()  # Pillow would write text and profiles from here
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def _bare_jpeg(data: bytes, max_px: int | None) -> bytes | None:
    """The JPEG without its metadata segments, or None where it must be decoded: turned, too large, CMYK, or odd.

    Kept are JFIF (density), ICC profiles and Adobe's colour transform; everything after the picture's end is cut, as
    are the second pictures that telephones append.
    """
    from PIL import Image

    with io.BytesIO(data) as file:
        try:
            with Image.open(file, formats=("JPEG",)) as image:
                if image.mode not in ("RGB", "L") or image.getexif().get(0x0112, 1) != 1:
                    return None
                if max_px is not None and max(image.size) > max_px:
                    return None
                image.load()  # what cannot be decoded is not passed on
        except (OSError, ValueError, SyntaxError):
            return None  # load_display_image says what is wrong
    return without_metadata(data)


def without_metadata(jpeg: bytes) -> bytes | None:
    """A JPEG's bytes without APP and COM segments other than JFIF, ICC and Adobe; None where its structure is odd.

    Structure: ITU-T T.81, annex B.
    """
    kept = [b"\xff\xd8"]
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        body = jpeg[at + 4 : end]
        if marker == 0xDA:
            finish = jpeg.rfind(b"\xff\xd9")
            # More than one end of image: a thumbnail or second picture may follow, which only a decoder tells apart.
            if finish < 0 or jpeg.count(b"\xff\xd9", at) != 1:
                return None
            return b"".join([*kept, jpeg[at : finish + 2]])
        is_metadata = marker == 0xFE or (
            0xE0 <= marker <= 0xEF and not body.startswith((b"JFIF\0", b"ICC_PROFILE\0", b"Adobe"))
        )
        if not is_metadata:
            kept.append(jpeg[at:end])
        at = end
    return None
