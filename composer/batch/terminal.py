"""What a person sees on the terminal while several articles are made: a line for each that begins or ends.

On a terminal a last line, drawn over itself, says what each worker does.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import TextIO

from composer.article.language import count_words
from composer.batch.article_job import Outcome
from composer.batch.report import say
from composer.batch.runner import Update
from composer.i18n import localize
from composer.pipeline.events import Notice, StageStarted, TextDelta

_REDRAW_S = 0.2
_CLEAR = "\r\x1b[2K"


class BatchTerminal:
    """Prints the updates of a ``BatchRun`` to a stream, from one thread."""

    def __init__(self, out: TextIO, *, total: int) -> None:
        self._out = out
        self._total = total
        self._done = 0
        self._live = out.isatty()
        self._drawn_s = 0.0
        self._working: dict[int, tuple[str, str, str]] = {}  # line → folder, stage, text so far

    def show(self, update: Update) -> None:
        line, folder = update.job.line, update.job.folder
        match update.news:
            case None:
                self._working[line] = (folder, "load", "")
                self._print(f"[{self._done}/{self._total}] {folder} …")
            case Outcome():
                self._working.pop(line, None)
                self.ended(update.news)
            case Notice():
                self._print(f"{folder}: {localize(update.news, 'en', batch=True)}")
            case StageStarted(stage):
                self._working[line] = (folder, stage, self._working[line][2])
            case TextDelta(text):
                _, doing, earlier = self._working[line]
                self._working[line] = (folder, doing, earlier + text)
        self._draw()

    def ended(self, outcome: Outcome) -> None:
        self._done += outcome.status != "pending"
        what = say(
            f"ended_{outcome.status}",
            seconds=outcome.seconds,
            words=outcome.words,
            pictures=outcome.pictures,
            reason=localize(outcome.error, "en", batch=True) if outcome.error is not None else "",
        )
        self._print(f"[{self._done}/{self._total}] {outcome.folder} {what}")

    def close(self) -> None:
        if self._live:
            self._out.write(_CLEAR)
            self._out.flush()
        self._live = False

    def _print(self, line: str) -> None:
        self._out.write((_CLEAR if self._live else "") + line + "\n")
        self._out.flush()

    def _draw(self) -> None:
        now = time.monotonic()
        if not self._live or now - self._drawn_s < _REDRAW_S:
            return
        self._drawn_s = now
        doing = [
            f"{folder[:3]} {stage}" + (" " + say("words", count=count_words(text)) if stage == "write" else "")
            for folder, stage, text in self._working.values()
        ]
        width = shutil.get_terminal_size().columns - 1
        self._out.write(_CLEAR + " · ".join([say("done_of", done=self._done, total=self._total), *doing])[:width])
        self._out.flush()


HEADER_KEYS = ("column_line", "column_status", "column_seconds", "column_words", "column_pictures", "column_folder")


def table_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """A row an outcome under the columns of HEADER_KEYS."""
    rows: list[tuple[str, ...]] = []
    for o in outcomes:
        words, pictures = str(o.words), f"{o.pictures} of {o.slots}" if o.slots else str(o.pictures)
        if o.status in ("failed", "pending"):
            words = pictures = "-"
        said = localize(o.error, "en", batch=True) if o.error is not None else o.folder
        rows.append((str(o.line), o.status, f"{o.seconds:.1f}", words, pictures, said))
    return rows
