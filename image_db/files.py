"""Which files hold the library's pictures, and which could not be used.

Several files may hold the same picture. A picture all of whose files are missing is gone: kept, but not searched. So
is one that a person hid.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from image_db.catalog import HIDDEN, Catalog
from vision.errors import KeyedError, Phrase, phrase_from_json, phrase_to_json

FailureKind: TypeAlias = Literal["picture", "sidecar"]


class FileStamp(NamedTuple):
    """A file as a directory listing shows it: enough to tell that it is unchanged without opening it.

    ``sidecar_stamp`` sums up the files beside it that describe it; empty where there are none.
    """

    path: str
    size_bytes: int = 0
    mtime_ns: int = 0
    sidecar_stamp: str = ""


class KnownFile(NamedTuple):
    """A file as the catalogue last saw it."""

    image_id: str
    size_bytes: int
    mtime_ns: int
    sidecar_stamp: str
    missing: int  # 0 or 1


class Failure(NamedTuple):
    """A file that could not be used, and why. ``kind`` says whether the picture or only its description is lost.

    ``seen`` is the file's size in bytes, its time in nanoseconds and the version of Vignette that could not use it:
    reading it again would come to the same. None where it might not.
    """

    path: Path
    reason: Phrase
    kind: FailureKind
    seen: tuple[int, int, str] | None = None


class FileTable:
    """The tables ``files`` and ``failures``. Every write belongs into ``Library.transaction``."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def under(self, folder: str) -> dict[str, KnownFile]:
        """Every known file in the folder and its subfolders, by path."""
        low = os.fsencode(folder).rstrip(b"/") + b"/"
        rows = self._catalog.query(
            "SELECT path, image_id, size_bytes, mtime_ns, sidecar_stamp, missing FROM files "
            "WHERE path >= ? AND path < ?",
            (low, low[:-1] + b"0"),  # "0" follows "/"
        )
        return {os.fsdecode(row[0]): KnownFile._make(row[1:]) for row in rows}

    def known(self, path: str) -> KnownFile | None:
        rows = self._catalog.query(
            "SELECT image_id, size_bytes, mtime_ns, sidecar_stamp, missing FROM files WHERE path = ?",
            (os.fsencode(path),),
        )
        return KnownFile._make(rows[0]) if rows else None

    def of(self, image_id: str, *, missing: bool = False) -> list[Path]:
        """The picture's present files, or its missing ones, by path."""
        rows = self._catalog.query(
            "SELECT path FROM files WHERE image_id = ? AND missing = ? ORDER BY path", (image_id, int(missing))
        )
        return [Path(os.fsdecode(row[0])) for row in rows]

    def copies(self) -> dict[str, list[Path]]:
        """All present files of the pictures that have several, by picture."""
        found: dict[str, list[Path]] = {}
        for image_id, path in self._catalog.query(
            "SELECT image_id, path FROM files WHERE missing = 0 AND image_id IN "
            "(SELECT image_id FROM files WHERE missing = 0 GROUP BY image_id HAVING count(*) > 1) ORDER BY path"
        ):
            found.setdefault(image_id, []).append(Path(os.fsdecode(path)))
        return found

    def link(self, stamp: FileStamp, image_id: str) -> None:
        """The file holds that picture now; what it held before loses it."""
        path = os.fsencode(stamp.path)
        before = self._catalog.query("SELECT image_id FROM files WHERE path = ?", (path,))
        self._catalog.execute(
            "INSERT OR REPLACE INTO files (path, image_id, size_bytes, mtime_ns, sidecar_stamp) VALUES (?, ?, ?, ?, ?)",
            (path, image_id, stamp.size_bytes, stamp.mtime_ns, stamp.sidecar_stamp),
        )
        self._catalog.execute(f"UPDATE images SET gone = {HIDDEN} WHERE id = ? AND gone != {HIDDEN}", (image_id,))
        self.update_gone(row[0] for row in before if row[0] != image_id)

    def mark_missing(self, paths: Iterable[str], missing: bool = True) -> None:
        """Note that files have vanished, or are back."""
        touched: set[str] = set()
        for path in paths:
            key = os.fsencode(path)
            self._catalog.execute("UPDATE files SET missing = ? WHERE path = ?", (int(missing), key))
            touched.update(row[0] for row in self._catalog.query("SELECT image_id FROM files WHERE path = ?", (key,)))
        self.update_gone(touched)

    def update_gone(self, image_ids: Iterable[str]) -> None:
        """A picture is gone exactly where no present file holds it, or a person hid it."""
        for image_id in image_ids:
            self._catalog.execute(
                "UPDATE images SET gone = NOT EXISTS (SELECT 1 FROM files WHERE image_id = images.id AND missing = 0) "
                f"OR {HIDDEN} WHERE id = ?",
                (image_id,),
            )

    def count_gone(self, image_ids: Iterable[str]) -> int:
        """How many of these pictures are gone."""
        return sum(
            bool(self._catalog.query("SELECT 1 FROM images WHERE id = ? AND gone = 1", (image_id,)))
            for image_id in image_ids
        )

    def note_failure(
        self, path: str, kind: FailureKind, reason: Phrase | KeyedError, seen: tuple[int, int, str] | None = None
    ) -> None:
        said = json.dumps({**phrase_to_json(reason), "seen": seen}, ensure_ascii=False)
        self._catalog.execute(
            "INSERT OR REPLACE INTO failures (path, kind, reason) VALUES (?, ?, ?)", (os.fsencode(path), kind, said)
        )

    def forget_failures(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._catalog.execute("DELETE FROM failures WHERE path = ?", (os.fsencode(path),))

    def failures(self) -> list[Failure]:
        """By path."""
        rows = self._catalog.query("SELECT path, reason, kind FROM failures ORDER BY path")
        return [_failure(Path(os.fsdecode(path)), said, kind) for path, said, kind in rows]


def _failure(path: Path, said: str, kind: FailureKind) -> Failure:
    """A failure as it was noted; version 0.1 noted an English sentence."""
    try:
        noted = json.loads(said)
        seen = noted.get("seen")
        return Failure(path, phrase_from_json(noted), kind, tuple(seen) if seen else None)
    except (ValueError, TypeError, AttributeError):
        return Failure(path, Phrase("verbatim", {"text": said}), kind)
