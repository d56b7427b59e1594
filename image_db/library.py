"""A durable library of pictures: records, files and vectors that agree with each other after any crash.

Vectors are written and flushed first, then the transaction that says they are in use. Rows are appended; only a
changed text overwrites its vector, through a redo log.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from image_db.catalog import HIDDEN, RECORD_COLUMNS, Catalog, record_of, text_columns
from image_db.errors import EncoderMismatch, LibraryDamaged, LibraryError, LibraryMissing
from image_db.files import Failure, FileStamp, FileTable
from image_db.metadata.record import ImageRecord
from image_db.stores.addresses import is_address, milvus_address
from image_db.vectors import VectorFile
from image_db.writer_lock import writer_lock
from vision import own_version
from vision.errors import KeyedError, Phrase
from vision.interfaces import EncoderIdentity

CATALOG_NAME = "catalog.sqlite"
_PAGE_ROWS = 5_000
_MIN_PREFIX = 4
_HIDDEN = "hidden"  # among the corrections
# Of what is read beside the words; pictures of a lower one have their metadata read again, and their words kept.
CIRCUMSTANCES_VERSION = 1


class NewImage(NamedTuple):
    """A picture to add. ``visual`` is (D,), ``textual`` (T,) or None for a picture without text.

    ``phash`` is a 64-bit perceptual hash. Without ``stamp`` the next indexing run reads the file again.
    """

    record: ImageRecord
    visual: np.ndarray
    textual: np.ndarray | None = None
    phash: int | None = None
    stamp: FileStamp | None = None


@dataclass(frozen=True, slots=True, eq=False)
class VectorView:
    """The vectors of every picture that can be shown, as of ``revision``. Row i belongs to ``ids[i]``.

    ``visual`` is (n, D) and ``textual`` (n, T), float32, mapped from disk where nothing was removed and gathered in
    memory otherwise. ``textual[i]`` means nothing where ``has_text[i]`` is false.
    """

    ids: list[str]
    visual: np.ndarray
    textual: np.ndarray
    has_text: np.ndarray
    revision: int


class Library:
    """Use ``create`` or ``open``, and close it or use it as a context manager. Threads may share one."""

    def __init__(self, folder: Path, catalog: Catalog, encoder: EncoderIdentity) -> None:
        self.folder = folder
        self.encoder = encoder
        self._catalog = catalog
        self.files = FileTable(catalog)
        self._generation = -1
        self._visual, self._textual = vector_files(folder, encoder, 0)
        self._view: VectorView | None = None
        self._view_lock = threading.Lock()

    @classmethod
    def create(cls, folder: Path | str, encoder: EncoderIdentity) -> Library:
        """Make an empty library; the folder may exist. Raises LibraryError where it holds a library already."""
        folder = Path(folder).expanduser().absolute()
        try:
            catalog = Catalog.create(folder / CATALOG_NAME)
        except OSError as error:
            raise LibraryError("library_not_made", folder=str(folder), reason=error.strerror) from error
        try:
            with catalog.transaction():
                if _row(catalog) is not None:
                    raise LibraryError("library_exists", folder=str(folder))
                catalog.execute(
                    "INSERT INTO library (only_row, encoder_name, encoder_sha256, visual_dim, textual_dim, "
                    "created_with, created_at) VALUES (1, ?, ?, ?, ?, ?, ?)",
                    (
                        encoder.name,
                        encoder.sha256,
                        encoder.visual_dim,
                        encoder.textual_dim,
                        f"vignette {own_version()}",
                        datetime.now(UTC).isoformat(timespec="seconds"),
                    ),
                )
        except BaseException:
            catalog.close()
            raise
        return cls(folder, catalog, encoder)

    @classmethod
    def open(cls, folder: Path | str, encoder: EncoderIdentity | None = None, *, for_repair: bool = False) -> Library:
        """Open a library whose vectors ``encoder`` made; None opens it whatever made them.

        ``for_repair`` opens one whose vector files are short. Raises LibraryMissing, EncoderMismatch or LibraryDamaged,
        each saying what to do; LibraryError for one that is in a database.
        """
        if is_address(folder):
            raise LibraryError("store_needs_folder", library=milvus_address(folder).shown)
        folder = Path(folder).expanduser().absolute()
        catalog = Catalog(folder / CATALOG_NAME)
        try:
            row = _row(catalog)
            if row is None:
                raise LibraryMissing("library_unfinished", folder=str(folder))
            made_by = EncoderIdentity(*row)
            if encoder is not None and (made_by.sha256, made_by.visual_dim, made_by.textual_dim) != (
                encoder.sha256,
                encoder.visual_dim,
                encoder.textual_dim,
            ):
                raise encoder_mismatch(folder, made_by, encoder)
            library = cls(folder, catalog, made_by)
            library._apply_pending()
            if not for_repair:
                library._mapped()
        except BaseException:
            catalog.close()
            raise
        return library

    @classmethod
    def open_or_create(cls, folder: Path | str, encoder: EncoderIdentity) -> Library:
        try:
            return cls.open(folder, encoder)
        except LibraryMissing:
            return cls.create(folder, encoder)

    def __len__(self) -> int:
        """Pictures that can be shown: those that are gone do not count."""
        return int(self._catalog.query("SELECT count(*) FROM images WHERE gone = 0")[0][0])

    def __bool__(self) -> bool:
        return True  # an empty library is still a library

    def __contains__(self, image_id: object) -> bool:
        return bool(self._catalog.query("SELECT 1 FROM images WHERE id = ?", (image_id,)))

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._view = None
        self._catalog.close()

    @property
    def catalog(self) -> Catalog:
        """For what rewrites a library as a whole."""
        return self._catalog

    @property
    def generation(self) -> int:
        """Number of the vector files in use."""
        return int(self._catalog.query("SELECT generation FROM library")[0][0])

    def current_vectors(self) -> tuple[VectorFile, VectorFile]:
        """The files of looks and of words. Raises EncoderMismatch where another encoder has made them anew."""
        self._follow_generation()
        return self._visual, self._textual

    @property
    def vector_rows(self) -> int:
        """Rows in use, also by pictures that are gone."""
        return self._vector_rows()

    @property
    def revision(self) -> int:
        """Grows with every change to what can be shown; equal revisions mean equal contents."""
        return int(self._catalog.query("SELECT revision FROM library")[0][0])

    @property
    def created(self) -> tuple[str, str]:
        """The program and version that made the library, and when (ISO 8601, UTC)."""
        row = self._catalog.query("SELECT created_with, created_at FROM library")[0]
        return str(row[0]), str(row[1])

    def records(self, *, gone: bool = False) -> Iterator[ImageRecord]:
        """Every picture that can be shown, or every one that is gone, in the order in which they were added."""
        last = -1
        while page := self._catalog.query(
            f"SELECT vector_row, {RECORD_COLUMNS} FROM images WHERE gone = ? AND vector_row > ? "
            f"ORDER BY vector_row LIMIT {_PAGE_ROWS}",
            (int(gone), last),
        ):
            for row in page:
                yield record_of(row[1:])
            last = page[-1][0]

    def record(self, image_id: str) -> ImageRecord:
        """One picture, also one that is gone. Raises LibraryError where there is none of that id."""
        return self.get([image_id])[0]

    def get(self, image_ids: Sequence[str]) -> list[ImageRecord]:
        """Records in the order of the ids. Raises LibraryError naming an id the library does not hold."""
        found: dict[str, ImageRecord] = {}
        wanted = list(dict.fromkeys(image_ids))
        for start in range(0, len(wanted), 500):
            part = tuple(wanted[start : start + 500])
            marks = ", ".join("?" * len(part))
            rows = self._catalog.query(f"SELECT {RECORD_COLUMNS} FROM images WHERE id IN ({marks})", part)
            found.update((row[0], record_of(row)) for row in rows)
        for image_id in wanted:
            if image_id not in found:
                raise self._unknown(image_id)
        return [found[image_id] for image_id in image_ids]

    def resolve(self, prefix: str) -> str:
        """The one id that starts with ``prefix``. Raises LibraryError where none or several do."""
        if len(prefix) < _MIN_PREFIX:
            raise LibraryError("picture_id_short", id=prefix, least=_MIN_PREFIX)
        prefix = prefix.lower()
        rows = self._catalog.query(
            "SELECT id FROM images WHERE id >= ? AND id < ? ORDER BY id LIMIT 2", (prefix, prefix + "g")
        )
        if not rows:
            raise LibraryError("picture_id_unknown", folder=str(self.folder), id=prefix)
        if len(rows) > 1:
            raise LibraryError("picture_id_ambiguous", id=prefix)
        return str(rows[0][0])

    def matrix(self) -> VectorView:
        """The vectors of every picture that can be shown; the same object until the library changes."""
        with self._view_lock:
            if self._view is not None and self._view.revision == self.revision:
                return self._view
            with self._catalog.snapshot():
                revision, used = self.revision, self._vector_rows()
                visual, textual = self._mapped()
                found = self._catalog.query(
                    "SELECT id, vector_row, has_text FROM images WHERE gone = 0 ORDER BY vector_row"
                )
            rows = np.fromiter((row[1] for row in found), np.int64, len(found))
            if len(rows) and not 0 <= rows[0] <= rows[-1] < used:
                raise self._beyond(used)
            has_text = np.fromiter((row[2] for row in found), bool, len(found))
            if not len(rows) or rows[-1] == len(rows) - 1:
                visual, textual = visual[: len(rows)], textual[: len(rows)]
            else:
                visual, textual = visual[rows], textual[rows]
            self._view = VectorView([row[0] for row in found], visual, textual, has_text, revision)
            return self._view

    def _mapped(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows in use of both vector files.

        Raises LibraryDamaged where they are short, EncoderMismatch where another encoder has made them anew.
        """
        while True:
            with self._catalog.snapshot():
                self._follow_generation()
                used = self._vector_rows()
            try:
                return self._visual.map(used), self._textual.map(used)
            except LibraryDamaged:
                # Another process may have put other files in their place since.
                if self._catalog.query("SELECT generation FROM library")[0][0] == self._generation:
                    raise

    def _follow_generation(self) -> None:
        generation, *made_by = self._catalog.query(
            "SELECT generation, encoder_name, encoder_sha256, visual_dim, textual_dim FROM library"
        )[0]
        if generation != self._generation:
            encoder = EncoderIdentity(*made_by)
            if encoder.sha256 != self.encoder.sha256:
                raise encoder_mismatch(self.folder, encoder, self.encoder)
            self._generation = generation
            self._visual, self._textual = vector_files(self.folder, encoder, generation)

    def page(self, start: int, count: int) -> list[ImageRecord]:
        """So many pictures of those that can be shown, in the order in which they were added."""
        return self.get(self.matrix().ids[start : start + count])

    @property
    def with_text(self) -> int:
        """Pictures that can be shown and have a vector of their words."""
        return int(self._catalog.query("SELECT count(*) FROM images WHERE gone = 0 AND has_text = 1")[0][0])

    @property
    def size_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())

    def phashes(self, image_ids: Sequence[str] | None = None) -> dict[str, int]:
        """64-bit perceptual hashes of the pictures that have one; few differing bits mean the same motif."""
        wanted = "" if image_ids is None else f" AND id IN ({', '.join('?' * len(image_ids))})"
        rows = self._catalog.query(
            f"SELECT id, phash FROM images WHERE gone = 0 AND phash IS NOT NULL{wanted}", tuple(image_ids or ())
        )
        return {row[0]: row[1] & 0xFFFF_FFFF_FFFF_FFFF for row in rows}

    def copies(self) -> dict[str, list[Path]]:
        """All present files of the pictures that have several."""
        return self.files.copies()

    def failures(self) -> list[Failure]:
        """Files that the last runs could not use, by path."""
        return self.files.failures()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make several changes as one: all are on disk when it ends, or none is. May be nested."""
        with self._catalog.transaction():
            outermost = self._catalog.is_outermost
            if outermost:
                self._follow_generation()
            yield
            if outermost:
                self.touch()
        if outermost:
            self._apply_pending()

    def writing(self) -> AbstractContextManager[None]:
        """Keeps other long writers out, of this and other processes, until it is left; waits for those that are in."""
        return writer_lock(self.folder)

    def add(self, images: Sequence[NewImage | tuple]) -> int:
        """Add pictures, as NewImage or tuples of its fields in order; returns how many were new.

        All are on disk when it returns, or none is. One whose id the library holds only gains a path.
        """
        batch = [NewImage(*image) for image in images]
        with self.transaction():
            fresh = {image.record.id: image for image in batch if image.record.id not in self}
            row = self._vector_rows()
            self._append(row, list(fresh.values()))
            for image in batch:
                self.files.link(image.stamp or FileStamp(str(image.record.path)), image.record.id)
            self._catalog.execute("UPDATE library SET vector_rows = ?", (row + len(fresh),))
        return len(fresh)

    def _append(self, row: int, images: list[NewImage]) -> None:
        visual = np.zeros((len(images), self.encoder.visual_dim), np.float32)
        textual = np.zeros((len(images), self.encoder.textual_dim), np.float32)
        for i, image in enumerate(images):
            visual[i] = image.visual
            if image.textual is not None:
                textual[i] = image.textual
        if not (np.isfinite(visual).all() and np.isfinite(textual).all()):
            raise ValueError("a vector holds values that are not finite; nothing was added")
        self._visual.write(row, visual)
        self._textual.write(row, textual)
        for i, image in enumerate(images):
            columns = {
                "id": image.record.id,
                "vector_row": row + i,
                "width_px": image.record.width_px,
                "height_px": image.record.height_px,
                "has_text": int(image.textual is not None),
                "phash": _signed(image.phash),
                "circumstances": CIRCUMSTANCES_VERSION,
                **text_columns(image.record),
            }
            marks = ", ".join("?" * len(columns))
            self._catalog.execute(
                f"INSERT INTO images ({', '.join(columns)}) VALUES ({marks})", tuple(columns.values())
            )

    def update_text(self, record: ImageRecord, textual: np.ndarray | None) -> None:
        """Replace the words of the picture ``record.id`` and the vector made of them."""
        self.update_texts([(record, textual)])

    def update_texts(self, items: Iterable[tuple[ImageRecord, np.ndarray | None]]) -> None:
        """``update_text`` for several pictures at once: all or none. Raises LibraryError for an unknown id."""
        with self.transaction():
            for record, textual in items:
                columns = {**text_columns(record), "has_text": int(textual is not None)}
                settings = ", ".join(f"{name} = ?" for name in columns)
                changed = self._catalog.execute(
                    f"UPDATE images SET {settings} WHERE id = ?", (*columns.values(), record.id)
                )
                if not changed:
                    raise self._unknown(record.id)
                if textual is not None:
                    if textual.shape != (self.encoder.textual_dim,) or not np.isfinite(textual).all():
                        raise ValueError(f"vector of shape {textual.shape} does not fit {self.encoder}")
                    self._catalog.execute(
                        "INSERT OR REPLACE INTO pending_textual (vector_row, vector) "
                        "SELECT vector_row, ? FROM images WHERE id = ?",
                        (np.ascontiguousarray(textual, "<f4").tobytes(), record.id),
                    )
                self._catalog.execute(
                    "INSERT OR IGNORE INTO reencode_again (vector_row) SELECT vector_row FROM images "
                    "WHERE id = ? AND EXISTS (SELECT 1 FROM reencoding)",
                    (record.id,),
                )

    def without_circumstances(self) -> set[str]:
        """Ids of pictures whose files were read before it was noted when and where pictures were taken."""
        rows = self._catalog.query("SELECT id FROM images WHERE circumstances < ?", (CIRCUMSTANCES_VERSION,))
        return {row[0] for row in rows}

    def note_circumstances(self, image_ids: Iterable[str]) -> None:
        """These pictures' files have been read for them."""
        for image_id in image_ids:
            self._catalog.execute("UPDATE images SET circumstances = ? WHERE id = ?", (CIRCUMSTANCES_VERSION, image_id))

    def correction(self, image_id: str) -> dict[str, str]:
        """What a person corrected, by ``corrections.FIELDS``; also of a picture that left the library."""
        rows = self._catalog.query("SELECT given FROM corrections WHERE image_id = ?", (image_id,))
        try:
            return {str(name): str(text) for name, text in json.loads(rows[0][0]).items()} if rows else {}
        except (ValueError, AttributeError) as error:
            raise LibraryDamaged("record_damaged", picture=image_id, reason=str(error)) from error

    def note_correction(self, image_id: str, given: Mapping[str, str]) -> None:
        with self.transaction():
            self._catalog.execute(
                "INSERT OR REPLACE INTO corrections (image_id, given) VALUES (?, ?)",
                (image_id, json.dumps(dict(given), ensure_ascii=False)),
            )

    def hide(self, image_ids: Iterable[str], hidden: bool = True) -> None:
        """Keep pictures from being shown and found, whatever becomes of their files, or let them be again."""
        with self.transaction():
            for image_id in image_ids:
                if image_id not in self:
                    raise self._unknown(image_id)
                noted = {name: text for name, text in self.correction(image_id).items() if name != _HIDDEN}
                self.note_correction(image_id, noted | ({_HIDDEN: "1"} if hidden else {}))
                self.files.update_gone([image_id])

    def hidden(self) -> list[ImageRecord]:
        """The pictures that a person hid, in the order in which they were added."""
        rows = self._catalog.query(f"SELECT {RECORD_COLUMNS} FROM images WHERE {HIDDEN} ORDER BY vector_row")
        return [record_of(row) for row in rows]

    @property
    def hidden_count(self) -> int:
        """How many pictures a person hid."""
        return int(self._catalog.query(f"SELECT count(*) FROM images WHERE {HIDDEN}")[0][0])

    def _apply_pending(self) -> None:
        """Bring the vectors of the redo log into the file. Harmless to repeat after a crash half-way."""
        if self._catalog.is_read_only or not self._catalog.query("SELECT 1 FROM pending_textual LIMIT 1"):
            return
        with self._catalog.transaction():
            self.write_pending()
            self.touch()

    def write_pending(self) -> None:
        """Inside a transaction: the vectors of the redo log are in the file, and the log is empty."""
        self._follow_generation()
        for row, vector in self._catalog.query("SELECT vector_row, vector FROM pending_textual"):
            self._textual.write(row, np.frombuffer(vector, "<f4")[None])
        self._catalog.execute("DELETE FROM pending_textual")

    def remove(self, image_ids: Iterable[str]) -> int:
        """Forget pictures, not their files; returns how many there were. Their vectors stay behind, unused."""
        with self.transaction():
            return sum(self._catalog.execute("DELETE FROM images WHERE id = ?", (image_id,)) for image_id in image_ids)

    def _unknown(self, image_id: str) -> LibraryError:
        return LibraryError("picture_unknown", folder=str(self.folder), picture=image_id)

    def damage(self) -> list[Phrase | KeyedError]:
        """What is wrong with the catalogue or disagrees with the vectors; empty for a sound library."""
        self._follow_generation()
        used = self._vector_rows()
        found: list[Phrase | KeyedError] = [*self._catalog.damage()]
        beyond = self._beyond(used)
        if beyond.values["pictures"]:
            found.append(beyond)
        for file in (self._visual, self._textual):
            if file.rows() < used:
                found.append(Phrase("vectors_short", {"file": file.path.name, "held": file.rows(), "expected": used}))
        return found

    def damaged_records(self) -> list[str]:
        """Ids of pictures whose record cannot be read, or whose vectors are beyond those in use."""
        used = self._vector_rows()
        found = []
        for row, *columns in self._catalog.query(f"SELECT vector_row, {RECORD_COLUMNS} FROM images"):
            try:
                record_of(tuple(columns))
            except LibraryDamaged:
                found.append(str(columns[0]))
            else:
                if not 0 <= row < used:
                    found.append(str(columns[0]))
        return found

    def _beyond(self, used: int) -> LibraryDamaged:
        where = "vector_row NOT BETWEEN 0 AND ?"
        count = self._catalog.query(f"SELECT count(*) FROM images WHERE {where}", (used - 1,))[0][0]
        return LibraryDamaged("rows_beyond", folder=str(self.folder), pictures=count, used=used)

    def touch(self) -> None:
        """Inside a transaction: what can be shown has changed."""
        self._catalog.execute("UPDATE library SET revision = revision + 1")

    def _vector_rows(self) -> int:
        return int(self._catalog.query("SELECT vector_rows FROM library")[0][0])


def vector_files(folder: Path, encoder: EncoderIdentity, generation: int) -> tuple[VectorFile, VectorFile]:
    """The files of looks and of words of a generation; the first has no number."""
    number = f"-{generation}" if generation else ""
    return (
        VectorFile(folder / f"visual{number}.f32", encoder.visual_dim),
        VectorFile(folder / f"textual{number}.f32", encoder.textual_dim),
    )


def _row(catalog: Catalog) -> tuple | None:
    rows = catalog.query("SELECT encoder_name, encoder_sha256, visual_dim, textual_dim FROM library")
    return rows[0] if rows else None


def encoder_mismatch(folder: Path, made_by: EncoderIdentity, given: EncoderIdentity) -> EncoderMismatch:
    """The error of an encoder that is not the library's."""
    named = {name: f"{e.name} ({e.sha256[:12]})" for name, e in (("made_by", made_by), ("given", given))}
    return EncoderMismatch("encoder_mismatch", library=str(folder), **named)


def _signed(phash: int | None) -> int | None:
    """SQLite integers are signed."""
    return phash if phash is None or phash < 1 << 63 else phash - (1 << 64)
