"""``vignette batch``: many articles from one file. All work is done by ``composer.batch``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from composer.batch import Outcome
    from composer.pipeline import Composer

EXAMPLES = """\
examples:
  vignette batch requests.jsonl --library ~/my-library --out articles
  vignette batch requests.jsonl --library ~/my-library --out articles --json | jq .failed

One request a line, for instance:
  {"instruction": "A day on the farm", "images": 3, "seed": 7}
  {"instruction": "如何养好一只宠物", "language": "zh", "words": 800}
  {"illustrate": "trip.md", "use_images": ["boat.jpg"], "filters": {"licenses": ["CC BY"]}}

Paths are relative to the file. Each article gets a folder of its own, named by line and instruction; run the same
command again and only what is missing is made. summary.json in --out says what became of every line.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "batch",
        help="make many articles from a file of requests",
        description="Make many articles from a JSONL file, one request a line.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("requests", type=Path, metavar="REQUESTS.jsonl", help="the requests, one JSON object a line")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the articles' folders go")
    parser.add_argument("--library", type=Path, required=True, metavar="DIR", help="the library to take pictures from")
    parser.add_argument("--profile", metavar="NAME", help="which models to use (default: embedded)")
    parser.add_argument("--format", default="md,html", metavar="LIST", help="exports to write (default: md,html)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from composer.batch import make, settled, summary, table, write_summary
    from composer.batch_requests import read_jobs
    from composer.errors import ComposerError
    from composer.export import parse_formats
    from composer.settings import DEFAULT_PROFILE, load_settings

    settings = load_settings(args.profile or DEFAULT_PROFILE)
    formats = parse_formats(args.format)
    jobs = read_jobs(args.requests)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ComposerError(f"--out {args.out} cannot be made: {error.strerror}; name another folder") from error

    outcomes: list[Outcome] = []
    composer: Composer | None = None
    for number, job in enumerate(jobs, 1):
        outcome = settled(job, args.out, settings.name)
        if outcome is None:
            if composer is None:
                from composer.parts import load_composer

                composer = load_composer(settings, args.library)
            print(f"[{number}/{len(jobs)}] {job.folder} …", file=sys.stderr, flush=True)
            outcome = make(job, args.out, composer, profile=settings.name, formats=formats)
        outcomes.append(outcome)
        write_summary(outcomes, args.out)
        print(f"[{number}/{len(jobs)}] {job.folder} {_said(outcome)}", file=sys.stderr, flush=True)
    if args.json:
        import json

        print(json.dumps(summary(outcomes), ensure_ascii=False, indent=2))
    else:
        print(table(outcomes))
    return 1 if any(o.status == "failed" for o in outcomes) else 0


def _said(outcome: Outcome) -> str:
    if outcome.status == "failed":
        return f"failed: {outcome.error}"
    if outcome.status == "kept":
        return "kept: it was made before"
    return f"made in {outcome.seconds:.0f} s: {outcome.words} words, {outcome.pictures} pictures"
