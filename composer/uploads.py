"""Pictures that a request brings along: read, described and made candidates of every slot.

Knows no slots; a picture named twice, or by two names, counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from composer.errors import UsageError
from image_db.records import ImageRecord
from image_db.sidecars import read_texts
from vision.errors import ImageError
from vision.images import load_image
from vision.protocol import JointEncoder

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture with its unit vectors: ``visual`` (D,), ``textual`` (T,) or None where nothing is known in words."""

    record: ImageRecord
    visual: np.ndarray
    textual: np.ndarray | None


def read_uploads(paths: Sequence[Path], encoder: JointEncoder) -> list[Upload]:
    """Decode and encode the pictures. Raises UsageError naming a file that is missing or no picture."""
    records: dict[str, ImageRecord] = {}
    images = {}
    for path in paths:
        try:
            data = path.read_bytes()
            image = load_image(path)
        except (OSError, ImageError) as error:
            raise UsageError(f"--use-image {path} cannot be used: {error}") from error
        id_ = hashlib.sha256(data).hexdigest()
        texts = read_texts(path)
        records[id_] = ImageRecord(id=id_, path=path.resolve(), width_px=image.width, height_px=image.height, **texts)
        images[id_] = image
    if not records:
        return []
    visual = encoder.encode_images([images[id_] for id_ in records])
    described = [record for record in records.values() if record.text]
    textual = encoder.encode_sentences([record.text for record in described]) if described else []
    by_id = {record.id: vector for record, vector in zip(described, textual, strict=True)}
    return [Upload(record, vector, by_id.get(record.id)) for record, vector in zip(records.values(), visual, strict=True)]
