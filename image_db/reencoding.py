"""Makes the vectors of a library anew with another encoder, beside those in use, and swaps them when all are there.

Searches go on with the old ones meanwhile. How far it is stands in the catalogue, so a run that was cut off goes on;
rows whose words a person corrects meanwhile are noted there as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from image_db.compaction import remove_old_vectors
from image_db.errors import LibraryError
from image_db.library import Library, vector_files
from image_db.metadata.description import sentence
from image_db.metadata.reading import picture_of
from image_db.metadata.record import ImageRecord
from image_db.vectors import VectorFile
from vision.interfaces import JointEncoder
from vision.malloc import memory_kept

if TYPE_CHECKING:
    from PIL.Image import Image

Progress: TypeAlias = Callable[[int, int], None]

_THREADS = 4
_AHEAD = 16  # pictures decoded before they are needed


@dataclass(frozen=True, slots=True)
class Reencoding:
    """``encoded`` in this run; ``left_out`` are files that could not be read, whose pictures left the library."""

    encoded: int
    left_out: tuple[Path, ...]


def reencode(
    library: Library,
    encoder: JointEncoder,
    *,
    progress: Progress | None = None,
    batch_size: int = 32,
    without_unreadable: bool = False,
) -> Reencoding:
    """Encode every picture again and swap. The library is to be closed then: it belongs to ``encoder``.

    Raises LibraryError where the vectors are that encoder's already, and, with everything else done, where pictures
    cannot be read: unless these are to be left out, until they are indexed again. A picture that is gone is forgotten.
    """
    if encoder.identity.sha256 == library.encoder.sha256:
        raise LibraryError("reencode_same", folder=str(library.folder), encoder=encoder.identity.name)
    with library.writing(), memory_kept():
        run = _Run(library, encoder, batch_size)
        encoded = run.encode(progress)
        left_out = run.finish(without_unreadable)
        remove_old_vectors_of(library.folder)
        return Reencoding(encoded, left_out)


def remove_old_vectors_of(folder: Path) -> None:
    with Library.open(folder, None) as reopened:
        remove_old_vectors(reopened)


class _Run:
    def __init__(self, library: Library, encoder: JointEncoder, batch_size: int) -> None:
        self.library = library
        self.encoder = encoder
        self.batch_size = batch_size
        self.generation, self.next_row = self._begin()
        self.visual, self.textual = vector_files(library.folder, encoder.identity, self.generation)

    def _begin(self) -> tuple[int, int]:
        """Where a run with this encoder left off, or the beginning."""
        catalog, made = self.library.catalog, self.encoder.identity
        with self.library.transaction():
            rows = catalog.query("SELECT encoder_sha256, generation, next_row FROM reencoding")
            if rows and rows[0][0] == made.sha256:
                return int(rows[0][1]), int(rows[0][2])
            generation = max(self.library.generation, *(row[1] for row in rows), 0) + 1
            for file in vector_files(self.library.folder, made, generation):
                file.path.unlink(missing_ok=True)
            catalog.execute("DELETE FROM reencode_again")
            catalog.execute(
                "INSERT OR REPLACE INTO reencoding (only_row, encoder_name, encoder_sha256, visual_dim, textual_dim, "
                "generation) VALUES (1, ?, ?, ?, ?, ?)",
                (made.name, made.sha256, made.visual_dim, made.textual_dim, generation),
            )
        return generation, 0

    def encode(self, progress: Progress | None) -> int:
        """All rows that are not yet encoded; those whose files could not be read before are tried again."""
        todo = sorted(row for row in self._unencoded() if row < self.next_row)
        todo += self._rows(f"gone = 0 AND vector_row >= {self.next_row}")
        encoded = done = 0
        for batch in self._read(todo):
            rows = [row for row, _, _ in batch]
            held = [i for i, (_, _, image) in enumerate(batch) if image is not None]
            visual = np.zeros((len(batch), self.visual.dim), np.float32)
            if held:
                visual[held] = self.encoder.encode_images([image for _, _, image in batch if image is not None])
            self._write(self.visual, rows, visual)
            self._write(self.textual, rows, self._sentences([record for _, record, _ in batch]))
            if rows[-1] >= self.next_row:
                self.next_row = rows[-1] + 1
                with self.library.transaction():
                    self.library.catalog.execute("UPDATE reencoding SET next_row = ?", (self.next_row,))
            encoded += len(held)
            done += len(batch)
            if progress is not None:
                progress(done, len(todo))
        return encoded

    def finish(self, without_unreadable: bool) -> tuple[Path, ...]:
        """Words corrected meanwhile, then the swap. Raises LibraryError for pictures without a vector."""
        catalog = self.library.catalog
        with self.library.transaction():
            again = [row for (row,) in catalog.query("SELECT vector_row FROM reencode_again ORDER BY vector_row")]
            self._describe_again(again)
            missing = self._unencoded()
            lost = [record for row, record in self._records() if row in missing]
            if lost and not without_unreadable:
                some = [str(record.path) for record in lost[:3]]
                raise LibraryError("reencode_unreadable", folder=str(self.library.folder), count=len(lost), paths=some)
            catalog.execute("DELETE FROM images WHERE gone = 1")
            for row in missing:
                catalog.execute("DELETE FROM images WHERE vector_row = ?", (row,))
            used = self.library.vector_rows
            for file in (self.visual, self.textual):
                if file.rows() < used:  # the last rows are of pictures that are gone
                    file.write(used - 1, np.zeros((1, file.dim), np.float32))
            with_text = np.abs(self.textual.map(used)).sum(axis=1) > 0
            for row, has_text in catalog.query("SELECT vector_row, has_text FROM images"):
                if bool(has_text) != bool(with_text[row]):
                    catalog.execute("UPDATE images SET has_text = ? WHERE vector_row = ?", (int(with_text[row]), row))
            made = self.encoder.identity
            catalog.execute(
                "UPDATE library SET generation = ?, encoder_name = ?, encoder_sha256 = ?, visual_dim = ?, "
                "textual_dim = ?",
                (self.generation, made.name, made.sha256, made.visual_dim, made.textual_dim),
            )
            for table in ("pending_textual", "reencoding", "reencode_again"):
                catalog.execute(f"DELETE FROM {table}")
        return tuple(record.path for record in lost)

    def _describe_again(self, rows: Sequence[int]) -> None:
        wanted = set(rows)
        for row, record in self._records() if wanted else ():
            if row in wanted and row < self.next_row:
                self._write(self.textual, [row], self._sentences([record]))

    def _rows(self, where: str) -> list[int]:
        found = self.library.catalog.query(f"SELECT vector_row FROM images WHERE {where} ORDER BY vector_row")
        return [int(row) for (row,) in found]

    def _records(self) -> Iterator[tuple[int, ImageRecord]]:
        """Every picture that can be shown, with its row, in their order."""
        rows = self._rows("gone = 0")
        return zip(rows, self.library.records(), strict=True)

    def _unencoded(self) -> set[int]:
        """Rows of pictures that can be shown whose looks have no new vector."""
        rows = self._rows("gone = 0")
        held = self.visual.map(min(self.visual.rows(), self.library.vector_rows))
        return {row for row in rows if row >= len(held) or not held[row].any()}

    def _read(self, rows: Sequence[int]) -> Iterator[list[tuple[int, ImageRecord, Image | None]]]:
        """Batches in the rows' order, read in threads a bounded number of pictures ahead."""
        wanted = set(rows)
        records = ((row, record) for row, record in self._records() if row in wanted)
        waiting: deque[tuple[int, ImageRecord, Future[Image | None]]] = deque()
        batch: list[tuple[int, ImageRecord, Image | None]] = []
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="vignette-reader") as pool:
            try:
                while True:
                    while len(waiting) < _AHEAD and (following := next(records, None)) is not None:
                        row, record = following
                        files = self.library.files.of(record.id)
                        waiting.append((row, record, pool.submit(picture_of, record.id, files)))
                    if not waiting:
                        break
                    row, record, image = waiting.popleft()
                    batch.append((row, record, image.result()))
                    if len(batch) >= self.batch_size:
                        yield batch
                        batch = []
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        if batch:
            yield batch

    def _sentences(self, records: Sequence[ImageRecord]) -> np.ndarray:
        """(n, textual_dim), zeros for a picture without words."""
        texts = [sentence(record, self.encoder.languages) for record in records]
        vectors = np.zeros((len(records), self.textual.dim), np.float32)
        held = [i for i, text in enumerate(texts) if text]
        if held:
            vectors[held] = self.encoder.encode_sentences([texts[i] for i in held])
        return vectors

    def _write(self, file: VectorFile, rows: Sequence[int], vectors: np.ndarray) -> None:
        """Each vector at its row, runs of neighbours at once."""
        start = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or rows[end] != rows[end - 1] + 1:
                file.write(rows[start], vectors[start:end])
                start = end
