"""What the commands show: bars on a terminal, a few plain lines elsewhere, and rows that scripts can read."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from composer.commands import terminal
from composer.commands.terminal import printable, progress, progress_of, say, table
from vision.errors import ImageError, Phrase


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_progress_is_a_line_for_each_thing_that_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as draw:
        for done in range(1, 1001):
            draw("pictures", done, 1000)
        draw("texts", 5, 5)
        draw("texts", 5, 5)
    with progress(sizes=True) as draw:
        draw("weights", 1_500_000_000, 1_500_000_000)
    captured = capsys.readouterr()
    assert captured.err == "pictures: 1000/1000\ntexts: 5/5\nweights: 1,500/1,500 MB\n"
    assert captured.out == ""


def test_what_takes_long_says_how_fast_it_goes_and_how_long_it_will_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now_s[0])
    with progress_of("pictures") as draw:
        for done in range(1, 26):
            now_s[0] += 1
            draw(done, 100)
    assert capsys.readouterr().err == (
        "pictures: 10/100, 1.0 a second, 0:01:30 left\npictures: 20/100, 1.0 a second, 0:01:20 left\n"
    )


def test_on_a_terminal_each_thing_gets_a_bar_and_results_still_go_to_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress() as draw:
        draw("[pictures]", 1, 3)
        sys.stdout.write("a result\n")
        draw("[pictures]", 3, 3)
        draw("texts", 1, 3)
    assert "[pictures]" in screen.getvalue()
    assert "3/3" in screen.getvalue()
    assert "1/3" in screen.getvalue()
    assert capsys.readouterr().out == "a result\n"


def test_a_row_is_one_line_however_long_and_markup_in_names_is_only_text() -> None:
    long = "x" * 500
    lines = table(
        [("1", "[bold]a[/bold] :smile:", long), ("20", "中文", "b")], ("", "name", "path"), right=(0,)
    ).splitlines()
    assert lines == [
        "    name                    path",
        f" 1  [bold]a[/bold] :smile:  {long}",
        "20  中文                    b",
    ]


def test_words_are_made_of_errors_reasons_and_names_that_cannot_move_the_cursor() -> None:
    told = say("file_and_reason", path=Path("a\x1b[2J.jpg"), reason=ImageError("no_picture"))
    assert told == r"a\x1b[2J.jpg: there is no picture in this place; choose one first"
    assert printable((Phrase("chosen_only"), Phrase("you_chose"))) == "the only candidate that fits; you chose it"
