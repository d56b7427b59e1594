"""The options of the page, shared by ``vignette app`` and the process that serves it, and what they mean."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import composer
from composer.errors import UsageError
from composer.web.access_control import Access, check_access

PASSWORD_VARIABLE = "VIGNETTE_PASSWORD"


def page_command() -> list[str]:
    """How to start the page in a process of its own, which imports nothing from the folder it is started in."""
    return [sys.executable, "-P", str(Path(composer.__file__).resolve().parents[1] / "app.py")]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--library", type=Path, action="append", metavar="DIR", help="a library; may be repeated")
    parser.add_argument("--profile", default="embedded", metavar="NAME", help="a profile's name or .toml file")
    parser.add_argument("--host", default="127.0.0.1", help="an address of this machine (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="where to listen (default: 7860)")
    parser.add_argument("--public", action="store_true", help="allow a --host that others can reach; needs a password")
    parser.add_argument(
        "--root-path",
        metavar="PATH|URL",
        default="",
        help="where a proxy serves the page: /vignette, or the whole address, https://example.org/vignette",
    )
    parser.add_argument(
        "--library-root",
        type=Path,
        action="append",
        metavar="DIR",
        help="a folder whose pictures visitors may index, with --public; may be repeated",
    )
    parser.add_argument(
        "--password",
        metavar="USER:PASSWORD",
        default="",
        help=f"ask for this; better set {PASSWORD_VARIABLE}, which no list of processes shows",
    )
    parser.add_argument("--mcp", action="store_true", help="offer the API as MCP tools, on this machine only")
    parser.add_argument("--log-text", action="store_true", help="let errors in the log quote what was written")


def access_of(args: argparse.Namespace) -> Access:
    """Who may reach the page that was asked for by ``add_options``. Raises UsageError as ``check_access`` does."""
    login = args.password or os.environ.get(PASSWORD_VARIABLE, "")
    access = check_access(args.host, public=args.public, login=login, roots=args.library_root, root=args.root_path)
    if args.mcp and (login or not access.loopback):
        raise UsageError("mcp_not_local")
    return access


def offered_libraries(given: Sequence[Path] | None) -> list[Path]:
    """The libraries to offer: those given, else the sample if it is there.

    Raises LibraryError for one that was given and cannot be opened.
    """
    from image_db.errors import LibraryMissing
    from image_db.library import Library
    from image_db.sample.build import sample_folder

    found = []
    for folder in given or [sample_folder()]:
        try:
            with Library.open(folder, None) as library:
                found.append(library.folder)
        except LibraryMissing:
            if given:
                raise
    return found
