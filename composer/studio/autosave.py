"""Saves an article while it is written, often enough that a kill costs seconds of it.

Knows no page; a job that makes an article feeds its progress in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from composer.pipeline.progress import Progress
from composer.studio.draft_store import Draft, Shelf

INTERVAL_S = 0.7


class Recorder:
    """Follows one job. ``draft`` is the state last saved; hand it to the session when the job is over."""

    def __init__(
        self, shelf: Shelf, draft: Draft, language: str = "auto", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.draft = draft
        self._shelf, self._language, self._clock = shelf, language, clock
        self._saved: Progress | None = None
        self._next_s = 0.0

    def record(self, progress: Progress) -> None:
        """Save what stands, if it is more than what was saved and some time has passed or a stage is over."""
        known = self._saved
        if known is not None and progress.text == known.text and progress.article is known.article:
            return
        if known is None or progress.article is not known.article or self._clock() >= self._next_s:
            self._save(progress, "writing")

    def finish(self, progress: Progress) -> None:
        """The job is over, however it ended: what stands is the person's to edit."""
        self._save(progress, "standing")

    def _save(self, progress: Progress, state: str) -> None:
        article = progress.standing(self._language)
        self.draft = self._shelf.save(self.draft, article, state="writing" if state == "writing" else "standing")
        self._saved = progress
        self._next_s = self._clock() + INTERVAL_S


def record_progress(recorder: Recorder, progresses: Iterable[Progress]) -> Iterator[Progress]:
    """The same progress, saved as it passes; also where the job fails or its reader goes away."""
    progress = Progress()
    try:
        for progress in progresses:
            recorder.record(progress)
            yield progress
    finally:
        recorder.finish(progress)
