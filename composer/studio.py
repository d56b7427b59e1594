"""The page's engine room: one set of models that all sessions share in turn, and requests made from what was filled in.

Knows no widgets; articles belong to the sessions, none is kept here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from composer.batch import Composes
from composer.errors import UsageError
from composer.events import StageFinished, StageStarted
from composer.progress import Progress
from composer.request import ComposeRequest
from composer.strings import strings

WORDS = {"short": 300, "medium": 600, "long": 1200}
MAX_UPLOAD_BYTES = 40_000_000

LoadComposer: TypeAlias = Callable[[Path], Composes]


class Studio:
    """Runs one job at a time with the models of the library asked for; the others wait for their turn."""

    def __init__(self, libraries: Sequence[Path], load: LoadComposer) -> None:
        self.libraries = tuple(libraries)
        self._load = load
        self._turn = threading.Lock()
        self._loaded: tuple[Path, Composes] | None = None
        self._stops: dict[str, threading.Event] = {}

    @property
    def busy(self) -> bool:
        return self._turn.locked()

    def run(self, session: str, request: ComposeRequest, library: Path) -> Iterator[Progress]:
        """The job's progress after every event. Ends early, with ``stopped`` set, soon after ``stop(session)``.

        Raises what the composer raises. Closing the iterator cancels the job.
        """
        stop = self._stops[session] = threading.Event()
        progress = Progress()
        try:
            with self._turn:
                progress = progress.after(StageStarted("load"))
                yield progress
                composer = self._composer(library)
                progress = progress.after(StageFinished("load", 0.0))
                with closing(composer.events(request)) as events:  # type: ignore[type-var]
                    while not stop.is_set():
                        event = next(events, None)
                        if event is None:
                            return
                        progress = progress.after(event)
                        yield progress
            yield replace(progress, stopped=True)
        finally:
            if self._stops.get(session) is stop:
                del self._stops[session]

    def stop(self, session: str) -> bool:
        """End the session's job at the next event; False if it has none."""
        stop = self._stops.get(session)
        if stop is not None:
            stop.set()
        return stop is not None

    def _composer(self, library: Path) -> Composes:
        if self._loaded is None or self._loaded[0] != library:
            self._loaded = None  # two sets of models at once may not fit in memory
            self._loaded = (library, self._load(library))
        return self._loaded[1]


def make_request(
    *,
    illustrate: bool,
    instruction: str,
    text: str,
    length: str,
    pictures: str,
    language: str,
    seed: float | None,
    uploads: Sequence[str] | None,
    ui_language: str = "en",
) -> ComposeRequest:
    """What the page's fields say, as a request. Raises UsageError, worded for the page where something is missing."""
    words = strings(ui_language)
    if illustrate and not text.strip():
        raise UsageError(words["empty_text"])
    if not illustrate and not instruction.strip():
        raise UsageError(words["empty_instruction"])
    paths = tuple(Path(name) for name in uploads or ())
    for path in paths:
        _check_upload(path)
    return ComposeRequest(
        instruction=instruction.strip(),
        text=text if illustrate else "",
        text_name=words["text"] if illustrate else "",
        use_images=paths,
        images=None if pictures == "auto" else int(pictures),
        language=language,
        seed=int(seed or 0),
        words=WORDS[length],
    )


def _check_upload(path: Path) -> None:
    from vision.errors import ImageError
    from vision.images import image_size

    if path.stat().st_size > MAX_UPLOAD_BYTES:
        raise UsageError(f"{path.name} is larger than {MAX_UPLOAD_BYTES // 1_000_000} MB; scale it down first")
    try:
        image_size(path, name=path.name)
    except ImageError as error:
        raise UsageError(str(error)) from error
