"""Libraries for the tests of retrieval: real ones, filled with plain-coloured pictures and given words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from image_db.library import Library, NewImage
from image_db.metadata.record import ImageRecord
from tests.fakes import PALETTE, ColourEncoder


@dataclass(frozen=True)
class Shown:
    """A picture to add: its colour and whatever is known of it."""

    colour: str
    caption: str = ""
    record: ImageRecord | None = None
    phash: int | None = None


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (32, 32), PALETTE[colour])


def make_record(name: str, **values) -> ImageRecord:
    base = ImageRecord(hashlib.sha256(name.encode()).hexdigest(), Path(f"/pictures/{name}.png"), 640, 480)
    return replace(base, **values)


def put(library: Library, encoder: ColourEncoder, shown: Sequence[Shown]) -> list[ImageRecord]:
    """Add the pictures and return their records, in order."""
    images = []
    for i, item in enumerate(shown):
        record = item.record or make_record(f"{len(library)}-{i}-{item.colour}", caption=item.caption)
        textual = encoder.encode_sentences([record.text])[0] if record.text else None
        images.append(NewImage(record, _visual(encoder, item.colour, i), textual, item.phash))
    library.add(images)
    return [image.record for image in images]


def _visual(encoder: ColourEncoder, colour: str, number: int) -> np.ndarray:
    """The colour's vector with a little of its own, so that no two pictures are equal."""
    vector = encoder.encode_images([picture(colour)])[0].copy()
    vector[number % len(vector)] += 0.02 + 0.001 * number
    return vector / np.linalg.norm(vector)
