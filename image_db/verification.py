"""Checks a library against its files: hashes, vectors, missing pictures. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from image_db.errors import LibraryDamaged
from image_db.library import Library
from image_db.metadata.record import ImageRecord
from vision.downloads.files import file_sha256
from vision.errors import KeyedError, Phrase

Progress: TypeAlias = Callable[[int, int], None]

_UNIT_TOLERANCE = 1e-2
_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True)
class Verification:
    """``missing`` and ``changed`` are files that indexing their folder again puts right; ``damage`` it cannot."""

    pictures: int
    files: int
    missing: tuple[Path, ...]
    changed: tuple[tuple[Path, Phrase], ...]
    damage: tuple[Phrase | KeyedError, ...]

    @property
    def sound(self) -> bool:
        return not (self.missing or self.changed or self.damage)


def verify(library: Library, progress: Progress | None = None) -> Verification:
    """Read every byte of every picture and every vector. ``progress`` gets pictures checked and pictures held."""
    damage = library.damage()
    missing: list[Path] = []
    changed: list[tuple[Path, Phrase]] = []
    pictures = files = 0
    total = len(library)
    for record in _readable(library, damage):
        pictures += 1
        for path in library.files.of(record.id):
            files += 1
            try:
                digest = file_sha256(path)
            except FileNotFoundError:
                missing.append(path)
            except OSError as error:
                changed.append((path, Phrase("not_readable", {"reason": error.strerror or str(error)})))
            else:
                if digest != record.id:
                    changed.append((path, Phrase("contents_differ")))
        if progress is not None:
            progress(pictures, total)
    if not damage:  # vectors beyond the end of their file cannot be read
        damage += _bad_vectors(library)
    return Verification(pictures, files, tuple(missing), tuple(changed), tuple(damage))


def _readable(library: Library, damage: list[Phrase | KeyedError]) -> Iterator[ImageRecord]:
    """The records up to one that is damaged, which is noted."""
    try:
        yield from library.records()
    except LibraryDamaged as error:
        damage.append(error)


def _bad_vectors(library: Library) -> list[Phrase]:
    return [
        Phrase("vectors_not_unit", {"count": len(bad), "space": name})
        for name, bad in zip(("visual", "textual"), bad_rows(library), strict=True)
        if bad
    ]


def bad_rows(library: Library) -> tuple[list[int], list[int]]:
    """Rows of shown pictures whose vectors of looks, and of words where they have some, are not of unit length."""
    visual, textual = library.current_vectors()
    used = library.vector_rows
    shown = library.catalog.query("SELECT vector_row, has_text FROM images WHERE gone = 0 ORDER BY vector_row")
    rows = np.fromiter((row for row, _ in shown if 0 <= row < used), np.int64)
    described = np.fromiter((row for row, has_text in shown if has_text and 0 <= row < used), np.int64)
    return _not_unit(visual.map(used), rows), _not_unit(textual.map(used), described)


def _not_unit(vectors: np.ndarray, rows: np.ndarray) -> list[int]:
    found: list[int] = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        norms = np.linalg.norm(vectors[part], axis=1)
        found += part[~(np.abs(norms - 1) < _UNIT_TOLERANCE)].tolist()
    return found
