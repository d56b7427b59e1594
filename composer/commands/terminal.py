"""What a person sees on the terminal while an article is made, and the trace that is kept of it.

A listener of ``composer.pipeline.events``; writes to the stream it is given and decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from composer.article.model import Article
from composer.export.article_folder import trace_entry
from composer.i18n import localize
from composer.pipeline import events

_LABELS = {
    "load": "Loading",
    "write": "Writing",
    "place": "Placing pictures",
    "caption": "Describing them",
    "find": "Finding candidates",
    "choose": "Choosing",
    "finish": "Finishing",
}


class Terminal:
    """Prints the streamed text and one line a stage. ``trace`` holds the finished stages."""

    def __init__(self, out: TextIO, *, stream_text: bool = True) -> None:
        self._out = out
        self._stream_text = stream_text
        self.trace: list[dict[str, Any]] = []

    @contextmanager
    def loading(self) -> Iterator[None]:
        start = time.perf_counter()
        self(events.StageStarted("load"))
        yield
        self(events.StageFinished("load", time.perf_counter() - start))

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.StageStarted(stage):
                self._print(f"{_LABELS[stage]} …" + ("\n\n" if stage == "write" and self._stream_text else ""))
            case events.StageFinished(stage, seconds):
                self.trace.append(trace_entry(event))
                lead = "Written in" if stage == "write" else " done in"
                self._print(f"{lead} {seconds:.1f} s\n")
            case events.TextDelta(text):
                if self._stream_text:
                    self._print(text)
            case events.Notice():
                self._print(f"\nNote: {localize(event, 'en', terminal=True)}\n")
            case events.Draft() | events.Done():
                pass

    def summary(self, article: Article) -> None:
        """One line a slot: what stands there, or why nothing does."""
        for placement in article.placements:
            place = f"after section {placement.slot.after_section + 1}"
            if placement.chosen is None:
                self._print(f"  {place}: no picture ({localize(placement.reason, 'en')})\n")
            else:
                self._print(f"  {place}: {placement.caption} [{placement.chosen.path.name}]\n")
        words = f"{len(article.sections)} sections, {len(article.pictures)} pictures"
        self._print(f"“{article.title}”: {words}\n")

    def _print(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
