"""Requests of a batch, read strictly: an unknown field or a wrong type is named with its line.

Fields come as JSON values, whatever the file was. Knows nothing of how requests are made; what cannot be read becomes
a job that says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from composer.article.markdown import parse_markdown
from composer.batch.table_reader import Row, read_rows
from composer.errors import UsageError
from composer.export.picture_files import slug
from composer.request import ComposeRequest
from composer.settings import PictureSettings, Settings, WritingSettings, parse_settings
from retrieval.candidates import Filters

LENGTHS = {"short": 300, "medium": 600, "long": 1200}
FILTER_KEYS = ("licenses", "tags", "min_side_px")
SETTING_KEYS: dict[str, tuple[str, ...]] = {
    "writing": tuple(WritingSettings.__dataclass_fields__),
    "pictures": tuple(PictureSettings.__dataclass_fields__),
}
KEYS = (
    "name",
    "instruction",
    "illustrate",
    "text",
    "use_images",
    "may_use",
    "images",
    "language",
    "seed",
    "words",
    "length",
    "tone",
    "fast",
    "library",
    "filters",
    "settings",
)


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One line of the file. ``request`` is None where the line cannot be read, and ``error`` says why.

    ``library`` None means that of the batch; ``overrides`` are sections of a profile that replace values of it.
    """

    line: int
    folder: str
    request: ComposeRequest | None
    error: str = ""
    library: Path | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def settings(self, profile: Settings) -> Settings:
        """The profile with the job's own values. Raises SettingsError for one out of range."""
        if not self.overrides:
            return profile
        checked = parse_settings(profile.name, self.overrides)
        return replace(
            profile,
            **{
                section: replace(
                    getattr(profile, section), **{key: getattr(getattr(checked, section), key) for key in own}
                )
                for section, own in self.overrides.items()
            },
        )


def read_jobs(path: Path) -> list[BatchJob]:
    """The requests of a JSONL or CSV file as jobs, blank lines left out. Paths are relative to the file's folder.

    Raises UsageError where the file cannot be read, has columns that are not known, or holds no request.
    """
    jobs: list[BatchJob] = []
    taken: dict[str, int] = {}
    for row in read_rows(path, columns=_columns()):
        job = _job(row, path.parent)
        earlier = taken.setdefault(job.folder.casefold(), job.line)
        if earlier != job.line:
            job = BatchJob(job.line, _folder(job.line, ""), None, f"line {job.line}: name is that of line {earlier}")
        jobs.append(job)
    if not jobs:
        raise UsageError(f'{path} holds no request; write one a line, e.g. {{"instruction": "A day on the farm"}}')
    return jobs


def _columns() -> Mapping[str, type]:
    """Every field by its dotted name, with the type of its value: what a column of a CSV file may be called."""
    kinds: dict[str, type] = {key: str for key in KEYS if key not in ("filters", "settings")}
    kinds |= {"use_images": list, "may_use": list, "seed": int, "words": int, "images": int, "fast": bool}
    kinds |= {"filters.licenses": list, "filters.tags": list, "filters.min_side_px": int}
    for section, kind in (("writing", WritingSettings), ("pictures", PictureSettings)):
        kinds |= {f"settings.{section}.{key}": type(value) for key, value in _defaults(kind).items()}
    return kinds


def _defaults(kind: type) -> dict[str, Any]:
    return {name: f.default for name, f in kind.__dataclass_fields__.items()}  # type: ignore[attr-defined]


def _job(row: Row, base: Path) -> BatchJob:
    words = ""
    try:
        instruction = row.values.get("instruction")
        words = instruction if isinstance(instruction, str) else ""
        if row.error:
            raise UsageError(row.error)
        request = _request(row.values, base)
        library, overrides, name = _library(row.values, base), _overrides(row.values), _name(row.values)
    except UsageError as error:
        return BatchJob(row.line, _folder(row.line, words), None, f"line {row.line}: {_in_file_terms(str(error))}")
    title = request.instruction or parse_markdown(request.text).title or request.text_name
    return BatchJob(row.line, name or _folder(row.line, title), request, library=library, overrides=overrides)


