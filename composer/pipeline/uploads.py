"""Pictures that a request brings along: read, described and made searchable like a library of their own.

A picture named twice, or by two names, counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from composer.errors import UsageError
from composer.pipeline.wordless import drafted_if_possible
from image_db.metadata.description import sentence
from image_db.metadata.generate import Drafting
from image_db.metadata.names import caption_of_name
from image_db.metadata.reading import ReadPicture, UnusableFile, read_picture
from image_db.metadata.record import ImageRecord
from image_db.metadata.sidecars import SidecarReader
from image_db.scan import Listings, UnusablePath, find
from vision.images import image_size
from vision.interfaces import EncoderIdentity, JointEncoder

MAX_UPLOAD_BYTES = 40_000_000


@dataclass(frozen=True)
class Uploads:
    """The pictures of one request, in memory, as a ``PictureCollection`` and its ``CollectionVectors``.

    ``visual`` is (n, visual_dim), ``textual`` (n, textual_dim) with zeros where a picture has no text.
    """

    encoder: EncoderIdentity
    pictures: Mapping[str, ImageRecord]  # by id
    visual: np.ndarray
    textual: np.ndarray
    folder = Path("uploads")  # never written to: so few pictures keep no index on disk
    revision = 0

    @property
    def ids(self) -> list[str]:
        return list(self.pictures)

    @property
    def has_text(self) -> np.ndarray:
        return np.array([bool(record.text) for record in self.pictures.values()], bool)

    def __len__(self) -> int:
        return len(self.pictures)

    def said(self, language: str) -> dict[str, str]:
        """What people say of each picture, by id; empty where only a draft does: nobody vouches for that."""
        return {
            id_: "" if record.caption_origin == "generated" else record.caption_in(language)
            for id_, record in self.pictures.items()
        }

    def matrix(self) -> Uploads:
        return self

    def records(self) -> Iterator[ImageRecord]:
        return iter(self.pictures.values())

    def get(self, image_ids: Sequence[str]) -> list[ImageRecord]:
        return [self.pictures[id_] for id_ in image_ids]

    def copies(self) -> Mapping[str, Sequence[Path]]:
        return {}

    def phashes(self) -> Mapping[str, int]:
        return {}


def check_upload(path: Path) -> Path:
    """The path of a picture of a reasonable size. Raises UsageError for a larger one, ImageError for no picture."""
    if path.stat().st_size > MAX_UPLOAD_BYTES:
        raise UsageError("upload_large", name=path.name, limit_mb=MAX_UPLOAD_BYTES // 1_000_000)
    image_size(path, name=path.name)
    return path


def read_uploads(
    paths: Sequence[Path], encoder: JointEncoder, optional: Sequence[Path] = (), draft: Drafting | None = None
) -> tuple[Uploads, frozenset[str]]:
    """Decode and encode the pictures; with the ids of those in ``paths``, which must appear. ``draft`` gives words to
    those without any.

    Raises UsageError naming a file that is missing or no picture.
    """
    pictures: dict[str, ReadPicture] = {}
    required: set[str] = set()
    sidecars, listings = SidecarReader(), Listings()
    for number, path in enumerate((*paths, *optional)):
        found = find(path, listings)
        picture = found if isinstance(found, UnusablePath) else read_picture(found, sidecars, held=())
        if isinstance(picture, (UnusablePath, UnusableFile)):
            raise UsageError("picture_unusable", name=path.name, reason=picture.reason)
        pictures[picture.sha256] = picture
        if number < len(paths):
            required.add(picture.sha256)
    records = [_named(picture.record) for picture in pictures.values() if picture.record is not None]
    images = [picture.image for picture in pictures.values() if picture.image is not None]
    identity = encoder.identity
    visual = encoder.encode_images(images) if images else np.zeros((0, identity.visual_dim), np.float32)
    records = drafted_if_possible(records, visual, draft)
    textual = np.zeros((len(records), identity.textual_dim), np.float32)
    sentences = [sentence(record, encoder.languages) for record in records]
    described = [i for i, text in enumerate(sentences) if text]
    if described:
        textual[described] = encoder.encode_sentences([sentences[i] for i in described])
    return Uploads(identity, {record.id: record for record in records}, visual, textual), frozenset(required)


def _named(record: ImageRecord) -> ImageRecord:
    """The record, captioned by what its owner called the file where nothing else says what it shows."""
    if record.caption or record.alt or record.captions:
        return record
    return replace(record, caption=caption_of_name(record.path.stem))
