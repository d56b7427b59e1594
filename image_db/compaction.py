"""Forgets pictures that are gone and gives their room back.

The vectors of the others go into new files, which take the old ones' place in one transaction: a reader sees the
library as it was or as it is, and a kill leaves one of both. What people corrected is kept, should a picture come back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from image_db.catalog import HIDDEN
from image_db.errors import LibraryError
from image_db.library import Library, vector_files
from image_db.vectors import VectorFile

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True)
class Compaction:
    """``forgotten`` pictures were gone; ``freed_bytes`` is by how much the library's files are smaller."""

    forgotten: int
    freed_bytes: int


def compact(library: Library) -> Compaction:
    """Forget, move and shrink. Raises LibraryError where the library cannot be written or is being encoded anew."""
    with library.writing():
        library.catalog.write_back()
        before_bytes = _size(library)
        with library.transaction():
            if library.catalog.query("SELECT 1 FROM reencoding"):
                raise LibraryError("compact_reencoding", folder=str(library.folder))
            forgotten = library.catalog.execute(f"DELETE FROM images WHERE gone = 1 AND NOT {HIDDEN}")
            rows = [row for (row,) in library.catalog.query("SELECT vector_row FROM images ORDER BY vector_row")]
            if len(rows) < library.vector_rows:
                _move(library, np.asarray(rows, np.int64))
        remove_old_vectors(library)
        library.catalog.shrink()
        return Compaction(forgotten, max(0, before_bytes - _size(library)))


def _move(library: Library, rows: np.ndarray) -> None:
    library.write_pending()
    generation = library.generation + 1
    for old, new in zip(
        library.current_vectors(), vector_files(library.folder, library.encoder, generation), strict=True
    ):
        new.path.unlink(missing_ok=True)
        _copy(old, new, rows, library.vector_rows)
    # Rising, and never to a higher number: none meets one that is still in use.
    for number, row in enumerate(rows.tolist()):
        if number != row:
            library.catalog.execute("UPDATE images SET vector_row = ? WHERE vector_row = ?", (number, row))
    library.catalog.execute("UPDATE library SET generation = ?, vector_rows = ?", (generation, len(rows)))
    library.touch()


def _copy(old: VectorFile, new: VectorFile, rows: np.ndarray, used: int) -> None:
    held = old.map(used)
    try:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            new.write(start, held[rows[start : start + _ROWS_AT_ONCE]])
    except LibraryError:
        new.path.unlink(missing_ok=True)
        raise


def remove_old_vectors(library: Library) -> None:
    """Delete vector files that are neither in use nor being made: what a swap, or a kill before one, left behind."""
    kept = {file.path for file in library.current_vectors()}
    for (generation,) in library.catalog.query("SELECT generation FROM reencoding"):
        kept |= {file.path for file in vector_files(library.folder, library.encoder, generation)}
    for path in (*library.folder.glob("visual*.f32"), *library.folder.glob("textual*.f32")):
        if path not in kept:
            path.unlink(missing_ok=True)


def _size(library: Library) -> int:
    """Of catalogue and vectors, without the catalogue's log."""
    own = (file for file in library.folder.iterdir() if file.suffix in (".sqlite", ".f32"))
    return sum(file.stat().st_size for file in own)
