"""What a person sees on the terminal: words, tables, progress, and an article while it is made.

Progress and notes go to stderr, as bars where it is a terminal and as a few plain lines where it is not. Tables keep
every row on one line unless stdout is a terminal.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from composer.article.model import Article
from composer.i18n import fill, localize, tables
from composer.pipeline import events
from composer.pipeline.progress import Progress

if TYPE_CHECKING:
    from composer.evaluation.report import Measure

PLAIN_INTERVAL_S = 10.0


def say(key: str, **values: object) -> str:
    """The terminal's words for a key. Values that are errors or reasons are put into words, too."""
    said = {name: value if isinstance(value, (int, float)) else printable(value) for name, value in values.items()}
    return fill(tables("en")["terminal"][key], **said)


def note(text: str) -> None:
    """Something the user should know, as one line on stderr."""
    print(f"vignette: {text}", file=sys.stderr)


def printable(said: object) -> str:
    """Words in which what a file's name may hold to move the cursor or to break an encoding is escaped."""
    text = str(said) if isinstance(said, Path) else localize(said, "en", terminal=True)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), right: Sequence[int] = ()) -> str:
    """Columns side by side, those in ``right`` flush right; on a narrow terminal the last one is folded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    live = sys.stdout.isatty()
    shown = Table(box=None, show_header=bool(header), header_style="bold", pad_edge=False)
    count = max(map(len, (header, *rows)))
    for number in range(count):
        shown.add_column(
            header[number] if header else "",
            justify="right" if number in right else "left",
            no_wrap=number < count - 1,
            overflow="fold",
        )
    for row in rows:
        shown.add_row(*map(Text, row))
    console = Console(file=io.StringIO(), width=None if live else 1_000_000, force_terminal=live)
    with console.capture() as drawn:
        console.print(shown)
    return "\n".join(line.rstrip() for line in drawn.get().splitlines())


def measure_table(measures: Mapping[str, Measure], reference: str = "") -> str:
    """One line a measure; columns that nothing stands in are left out. ``reference`` names what it is compared with."""
    from composer.evaluation.report import table_rows

    header = (say("measure"), say("value"), say("interval"), reference or say("reference"), say("ratio"))
    rows = table_rows(measures)
    used = [number for number in range(len(header)) if any(row[number] for row in rows)]
    return table([[row[number] for number in used] for row in rows], [header[number] for number in used])


@contextmanager
def progress(*, sizes: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A callback (what, done, total) that draws a bar for each thing in turn. With ``sizes`` the numbers are bytes."""
    if not sys.stderr.isatty():
        yield _plain_progress(sizes)
        return
    from rich import progress as rich
    from rich.console import Console
    from rich.text import Text

    class RateColumn(rich.ProgressColumn):
        """So many a second, as far as it is known."""

        def render(self, task: rich.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(say("progress_rate", rate=speed) if speed else "", style="progress.data.speed")

    amount = (rich.DownloadColumn(), rich.TransferSpeedColumn()) if sizes else (rich.MofNCompleteColumn(), RateColumn())
    columns = (
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        *amount,
        rich.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with rich.Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bars:

        def draw(what: str, done: int, total: int) -> None:
            last = bars.tasks[-1] if bars.tasks else None
            if last is None or total != last.total or done < last.completed:
                bars.add_task(what, total=total, completed=done)
            else:
                bars.update(last.id, description=what, completed=done)

        yield draw


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int], None]]:
    """The same for one thing: a callback (done, total)."""
    with progress() as draw:
        yield partial(draw, what)


def _plain_progress(sizes: bool) -> Callable[[str, int, int], None]:
    """A line for everything that is done, and one now and then for what takes long: with its rate and the time left."""
    printed, printed_s = "", time.monotonic()
    begun: tuple[int, int, float] | None = None  # of what is going on: its total, where it was first seen, and when

    def tell(what: str, done: int, total: int) -> None:
        nonlocal printed, printed_s, begun
        now = time.monotonic()
        if begun is None or begun[0] != total or done < begun[1]:
            begun = total, done, now
        line = f"{what}: {done / 1e6:,.0f}/{total / 1e6:,.0f} MB" if sizes else f"{what}: {done}/{total}"
        if line != printed and (done >= total or now - printed_s >= PLAIN_INTERVAL_S):
            rate = (done - begun[1]) / max(now - begun[2], 1e-9)
            going = done < total and rate > 0 and not sizes
            left = timedelta(seconds=round((total - done) / rate)) if going else None
            pace = f", {say('progress_rate', rate=rate)}, {say('progress_left', left=str(left))}" if going else ""
            print(line + pace, file=sys.stderr, flush=True)
            printed, printed_s = line, now

    return tell


class Terminal:
    """Prints the streamed text and one line a stage. ``trace`` holds the finished stages, ``progress`` all there is."""

    def __init__(self, out: TextIO, *, stream_text: bool) -> None:
        self._out = out
        self._stream_text = stream_text
        self._within_line = False
        self.trace: list[dict[str, Any]] = []
        self.progress = Progress()

    @contextmanager
    def whole_lines(self) -> Iterator[None]:
        """End the line that an error cuts short, so that what is said of the error stands on one of its own."""
        try:
            yield
        except BaseException:
            if self._within_line:
                self._print("\n")
            raise

    @contextmanager
    def loading(self) -> Iterator[None]:
        start = time.perf_counter()
        self(events.StageStarted("load"))
        yield
        self(events.StageFinished("load", time.perf_counter() - start))

    def __call__(self, event: events.Event) -> None:
        self.progress = self.progress.after(event)
        match event:
            case events.StageStarted(stage):
                ahead_of_text = "\n\n" if stage == "write" and self._stream_text else ""
                self._print(say(f"stage_{stage}") + " …" + ahead_of_text)
            case events.StageFinished(stage, seconds):
                self.trace.append(event.as_json())
                self._print(say("written_in" if stage == "write" else "done_in", seconds=seconds) + "\n")
            case events.TextDelta(text):
                if self._stream_text:
                    self._print(text)
            case events.Notice():
                self._print("\n" + say("notice", text=event) + "\n")
            case _:
                pass

    def summary(self, article: Article) -> None:
        """One line a slot: what stands there, or why nothing does."""
        for placement in article.placements:
            number = placement.slot.after_section + 1
            if placement.chosen is None:
                line = say("place_empty", number=number, reason=placement.reason)
            else:
                line = say("place_filled", number=number, caption=placement.caption, file=placement.chosen.path.name)
            self._print(f"  {line}\n")
        counts = {"sections": len(article.sections), "pictures": len(article.pictures)}
        self._print(say("article_made", title=article.title, **counts) + "\n")

    def _print(self, text: str) -> None:
        self._within_line = not text.endswith("\n")
        self._out.write(text)
        self._out.flush()
