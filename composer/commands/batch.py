"""``vignette batch``: many articles from one file. All work is done in ``composer.batch``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.options import add_command, add_formats, add_json, at_least, library_argument, settle_library

if TYPE_CHECKING:
    from composer.batch.article_job import Again, BatchConfig
    from composer.batch.requests import BatchJob
    from composer.batch.runner import OpenComposers
    from composer.commands.options import Subparsers

EXAMPLES = """\
examples:
  vignette batch requests.jsonl --library ~/my-library --out articles
  vignette batch requests.csv --library ~/my-library --out articles --workers 4
  vignette batch requests.jsonl --library ~/my-library --out articles --json | jq .failed

One request a line, for instance:
  {"instruction": "A day on the farm", "images": 3, "seed": 7}
  {"instruction": "如何养好一只宠物", "language": "zh", "words": 800}
  {"illustrate": "trip.md", "use_images": ["boat.jpg"], "filters": {"licenses": ["CC BY"]}}
or as CSV, the first line naming the columns:
  instruction,images,seed,settings.writing.temperature
  A day on the farm,3,7,0.5

Paths are relative to the file. Each article gets a folder of its own, named by line and instruction; run the same
command again and only what is missing is made. report.html in --out shows all articles, summary.json says what became
of every line. Exit code 0: all there; 1: some failed; 2: wrong usage; 130: interrupted, run it again to go on.
"""


def register(subparsers: Subparsers) -> None:
    parser = add_command(
        subparsers,
        "batch",
        "make many articles from a file of requests",
        run,
        description="Make many articles from a JSONL or CSV file, one request a line.",
        examples=EXAMPLES,
    )
    parser.add_argument("requests", type=Path, metavar="REQUESTS", help="a .jsonl file, or .csv with a header line")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the articles' folders go")
    parser.add_argument(
        "--library",
        type=library_argument,
        metavar="DIR",
        help="the library of requests that name none (default: the one used last, else the sample)",
    )
    parser.add_argument(
        "--profile", metavar="NAME", help="which models to use (default: auto, the best that this machine can run)"
    )
    add_formats(parser, default="md,html")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="articles at once (default: as many as the model decodes together)"
    )
    parser.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="who composes: this program, or workers of Ray"
    )
    parser.add_argument("--ray-address", metavar="ADDRESS", default="", help="a Ray cluster (default: start one here)")
    parser.add_argument("--fail-fast", action="store_true", help="begin no other article once one has failed")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--update", action="store_true", help="make articles whose request has changed again")
    again.add_argument("--force", action="store_true", help="make all articles again")
    add_json(parser, "print the summary as JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    from composer.batch.report import say
    from composer.batch.requests import read_jobs
    from composer.batch.runner import ComposersHere, run_batch
    from composer.batch.summary import REPORT, counts
    from composer.batch.terminal import HEADER_KEYS, table_rows
    from composer.commands.terminal import table

    jobs = read_jobs(args.requests)
    _check_usage(args, jobs)
    config = _config(args)
    open_composers: OpenComposers = ComposersHere
    if args.engine == "ray":
        from composer.batch.ray_composers import RayComposers

        open_composers = partial(RayComposers, address=args.ray_address)
    summary = run_batch(
        jobs, config, sys.stderr, workers=args.workers, fail_fast=args.fail_fast, open_composers=open_composers
    )
    if args.json:
        import json

        print(json.dumps(summary.as_json(), ensure_ascii=False, indent=2))
    else:
        outcomes = summary.all()
        number = counts(outcomes)
        print(table(table_rows(outcomes), [say(key) for key in HEADER_KEYS], right=(0, 2, 3, 4)))
        print("\n" + say("counts_pending" if number["pending"] else "counts", **number))
        print(config.out_dir / REPORT)
    return 0 if summary.succeeded else 1


def _config(args: argparse.Namespace) -> BatchConfig:
    from composer.batch.article_job import BatchConfig
    from composer.commands.profiles import settings_for
    from composer.errors import ComposerError
    from composer.export import parse_formats
    from composer.export.export import check_available
    from composer.export.picture_export import ExportedPictureSettings
    from composer.settings import DEFAULT_PROFILE

    formats = parse_formats(args.format)
    check_available(formats)
    pictures = ExportedPictureSettings(args.max_image_px, args.originals)
    settings = settings_for(args.profile or DEFAULT_PROFILE, args.library)
    again: Again = "all" if args.force else "changed" if args.update else "missing"
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ComposerError("not_written", path=str(args.out), reason=error.strerror) from error
    return BatchConfig(args.out, args.library or Path(), settings, formats, again, pictures)


def _check_usage(args: argparse.Namespace, jobs: Sequence[BatchJob]) -> None:
    at_least(1, workers=args.workers)
    if any(job.request and job.library is None for job in jobs):
        args.library_default = "read"
        settle_library(args)
