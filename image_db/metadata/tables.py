"""Tables of pictures: one JSON object a line, CSV with any delimiter, or Parquet, and which row belongs to which file.

A row names its picture by a path below the table's folder, in whatever case and form of accents, with the separators
of any system. A path from another machine counts by its last part.
"""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from image_db.metadata.description import Description
from image_db.metadata.fields import field_of, file_field
from image_db.metadata.objects import SidecarError, bytes_of, description_of, object_of, shown, text_of
from image_db.scan import fold
from vision.errors import Phrase

_MAX_TABLE_BYTES = 1 << 29
_ROWS_AT_ONCE = 1_000
_DELIMITERS = (",", ";", "\t", "|")
_FOREIGN = re.compile(r"^(?:[A-Za-z]:|/|file:).*/", re.DOTALL)


@dataclass(slots=True)
class MetadataTable:
    """``rows`` by the folded path of their picture; ``problem`` is the first thing that is wrong with the file."""

    folder: Path
    rows: dict[str, Description] = field(default_factory=dict)
    problem: Phrase | None = None
    _listings: dict[Path, dict[str, str]] = field(default_factory=dict)

    def row(self, picture: str) -> Description | None:
        """What the table says of a picture, given by its absolute path."""
        return self.rows.get(fold(os.path.relpath(picture, self.folder).replace(os.sep, "/")))

    def add(self, name: str, values: Mapping[str, Any]) -> None:
        """Raises SidecarError where no such picture is there, or something is wrong with its words."""
        name = name.replace("\\", "/")
        own = f"{self.folder}/"
        if name.startswith(own):
            name = name.removeprefix(own)
        name = posixpath.normpath(_FOREIGN.sub("", name).strip())
        if name.startswith("../"):
            raise SidecarError(Phrase("row_names_other_folder", {"name": shown(name)}))
        if not self._holds(name):
            raise SidecarError(Phrase("row_names_absent", {"name": shown(name)}))
        try:
            self.rows[fold(name)] = description_of(values, posixpath.basename(name), strict=False)
        except SidecarError as error:
            self.rows[fold(name)] = error.rest
            raise

    def _holds(self, name: str) -> bool:
        """Whether the file is there, whatever the case and the accents' form of the way to it."""
        place = self.folder
        for part in name.split("/"):
            if place not in self._listings:
                try:
                    self._listings[place] = {fold(entry.name): entry.name for entry in place.iterdir()}
                except OSError:
                    self._listings[place] = {}
            if (found := self._listings[place].get(fold(part))) is None:
                return False
            place = place / found
        return True


def read_table(path: Path) -> MetadataTable:
    """Every row of a table that names a picture which is there."""
    table = MetadataTable(path.parent)
    try:
        for line, values in _rows(path):
            try:
                name = next((values[key] for key in file_field(values)), None)
                if isinstance(name, dict):  # a picture of Hugging Face's datasets: its bytes and where they are from
                    name = name.get("path")
                if not isinstance(name, str) or not name.strip():
                    raise SidecarError(Phrase("row_names_no_picture"))
                table.add(name, values)
            except SidecarError as error:
                table.problem = table.problem or Phrase("on_line", {"line": line, "reason": error.reason})
    except SidecarError as error:
        table.problem = table.problem or error.reason
    return table


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Number and values of each row. Raises SidecarError for a file that is none of its kind."""
    data = bytes_of(path, _MAX_TABLE_BYTES)
    if path.suffix.lower() == ".parquet":
        return _parquet_rows(data)
    text = text_of(data)
    return _json_rows(text) if path.suffix.lower() == ".jsonl" else _csv_rows(text)


def _parquet_rows(data: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        from pyarrow import ArrowException, BufferReader
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise SidecarError(Phrase("format_needs_package", {"format": "Parquet", "package": "pyarrow"})) from error
    try:
        table = ParquetFile(BufferReader(data))
        if not file_field(table.schema_arrow.names):
            raise SidecarError(Phrase("table_names_no_column", {"known": ["file"]}))
        number = 0
        for batch in table.iter_batches(_ROWS_AT_ONCE):
            for row in batch.to_pylist():
                number += 1
                yield number, {name: plain_value(value) for name, value in row.items()}
    except (ArrowException, OSError, ValueError) as error:
        raise SidecarError(Phrase("table_not_parquet", {"reason": str(error).split("\n")[0]})) from error


def plain_value(value: object) -> object:
    """Times as text, as the other kinds of tables have them."""
    return value.isoformat() if isinstance(value, date) else value


def _json_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if text.lstrip().startswith("["):
        try:
            elements = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SidecarError(Phrase("sidecar_not_json", {"reason": str(error)})) from error
        yield from ((number, element) for number, element in enumerate(elements, 1) if isinstance(element, dict))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, object_of(line)
            except SidecarError as error:
                raise SidecarError(Phrase("on_line", {"line": number, "reason": error.reason})) from error


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    first = text.split("\n", 1)[0].strip()
    delimiter, skipped = "", 0
    if first.lower().startswith("sep=") and len(first) == 5:  # a line for Excel
        delimiter, skipped, text = first[4], 1, text.partition("\n")[2]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text))
    try:
        header = next(reader, [])
        if not list(file_field(dict.fromkeys(header))):
            raise SidecarError(Phrase("table_names_no_column", {"known": ["file"]}))
        for cells in reader:
            row = {name: cell for name, cell in zip(header, cells, strict=False) if cell.strip()}
            if row:
                yield reader.line_num + skipped, row
    except csv.Error as error:
        raise SidecarError(Phrase("table_not_csv", {"line": reader.line_num, "reason": str(error)})) from error


def _delimiter(text: str) -> str:
    """The delimiter by which most columns of the header are known."""

    def known(delimiter: str) -> int:
        try:
            header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        except csv.Error:
            return 0
        return sum(field_of(name) is not None for name in header)

    return max(_DELIMITERS, key=known)
