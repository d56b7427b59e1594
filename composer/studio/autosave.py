"""Saves an article while it is written, often enough that a kill costs seconds of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from composer.pipeline.progress import Progress
from composer.studio.draft_store import Draft, DraftState, OwnerDrafts
from composer.studio.growing_text import GrowingText

INTERVAL_S = 0.7


class Autosave:
    """Follows one job. ``draft`` is the state last saved; hand it to the session when the job is over."""

    def __init__(
        self, drafts: OwnerDrafts, draft: Draft, language: str = "auto", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.draft = draft
        self._drafts, self._clock = drafts, clock
        self._growing = GrowingText(language)
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

    def _save(self, progress: Progress, state: DraftState) -> None:
        article = self._growing.standing(progress)
        info, unwritten = dict(self.draft.info), list(progress.unwritten(article))
        if unwritten or "unwritten" in info:
            info["unwritten"] = unwritten
        if article is not None and info.get("text"):
            info["text"] = ""  # the article has it
        self.draft = self._drafts.save(replace(self.draft, info=info), article, state=state)
        self._saved = progress
        self._next_s = self._clock() + INTERVAL_S
