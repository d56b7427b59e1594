"""A file of requests, one JSON object a line, read strictly: an unknown key or a wrong type is named with its line.

Knows nothing of how requests are made; a line that cannot be read becomes a job that says why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composer.blocks import parse_markdown
from composer.errors import UsageError
from composer.export.files import slug
from composer.request import ComposeRequest
from retrieval.candidates import Filters

_KEYS = ("instruction", "illustrate", "use_images", "images", "language", "seed", "words", "filters")
_FILTER_KEYS = ("licenses", "tags", "min_side_px")


@dataclass(frozen=True, slots=True)
class Job:
    """One line of the file. ``request`` is None where the line cannot be read, and ``error`` says why."""

    line: int
    folder: str
    request: ComposeRequest | None
    error: str = ""


def read_jobs(path: Path) -> list[Job]:
    """The lines of a JSONL file as jobs, blank ones left out. Paths in it are relative to the file's folder.

    Raises UsageError where the file cannot be read or holds no request.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{path} cannot be read: {reason}") from error
    jobs = [_job(number, line, path.parent) for number, line in enumerate(lines, 1) if line.strip()]
    if not jobs:
        raise UsageError(f'{path} holds no request; write one a line, e.g. {{"instruction": "A day on the farm"}}')
    return jobs


def _job(number: int, line: str, base: Path) -> Job:
    words = ""
    try:
        values = json.loads(line)
        if not isinstance(values, dict):
            raise UsageError("it is not a JSON object; write one with keys such as instruction")
        instruction = values.get("instruction")
        words = instruction if isinstance(instruction, str) else ""
        request = _request(values, base)
    except ValueError as error:
        return Job(number, _folder(number, ""), None, f"line {number} is not JSON: {error}")
    except UsageError as error:
        return Job(number, _folder(number, words), None, f"line {number}: {error}")
    title = request.instruction or parse_markdown(request.text).title or request.text_name
    return Job(number, _folder(number, title), request)


def _folder(number: int, words: str) -> str:
    # Three digits sort well and do not change when lines are added.
    return f"{number:03d}-{slug(words) or 'article'}"


def _request(values: Mapping[str, Any], base: Path) -> ComposeRequest:
    _known(values, _KEYS, "")
    arguments: dict[str, Any] = {}
    for key, kind in (("instruction", str), ("language", str), ("seed", int), ("words", int)):
        if key in values:
            arguments[key] = _typed(key, values[key], kind)
    if values.get("images", "auto") not in ("auto", None):
        arguments["images"] = _typed("images", values["images"], int, 'a whole number or "auto"')
    if "illustrate" in values:
        path = base / _typed("illustrate", values["illustrate"], str)
        arguments["text"], arguments["text_name"] = _text(path), path.stem
    if "use_images" in values:
        arguments["use_images"] = tuple(_picture(base / name) for name in _texts("use_images", values["use_images"]))
    if "filters" in values:
        arguments["filters"] = _filters(_typed("filters", values["filters"], dict))
    return ComposeRequest(**arguments)


def _filters(values: Mapping[str, Any]) -> Filters:
    _known(values, _FILTER_KEYS, "filters.")
    arguments: dict[str, Any] = {
        key: tuple(_texts(f"filters.{key}", values[key])) for key in ("licenses", "tags") if key in values
    }
    if "min_side_px" in values:
        arguments["min_side_px"] = _typed("filters.min_side_px", values["min_side_px"], int)
    return Filters(**arguments)


def _known(values: Mapping[str, Any], known: tuple[str, ...], prefix: str) -> None:
    for key in values:
        if key not in known:
            raise UsageError(f"unknown key {prefix + key!r}; known: {', '.join(prefix + k for k in known)}")


_KIND_NAMES = {str: "text", int: "a whole number", dict: "an object"}


def _typed(key: str, value: Any, kind: type, named: str = "") -> Any:
    # bool is an int to Python, and never what was meant.
    if type(value) is not kind:
        raise UsageError(f"{key} is {value!r}; it must be {named or _KIND_NAMES[kind]}")
    return value


def _texts(key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{key} is {value!r}; it must be a list of texts")
    return value


def _text(path: Path) -> str:
    try:
        # Line ends as they are: the text is kept to the byte.
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"illustrate: {path} cannot be read: {reason}") from error


def _picture(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"use_images: {path} does not exist")
    return path
