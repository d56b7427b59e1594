"""Reads what stands beside a picture: its own JSON, text or XMP file, and the tables of its folder and those above.

Documented keys: caption, alt, tags, author, license, source_url, and captions, an object of texts by ISO 639-1 code; a
table names the picture in ``file``. What other programs call these fields is understood as well
(``field_names.toml``), and Google's takeout. Precedence, strongest first: the picture's own JSON, its text file, its
XMP, the tables, words inside the picture, words of its name.

A file that cannot be read is a problem to report, never a reason to lose a picture.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from image_db.metadata.description import Description, laid_over
from image_db.metadata.fields import clean, described
from image_db.metadata.objects import SidecarError, bytes_of, description_of, object_of, text_of
from image_db.metadata.tables import MetadataTable, read_table
from image_db.metadata.xmp import MAX_XMP_BYTES, xmp_words
from image_db.scan import TABLE_NAMES, fold
from vision.errors import Phrase

_MAX_SIDECAR_BYTES = 1 << 20


@dataclass(slots=True)
class SidecarReader:
    """Reads descriptions; a table is read once. Several threads may share one.

    ``problems`` maps a sidecar's path to what is wrong with it; ``read`` holds the paths that were looked at.
    ``known`` are words that stand elsewhere, by the picture's path: weaker than any beside it.
    """

    problems: dict[str, Phrase] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    known: Mapping[str, Description] = field(default_factory=dict)
    _tables: dict[str, MetadataTable] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def describe(self, picture: str, sidecars: tuple[str, ...]) -> Description:
        """What the sidecars of a picture, strongest first, say of it together."""
        beside = [self._of(picture, sidecar) for sidecar in sidecars]
        return laid_over((*beside, self.known.get(picture, Description())))

    def _of(self, picture: str, sidecar: str) -> Description:
        path = Path(sidecar)
        if fold(path.name) in TABLE_NAMES:
            return self._row(picture, path)
        try:
            description = _own(path, Path(picture).name)
        except SidecarError as error:
            self._report(sidecar, error.reason, used=error.rest != Description())
            return error.rest
        self.read.add(sidecar)
        return description

    def _row(self, picture: str, path: Path) -> Description:
        with self._lock:
            table = self._tables.get(str(path))
            if table is None:
                table = self._tables[str(path)] = read_table(path)
        row = table.row(picture)
        # A table above that says nothing of these pictures may be no table of pictures at all.
        if row is not None or Path(picture).parent == path.parent:
            self.read.add(str(path))
            if table.problem is not None:
                self._report(str(path), table.problem, used=bool(table.rows))
        return row or Description()

    def _report(self, path: str, reason: Phrase, *, used: bool) -> None:
        self.read.add(path)
        key = "sidecar_partly_used" if used else "sidecar_not_used"
        # The first problem of a file is named; a table that is wrong throughout would fill the screen.
        self.problems.setdefault(path, Phrase(key, {"reason": reason}))


def _own(path: Path, picture: str) -> Description:
    """What a picture's own sidecar says. Raises SidecarError."""
    kind = path.suffix.lower()
    data = bytes_of(path, MAX_XMP_BYTES if kind == ".xmp" else _MAX_SIDECAR_BYTES)
    if kind == ".xmp":
        words = xmp_words(data)
        if words is None:
            raise SidecarError(Phrase("sidecar_not_xmp"))
        return described([words])
    text = text_of(data)
    if kind != ".json":
        # The first line that is not blank.
        return Description(caption=next((said for line in text.splitlines() if (said := clean(line))), ""))
    return description_of(object_of(text), picture)
