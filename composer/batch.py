"""Many requests, made one by one, each in a folder of its own.

A line that cannot be read or made is an outcome like any other and does not stop the rest. What is finished is
recognised by its ``article.json`` and the hash of the request in it, so that a second run does only what is missing.
Knows no terminal and loads no model.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from composer.article import Article
from composer.batch_requests import Job
from composer.errors import ComposerError, OutputExists, UsageError
from composer.events import Done, Event, Notice, StageFinished
from composer.export import FORMATS
from composer.languages import count_words
from composer.output import check_free, load_article, save_article, trace_entry
from composer.request import ComposeRequest
from image_db.errors import LibraryError
from retrieval.errors import RetrievalError
from vision.errors import VisionError

SUMMARY = "summary.json"
REQUEST_HASH = "request_sha256"

_EXPECTED = (ComposerError, LibraryError, RetrievalError, VisionError)


class Composes(Protocol):
    """What a batch needs of ``composer.pipeline.Composer``."""

    def events(self, request: ComposeRequest) -> Iterator[Event]: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a line: made now, kept from an earlier run, or failed with ``error``.

    ``tokens`` were read or written by the model; ``slots`` are the places considered, ``pictures`` those filled.
    """

    line: int
    folder: str
    status: Literal["made", "kept", "failed"]
    title: str = ""
    words: int = 0
    pictures: int = 0
    slots: int = 0
    seconds: float = 0.0
    tokens: int = 0
    notices: tuple[str, ...] = ()
    error: str = ""
    details: str = field(default="", repr=False)


def settled(job: Job, out_dir: Path, profile: str) -> Outcome | None:
    """What is known of a line without any model: unreadable, or made before. None where there is work to do."""
    started = time.perf_counter()
    if job.request is None:
        return _failed(job, started, job.error)
    try:
        folder = out_dir / job.folder
        return _kept(job, job.request, folder, profile) if (folder / "article.json").is_file() else None
    except _EXPECTED as error:
        return _failed(job, started, str(error))


def make(job: Job, out_dir: Path, composer: Composes, *, profile: str, formats: Sequence[str] = FORMATS) -> Outcome:
    """Make the article of a job that is not ``settled``. Never raises for what its request or the model does."""
    started = time.perf_counter()
    assert job.request is not None
    try:
        return _made(job, job.request, out_dir / job.folder, composer, profile, formats, started)
    except _EXPECTED as error:
        return _failed(job, started, str(error))
    except Exception as error:  # noqa: BLE001 - a bug met on one line must not cost the others; it keeps its traceback
        return _failed(job, started, f"unexpected {type(error).__name__}: {error}", traceback.format_exc())


def request_hash(request: ComposeRequest, profile: str) -> str:
    """SHA-256 over everything a request says and the profile, pictures to use by their content."""
    values = asdict(request)
    values["use_images"] = [_content_hash(path) for path in request.use_images]
    values["profile"] = profile
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _content_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"use_images: {path} cannot be read: {error.strerror}") from error


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts and every outcome as plain JSON values."""
    counts = {status: sum(o.status == status for o in outcomes) for status in ("made", "kept", "failed")}
    return {**counts, "seconds": round(sum(o.seconds for o in outcomes), 3), "items": [asdict(o) for o in outcomes]}


def write_summary(outcomes: Sequence[Outcome], out_dir: Path) -> Path:
    """Write ``summary.json`` in one step, so that a reader never sees half of it."""
    path = out_dir / SUMMARY
    partial = path.with_name(f".{SUMMARY}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(summary(outcomes), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ComposerError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes for a terminal, one line each, and a last line with the counts."""
    rows = [("line", "status", "seconds", "words", "pictures", "folder, or what went wrong")]
    for o in outcomes:
        pictures = f"{o.pictures} of {o.slots}" if o.slots else str(o.pictures)
        if o.status == "failed":
            rows.append((str(o.line), o.status, f"{o.seconds:.1f}", "-", "-", o.error))
        else:
            rows.append((str(o.line), o.status, f"{o.seconds:.1f}", str(o.words), pictures, o.folder))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        f"{line:>{widths[0]}}  {status:<{widths[1]}}  {seconds:>{widths[2]}}  {words:>{widths[3]}}  "
        f"{pictures:>{widths[4]}}  {last}"
        for line, status, seconds, words, pictures, last in rows
    ]
    counts = summary(outcomes)
    return "\n".join([*lines, "", f"{counts['made']} made, {counts['kept']} kept, {counts['failed']} failed"])


def _made(
    job: Job,
    request: ComposeRequest,
    folder: Path,
    composer: Composes,
    profile: str,
    formats: Sequence[str],
    started: float,
) -> Outcome:
    check_free(folder)
    digest = request_hash(request, profile)
    trace: list[dict[str, Any]] = []
    notices: list[str] = []
    article: Article | None = None
    for event in composer.events(request):
        if isinstance(event, StageFinished):
            trace.append(trace_entry(event))
        elif isinstance(event, Notice):
            notices.append(event.text)
        elif isinstance(event, Done):
            article = event.article
    assert article is not None, "a job ends with Done or an exception"
    article = replace(article, provenance={**article.provenance, REQUEST_HASH: digest})
    saved = save_article(article, folder, formats=formats, trace=trace)
    return replace(
        _described(job, saved, "made"),
        seconds=_since(started),
        tokens=sum(entry["tokens"] for entry in trace),
        notices=tuple(notices),
    )


def _kept(job: Job, request: ComposeRequest, folder: Path, profile: str) -> Outcome:
    article = load_article(folder)
    if article.provenance.get(REQUEST_HASH) != request_hash(request, profile):
        raise OutputExists(
            f"{folder} holds the article of another request, profile or picture; remove it or name another --out"
        )
    return _described(job, article, "kept")


def _failed(job: Job, started: float, error: str, details: str = "") -> Outcome:
    return Outcome(job.line, job.folder, "failed", seconds=_since(started), error=error, details=details)


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)


def _described(job: Job, article: Article, status: Literal["made", "kept"]) -> Outcome:
    return Outcome(
        job.line,
        job.folder,
        status,
        title=article.title,
        words=sum(count_words(section.text) for section in article.sections),
        pictures=len(article.pictures),
        slots=len(article.placements),
    )
