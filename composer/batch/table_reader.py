"""Files of requests, one a line: JSON objects, or CSV with the fields as columns, as spreadsheets write it.

Turns both into rows of JSON values. Knows which columns there may be only from its caller, and no request.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from composer.errors import UsageError

LIST_SEPARATOR = "|"
_DELIMITERS = (",", ";", "\t")
_KIND_NAMES: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "true or false"}
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One request as it stands in the file, from ``line`` on; ``error`` says why it cannot be read."""

    line: int
    values: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def read_rows(path: Path, *, columns: Mapping[str, type]) -> list[Row]:
    """The rows of a .csv file, or of one with a JSON object a line. ``columns`` are dotted names and their types.

    Raises UsageError where the file cannot be read, or a CSV header names a column that is not known.
    """
    text = _decoded(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return list(_csv_rows(path, text, columns))
    return [_json_row(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _decoded(path: Path) -> str:
    try:
        data = path.read_bytes()
        # Excel's "Unicode text" is UTF-16; its CSV UTF-8 begins with a mark that is not part of the first column.
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} cannot be read: it is not UTF-8 text; in a spreadsheet, save it as CSV UTF-8"
        ) from error


def _json_row(number: int, line: str) -> Row:
    try:
        values = json.loads(line)
    except ValueError as error:
        return Row(number, error=f"it is not JSON: {error}")
    except RecursionError:
        return Row(number, error="it is not JSON: it is nested too deeply")
    if not isinstance(values, dict):
        return Row(number, error="it is not a JSON object; write one with keys such as instruction")
    return Row(number, values)


def _csv_rows(path: Path, text: str, columns: Mapping[str, type]) -> Iterator[Row]:
    skipped = 0
    first = text.split("\n", 1)[0].strip()
    delimiter = ""
    if first.lower().startswith("sep=") and len(first) == 5:  # a line for Excel, which shows the separator
        delimiter, skipped = first[4], 1
        text = text.partition("\n")[2]
    header_line = next((line for line in text.split("\n") if line.strip()), "")
    delimiter = delimiter or max(_DELIMITERS, key=header_line.count)
    # newline="" leaves the line ends inside quoted fields as they are.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    line = skipped + 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(line, error=f"it is not CSV: {error}; the rest of the file is not read")
            return
        if not any(cell.strip() for cell in cells):
            pass
        elif not header:
            header = _header(path, cells, line, columns)
        else:
            yield _csv_row(line, header, cells, columns, delimiter)
        line = skipped + reader.line_num + 1


def _header(path: Path, cells: list[str], line: int, columns: Mapping[str, type]) -> list[str]:
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    for name in names:
        if name not in columns:
            raise UsageError(
                f"{path} line {line}: unknown column {name!r}; the first line names the columns, known are: "
                + ", ".join(columns)
            )
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise UsageError(f"{path} line {line}: column {double} stands there twice")
    return names


def _csv_row(line: int, header: list[str], cells: list[str], columns: Mapping[str, type], delimiter: str) -> Row:
    extra = [cell for cell in cells[len(header) :] if cell.strip()]
    if extra:
        return Row(
            line,
            error=f"it has {len(cells)} cells but the header {len(header)} columns; quote a cell that holds "
            f"{delimiter!r}",
        )
    values: dict[str, Any] = {}
    try:
        for name, cell in zip(header, cells, strict=False):
            if cell.strip():
                _put(values, name, _cell(name, cell, columns[name], delimiter))
    except UsageError as error:
        return Row(line, values, str(error))
    return Row(line, values)


def _cell(name: str, cell: str, kind: type, delimiter: str) -> Any:
    """A cell's value as JSON would have it. Empty cells count as absent and do not come here."""
    text = cell.strip()
    if kind is str:
        return text
    if kind is list:
        return [item.strip() for item in text.split(LIST_SEPARATOR) if item.strip()]
    if name == "images" and text.casefold() == "auto":
        return "auto"
    try:
        if kind is bool:
            if text.casefold() not in _TRUTHS:
                raise ValueError
            return _TRUTHS[text.casefold()]
        if kind is int:
            return int(text)
        # Where semicolons separate, a spreadsheet writes decimal commas.
        return float(text.replace(",", ".") if delimiter == ";" else text)
    except ValueError:
        wanted = 'a whole number or "auto"' if name == "images" else _KIND_NAMES[kind]
        raise UsageError(f"column {name} is {text!r}; it must be {wanted}") from None


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value