def _in_file_terms(message: str) -> str:
    """A message about a flag of the command line, told of the field of the same meaning."""
    return re.sub(r"--(images|language|words|tone|illustrate)\b", r"\1", message.replace("--use-image ", "use_images "))


def _folder(number: int, words: str) -> str:
    # Three digits sort well and do not change when lines are added.
    return f"{number:03d}-{slug(words) or 'article'}"


def _request(values: Mapping[str, Any], base: Path) -> ComposeRequest:
    _known(values, KEYS, "")
    arguments: dict[str, Any] = {}
    plain = {"instruction": str, "language": str, "tone": str, "seed": int, "words": int, "fast": bool}
    for key, kind in plain.items():
        if key in values:
            arguments[key] = _typed(key, values[key], kind)
    if "length" in values:
        if "words" in values:
            raise UsageError("words and length are both given; keep one")
        length = _typed("length", values["length"], str)
        if length not in LENGTHS:
            raise UsageError(f"length is {length!r}; it must be one of: {', '.join(LENGTHS)}")
        arguments["words"] = LENGTHS[length]
    if values.get("images", "auto") not in ("auto", None):
        arguments["images"] = _typed("images", values["images"], int, 'a whole number or "auto"')
    if "illustrate" in values and "text" in values:
        raise UsageError("illustrate and text are both given; keep one")
    if "text" in values:
        arguments["text"], arguments["text_name"] = _typed("text", values["text"], str), "text"
    if "illustrate" in values:
        path = base / _typed("illustrate", values["illustrate"], str)
        arguments["text"], arguments["text_name"] = _text(path), path.stem
    for key in ("use_images", "may_use"):
        if key in values:
            arguments[key] = tuple(_picture(key, base / name) for name in _texts(key, values[key]))
    if "filters" in values:
        arguments["filters"] = _filters(_typed("filters", values["filters"], dict))
    return ComposeRequest(**arguments)


def _filters(values: Mapping[str, Any]) -> Filters:
    _known(values, FILTER_KEYS, "filters.")
    arguments: dict[str, Any] = {
        key: tuple(_texts(f"filters.{key}", values[key])) for key in ("licenses", "tags") if key in values
    }
    if "min_side_px" in values:
        arguments["min_side_px"] = _typed("filters.min_side_px", values["min_side_px"], int)
    return Filters(**arguments)


def _library(values: Mapping[str, Any], base: Path) -> Path | None:
    if "library" not in values:
        return None
    name = _typed("library", values["library"], str)
    if not name.strip():
        raise UsageError("library is empty; name the library's folder, or leave the field out")
    return base / Path(name).expanduser()


def _overrides(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sections of a profile, checked as a profile is. The models are loaded once and cannot be changed by a line."""
    sections = _typed("settings", values.get("settings", {}), dict)
    _known(sections, tuple(SETTING_KEYS), "settings.")
    for section, own in sections.items():
        _known(_typed(f"settings.{section}", own, dict), SETTING_KEYS[section], f"settings.{section}.")
    parse_settings("settings", sections)
    return sections


def _name(values: Mapping[str, Any]) -> str:
    """The folder a line asks for: a slug, so that it stays inside --out and reads alike on every system."""
    if "name" not in values:
        return ""
    name = _typed("name", values["name"], str)
    if name != slug(name) or not name:
        proposed = slug(name)
        raise UsageError(
            f"name is {name!r}; it must be lower-case letters and digits joined by hyphens"
            + (f", e.g. {proposed}" if proposed else "")
        )
    return name


def _known(values: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
    for key in values:
        if key not in known:
            raise UsageError(f"unknown key {prefix + key!r}; known: {', '.join(prefix + k for k in known)}")


_KIND_NAMES: Mapping[type, str] = {str: "text", int: "a whole number", bool: "true or false", dict: "an object"}


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


def _picture(key: str, path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"{key}: {path} does not exist")
    return path
