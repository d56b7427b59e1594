"""One request of a batch, made into a folder of its own, and what became of it.

A line that cannot be read or made is an outcome like any other and does not stop the rest. What is finished is
recognised by its ``article.json`` and the hash of the request in it, so that a second run does only what is missing.
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from composer.article.language import count_words
from composer.article.model import Article
from composer.batch.requests import BatchJob
from composer.errors import OutputExists, UsageError
from composer.export import DEFAULT_FORMATS
from composer.export.article_folder import check_free, load_article, save_article
from composer.export.picture_export import ExportedPictureSettings
from composer.i18n import localize
from composer.pipeline.events import Done, Event, Notice, StageFinished
from composer.request import ComposeRequest
from composer.settings import LanguageSettings, Needs, Settings
from composer.sources.reading import find_files
from vision.downloads.files import file_sha256
from vision.errors import KeyedError, Phrase, phrase_to_json

REQUEST_HASH = "request_sha256"

Status = Literal["made", "kept", "failed", "pending"]
Again = Literal["missing", "changed", "all"]
Listener = Callable[[Event], None]


_T = TypeVar("_T")


class Composes(Protocol):
    """What a batch needs of ``composer.pipeline.pipeline.Pipeline``."""

    def events(self, request: ComposeRequest) -> Iterator[Event]: ...


class Interrupted(Exception):
    """Raised by a listener to end an article half-way; nothing of it is saved."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a line: made now, kept from an earlier run, failed with ``error``, or pending: not made yet.

    ``tokens`` were read or written by the model; ``slots`` are the places considered, ``pictures`` those filled.
    ``seconds`` were spent in this run, ``stages`` are those of the run that made the article.
    """

    line: int
    folder: str
    status: Status
    title: str = ""
    language: str = ""
    words: int = 0
    pictures: int = 0
    slots: int = 0
    seconds: float = 0.0
    tokens: int = 0
    stages: Mapping[str, float] = field(default_factory=dict, hash=False)
    notices: tuple[Phrase, ...] = ()
    error: KeyedError | Phrase | None = None
    details: str = field(default="", repr=False)

    def as_json(self) -> dict[str, Any]:
        """Plain values; notices and the error in English, and the error's key and values besides."""
        error = phrase_to_json(self.error) if self.error is not None else {"key": "", "values": {}}
        said = "" if self.error is None else localize(self.error, "en", batch=True)
        notices = [localize(notice, "en", batch=True) for notice in self.notices]
        values = {f.name: getattr(self, f.name) for f in fields(self)} | {"stages": dict(self.stages)}
        return values | {
            "notices": notices,
            "error": said,
            "error_key": error["key"],
            "error_values": error["values"],
        }


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """What is the same for every line: where articles go, from which library and profile, and in which formats.

    ``again`` says which finished articles are made once more: none, those whose request has changed, or all.
    """

    out_dir: Path
    library: Path
    profile: Settings
    formats: Sequence[str] = DEFAULT_FORMATS
    again: Again = "missing"
    pictures: ExportedPictureSettings | None = None

    def library_of(self, job: BatchJob) -> Path:
        return job.library or self.library

    def digest(self, job: BatchJob) -> str:
        assert job.request is not None
        return request_hash(job.request, job.settings(self.profile), self.library_of(job))


def existing_outcome(job: BatchJob, config: BatchConfig) -> Outcome | None:
    """What is known of a line without any model: unreadable, or made before. None where there is work to do."""
    if job.request is None:
        return Outcome(job.line, job.folder, "failed", error=job.error)
    return _caught(job, lambda: _existing(job, config))


def run_job(
    job: BatchJob, config: BatchConfig, pipeline_for: Callable[[BatchJob], Composes], listen: Listener = lambda _: None
) -> Outcome:
    """Make the article of a job that is not already there. Never raises for what its request or the model does.

    ``pipeline_for`` is asked here, so that its failure is the line's; ``listen`` may raise Interrupted.
    """
    started = time.perf_counter()
    outcome = _caught(job, lambda: _made(job, config, pipeline_for, listen))
    return replace(outcome, seconds=round(time.perf_counter() - started, 3))


def _caught(job: BatchJob, work: Callable[[], _T]) -> _T | Outcome:
    """What ``work`` returns, or what it raises as the line's outcome."""
    try:
        return work()
    except Interrupted:
        return Outcome(job.line, job.folder, "pending")
    except KeyedError as error:
        return Outcome(job.line, job.folder, "failed", error=error)
    except Exception as error:  # noqa: BLE001 - a bug met on one line must not cost the others; it keeps its traceback
        unexpected = Phrase("unexpected", {"kind": type(error).__name__, "reason": str(error)})
        return Outcome(job.line, job.folder, "failed", error=unexpected, details=traceback.format_exc())


