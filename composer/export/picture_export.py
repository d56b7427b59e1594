"""Pictures made ready to print in a document: of sensible size, upright, in sRGB, and without hidden data.

A photograph carries where and when it was taken and with which camera; none of that belongs in what is published, so
every picture is either written anew or, where it is a JPEG of the right size already, freed of everything but its
pixels and its colour profile.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from composer.article.model import Article
from composer.errors import ComposerError, UsageError
from composer.export.markdown_html import is_beside, relative_path, text_pictures, whole_text
from composer.export.picture_files import (
    IMAGES_DIR,
    JPEG,
    MediaKind,
    encoded,
    is_plain_name,
    kind_of,
    picture_name,
    read_picture,
    shown_as,
)
from image_db.metadata.record import ImageRecord
from vision.errors import ImageError, Phrase

PictureFile: TypeAlias = Callable[[ImageRecord], Path]

DEFAULT_MAX_PX = 1600
SMALLEST_MAX_PX, LARGEST_MAX_PX = 64, 16_384
_MOST_AT_ONCE = 4  # each holds a whole photograph in memory


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
    """The pictures of one article, each made ready once, however many formats ask for it.

    Those chosen for it come from ``file_of``; those that its text names itself, from ``text_folder`` and nowhere else.
    """

    def __init__(
        self,
        article: Article,
        file_of: PictureFile,
        settings: ExportedPictureSettings | None = None,
        text_folder: Path | None = None,
    ) -> None:
        self.settings = settings or ExportedPictureSettings()
        self._file_of = file_of
        self._text_folder = text_folder
        self._article = article
        self._of_text: dict[str, PreparedPicture | None] = {}
        self._captions = {p.chosen.id: p.caption for p in reversed(article.placements) if p.chosen is not None}
        self._ready: dict[tuple[str, bool], PreparedPicture] = {}

    def ready(self, record: ImageRecord | str) -> PreparedPicture:
        """JPEG or PNG, for formats that show nothing else. Raises ImageError naming a file that is gone or damaged.

        A string is the address of a picture in the text, which ``of_text`` has.
        """
        if isinstance(record, str):
            picture = self.of_text(record)
            assert picture is not None
            return picture
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
            kind, made, size_px = prepare(data, self._max_px, str(path))
        words = self._captions.get(record.id) or record.caption or record.path.stem
        return PreparedPicture(picture_name(words, record.id, kind), kind, made, *size_px)

    def of_text(self, address: str) -> PreparedPicture | None:
        """A picture that the text shows from its folder, as JPEG or PNG; None where it is missing or is no picture."""
        if address not in self._of_text:
            self._of_text[address] = None
            if (path := self._beside_text(address)) is not None:
                with suppress(ImageError):
                    kind, data, size_px = prepare(read_picture(path), self._max_px, str(path))
                    name = picture_name(path.stem, hashlib.sha256(address.encode()).hexdigest(), kind)
                    self._of_text[address] = PreparedPicture(name, kind, data, *size_px)
        return self._of_text[address]

    def text_file(self, address: str) -> bytes | None:
        """What an export carries for it under its own name: the same, or the file's own bytes where it is another kind.

        None where there is no such picture; a drawing (SVG) is carried as it is.
        """
        path, picture = self._beside_text(address), self.of_text(address)
        if path is None or (picture is None and path.suffix.lower() != ".svg"):
            return None
        data = read_picture(path)
        own = picture is None or self.settings.originals or picture.kind != kind_of(data)
        return data if own or picture is None else picture.data

    def text_files(self) -> dict[str, bytes]:
        """The pictures that the text shows from its folder, by their paths in it."""
        found = ((relative_path(address), self.text_file(address)) for address in self._addresses)
        return {path: data for path, data in found if data is not None}

    def missing(self) -> tuple[Phrase, ...]:
        """A note for each picture that the text names in its folder and that is not there, or is none."""
        lost = (address for address in self._addresses if self.text_file(address) is None)
        return tuple(Phrase("text_picture_missing", {"picture": relative_path(address)}) for address in lost)

    @cached_property
    def _addresses(self) -> list[str]:
        return text_pictures(whole_text(self._article))

    @property
    def _max_px(self) -> int | None:
        return None if self.settings.originals else self.settings.max_px

    def _beside_text(self, address: str) -> Path | None:
        if self._text_folder is None or not is_beside(address):
            return None
        path = (self._text_folder / relative_path(address)).resolve()
        return path if path.is_relative_to(self._text_folder.resolve()) and path.is_file() else None

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
    return (*encoded(image, photograph=kind is JPEG), image.size)


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
