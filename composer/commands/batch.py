"""``vignette batch``: many articles from one file. All work is done in ``composer.batch``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.options import add_command, add_formats, add_json, at_least

if TYPE_CHECKING:
    from composer.batch.article_job import Again, BatchConfig, Composes
    from composer.batch.requests import BatchJob
    from composer.batch.summary import BatchSummary
    from composer.batch.terminal import BatchTerminal
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
    parser.add_argument("--library", type=Path, metavar="DIR", help="the library of requests that name none")
    parser.add_argument("--profile", metavar="NAME", help="which models to use (default: embedded)")
    add_formats(parser, default="md,html")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="articles at once (default: as many as the model decodes together)"
    )
    parser.add_argument("--fail-fast", action="store_true", help="begin no other article once one has failed")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--update", action="store_true", help="make articles whose request has changed again")
    again.add_argument("--force", action="store_true", help="make all articles again")
    add_json(parser, "print the summary as JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    from composer.batch.article_job import existing_outcome
    from composer.batch.requests import read_jobs
    from composer.batch.summary import BatchSummary
    from composer.batch.terminal import BatchTerminal, table

    config = _config(args)
    jobs = read_jobs(args.requests)
    _check_usage(args, jobs)
    summary = BatchSummary(jobs, config)
    terminal = BatchTerminal(sys.stderr, total=len(jobs))
    for job in jobs:
        if (outcome := existing_outcome(job, config)) is not None:
            summary.add(outcome)
            terminal.ended(outcome)
    try:
        if not (args.fail_fast and summary.failed):
            _make_left(summary, terminal, args)
    finally:
        terminal.close()
        report = summary.close()
    if args.json:
        import json

        print(json.dumps(summary.summary(), ensure_ascii=False, indent=2))
    else:
        print(table(summary.all()))
        print(report)
    return 0 if summary.succeeded else 1


def _config(args: argparse.Namespace) -> BatchConfig:
    from composer.batch.article_job import BatchConfig
    from composer.errors import ComposerError
    from composer.export import parse_formats
    from composer.export.export import check_available
    from composer.export.picture_export import ExportedPictureSettings
    from composer.settings import DEFAULT_PROFILE, load_settings

    settings = load_settings(args.profile or DEFAULT_PROFILE)
    formats = parse_formats(args.format)
    check_available(formats)
    pictures = ExportedPictureSettings(args.max_image_px, args.originals)
    again: Again = "all" if args.force else "changed" if args.update else "missing"
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ComposerError("not_written", path=str(args.out), reason=error.strerror) from error
    return BatchConfig(args.out, args.library or Path(), settings, formats, again, pictures)


def _check_usage(args: argparse.Namespace, jobs: Sequence[BatchJob]) -> None:
    from composer.errors import UsageError

    at_least(1, workers=args.workers)
    if args.library is None and any(job.request and job.library is None for job in jobs):
        raise UsageError("batch_library_missing")


def _make_left(summary: BatchSummary, terminal: BatchTerminal, args: argparse.Namespace) -> None:
    """Load the models and make what is missing, showing and noting each article as it ends."""
    from composer.batch.article_job import run_job
    from composer.batch.runner import BatchRun
    from composer.pipeline.model_pool import Workshop
    from image_db.library import Library

    left, config = summary.left(), summary.config
    if not left:
        return
    if any(job.library is None for job in left):
        Library.open(config.library, None).close()  # what is wrong with it is known before models are loaded
    workshop = summary.load(lambda: Workshop.load(config.profile))
    summary.workers = min(args.workers or workshop.workers, len(left))

    def composer_for(job: BatchJob) -> Composes:
        return workshop.composer(config.library_of(job), job.settings(config.profile))

    batch = BatchRun(
        left,
        lambda job, hear: run_job(job, config, composer_for, hear),
        workers=summary.workers,
        fail_fast=args.fail_fast,
    )
    try:
        with closing(batch.updates()) as updates:  # type: ignore[type-var]
            for update in updates:
                terminal(update)
                summary.note(batch.outcomes)
    finally:
        # What ended while the others were being interrupted counts, too.
        summary.note(batch.outcomes)
        summary.usage = workshop.usage
        workshop.close()
