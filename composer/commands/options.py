"""The options that several commands have, said once. Standard library only, so that ``vignette --help`` stays quick."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(
    subparsers: Subparsers,
    name: str,
    about: str,
    run: Callable[[argparse.Namespace], int] | None = None,
    *,
    description: str = "",
    examples: str = "",
) -> argparse.ArgumentParser:
    """A command's parser, or that of a part of it. ``about`` is its line in the list of commands."""
    parser = subparsers.add_parser(
        name,
        help=about,
        description=description or f"{about[0].upper()}{about[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", metavar="NAME", default="embedded", help="a profile's name or .toml file")


def add_library(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--library", metavar="DIR", type=Path, required=True, help="the picture library's folder")


def add_json(parser: argparse.ArgumentParser, about: str = "print one JSON object") -> None:
    parser.add_argument("--json", action="store_true", help=about)


def add_formats(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """The options of every command that writes articles."""
    parser.add_argument(
        "--format",
        metavar="LIST",
        default=default,
        help="md, html, docx, pdf and epub, by commas" + (f" (default: {default})" if default else ""),
    )
    parser.add_argument(
        "--max-image-px", metavar="N", type=int, default=1600, help="longer side of a picture at most (default: 1600)"
    )
    parser.add_argument(
        "--originals", action="store_true", help="keep pictures at full size; in md and html with their metadata"
    )


def at_least(least: int, **given: int | None) -> None:
    """Raises UsageError for an option whose number is too small."""
    from composer.errors import UsageError

    for name, number in given.items():
        if number is not None and number < least:
            option = f"--{name}" if len(name) > 1 else f"-{name}"
            raise UsageError("option_too_small", option=option, given=number, least=least)
