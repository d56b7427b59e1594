"""The command line: parses, dispatches, and turns exceptions into one line and an exit code.

Each command is a module of ``composer.commands``. Exit codes: 0 done, 1 failed, 2 wrong usage,
130 interrupted. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from composer.commands.options import CommandParser, remember_library, settle_library

COMMANDS = ("doctor", "models", "library", "index", "compose", "export", "batch", "app", "eval", "bench", "train")

EPILOG = """\
examples:
  vignette models pull
  vignette library sample
  vignette compose "A day on the farm" --out farm
  vignette index ~/Pictures --library ~/my-library
  vignette app
"""


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="vignette",
        description="Write long articles and illustrate them from your own image library, offline.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("--debug", action="store_true", help="show the full traceback of an error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"composer.commands.{name}").register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.version:
        from vision import own_version

        print(own_version())
        return 0
    if args.command is None:
        parser.print_help()
        return 0
    from image_db import catalog

    catalog.on_wait = _say_wait
    try:
        with _signals_interrupt():
            settle_library(args)
            code: int = args.run(args)
            if code == 0:
                remember_library(args)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        from composer.i18n import tables

        print(f"\nvignette: {tables('en')['terminal']['interrupted']}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as with `| head`: nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if args.debug:
            raise
        from composer.errors import UsageError
        from composer.i18n import localize
        from vision.errors import KeyedError

        if isinstance(error, OSError) and error.filename is not None:
            # What the disk says of a path that was named: too long, in no encoding, not to be entered.
            named = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
            error = UsageError("file_unreadable", file=named, reason=error.strerror)
        if not isinstance(error, KeyedError):
            raise  # a bug keeps its traceback
        print(f"vignette: {localize(error, 'en', terminal=True)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _say_wait(folder: Path) -> None:
    from composer.commands.terminal import note, say

    note(say("library_waiting", library=folder))


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """A signal that asks to end, or that the terminal was closed, does as Ctrl-C does: what was done is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in (getattr(signal, name) for name in names)}
    # Whoever starts a program with nohup has a closed terminal ignored.
    taken = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


if __name__ == "__main__":
    sys.exit(main())
