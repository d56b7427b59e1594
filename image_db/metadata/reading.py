"""One picture file turned into all that indexing needs of it: hash, pixels, size, fingerprint, words.

Runs in reader threads, where decoding leaves Python's lock to the encoder.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from image_db.metadata.capture import Capture, time_of_name
from image_db.metadata.description import Description, laid_over
from image_db.metadata.embedded import embedded_description
from image_db.metadata.names import words_of_name
from image_db.metadata.record import ImageRecord
from image_db.metadata.sidecars import SidecarReader
from image_db.phash import difference_hash
from image_db.scan import FoundFile
from vision.downloads.files import open_regular
from vision.errors import ImageError, KeyedError, Phrase
from vision.images import image_size, load_image, opened_for_words

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FILE_BYTES = 1 << 30
# The shorter side that is left for the encoder to scale from. Encoders take 224 to 448 px, and decoding a photograph
# of 20 megapixels no further than this is several times faster and keeps the queue of decoded pictures small.
TARGET_PX = 512


@dataclass(slots=True)
class ReadPicture:
    """A file that was read. Without ``image`` and ``record`` it is one of those the library holds already."""

    found: FoundFile
    sha256: str
    image: Image | None = None
    record: ImageRecord | None = None
    phash: int | None = None


@dataclass(frozen=True, slots=True)
class UnusableFile:
    """A file that could not be read, and why."""

    found: FoundFile
    reason: Phrase | KeyedError


def read_picture(found: FoundFile, sidecars: SidecarReader, held: Container[str]) -> ReadPicture | UnusableFile:
    """Read, hash and, unless its hash is among ``held``, decode and describe one file."""
    try:
        data = _bytes_of(found.stamp.path)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in held:
            return ReadPicture(found, sha256)
        # The path stands beside the reason already.
        image = load_image(data, target_px=TARGET_PX, name="")
        width_px, height_px = image_size(data, name="")
        blank = ImageRecord(sha256, Path(found.stamp.path), width_px, height_px)
        record = describe([found], sidecars, data).applied_to(blank)
        return ReadPicture(found, sha256, image, record, difference_hash(image))
    except OSError as error:
        return UnusableFile(found, Phrase("not_readable", {"reason": error.strerror or str(error)}))
    except ImageError as error:
        return UnusableFile(found, error)
    except Exception as error:  # noqa: BLE001 - whatever one file makes a decoder do, the run goes on without it
        return UnusableFile(found, Phrase("unexpected_in_file", {"reason": f"{type(error).__name__}: {error}"}))


def picture_of(sha256: str, files: Iterable[Path]) -> Image | None:
    """The picture of that hash, decoded for an encoder, from the first file that holds it; None where none does."""
    for path in files:
        try:
            data = _bytes_of(str(path))
            if hashlib.sha256(data).hexdigest() == sha256:
                return load_image(data, target_px=TARGET_PX, name="")
        except (OSError, ImageError):
            continue
    return None


def describe(files: Iterable[FoundFile], sidecars: SidecarReader, data: bytes | None = None) -> Description:
    """The words for one picture that ``files``, first one first, hold. ``data`` are its bytes where they are at hand.

    What people wrote beside any of the files leads, then what the picture itself says, then the names.
    """
    files = list(files)
    written = [sidecars.describe(found.stamp.path, found.sidecars) for found in files]
    embedded = _embedded(files[0].stamp.path, data)
    stems = [Path(found.stamp.path).stem for found in files]
    named = [Description(tags=words_of_name(stem), capture=Capture(taken=time_of_name(stem))) for stem in stems]
    return laid_over((*written, embedded, *named))


def _bytes_of(path: str) -> bytes:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE_BYTES:
            raise ImageError("file_too_large", bytes=size, limit=MAX_FILE_BYTES)
        if size == 0:
            raise ImageError("file_empty")
        return file.read(MAX_FILE_BYTES)


def _embedded(path: str, data: bytes | None) -> Description:
    """Words inside a picture; none where its header or they cannot be read."""
    try:
        file = io.BytesIO(data) if data is not None else open_regular(path)
        with opened_for_words(file) as image:
            return embedded_description(image, file)
    except Exception:  # noqa: BLE001 - a picture is worth more than its metadata, whatever is in them
        return Description()
