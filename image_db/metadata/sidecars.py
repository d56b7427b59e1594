"""Reads what people wrote beside a picture: NAME.json, NAME.txt, and a folder's metadata.jsonl or metadata.csv.

Keys: caption, alt, tags, author, license, source_url, and captions, an object of texts by ISO 639-1 code. In CSV the
tags are separated by ";" and a caption in Chinese stands in the column ``captions_zh``. The folder's files name the
picture in ``file`` (or ``file_name``). Precedence, strongest first: the picture's own JSON, its text file, the
folder's JSONL, its CSV, words inside the picture, words of its name.

A file that cannot be read is a problem to report, never a reason to lose a picture.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image_db.metadata.description import Description, laid_over
from image_db.scan import METADATA_NAMES
from vision.errors import Phrase

KEYS = ("caption", "alt", "tags", "author", "license", "source_url", "captions")
_TEXT_KEYS = ("caption", "alt", "author", "license", "source_url")
_FILE_KEYS = ("file", "file_name")
_LANGUAGE = re.compile(r"[a-z]{2}")
_MAX_SIDECAR_BYTES = 1 << 20
_MAX_METADATA_BYTES = 1 << 29


@dataclass(slots=True)
class SidecarReader:
    """Reads descriptions; a folder's metadata file is read once. Several threads may share one.

    ``problems`` maps a sidecar's path to what is wrong with it; ``read`` holds the paths that were looked at.
    """

    problems: dict[str, Phrase] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    _tables: dict[str, dict[str, Description]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def describe(self, picture: str, sidecars: tuple[str, ...]) -> Description:
        """What the sidecars of a picture, strongest first, say of it together."""
        return laid_over(self._of(picture, sidecar) for sidecar in sidecars)

    def _of(self, picture: str, sidecar: str) -> Description:
        path = Path(sidecar)
        if path.name in METADATA_NAMES:
            with self._lock:
                if sidecar not in self._tables:
                    self._tables[sidecar] = self._table(path)
                return self._tables[sidecar].get(Path(picture).name, Description())
        try:
            text = _text_of(path, _MAX_SIDECAR_BYTES)
            description = _of_json(text) if path.suffix == ".json" else _of_text(text)
        except _SidecarError as error:
            self._report(sidecar, error.reason, error.rest)
            return error.rest
        self.read.add(sidecar)
        return description

    def _table(self, path: Path) -> dict[str, Description]:
        table: dict[str, Description] = {}
        self.read.add(str(path))
        try:
            text = _text_of(path, _MAX_METADATA_BYTES)
            rows = _rows_of_csv(text) if path.suffix == ".csv" else _rows_of_jsonl(text)
            for line, row in rows:
                try:
                    names = [row.pop(key) for key in _FILE_KEYS if key in row]
                    if not names or not isinstance(names[0], str) or not names[0]:
                        raise _SidecarError(Phrase("row_names_no_picture"))
                    if "/" in names[0]:
                        raise _SidecarError(Phrase("row_names_other_folder", {"name": names[0], "table": path.name}))
                    if not (path.parent / names[0]).exists():
                        raise _SidecarError(Phrase("row_names_absent", {"name": names[0]}))
                    table[names[0]] = _description(row)
                except _SidecarError as error:
                    if error.rest != Description():
                        table[names[0]] = error.rest
                    self._report(str(path), Phrase("on_line", {"line": line, "reason": error.reason}), error.rest)
        except _SidecarError as error:
            self._report(str(path), error.reason, error.rest)
        return table

    def _report(self, path: str, reason: Phrase, rest: Description) -> None:
        self.read.add(path)
        key = "sidecar_partly_used" if rest != Description() else "sidecar_not_used"
        # The first problem of a file is told; a table that is wrong throughout would fill the screen.
        self.problems.setdefault(path, Phrase(key, {"reason": reason}))


class _SidecarError(Exception):
    """Something is wrong with a sidecar; ``rest`` is what can be used of it all the same."""

    def __init__(self, reason: Phrase, rest: Description | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rest = rest or Description()


def _text_of(path: Path, limit_bytes: int) -> str:
    try:
        if (size := path.stat().st_size) > limit_bytes:
            raise _SidecarError(Phrase("sidecar_too_large", {"bytes": size, "limit": limit_bytes}))
        data = path.read_bytes()
    except OSError as error:
        raise _SidecarError(Phrase("not_readable", {"reason": error.strerror})) from error
    try:
        # Windows' editors put a byte order mark before UTF-8, and some write UTF-16.
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _SidecarError(Phrase("not_utf8", {"reason": error.reason, "byte": error.start})) from error


def _of_text(text: str) -> Description:
    """The first line that is not blank is the caption."""
    return Description(caption=next((line.strip() for line in text.splitlines() if line.strip()), ""))


def _of_json(text: str) -> Description:
    return _description(_object(text))


def _object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _SidecarError(Phrase("sidecar_not_json", {"reason": str(error)})) from error
    if not isinstance(values, dict):
        raise _SidecarError(Phrase("json_no_object", {"kind": type(values).__name__, "known": list(KEYS)}))
    return values


def _rows_of_jsonl(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, _object(line)
            except _SidecarError as error:
                raise _SidecarError(Phrase("on_line", {"line": number, "reason": error.reason})) from error


def _rows_of_csv(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        for values in reader:
            if not any(values):
                continue
            row: dict[str, Any] = {}
            for name, value in zip(header, values, strict=False):
                if not value.strip():
                    continue
                if name.startswith("captions_"):
                    row.setdefault("captions", {})[name.removeprefix("captions_")] = value
                else:
                    row[name] = [tag for tag in value.split(";") if tag.strip()] if name == "tags" else value
            yield reader.line_num, row
    except csv.Error as error:
        raise _SidecarError(Phrase("table_not_csv", {"line": reader.line_num, "reason": str(error)})) from error


def _description(values: Mapping[str, Any]) -> Description:
    """Of the documented keys. Raises _SidecarError with what is usable where a key is unknown or of another type."""
    problems: list[Phrase] = []
    texts: dict[str, str] = {}
    for key in _TEXT_KEYS:
        value = values.get(key)
        if isinstance(value, str):
            texts[key] = " ".join(value.split())
        elif value is not None:
            problems.append(Phrase("value_no_text", {"key": key, "value": _shown(value)}))
    tags = values.get("tags")
    if isinstance(tags, str):
        tags = re.split(r"[;,，、；]", tags)
    elif tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        problems.append(Phrase("value_no_list", {"key": "tags", "value": _shown(tags)}))
        tags = None
    captions = values.get("captions")
    if captions is not None and not isinstance(captions, dict):
        problems.append(Phrase("captions_no_object", {"value": _shown(captions)}))
    by_language: dict[str, str] = {}
    for code, text in captions.items() if isinstance(captions, dict) else ():
        if _LANGUAGE.fullmatch(code) and isinstance(text, str):
            by_language[code] = " ".join(text.split())
        else:
            problems.append(Phrase("captions_entry_wrong", {"value": _shown({code: text})}))
    for key in values:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            kind = "key_misspelt" if near else "key_unknown"
            problems.append(Phrase(kind, {"key": str(key), "known": near or list(KEYS)}))
    description = Description(
        **texts,
        tags=tuple(dict.fromkeys(tag.strip() for tag in tags or () if tag.strip())),
        captions=tuple((code, text) for code, text in by_language.items() if text),
    )
    if problems:
        reason = problems[0] if len(problems) == 1 else Phrase("several_reasons", {"reasons": problems})
        raise _SidecarError(reason, description)
    return description


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "…"
