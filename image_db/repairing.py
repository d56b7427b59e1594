"""Mends a library from what is left of it and from the pictures: damaged records, vectors, a damaged catalogue.

What cannot be mended leaves the library, and indexing its folder again brings it back; what people corrected is kept.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from image_db.catalog import Catalog
from image_db.errors import LibraryDamaged
from image_db.library import CATALOG_NAME, Library
from image_db.metadata.description import sentence_vectors
from image_db.metadata.reading import picture_of
from image_db.verification import Verification, bad_rows
from vision.interfaces import JointEncoder

Progress: TypeAlias = Callable[[int, int], None]

_BATCH = 32
_TABLES = ("library", "images", "files", "failures", "pending_textual", "corrections")


@dataclass(frozen=True, slots=True)
class Repair:
    """``encoded`` pictures have new vectors, ``hidden`` files are not as they were indexed, ``dropped`` left."""

    encoded: int
    hidden: int
    dropped: int


def repair(library: Library, encoder: JointEncoder, found: Verification, progress: Progress | None = None) -> Repair:
    """Mend what ``verify`` found. The library was opened for repair, by the encoder that made it."""
    with library.writing():
        dropped = library.damaged_records()
        with library.transaction():
            library.remove(dropped)
            for table, row_id, *_ in library.catalog.query("PRAGMA foreign_key_check"):
                if row_id is not None:
                    library.catalog.execute(f"DELETE FROM {table} WHERE rowid = ?", (row_id,))
            # A table without row numbers is not told apart by the check.
            library.catalog.execute("DELETE FROM files WHERE image_id NOT IN (SELECT id FROM images)")
            hidden = [str(path) for path in found.missing] + [str(path) for path, _ in found.changed]
            library.files.mark_missing(hidden)
        encoded, unreadable = _encode_again(library, encoder, progress)
        library.remove(unreadable)
        return Repair(encoded, len(hidden), len(dropped) + len(unreadable))


def _encode_again(library: Library, encoder: JointEncoder, progress: Progress | None) -> tuple[int, list[str]]:
    """Make bad vectors anew; returns how many pictures were encoded, and the ids of those that cannot be read."""
    visual, textual = library.current_vectors()
    for file in (visual, textual):
        if file.rows() < library.vector_rows:
            file.write(library.vector_rows - 1, np.zeros((1, file.dim), np.float32))
    bad_looks, bad_words = (set(rows) for rows in bad_rows(library))
    rows = dict(library.catalog.query("SELECT id, vector_row FROM images WHERE gone = 0"))
    todo = [record for record in library.records() if rows[record.id] in bad_looks | bad_words]
    encoded, unreadable = 0, []
    for start in range(0, len(todo), _BATCH):
        part = todo[start : start + _BATCH]
        images = {
            record.id: image
            for record in part
            if rows[record.id] in bad_looks
            and (image := picture_of(record.id, library.files.of(record.id))) is not None
        }
        unreadable += [r.id for r in part if rows[r.id] in bad_looks and r.id not in images]
        if images:
            for image_id, vector in zip(images, encoder.encode_images(list(images.values())), strict=True):
                visual.write(rows[image_id], vector[None])
        library.update_texts(zip(part, sentence_vectors(part, encoder), strict=True))
        encoded += len(images)
        if progress is not None:
            progress(min(start + _BATCH, len(todo)), len(todo))
    return encoded, unreadable


def salvage(folder: Path) -> Path:
    """Put a catalogue of what can still be read in the place of a damaged one; returns where that one is now.

    Raises LibraryDamaged where not even its first table can be read.
    """
    damaged = folder / CATALOG_NAME
    part = folder / f"{CATALOG_NAME}.part"
    for leftover in folder.glob(f"{part.name}*"):
        leftover.unlink()
    fresh = Catalog.create(part)
    try:
        with closing(sqlite3.connect(damaged.absolute().as_uri() + "?mode=ro", uri=True)) as old, fresh.transaction():
            old.text_factory = lambda data: data.decode("utf-8", "replace")
            held = {table: _copied(old, fresh, table) for table in _TABLES}
            fresh.execute("DELETE FROM files WHERE image_id NOT IN (SELECT id FROM images)")
        if not held["library"]:
            raise LibraryDamaged("catalogue_lost", folder=str(folder), file=CATALOG_NAME)
    except BaseException:
        fresh.close()
        for leftover in folder.glob(f"{part.name}*"):
            leftover.unlink()
        raise
    fresh.close()
    aside = folder / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}-{CATALOG_NAME}"
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{damaged}{suffix}").rename(f"{aside}{suffix}")
    damaged.rename(aside)
    part.rename(damaged)
    return aside


def _copied(old: sqlite3.Connection, fresh: Catalog, table: str) -> int:
    """Rows copied, from both ends, since what is damaged is mostly one page in between."""
    known = [name for _, name, *_ in fresh.query(f"PRAGMA table_info({table})")]
    count = 0
    for order in ("", " ORDER BY 1 DESC"):
        try:
            cursor = old.execute(f"SELECT * FROM {table}{order}")
            columns = [name for name, *_ in cursor.description]
            used = [i for i, name in enumerate(columns) if name in known]
            names, marks = ", ".join(columns[i] for i in used), ", ".join("?" * len(used))
            for row in cursor:
                count += fresh.execute(
                    f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", tuple(row[i] for i in used)
                )
            break
        except sqlite3.DatabaseError:
            continue
    return count
