"""The catalogue of a library: one SQLite file, its schema and the migrations that made it.

Paths are kept as the bytes the file system has, because a file name need not be valid Unicode.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from image_db.errors import LibraryDamaged, LibraryError, LibraryMissing
from image_db.metadata.record import ImageRecord
from image_db.sample import SAMPLE
from vision.errors import Phrase

APPLICATION_ID = 0x5649474E  # "VIGN": tells our catalogue from any other SQLite file
BUSY_TIMEOUT_S = 60.0
SILENT_S = 2.0
# Called with the library's folder once a wait for another program's writing has lasted SILENT_S.
on_wait: Callable[[Path], None] | None = None


class Migration(NamedTuple):
    reason: str
    sql: str


# Only ever append: a library in the field has run some prefix of this list, and user_version counts how many.
MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "The first schema. `library` has one row and holds what must change in the same transaction as the pictures: "
        "the number of vector rows in use and the revision that readers compare. `pending_textual` is a redo log: a "
        "vector is overwritten in place only after the transaction that says so is on disk.",
        """
        CREATE TABLE library (
            only_row       INTEGER PRIMARY KEY CHECK (only_row = 1),
            encoder_name   TEXT NOT NULL,
            encoder_sha256 TEXT NOT NULL,
            visual_dim     INTEGER NOT NULL CHECK (visual_dim > 0),
            textual_dim    INTEGER NOT NULL CHECK (textual_dim > 0),
            created_with   TEXT NOT NULL,
            created_at     TEXT NOT NULL,
            vector_rows    INTEGER NOT NULL DEFAULT 0,
            revision       INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE TABLE images (
            id             TEXT PRIMARY KEY,
            vector_row     INTEGER NOT NULL UNIQUE,
            width_px       INTEGER NOT NULL,
            height_px      INTEGER NOT NULL,
            caption        TEXT NOT NULL,
            alt            TEXT NOT NULL,
            tags           TEXT NOT NULL,
            author         TEXT NOT NULL,
            license        TEXT NOT NULL,
            source_url     TEXT NOT NULL,
            captions       TEXT NOT NULL,
            caption_origin TEXT NOT NULL CHECK (caption_origin IN ('given', 'generated')),
            guessed_tags   TEXT NOT NULL,
            has_text       INTEGER NOT NULL CHECK (has_text IN (0, 1)),
            phash          INTEGER,
            gone           INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1))
        ) STRICT;
        CREATE TABLE files (
            path           BLOB PRIMARY KEY,
            image_id       TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
            size_bytes     INTEGER NOT NULL,
            mtime_ns       INTEGER NOT NULL,
            sidecar_stamp  TEXT NOT NULL,
            missing        INTEGER NOT NULL DEFAULT 0 CHECK (missing IN (0, 1))
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX files_by_image ON files (image_id);
        CREATE TABLE failures (
            path           BLOB PRIMARY KEY,
            kind           TEXT NOT NULL CHECK (kind IN ('picture', 'sidecar')),
            reason         TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE pending_textual (
            vector_row     INTEGER PRIMARY KEY,
            vector         BLOB NOT NULL
        ) STRICT;
        """,
    ),
    Migration(
        "When, where and with what pictures were taken; those of the first schema are read again for it "
        "(`circumstances` 0). What a person corrected outlives the picture, so that one that comes back has it, and "
        "is laid over what its files say. Vector files have a generation, so that new ones can be made beside those "
        "in use; `reencoding` says how far that is, `reencode_again` which rows got other words meanwhile.",
        """
        ALTER TABLE images ADD COLUMN taken TEXT NOT NULL DEFAULT '';
        ALTER TABLE images ADD COLUMN camera TEXT NOT NULL DEFAULT '';
        ALTER TABLE images ADD COLUMN places TEXT NOT NULL DEFAULT '[]';
        ALTER TABLE images ADD COLUMN latitude REAL;
        ALTER TABLE images ADD COLUMN longitude REAL;
        ALTER TABLE images ADD COLUMN circumstances INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX images_by_circumstances ON images (circumstances);
        CREATE TABLE corrections (
            image_id       TEXT PRIMARY KEY,
            given          TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        ALTER TABLE library ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
        CREATE TABLE reencoding (
            only_row       INTEGER PRIMARY KEY CHECK (only_row = 1),
            encoder_name   TEXT NOT NULL,
            encoder_sha256 TEXT NOT NULL,
            visual_dim     INTEGER NOT NULL CHECK (visual_dim > 0),
            textual_dim    INTEGER NOT NULL CHECK (textual_dim > 0),
            generation     INTEGER NOT NULL,
            next_row       INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE TABLE reencode_again (vector_row INTEGER PRIMARY KEY) STRICT;
        """,
    ),
)

# Whether a person hid the picture: noted among the corrections, which outlive it.
HIDDEN = (
    "EXISTS (SELECT 1 FROM corrections WHERE image_id = images.id AND "
    "CASE WHEN json_valid(given) THEN json_extract(given, '$.hidden') IS NOT NULL ELSE 0 END)"
)
# The path shown for a picture is its first present file; for a picture that is gone, the first it had.
RECORD_COLUMNS = """
    images.id,
    (SELECT path FROM files WHERE image_id = images.id ORDER BY missing, path LIMIT 1),
    width_px, height_px, caption, alt, tags, author, license, source_url, captions, caption_origin, guessed_tags,
    taken, camera, places, latitude, longitude
"""


class Catalog:
    """An open catalogue. Safe to use from several threads, which take turns; writers of several processes too."""

    def __init__(self, path: Path) -> None:
        """Open and migrate. Raises LibraryMissing where there is none, LibraryDamaged where it cannot be read."""
        self.path = path
        if not path.is_file():
            key = "library_is_file" if path.parent.is_file() else "library_missing"
            raise LibraryMissing(key, folder=str(path.parent), name=path.parent.name, known=[SAMPLE])
        self._connect()
        try:
            with self._explaining():
                self._check_and_migrate()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path) -> Catalog:
        """Make an empty catalogue. One that a crash left without a schema is completed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return cls(path)

    def _connect(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self.is_read_only = not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK))
        address = self._address()
        self._db = sqlite3.connect(address, timeout=SILENT_S, isolation_level=None, check_same_thread=False, uri=True)

    def _address(self) -> str:
        address = self.path.absolute().as_uri() + ("?mode=ro" if self.is_read_only else "")
        log = self.path.with_name(self.path.name + "-wal")
        if self.is_read_only and not (log.is_file() and log.stat().st_size):
            address += "&immutable=1"  # else SQLite would make a file beside it
        return address

    def _run(self, sql: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Execute, waiting up to BUSY_TIMEOUT_S while another program writes."""
        started_s = time.monotonic()
        waited = False
        while True:
            try:
                return self._db.execute(sql, parameters)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() - started_s > BUSY_TIMEOUT_S:
                    raise
                if on_wait is not None and not waited:
                    on_wait(self.path.parent)
                waited = True

    def _check_and_migrate(self) -> None:
        version = self._pragma("user_version")
        if version > len(MIGRATIONS):
            raise LibraryError("library_newer", folder=str(self.path.parent), schema=version, known=len(MIGRATIONS))
        if self._pragma("application_id") != APPLICATION_ID and (version or self._pragma("schema_version")):
            raise LibraryDamaged("catalogue_foreign", file=str(self.path))
        if self.is_read_only:
            if version < len(MIGRATIONS):
                self._migrate_copy()
            return
        self._db.execute("PRAGMA foreign_keys = ON")
        # WAL lets searches go on while an indexing run writes; FULL makes a commit survive a power cut.
        self._run("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version < len(MIGRATIONS):
            with self.transaction():
                self._migrate()

    def _migrate_copy(self) -> None:
        """An older catalogue that cannot be written is read through a copy in memory."""
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.backup(copy)
        self._db.close()
        self._db = copy
        with self.transaction():
            self._migrate()

    def _migrate(self) -> None:
        # Read again: another process may have migrated while this one waited for the write lock.
        for number, migration in enumerate(MIGRATIONS[self._pragma("user_version") :], self._pragma("user_version")):
            for statement in migration.sql.split(";"):
                if statement.strip():
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {number + 1}")
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _pragma(self, name: str) -> int:
        return int(self._run(f"PRAGMA {name}").fetchone()[0])

    def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple]:
        with self._lock, self._explaining():
            return self._run(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: tuple[object, ...] = ()) -> int:
        """Run one statement inside ``transaction``; returns the number of rows it changed."""
        with self._lock, self._explaining():
            assert self._depth, "writes belong into a transaction"
            return self._db.execute(sql, parameters).rowcount

    def snapshot(self) -> AbstractContextManager[None]:
        """Queries inside see one state of the library, whatever other processes write meanwhile."""
        return self.transaction("DEFERRED")

    @contextmanager
    def transaction(self, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
        """All or nothing, on disk when it ends. Takes the write lock at once; may be nested."""
        with self._lock, self._explaining():
            if self._depth == 0:
                self._run(f"BEGIN {kind}")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._run("COMMIT")
            except BaseException:
                if self._depth == 1 and self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    @property
    def is_outermost(self) -> bool:
        """Inside a transaction: whether it is not nested in another one."""
        return self._depth == 1

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        folder = str(self.path.parent)
        try:
            yield
        except sqlite3.OperationalError as error:
            raise LibraryError("library_not_usable", folder=folder, reason=str(error)) from error
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise LibraryDamaged("catalogue_damaged", folder=folder, file=self.path.name, reason=str(error)) from error

    def copy_to(self, path: Path) -> None:
        """The catalogue as it is now, in a file of its own."""
        with self._lock, self._explaining():
            copy = sqlite3.connect(path)
            try:
                # By a connection of its own: one that is inside a transaction would wait for itself.
                source = sqlite3.connect(self._address(), uri=True)
                try:
                    source.backup(copy)
                finally:
                    source.close()
            finally:
                copy.close()

    def shrink(self) -> None:
        """Give back the room of what was deleted."""
        with self._lock, self._explaining():
            self._run("VACUUM")
            self.write_back()

    def write_back(self) -> None:
        """Bring what stands in the log into the catalogue's own file, as far as readers let it."""
        with self._lock, self._explaining():
            self._run("PRAGMA wal_checkpoint(TRUNCATE)")

    def damage(self) -> list[Phrase]:
        """What SQLite's own check finds; empty for a sound catalogue."""
        found = [str(row[0]) for row in self.query("PRAGMA integrity_check")]
        orphans = self.query("PRAGMA foreign_key_check")
        broken = [Phrase("verbatim", {"text": line}) for line in found if line != "ok"]
        return broken + [Phrase("row_missing", {"table": row[0]}) for row in orphans]

    def close(self) -> None:
        with self._lock:
            self._db.close()


def record_of(row: tuple) -> ImageRecord:
    """The record of a row of RECORD_COLUMNS. Raises LibraryDamaged where a column does not hold what was written."""
    id_, path, width, height, caption, alt, tags, author, license_, source_url, captions, origin, guessed = row[:13]
    taken, camera, places, latitude, longitude = row[13:]
    try:
        return ImageRecord(
            id=id_,
            path=Path(os.fsdecode(path)) if path is not None else Path(),
            width_px=width,
            height_px=height,
            caption=caption,
            alt=alt,
            tags=tuple(json.loads(tags)),
            author=author,
            license=license_,
            source_url=source_url,
            captions=tuple(json.loads(captions).items()),
            caption_origin=origin,
            guessed_tags=tuple(json.loads(guessed)),
            taken=taken,
            camera=camera,
            places=tuple(json.loads(places)),
            position=None if latitude is None or longitude is None else (latitude, longitude),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise LibraryDamaged("record_damaged", picture=id_, reason=str(error)) from error


def text_columns(record: ImageRecord) -> dict[str, object]:
    """The columns of ``images`` that hold a record's words and circumstances, and their values."""
    latitude, longitude = record.position or (None, None)
    return {
        "caption": record.caption,
        "alt": record.alt,
        "tags": _json(record.tags),
        "author": record.author,
        "license": record.license,
        "source_url": record.source_url,
        "captions": _json(dict(record.captions)),
        "caption_origin": record.caption_origin,
        "guessed_tags": _json(record.guessed_tags),
        "taken": record.taken,
        "camera": record.camera,
        "places": _json(record.places),
        "latitude": latitude,
        "longitude": longitude,
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
