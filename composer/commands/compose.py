"""``vignette compose``: one request from the command line, its text streamed to the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.options import add_command, add_formats, add_library, add_profile, add_where

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from composer.commands.terminal import Terminal
    from composer.request import ComposeRequest
    from composer.settings import Settings
    from vision.errors import Phrase

EXAMPLES = """\
examples:
  vignette compose "A day on the farm" --pictures ~/Pictures --out farm     the first time: indexes them, too
  vignette compose "A day on the farm" --library ~/my-library --out farm
  vignette compose "如何养好一只宠物" --library ~/my-library --out pets --images 4
  vignette compose --illustrate essay.md --library ~/my-library --out essay --use-image cover.jpg
  vignette compose "A day on the farm" --library ~/my-library --out farm --format html,docx,pdf,epub
  vignette compose "A year in Lyon" --library ~/my-library --out lyon --where "date:2019 place:Lyon -folder:scans"
  vignette compose "How bees find flowers" --sources notes/ bees.pdf --library ~/my-library --out bees
"""


def register(subparsers: Subparsers) -> None:
    about = "write an article, or take your own text, and illustrate it from a library"
    parser = add_command(subparsers, "compose", about, run, examples=EXAMPLES)
    parser.add_argument("instruction", nargs="?", default="", help="what to write about")
    add_library(parser)
    parser.set_defaults(library_default=None)  # settled after everything else has been checked
    parser.add_argument(
        "--pictures",
        metavar="PATH",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="index these folders and pictures first, into the library (default: the one used last, else a new one)",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new or empty folder for the article")
    parser.add_argument("--images", metavar="N|auto", default="auto", help="number of pictures (default: auto)")
    parser.add_argument(
        "--illustrate", metavar="FILE", type=Path, help="keep this text (.md, .txt, .docx) and only add pictures"
    )
    parser.add_argument(
        "--sources",
        metavar="PATH",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="write from these documents and folders of them (md, txt, html, pdf, docx, epub), and cite them",
    )
    parser.add_argument(
        "--use-image", metavar="FILE", type=Path, action="append", default=[], help="a picture that must appear"
    )
    parser.add_argument(
        "--may-use-image", metavar="FILE", type=Path, action="append", default=[], help="a picture that may appear"
    )
    parser.add_argument(
        "--language",
        default="auto",
        help="auto, en or zh; with --illustrate that of the text, such as de (default: auto, as it reads)",
    )
    parser.add_argument("--words", metavar="N", type=int, default=600, help="length to aim for (default: 600)")
    parser.add_argument(
        "--kind",
        metavar="NAME",
        default="auto",
        help="explanation, guide, report, story or listicle (default: by the instruction); only a story invents",
    )
    parser.add_argument("--tone", metavar="NAME", default="", help="plain, vivid, formal or friendly")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="write all sections at once from the outline: sooner done, but a section does not know what others say",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="another seed, another article (default: 0)")
    add_where(parser)
    parser.add_argument("--license", metavar="PREFIX", action="append", default=[], help="only pictures under this")
    add_profile(parser)
    add_formats(parser, default="md,html")
    parser.add_argument("--quiet", action="store_true", help="do not stream the text")


def run(args: argparse.Namespace) -> int:
    from composer.commands.options import settle_library
    from composer.commands.profiles import check_profile, settings_for
    from composer.commands.terminal import Terminal, note, printable
    from composer.export import parse_formats
    from composer.export.article_folder import check_free, save_article
    from composer.export.export import check_available
    from composer.export.picture_export import ExportedPictureSettings
    from vision.errors import KeyedError

    # Everything that can be wrong is said before a library is asked for, models are loaded and minutes are spent.
    request = read_request(args)
    formats = parse_formats(args.format)
    pictures = ExportedPictureSettings(args.max_image_px, args.originals)
    check_available(formats)
    check_free(args.out)
    check_profile(args.profile)
    args.library_default = "fill" if args.pictures else "read"
    settle_library(args)
    settings = settings_for(args.profile, args.library)
    if args.pictures:
        index_first(args.library, args.pictures, settings)

    from composer.pipeline.loading import load_pipeline

    terminal = Terminal(sys.stderr, stream_text=not args.quiet)
    try:
        with terminal.whole_lines():
            with terminal.loading():
                pipeline = load_pipeline(settings, args.library)
            article = pipeline.compose(request, terminal)
    except KeyedError:
        keep_unfinished(terminal, request, args.out)
        raise
    notes: list[Phrase] = []
    saved = save_article(
        article,
        args.out,
        formats=formats,
        trace=terminal.trace,
        pictures=pictures,
        notes=notes,
        text_folder=args.illustrate.parent if args.illustrate is not None else None,
    )
    terminal.summary(saved)
    for degraded in notes:
        note(printable(degraded))
    print(args.out / f"article.{'html' if 'html' in formats else formats[0]}")
    return 0


def keep_unfinished(terminal: Terminal, request: ComposeRequest, out: Path) -> None:
    """Save what was made before an error, beside where it was to be: the same command then finds its folder free."""
    from composer.commands.terminal import note, printable, say
    from composer.errors import ComposerError
    from composer.export.article_folder import save_article

    article = terminal.progress.standing(request.language)
    if article is None or (request.text and not article.pictures):
        return
    named = out if out.name else out.absolute()
    folders = (named.with_name(f"{named.name}-unfinished{number}") for number in ("", *map(str, range(2, 100))))
    folder = next((folder for folder in folders if not folder.exists()), None)
    if folder is not None:
        with suppress(ComposerError, OSError):  # the error that ended it is what must be said
            save_article(article, folder, formats=("md", "html"), trace=terminal.trace)
            note(say("unfinished_kept", folder=printable(folder)))


def index_first(library: Path, pictures: Sequence[Path], settings: Settings) -> None:
    """Bring the library up to date with these pictures; what is said of them goes to stderr."""
    from contextlib import redirect_stdout

    from composer.commands.index import index_into, print_report

    with redirect_stdout(sys.stderr):
        report, held, described = index_into(library, pictures, settings, unasked=True)
        print_report(library, report, held, described)


def read_request(args: argparse.Namespace) -> ComposeRequest:
    """The request that the options describe. Raises UsageError for one that cannot be made."""
    from composer.request import request_from_json
    from composer.sources.docx_markdown import read_text_to_illustrate

    given = {
        "instruction": args.instruction,
        "use_images": [str(path) for path in args.use_image],
        "images": args.images,
        "language": args.language,
        "seed": args.seed,
        "words": args.words,
        "filters": {"licenses": args.license, "where": args.where},
        "may_use": [str(path) for path in args.may_use_image],
        "tone": args.tone,
        "kind": args.kind,
        "fast": args.fast,
        "sources": [str(path) for path in args.sources],
        "project": str(args.out.absolute().parent) if args.sources else None,
    }
    if args.illustrate is not None:
        given |= {"text": read_text_to_illustrate(args.illustrate), "text_name": args.illustrate.stem}
    return request_from_json(given)
