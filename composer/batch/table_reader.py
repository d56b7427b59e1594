"""Files of requests: JSON objects one a line, one after the other or in an array, or CSV with the fields as columns.

All become rows of JSON values. What spreadsheets and data frames write is read as it is meant: column names in
capitals, a column of row numbers without a name, ``null`` for an empty cell, ``3.0`` for 3.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from composer.errors import UsageError
from vision.errors import KeyedError, Phrase

LIST_SEPARATOR = "|"
_DELIMITERS = (",", ";", "\t")
_TRUTHS = {"true": True, "false": False}
_UNNAMED = re.compile(r"(?:Unnamed: \d+)?")  # as data frames write and read again the column of row numbers
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One request as it stands in the file, from ``line`` on; ``error`` says why it cannot be read."""

    line: int
    values: Mapping[str, Any] = field(default_factory=dict)
    error: KeyedError | None = None


def read_rows(path: Path, *, columns: Mapping[str, type]) -> list[Row]:
    """The rows of a .csv or .tsv file, or of one of JSON objects. ``columns`` are dotted names and their types.

    The elements of an array are numbered in place of lines. Raises UsageError where the file cannot be read, is an
    array that is not JSON, or a CSV header names a column that is not known.
    """
    text = _decoded(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return list(_csv_rows(path, text, columns))
    if text.lstrip().startswith("[") and not _is_json(text.lstrip().split("\n", 1)[0]):
        try:
            elements = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError("array_not_json", path=str(path), reason=_reason(error)) from error
        return [_row(number, element) for number, element in enumerate(elements, 1)]
    return list(_json_rows(text))


def _decoded(path: Path) -> str:
    try:
        data = path.read_bytes()
        # Excel's "Unicode text" is UTF-16; its CSV UTF-8 begins with a mark that is not part of the first column.
        utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except OSError as error:
        raise UsageError("file_unreadable", file=str(path), reason=error.strerror) from error
    except UnicodeDecodeError as error:
        raise UsageError("table_not_utf8", path=str(path)) from error


def _json_rows(text: str) -> Iterator[Row]:
    """A row for each line; an object over several lines is a row of the line it begins on."""
    lines = re.split(r"\r\n|\n|\r", text)  # and nowhere else: a text may hold other separators of lines
    number = 0
    while number < len(lines):
        number += 1
        line = lines[number - 1]
        if not line.strip():
            continue
        try:
            yield _row(number, json.loads(line))
        except (ValueError, RecursionError) as error:
            rest = "\n".join(lines[number - 1 :])
            spanning = _first_object(rest) if line.strip() == "{" or line.rstrip().endswith(("{", ",", "[")) else None
            if spanning is None:
                yield Row(number, error=UsageError("not_json", reason=_reason(error)))
            else:
                value, end = spanning
                yield _row(number, value)
                number += rest.count("\n", 0, end)


def _first_object(text: str) -> tuple[Any, int] | None:
    """The object that the text begins with and where it ends; None where more stands on its last line."""
    start = len(text) - len(text.lstrip())
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return None if text[end:].split("\n", 1)[0].strip() else (value, end)


def _is_json(line: str) -> bool:
    with suppress(ValueError, RecursionError):
        json.loads(line)
        return True
    return False


def _reason(error: Exception) -> object:
    return Phrase("nested_too_deeply") if isinstance(error, RecursionError) else str(error)


def _row(line: int, value: Any) -> Row:
    if not isinstance(value, dict):
        return Row(line, error=UsageError("not_an_object"))
    values = {_folded(key): inner for key, inner in _without_nulls(value).items()}
    if _UNUSABLE.search(json.dumps(values, ensure_ascii=False).replace("\\u0000", "\0")):
        return Row(line, values, UsageError("characters_unusable"))
    return Row(line, values)


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    present = {key: inner for key, inner in value.items() if inner is not None and inner == inner}  # NaN is neither
    return {key: _without_nulls(inner) if isinstance(inner, dict) else inner for key, inner in present.items()}


def _folded(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


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
            yield Row(line, error=UsageError("not_csv", reason=str(error)))
            return
        if not any(cell.strip() for cell in cells):
            pass
        elif not header:
            header = _header(path, cells, line, columns)
        else:
            yield _csv_row(line, header, cells, columns, delimiter)
        line = skipped + reader.line_num + 1


def _header(path: Path, cells: list[str], line: int, columns: Mapping[str, type]) -> list[str]:
    """The columns' names; that of row numbers is empty."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    names = ["" if i == 0 and _UNNAMED.fullmatch(name) else _folded(name) for i, name in enumerate(names)]
    for i, name in enumerate(names):
        if name not in columns and (name or i > 0):
            raise UsageError("column_unknown", path=str(path), line=line, name=cells[i], known=list(columns))
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise UsageError("column_twice", path=str(path), line=line, name=double)
    return names


def _csv_row(line: int, header: list[str], cells: list[str], columns: Mapping[str, type], delimiter: str) -> Row:
    if any(cell.strip() for cell in cells[len(header) :]):
        return Row(line, error=UsageError("cells_too_many", cells=len(cells), columns=len(header), delimiter=delimiter))
    values: dict[str, Any] = {}
    for name, cell in zip(header, map(str.strip, cells), strict=False):
        if not name and cell and not cell.isdecimal():
            return Row(line, values, UsageError("column_unnamed", given=cell[:80]))
        if name and cell:
            _put(values, name, _cell(cell, columns[name], delimiter))
    return _row(line, values)


def _cell(text: str, kind: type, delimiter: str) -> Any:
    """A cell's value as JSON would have it; text where it is not of its column's kind."""
    if kind is list:
        return [item.strip() for item in text.split(LIST_SEPARATOR) if item.strip()]
    if kind is bool:
        return _TRUTHS.get(text.casefold(), text)
    if kind in (int, float):
        with suppress(ValueError):
            return int(text)
        with suppress(ValueError):
            # Where semicolons separate, a spreadsheet writes decimal commas.
            return float(text.replace(",", ".") if delimiter == ";" else text)
    return text


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value
