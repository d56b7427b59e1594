"""Requests of a batch, read strictly: an unknown field or a wrong type is named with its line.

Fields come as JSON values, whatever the file was; what cannot be read becomes a job that says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from composer.article.markdown import parse_markdown
from composer.batch.table_reader import Row, read_rows
from composer.errors import UsageError
from composer.export.picture_files import slug
from composer.fields import check_known, typed
from composer.request import ComposeRequest, request_from_json
from composer.settings import IllustrationSettings, Settings, WritingSettings, parse_settings
from composer.sources.docx_markdown import read_text_to_illustrate
from vision.errors import KeyedError

_LONGEST_SHOWN = 300  # characters of a path in an error
SETTING_KEYS: dict[str, tuple[str, ...]] = {
    "writing": tuple(WritingSettings.__dataclass_fields__),
    "pictures": tuple(IllustrationSettings.__dataclass_fields__),
}
KEYS = (
    "name",
    "instruction",
    "illustrate",
    "text",
    "use_images",
    "may_use",
    "sources",
    "images",
    "language",
    "seed",
    "words",
    "length",
    "tone",
    "kind",
    "fast",
    "library",
    "filters",
    "settings",
)


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One line of the file. ``request`` is None where the line cannot be read, and ``error`` says why.

    ``library`` None means that of the batch; ``overrides`` are sections of a profile that replace values of it;
    ``text_folder`` is where the pictures of a text of its own lie.
    """

    line: int
    folder: str
    request: ComposeRequest | None
    error: KeyedError | None = None
    library: Path | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    text_folder: Path | None = None

    def settings(self, profile: Settings) -> Settings:
        """The profile with the job's own values. Raises UsageError for one out of range."""
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
    """The requests of a file of JSON objects or CSV as jobs. Paths are relative to the file's folder.

    Raises UsageError where the file cannot be read, has columns that are not known, or holds no request.
    """
    jobs: list[BatchJob] = []
    taken: dict[str, int] = {}
    rows = list(read_rows(path, columns=_columns()))
    if rows and all(row.error is not None and row.error.key == "not_json" for row in rows):
        raise UsageError("requests_not_read", path=str(path))
    for row in rows:
        job = _job(row, path.parent)
        earlier = taken.setdefault(job.folder.casefold(), job.line)
        if earlier != job.line:
            taken_by = UsageError("name_taken", line=earlier)
            job = BatchJob(job.line, _folder(job.line, ""), None, _in_line(job.line, taken_by))
        jobs.append(job)
    if not jobs:
        raise UsageError("no_requests", path=str(path))
    return jobs


def _columns() -> Mapping[str, type]:
    """Every field by its dotted name, with the type of its value: what a column of a CSV file may be called."""
    kinds: dict[str, type] = {key: str for key in KEYS if key not in ("filters", "settings")}
    kinds |= {
        "use_images": list,
        "may_use": list,
        "sources": list,
        "seed": int,
        "words": int,
        "images": int,
        "fast": bool,
    }
    kinds |= {"filters.licenses": list, "filters.tags": list, "filters.min_side_px": int, "filters.where": str}
    for section, kind in (("writing", WritingSettings), ("pictures", IllustrationSettings)):
        kinds |= {f"settings.{section}.{key}": type(value) for key, value in _defaults(kind).items()}
    return kinds


def _defaults(kind: type) -> dict[str, Any]:
    return {name: f.default for name, f in kind.__dataclass_fields__.items()}  # type: ignore[attr-defined]


def _job(row: Row, base: Path) -> BatchJob:
    words = ""
    try:
        instruction = row.values.get("instruction")
        words = instruction if isinstance(instruction, str) else ""
        if row.error is not None:
            raise row.error
        request = _request(row.values, base)
        library, overrides, name = _library(row.values, base), _overrides(row.values), _name(row.values)
    except KeyedError as error:
        return BatchJob(row.line, _folder(row.line, words), None, _in_line(row.line, error))
    title = request.instruction or parse_markdown(request.text).title or request.text_name
    named = row.values.get("illustrate")
    text_folder = (base / named).parent if named is not None else None
    return BatchJob(row.line, name or _folder(row.line, title), request, None, library, overrides, text_folder)


def _in_line(line: int, error: KeyedError) -> UsageError:
    return UsageError("in_line", line=line, reason=error)


def _folder(number: int, words: str) -> str:
    # Three digits sort well and do not change when lines are added.
    return f"{number:03d}-{slug(words) or 'article'}"


def _request(values: Mapping[str, Any], base: Path) -> ComposeRequest:
    check_known(values, KEYS)
    given = {key: value for key, value in values.items() if key not in ("name", "illustrate", "library", "settings")}
    if "illustrate" in values and "text" in values:
        raise UsageError("illustrate_and_text")
    if "text" in values:
        given["text_name"] = "text"
    if "illustrate" in values:
        path = base / typed("illustrate", values["illustrate"], str)
        given |= {"text": read_text_to_illustrate(path), "text_name": path.stem}
    for key in ("use_images", "may_use"):
        if key in values:
            given[key] = [str(_picture(base / name)) for name in typed(key, values[key], list)]
    if "sources" in values:
        given["sources"] = [str(_existing(base / name)) for name in typed("sources", values["sources"], list)]
    return request_from_json(given)


def _library(values: Mapping[str, Any], base: Path) -> Path | None:
    if "library" not in values:
        return None
    name = typed("library", values["library"], str)
    if not name.strip():
        raise UsageError("library_field_empty")
    return base / Path(name).expanduser()


def _overrides(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sections of a profile, checked as a profile is. The models are loaded once and cannot be changed by a line."""
    sections = typed("settings", values.get("settings", {}), dict)
    check_known(sections, SETTING_KEYS, "settings.")
    for section, own in sections.items():
        check_known(typed(f"settings.{section}", own, dict), SETTING_KEYS[section], f"settings.{section}.")
    parse_settings("settings", sections)
    return sections


def _name(values: Mapping[str, Any]) -> str:
    """The folder a line asks for: a slug, so that it stays inside --out and reads alike on every system."""
    if "name" not in values:
        return ""
    name = typed("name", values["name"], str)
    if name != slug(name) or not name:
        raise UsageError("folder_name_wrong", name=name[:80], proposed=slug(name) or "my-article")
    return name


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UsageError("source_missing", path=str(path))
    return path


def _picture(path: Path) -> Path:
    with suppress(OSError):  # a name too long for the system, or a folder that may not be entered
        if path.is_file():
            return path
    raise UsageError("file_missing", file=str(path)[:_LONGEST_SHOWN])
