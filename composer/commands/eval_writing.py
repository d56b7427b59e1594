"""``vignette eval writing``: what the writer writes, measured and put on a sheet for readers.

Work: ``composer.evaluation.writing``.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.options import add_command, add_json, add_profile, library_argument

if TYPE_CHECKING:
    from composer.batch.article_job import Composes, Outcome
    from composer.commands.options import Subparsers
    from composer.evaluation.report import Measure
    from composer.settings import Settings
    from image_db.library import Library
    from vision.interfaces import JointEncoder

EXAMPLES = """\
examples:
  vignette eval writing --library ~/my-library --out reading
  vignette eval writing --titles titles.txt --seeds 0,1 --out reading      a title a line, or a file as for batch
  vignette eval writing --titles titles.txt --sources papers/ --out reading
  vignette eval writing --read reading/sheet.tsv                           what readers found, from filled sheets
"""
MEASURES_FILE = "measures.json"


def add_writing(kinds: Subparsers) -> None:
    about = "articles for a list of titles: repetition, stock phrases, unsupported names, length; sheets for readers"
    kind = add_command(kinds, "writing", about, run, examples=EXAMPLES)
    kind.add_argument("--titles", metavar="FILE", type=Path, help="titles (.txt) or requests as for vignette batch")
    kind.add_argument(
        "--sources", metavar="PATH", type=Path, nargs="+", default=[], help="documents to write the titles from"
    )
    kind.add_argument(
        "--library", metavar="DIR", type=library_argument, help="illustrate from this (default: no pictures)"
    )
    kind.add_argument(
        "--seeds", metavar="LIST", default="0", help="an article of each title a seed, as 0,1 (default: 0)"
    )
    kind.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("eval-writing"),
        help="where articles and sheet go; what stands there is not made again (default: eval-writing)",
    )
    kind.add_argument(
        "--read", metavar="SHEET", type=Path, nargs="+", help="compute the table of filled sheets; makes no article"
    )
    add_profile(kind, measured=True)
    add_json(kind, "print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    return _read(args) if args.read else _write(args)


def _write(args: argparse.Namespace) -> int:
    from tempfile import TemporaryDirectory

    from composer.batch.article_job import BatchConfig
    from composer.commands.profiles import settings_for
    from composer.commands.terminal import note, printable, progress_of, say
    from composer.errors import ComposerError
    from composer.evaluation.writing.articles import make_articles, read_titles
    from composer.evaluation.writing.measures import examine, measure
    from composer.evaluation.writing.sheet import write_sheet
    from composer.pipeline.loading import load_encoder
    from image_db.library import Library
    from retrieval.search import Searcher
    from vision.downloads.files import write_atomic

    pictures, sources = args.library is not None, tuple(args.sources)
    jobs = read_titles(args.titles, _seeds(args.seeds), pictures=pictures, sources=sources)
    settings = settings_for(args.profile)
    if args.library is not None:
        Library.open(args.library, None).close()  # what is wrong with it is known before models are loaded
    encoder = load_encoder(settings)
    failures: list[Outcome] = []
    with TemporaryDirectory() as empty:
        library = (
            Library.open(args.library, encoder.identity) if args.library else Library.create(empty, encoder.identity)
        )
        config = BatchConfig(args.out, args.library or Path("no-pictures"), settings, again="changed")
        with progress_of(say("articles")) as draw:
            load = partial(_load, settings, encoder, library)
            written = make_articles(jobs, config, load, draw, failures.append)
        for outcome in failures:
            note(f"{outcome.folder}: {printable(outcome.error)}")
        if not written:
            raise ComposerError("no_article_made", count=len(failures))
        searcher = Searcher(library, encoder) if args.library else None
        found = [examine(each, encoder, searcher, settings.pictures.min_fused) for each in written]
        library.close()
    measures = measure(found, len(failures))
    every = {"measures": {name: value.as_json() for name, value in measures.items()}}
    details = every | {"articles": [each.as_json() for each in found]}
    write_atomic(args.out / MEASURES_FILE, (json.dumps(details, ensure_ascii=False, indent=1) + "\n").encode())
    sheet, page = write_sheet(written, args.out)
    note(say("eval_sheet", sheet=sheet, page=page))
    _print(args, measures, say("eval_written", count=len(written), profile=settings.name))
    return 0


def _load(settings: Settings, encoder: JointEncoder, library: Library) -> Composes:
    """The one pipeline that makes all articles."""
    from composer.evaluation.writing.articles import DraftCountingPipeline
    from composer.pipeline.loading import load_pipeline_over
    from retrieval.search import Searcher

    return DraftCountingPipeline(load_pipeline_over(settings, encoder, library, Searcher(library, encoder)))


def _read(args: argparse.Namespace) -> int:
    from composer.commands.terminal import say, table
    from composer.errors import UsageError
    from composer.evaluation.writing.readings import article_rows, measure_readings, readings_of
    from composer.evaluation.writing.sheet import LABELS, read_sheet

    readings = [found for path in args.read for found in readings_of(read_sheet(path), str(path))]
    if not readings:
        raise UsageError("sheets_empty", paths=[str(path) for path in args.read])
    about = say("eval_read", count=len(readings), sheets=len(args.read))
    if not args.json:
        header = [say("article"), say("sentences"), *LABELS, say("publishable")]
        print(table(article_rows(readings), header, right=range(1, len(header))) + "\n")
    _print(args, measure_readings(readings), about)
    return 0


def _seeds(given: str) -> list[int]:
    from composer.errors import UsageError

    seeds = [part.strip() for part in given.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in seeds):
        raise UsageError("seeds_wrong", given=given[:80])
    return list(dict.fromkeys(map(int, seeds)))


def _print(args: argparse.Namespace, measures: dict[str, Measure], about: str) -> None:
    from composer.commands.terminal import measure_table
    from composer.evaluation.report import as_json

    print(as_json(measures) if args.json else f"{about}\n\n{measure_table(measures)}")
