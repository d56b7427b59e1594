"""What a person sees on the terminal while several articles are made: a line for each that begins or ends.

On a terminal a last line, drawn over itself, says what each worker does. Writes to the stream it is given, from one
thread, and decides nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import TextIO

from composer.article.language import count_words
from composer.batch.article_job import Outcome
from composer.batch.runner import Began, Ended, Heard, Update
from composer.batch.summary import counts
from composer.i18n import localize
from composer.pipeline.events import Notice, StageStarted, TextDelta

_REDRAW_S = 0.2
_CLEAR = "\r\x1b[2K"


class BatchTerminal:
    """A listener of ``composer.batch.runner`` updates."""

    def __init__(self, out: TextIO, *, total: int) -> None:
        self._out = out
        self._total = total
        self._done = 0
        self._live = out.isatty()
        self._drawn_s = 0.0
        self._working: dict[int, tuple[str, str, str]] = {}  # line → folder, stage, text so far

    def __call__(self, update: Update) -> None:
        match update:
            case Began(job):
                self._working[job.line] = (job.folder, "load", "")
                self._print(f"[{self._done}/{self._total}] {job.folder} …")
            case Heard(job, event):
                folder, stage, text = self._working[job.line]
                if isinstance(event, StageStarted):
                    stage = event.stage
                elif isinstance(event, TextDelta):
                    text += event.text
                elif isinstance(event, Notice):
                    self._print(f"{folder}: {localize(event, 'en', terminal=True)}")
                self._working[job.line] = (folder, stage, text)
                self._draw()
            case Ended(job, outcome):
                self._working.pop(job.line, None)
                self.ended(outcome)

    def ended(self, outcome: Outcome) -> None:
        self._done += outcome.status != "pending"
        self._print(f"[{self._done}/{self._total}] {outcome.folder} {_said(outcome)}")

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
        told = [
            f"{folder[:3]} {stage}" + (f" {count_words(text)} words" if stage == "write" else "")
            for folder, stage, text in self._working.values()
        ]
        width = shutil.get_terminal_size().columns - 1
        self._out.write(_CLEAR + f"{self._done} of {self._total} · {' · '.join(told)}"[:width])
        self._out.flush()


def _said(outcome: Outcome) -> str:
    match outcome.status:
        case "failed":
            return f"failed: {outcome.error}"
        case "kept":
            return "kept: it was made before"
        case "pending":
            return "interrupted"
    return f"made in {outcome.seconds:.0f} s: {outcome.words} words, {outcome.pictures} pictures"


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes for a terminal, one line each, and a last line with the counts."""
    rows = [("line", "status", "seconds", "words", "pictures", "folder, or what went wrong")]
    for o in outcomes:
        pictures = f"{o.pictures} of {o.slots}" if o.slots else str(o.pictures)
        if o.status in ("failed", "pending"):
            rows.append((str(o.line), o.status, f"{o.seconds:.1f}", "-", "-", o.error or o.folder))
        else:
            rows.append((str(o.line), o.status, f"{o.seconds:.1f}", str(o.words), pictures, o.folder))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        f"{line:>{widths[0]}}  {status:<{widths[1]}}  {seconds:>{widths[2]}}  {words:>{widths[3]}}  "
        f"{pictures:>{widths[4]}}  {last}"
        for line, status, seconds, words, pictures, last in rows
    ]
    number = counts(outcomes)
    left = f", {number['pending']} not made" if number["pending"] else ""
    return "\n".join([*lines, "", f"{number['made']} made, {number['kept']} kept, {number['failed']} failed{left}"])
