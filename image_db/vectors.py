"""Vectors at rest: a flat file of float32 rows, mapped when read.

The catalogue says which rows are in use: those beyond its count are what a crash left behind, ignored by readers and
overwritten by the next writer.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from image_db.errors import LibraryDamaged, LibraryError

_ITEM_BYTES = 4


class VectorFile:
    """``path`` holds little-endian float32 of shape (rows, dim), row after row and nothing else."""

    def __init__(self, path: Path, dim: int) -> None:
        self.path = path
        self.dim = dim

    def write(self, row: int, vectors: np.ndarray) -> None:
        """Put (n, dim) vectors at ``row`` and return when they are on disk. Raises LibraryError where it cannot."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ValueError(f"vectors of shape {vectors.shape} do not fit {self.path.name} of width {self.dim}")
        if not len(vectors):
            return
        data = np.ascontiguousarray(vectors, dtype="<f4").tobytes()
        try:
            is_new = not self.path.exists()
            # Not append mode: a crash may have left rows behind that this write must replace.
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            with os.fdopen(handle, "r+b") as file:
                file.seek(row * self.dim * _ITEM_BYTES)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                _sync_folder(self.path.parent)
        except OSError as error:
            raise LibraryError("vectors_not_written", file=str(self.path), reason=error.strerror) from error

    def map(self, rows: int) -> np.ndarray:
        """The first ``rows`` rows, (rows, dim) float32, read-only. Raises LibraryDamaged where the file is shorter."""
        if rows == 0:
            return np.empty((0, self.dim), np.float32)
        held = self.rows()
        if held < rows:
            raise LibraryDamaged(
                "vectors_missing", file=str(self.path), held=held, expected=rows, folder=str(self.path.parent)
            )
        return np.memmap(self.path, dtype="<f4", mode="r", shape=(rows, self.dim))

    def rows(self) -> int:
        """Whole rows on disk, in use or not."""
        try:
            return self.path.stat().st_size // (self.dim * _ITEM_BYTES)
        except FileNotFoundError:
            return 0


def _sync_folder(folder: Path) -> None:
    """Has the name of a new file survive a power cut; Windows cannot open folders, and needs no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
