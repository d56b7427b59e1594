"""The parser of all commands, and the options that several of them have.

Standard library only, so that ``vignette --help`` stays quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


class CommandParser(argparse.ArgumentParser):
    """argparse that says what is unknown before what is missing, and proposes what was meant.

    Paths may begin with ``~`` wherever the shell leaves it, as in ``--out=~/farm``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("type", Path, _home_path)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Everything is known, or the process ends with code 2: also called for each command's own part."""
        words = _with_values(list(sys.argv[1:] if args is None else args))
        for word in words:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                break
            name = word.partition("=")[0]
            is_option = name.startswith("-") and name[2:] and name[1] not in "0123456789." and " " not in name
            if is_option and not {name, name[:2]} & self._option_string_actions.keys():
                self._refuse_option(name)
        parsed, rest = super().parse_known_args(words, namespace)
        for word in rest:
            if word.startswith("-"):
                self._refuse_option(word)
        if rest:
            from composer.commands.terminal import say
            from image_db.default_library import is_library as is_library_folder

            is_library = "--library" in self._option_string_actions and (
                rest[0] == "sample" or is_library_folder(library_argument(rest[0]))
            )
            key = "library_left_over" if is_library else "words_left_over"
            self.error(say(key, words=" ".join(rest)))
        return parsed, rest

    def _refuse_option(self, given: str) -> None:
        from composer.commands.terminal import say

        proposal = _proposal(f"--{given.lstrip('-')}", self._option_string_actions)
        self.error(say("option_unknown", option=given) + proposal)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            proposal = _proposal(str(value), action.choices or ())
            raise argparse.ArgumentError(action, error.message + proposal) from None


def _with_values(words: Sequence[str]) -> list[str]:
    """The words with a value that may begin with "-" joined to its option, or argparse would take it for one."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--where":
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _home_path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~somebody who has no account here
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def _proposal(given: str, known: Iterable[object]) -> str:
    from composer.i18n import fill, meant, tables

    near = meant(given, known)
    return fill(tables("en")["joints"]["did_you_mean"], word=near) if near else ""


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
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def add_profile(parser: argparse.ArgumentParser, *, measured: bool = False) -> None:
    """``measured``: what is measured must not depend on the machine."""
    if measured:
        about = "a profile's name or .toml file (default: embedded)"
        parser.add_argument("--profile", metavar="NAME", default="embedded", help=about)
        return
    parser.add_argument(
        "--profile",
        metavar="NAME",
        default="auto",
        help="a profile's name or .toml file (default: auto, the best that this machine can run)",
    )


def add_library(parser: argparse.ArgumentParser, *, fills: bool = False) -> None:
    """``settle_library`` takes the default where it is left out. ``fills`` marks a command that puts pictures in."""
    default = "the one used last, else a new one" if fills else "the one used last, else the sample"
    parser.add_argument(
        "--library",
        metavar="DIR",
        type=library_argument,
        help=f"the picture library's folder, or sample (default: {default})",
    )
    parser.set_defaults(library_default="fill" if fills else "read")


def library_argument(text: str) -> Path:
    """The folder of a library from the command line, where ``sample`` is the name of one."""
    from image_db.default_library import library_folder

    return library_folder(str(_home_path(text)))


def settle_library(args: argparse.Namespace) -> None:
    """Put the default in place of a library that was left out, and say which on stderr. Raises LibraryMissing."""
    if getattr(args, "library_default", None) is None or args.library is not None:
        return
    from composer.commands.terminal import note, say
    from image_db.default_library import default_library, library_to_fill

    args.library = library_to_fill() if args.library_default == "fill" else default_library()
    note(say("library_taken", library=args.library))


def remember_library(args: argparse.Namespace) -> None:
    """Have the library that a command used be the default of the next one."""
    library = getattr(args, "library", None)
    if isinstance(library, Path):
        from composer.commands.terminal import note, say
        from image_db import default_library

        try:
            default_library.remember_library(library)
        except OSError as error:
            note(say("library_not_remembered", reason=error))


def add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--where",
        metavar="CONDITIONS",
        default="",
        help='only pictures of which this is true, e.g. "date:2019.. place:Lyon orientation:portrait -folder:scans"; '
        "fields: date, place, camera, orientation, size, license, folder, tag, has",
    )


def add_json(parser: argparse._ActionsContainer, about: str = "print one JSON object") -> None:
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