def _existing(job: BatchJob, config: BatchConfig) -> Outcome | None:
    folder = config.out_dir / job.folder
    if not (folder / "article.json").is_file():
        check_free(folder)
        return None
    article = load_article(folder)
    made_for = article.provenance.get(REQUEST_HASH)
    if config.again != "missing" and made_for is None:
        raise OutputExists("article_of_no_batch", folder=str(folder))
    if config.again == "all":
        return None
    if made_for == config.digest(job):
        return _described(job, article, "kept", stages_of(folder))
    if config.again == "changed":
        return None
    raise OutputExists("article_of_another_request", folder=str(folder))


def request_hash(request: ComposeRequest, settings: Settings, library: Path) -> str:
    """SHA-256 over what a request, its profile and its library's name say.

    Pictures to use and sources count by their content, a folder by its documents'. What stands at its default is left
    out, so that a field added by a later version does not make every article look like that of another request.
    Threads, devices and where a server is do not decide an article.
    """
    values = _set(replace(request, project=None))
    values |= {
        key: [_content_hash(path) for path in (_documents(value) if key == "sources" else value)]
        for key, value in values.items()
        if isinstance(value, tuple) and value and isinstance(value[0], Path)
    }
    profile = _set(replace(settings, description="", needs=Needs()))
    plain = LanguageSettings()
    for section in ("writer", "own_judge", "encoder"):
        own = profile.get(section, {})
        for key in ("threads", "device", "address", "timeout_s", "at_once", "key_variable"):
            own.pop(key, None)
        if own.get("model") == plain.model:  # a default that LanguageSettings puts in itself
            del own["model"]
    if writer := profile.pop("writer", None):
        profile["language"] = writer  # as 0.1 called it: its articles stay those of their requests
    said = {"request": values, "profile": profile, "library": library.resolve().name}
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _set(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that do not have their default, nested ones likewise."""
    found: dict[str, Any] = {}
    for f in fields(value):
        own = getattr(value, f.name)
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        if own != default:
            found[f.name] = _set(own) if is_dataclass(own) else own
    return found


def _documents(paths: Sequence[Path]) -> list[Path]:
    return [file.path for file in find_files(paths)[0]]


def _content_hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise UsageError("file_unreadable", file=str(path), reason=error.strerror) from error


def stages_of(folder: Path) -> dict[str, float]:
    """Seconds a stage from the folder's trace; empty where there is none that can be read."""
    try:
        lines = (folder / "trace.jsonl").read_text(encoding="utf-8").splitlines()
        return {str(entry["name"]): float(entry["seconds"]) for entry in map(json.loads, lines)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # timings of an earlier run are told where they are known, and decide nothing


def _made(
    job: BatchJob, config: BatchConfig, pipeline_for: Callable[[BatchJob], Composes], listen: Listener
) -> Outcome:
    assert job.request is not None
    folder = config.out_dir / job.folder
    digest = config.digest(job)
    trace: list[dict[str, Any]] = []
    notes: list[Phrase] = []
    article: Article | None = None
    request = replace(job.request, project=config.out_dir) if job.request.sources else job.request
    with closing(pipeline_for(job).events(request)) as events:  # type: ignore[type-var]
        for event in events:
            listen(event)
            if isinstance(event, StageFinished):
                trace.append(event.as_json())
            elif isinstance(event, Notice):
                notes.append(event)
            elif isinstance(event, Done):
                article = event.article
    assert article is not None, "a job ends with Done or an exception"
    article = replace(article, provenance={**article.provenance, REQUEST_HASH: digest})
    replaces = (folder / "article.json").is_file()
    saved = save_article(
        article,
        folder,
        formats=config.formats,
        trace=trace,
        pictures=config.pictures,
        notes=notes,
        text_folder=job.text_folder,
        over=replaces,
    )
    return replace(
        _described(job, saved, "made", {entry["name"]: entry["seconds"] for entry in trace}),
        tokens=sum(entry["tokens"] for entry in trace),
        notices=tuple(notes),
    )


def _described(job: BatchJob, article: Article, status: Status, stages: Mapping[str, float]) -> Outcome:
    return Outcome(
        job.line,
        job.folder,
        status,
        title=article.title,
        language=article.language,
        words=sum(count_words(section.text) for section in article.sections),
        pictures=len(article.pictures),
        slots=len(article.placements),
        stages=dict(stages),
    )
