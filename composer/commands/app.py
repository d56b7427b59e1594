"""``vignette app``: opens the page. The page itself is the module ``app``, which is started as a process of its own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """\
examples:
  vignette app
  vignette app --library ~/my-library
  vignette app --library ~/my-library --profile hub --port 8000

Without --library the page takes the sample library (vignette library sample). It can be reached from this machine
only.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "app",
        help="write and illustrate on a page in the browser",
        description="Write and illustrate on a page in the browser.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the page, shared with ``python app.py``."""
    parser.add_argument("--library", type=Path, action="append", metavar="DIR", help="a library; may be repeated")
    parser.add_argument("--profile", default="embedded", metavar="NAME", help="a profile's name or .toml file")
    parser.add_argument("--host", default="127.0.0.1", help="an address of this machine (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="where to listen (default: 7860)")


def check_loopback(host: str) -> None:
    """Raise UsageError unless only this machine can reach the address."""
    import ipaddress

    from composer.errors import UsageError

    try:
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass  # a name other than localhost may lead anywhere
    raise UsageError(f"--host {host} is not an address of this machine alone; use 127.0.0.1")


def offered_libraries(given: Sequence[Path] | None) -> list[tuple[str, Path]]:
    """(label, folder) of the libraries to offer: those given, else the sample if it is there.

    Raises LibraryError for one that was given and cannot be opened.
    """
    from composer.commands.library import sample_folder
    from image_db.errors import LibraryMissing
    from image_db.library import Library

    found = []
    for folder in given or [sample_folder()]:
        try:
            with Library.open(folder, None) as library:
                found.append((f"{library.folder.name} ({len(library):,})", library.folder))
        except LibraryMissing:
            if given:
                raise
    return found


def run(args: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "app", "--profile", args.profile, "--host", args.host, "--port", str(args.port)]
    for library in args.library or ():
        command += ["--library", str(library)]
    if os.name == "posix":
        # The same process goes on as the page, so that ending the one ends the other.
        sys.stdout.flush()
        os.execv(command[0], command)
    import subprocess

    return subprocess.run(command, check=False).returncode
