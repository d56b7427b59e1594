"""The page's engine room: models that all sessions share, two lines of work for them, requests made from fields.

Articles take minutes and wait in one line; questions about a paragraph take seconds and wait in another, so that nobody
who edits has to wait for the articles of others. Knows no widgets and no articles.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from composer.errors import UsageError
from composer.i18n import strings
from composer.pipeline.uploads import check_upload
from composer.request import ComposeRequest, request_from_json
from composer.studio.job_queue import Job, Line
from composer.studio.time_estimate import Pace

if TYPE_CHECKING:
    from vision.interfaces import JointEncoder

MAX_TEXT_CHARS = 400_000


class Models(Protocol):
    """What ``composer.pipeline.model_pool.ModelPool`` offers: models loaded once, a pipeline a job."""

    encoder: JointEncoder

    @property
    def workers(self) -> int: ...

    def pipeline(self, library_dir: Path) -> Any: ...


class Studio:
    """Loads the models when they are first needed and runs jobs with them. Threads may share one."""

    def __init__(self, load: Callable[[], Models]) -> None:
        self._load = load
        self._models: Models | None = None
        self._loading = threading.Lock()
        self._long, self._short = Line(), Line()
        self.pace = Pace()

    @property
    def loaded(self) -> bool:
        return self._models is not None

    def models(self) -> Models:
        """Raises what loading raises; the next call tries again."""
        with self._loading:
            if self._models is None:
                self._models = self._load()
                self._long.width = max(1, self._models.workers)
            return self._models

    def warm_up(self) -> None:
        """Begin loading while the person still types. A failure is told to whoever needs the models first."""
        threading.Thread(target=self._try_to_load, daemon=True, name="vignette-load").start()

    def _try_to_load(self) -> None:
        from image_db.errors import LibraryError
        from vision.errors import VisionError

        try:
            self.models()
        except (UsageError, LibraryError, VisionError):
            return  # raised again, and shown, when a job asks

    def submit(self, work: Callable[[Job], None], *, long: bool) -> Job:
        return (self._long if long else self._short).submit(work)

    def before(self, job: Job) -> int:
        """How many jobs come before this one."""
        return self._long.before(job) or self._short.before(job)

    def stop(self, job: Job) -> None:
        self._long.stop(job)
        self._short.stop(job)


def make_request(values: Mapping[str, Any], ui_language: str = "en") -> ComposeRequest:
    """What the page's fields say, as a request. Raises UsageError where something is missing or wrong.

    ``values``: illustrate, instruction, text, length, pictures, language, tone, seed, must and may (paths).
    """
    words = strings(ui_language)
    illustrate, text = bool(values["illustrate"]), str(values["text"] or "")
    instruction = str(values["instruction"] or "").strip()
    if illustrate and not text.strip():
        raise UsageError("paste the text that pictures should be added to", "empty_text")
    if not illustrate and not instruction:
        raise UsageError("say what the article should be about", "empty_instruction")
    if len(text) > MAX_TEXT_CHARS:
        limit = f"{MAX_TEXT_CHARS:,}"
        raise UsageError(
            f"the text is longer than {limit} characters; illustrate it in parts", "text_too_long", limit=limit
        )
    return request_from_json(
        {
            "instruction": instruction,
            "text": text if illustrate else "",
            "text_name": words["text"] if illustrate else "",
            "use_images": [str(path) for path in checked_uploads(values["must"])],
            "may_use": [str(path) for path in checked_uploads(values["may"])],
            "images": values["pictures"] or "auto",
            "language": values["language"],
            "seed": values["seed"] or 0,
            "length": values["length"],
            "tone": values["tone"] or "",
        }
    )


def checked_uploads(paths: Sequence[str] | None) -> tuple[Path, ...]:
    """Files that are pictures of a reasonable size. Raises UsageError naming the first that is not."""
    return tuple(check_upload(Path(name)) for name in paths or ())
