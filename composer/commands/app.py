"""``vignette app``: opens the page. The page itself is the module ``app``, which is started as a process of its own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from composer.web.access_control import Access

PASSWORD_VARIABLE = "VIGNETTE_PASSWORD"

EXAMPLES = """\
examples:
  vignette app
  vignette app --library ~/my-library
  vignette app --library ~/my-library --profile hub --port 8000
  VIGNETTE_PASSWORD=anna:correct-horse vignette app --host 0.0.0.0 --public

Without --library the page takes the sample library (vignette library sample). It can be reached from this machine
only, unless --public and a password say otherwise; its connection is not encrypted, so let others in only over a
network you trust or through a proxy that speaks https. Programs use the same address, see docs/api.md.
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
    parser.add_argument("--public", action="store_true", help="allow a --host that others can reach; needs a password")
    parser.add_argument(
        "--password",
        metavar="USER:PASSWORD",
        default="",
        help=f"ask for this; better set {PASSWORD_VARIABLE}, which no list of processes shows",
    )
    parser.add_argument("--mcp", action="store_true", help="offer the API as MCP tools, on this machine only")
    parser.add_argument("--log-text", action="store_true", help="let errors in the log quote what was written")


def access_of(args: argparse.Namespace) -> Access:
    """Who may reach the page. Raises UsageError for what would let in others unasked."""
    from composer.errors import UsageError
    from composer.web.access_control import check_access

    login = args.password or os.environ.get(PASSWORD_VARIABLE, "")
    access = check_access(args.host, public=args.public, login=login)
    if args.mcp and (login or not access.loopback):
        raise UsageError("--mcp works on this machine only and without a password; leave one of them out")
    return access


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
    command += [f"--{name}" for name in ("public", "mcp", "log-text") if getattr(args, name.replace("-", "_"))]
    if args.password:
        os.environ[PASSWORD_VARIABLE] = args.password
    if os.name == "posix":
        # The same process goes on as the page, so that ending the one ends the other.
        sys.stdout.flush()
        os.execv(command[0], command)
    import subprocess

    return subprocess.run(command, check=False).returncode
