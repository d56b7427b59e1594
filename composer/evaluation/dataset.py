"""The photographs of a data split as a library in memory, so that the real search is what is measured.

Each record's text is the figure's alt text: captions are queries, and a caption that could find itself would measure
nothing.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from image_db.metadata.description import sentence
from image_db.metadata.generate import DESCRIBED_PX, Captioner, Drafting, Labeller, with_drafts, with_words
from image_db.metadata.record import ImageRecord
from vision.images import image_size, load_image
from vision.interfaces import EncoderIdentity, JointEncoder
from vision.malloc import memory_kept
from vision.training.dataset import Figure

_BATCH = 16
_TARGET_PX = 300  # the embedded encoder looks at 260; larger pictures would only take longer to read


@dataclass(frozen=True, slots=True)
class EvaluationGallery:
    """A ``PictureCollection`` whose record ids are the figures' numbers, zero-padded, in their order."""

    figures: tuple[Figure, ...]
    encoder: EncoderIdentity
    visual: np.ndarray
    textual: np.ndarray
    _records: tuple[ImageRecord, ...]

    @classmethod
    def encode(
        cls,
        figures: Sequence[Figure],
        encoder: JointEncoder,
        progress: Callable[[int, int], None] = lambda *_: None,
        cache: Path | None = None,
    ) -> EvaluationGallery:
        """``progress`` is told pictures done and all. Raises ImageError as ``load_image``.

        ``cache`` is a folder where vectors are kept from one measurement to the next.
        """
        records = tuple(ImageRecord(_id(i), f.image, *image_size(f.image), alt=f.alt) for i, f in enumerate(figures))
        file = cache / f"gallery-{_key(figures, encoder.identity)}.npz" if cache else None
        if file is not None and file.is_file():
            with np.load(file) as kept:
                return cls(tuple(figures), encoder.identity, kept["visual"], kept["textual"], records)
        vectors = []
        with memory_kept():
            for start in range(0, len(figures), _BATCH):
                chunk = figures[start : start + _BATCH]
                vectors.append(encoder.encode_images([load_image(f.image, target_px=_TARGET_PX) for f in chunk]))
                progress(min(start + _BATCH, len(figures)), len(figures))
        visual, textual = np.concatenate(vectors), encoder.encode_sentences([f.alt for f in figures])
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            whole = file.with_name(f"{file.stem}.{os.getpid()}.npz")
            np.savez(whole, visual=visual, textual=textual)
            whole.replace(file)
        return cls(tuple(figures), encoder.identity, visual, textual, records)

    def without_texts(self) -> EvaluationGallery:
        """The same pictures in a library where nobody wrote anything."""
        bare = tuple(replace(record, alt="") for record in self._records)
        return replace(self, textual=np.zeros_like(self.textual), _records=bare)

    def described(
        self,
        encoder: JointEncoder,
        *,
        labeller: Labeller | None = None,
        captioner: Captioner | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> EvaluationGallery:
        """The same pictures in a library whose only words are what ``vignette index --describe`` finds in the pixels.

        Raises ImageError as ``load_image``, ModelError as the describing model.
        """
        records: list[ImageRecord] = []
        bare = self.without_texts()
        for start in range(0, len(bare._records), _BATCH):
            chunk = bare._records[start : start + _BATCH]
            images = [load_image(record.path, target_px=DESCRIBED_PX) for record in chunk]
            records += with_words(chunk, images, labeller, captioner)
            progress(len(records), len(bare._records))
        return bare._told(records, encoder)

    def drafted(self, encoder: JointEncoder, draft: Drafting) -> EvaluationGallery:
        """The same pictures in a library whose only words are what ``vignette index`` drafts."""
        bare = self.without_texts()
        return bare._told(with_drafts(bare._records, self.visual, draft), encoder)

    def _told(self, records: Sequence[ImageRecord], encoder: JointEncoder) -> EvaluationGallery:
        """With these words instead of none."""
        told = [row for row, record in enumerate(records) if record.text]
        textual = self.textual.copy()
        if told:
            textual[told] = encoder.encode_sentences([sentence(records[row], encoder.languages) for row in told])
        return replace(self, textual=textual, _records=tuple(records))

    @property
    def ids(self) -> list[str]:
        return [record.id for record in self._records]

    @property
    def has_text(self) -> np.ndarray:
        return np.array([bool(record.text) for record in self._records])

    @property
    def revision(self) -> int:
        return 1

    @property
    def folder(self) -> Path:
        """A place where nothing is kept: galleries are small, and their indexes stay in memory."""
        return Path(tempfile.gettempdir()) / "vignette-gallery-that-is-never-made"

    def matrix(self) -> EvaluationGallery:
        return self

    def records(self) -> Iterator[ImageRecord]:
        return iter(self._records)

    def get(self, image_ids: Sequence[str]) -> list[ImageRecord]:
        return [self._records[int(id_)] for id_ in image_ids]

    def copies(self) -> Mapping[str, Sequence[Path]]:
        return {}

    def phashes(self) -> Mapping[str, int]:
        return {}


def _key(figures: Sequence[Figure], encoder: EncoderIdentity) -> str:
    """Changes with the encoder, the pictures (name, size and time of each file), their order and their texts."""
    digest = hashlib.sha256(encoder.sha256.encode())
    for figure in figures:
        state = figure.image.stat()
        digest.update(f"{figure.image}\0{state.st_size}\0{state.st_mtime_ns}\0{figure.alt}\0".encode())
    return digest.hexdigest()[:24]


def _id(number: int) -> str:
    return f"{number:08d}"
