"""``vignette bench``: how fast this machine writes, and against what. All work is done in ``composer.benchmarks``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.options import add_command, add_json, at_least, library_argument, settle_library

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from composer.evaluation.report import Measure
    from composer.settings import Settings

EXAMPLES = """\
examples:
  vignette bench writer                        decoding, a batch of captions, reading a prompt
  vignette bench load --json                   start of a process to its first token, and its memory
  vignette bench article --library ~/pictures  an illustrated article over its text alone
  vignette bench batch --library ~/pictures    eight articles at once
  vignette bench fast --library ~/pictures     --fast against plain writing: speed, repetition, coherence
  vignette bench judge --shape 2B              a judge that sees: an article read once for all its questions
  vignette bench studio                        the page in a browser: opening, editing, ten sessions
  vignette bench index --library ~/pictures    indexing against the encoder alone; an unchanged folder of 100,000 files
  vignette bench memory --library ~/pictures   what indexing 50,000 pictures takes of memory at its peak
  vignette bench search --library ~/pictures   a query among a million vectors: time, and how many neighbours it finds
  vignette bench stores --library ~/pictures   Milvus beside FAISS: the same found, and a million records in both
  vignette bench ray --library ~/pictures      indexing on Ray against plain indexing; one core, two cores

With llama-cpp-python installed (pip install llama-cpp-python) every figure has llama.cpp's beside it, same file, same
threads, taken in turns. bench studio needs Chromium and Playwright (pip install playwright), no model.
Stop other work on the machine first.
"""


def register(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "bench", "measure this machine against a reference", run, examples=EXAMPLES)
    parser.add_argument(
        "what",
        choices=(
            *("writer", "article", "load", "batch", "fast", "judge", "studio"),
            *("index", "memory", "search", "stores", "ray"),
        ),
        help="what to measure",
    )
    parser.add_argument("--model", metavar="NAME|FILE.gguf", help="the writer (default: that of the profile)")
    parser.add_argument("--profile", metavar="NAME", default="embedded", help="profile to measure (default: embedded)")
    parser.add_argument(
        "--library",
        metavar="DIR",
        type=library_argument,
        help="library to take pictures from (default: the one used last, else the sample)",
    )
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of both engines (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds to take medians of (default: 5)")
    parser.add_argument(
        "--reference",
        choices=("auto", "llama.cpp", "transformers", "none"),
        default="auto",
        help="engine to compare with (default: llama.cpp where installed)",
    )
    parser.add_argument(
        "--shape",
        choices=("0.8B", "2B"),
        default="0.8B",
        help="size of the random Qwen3.5 that judges (judge; default: 0.8B)",
    )
    parser.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="made records or vectors (stores, search; default: 1,000,000), or pictures (ray; default: 4,000)",
    )
    parser.add_argument("--chromium", metavar="PATH", default="", help="browser (studio; default: from the PATH)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from composer.benchmarks.memory_bandwidth import bench_limit
    from composer.benchmarks.runner import bench_load, bench_writer, pick_reference
    from composer.commands.terminal import measure_table, say
    from composer.evaluation.report import as_json

    at_least(1, threads=args.threads, rounds=args.rounds, count=args.count)
    reference = None
    if args.what == "studio":
        measures, reference = _studio(args), "goal"
    elif args.what in ("index", "memory", "search", "ray"):
        measures, reference = _pictures(args), "goal"
    elif args.what == "stores":
        measures, reference = _stores(args), "FAISS"
    elif args.what == "judge":
        measures, reference = _judge(args), "generate"
    elif args.what in ("article", "fast"):
        measures = _article(args)
    else:
        reference = pick_reference(args.reference)
        if reference is None and args.reference == "auto":
            _tell(say("no_reference"))
        model = _model(args)
        if args.what == "batch":
            measures = _batch(args, model, reference)
        else:
            bench = bench_writer if args.what == "writer" else bench_load
            measures = bench(model, threads=args.threads, rounds=args.rounds, reference=reference, progress=_tell)
        if args.what == "writer":
            measures |= bench_limit(model, args.threads)
    if args.json:
        print(as_json(measures))
    else:
        print(measure_table(measures, reference or ""))
    return 0


def _studio(args: argparse.Namespace) -> dict[str, Measure]:
    from composer.benchmarks.studio import Load, bench_studio, find_browser

    return bench_studio(find_browser(args.chromium), _tell, Load(rounds=args.rounds))


def _pictures(args: argparse.Namespace) -> dict[str, Measure]:
    from composer.benchmarks.library import SEARCHED, bench_index, bench_memory, bench_search
    from composer.benchmarks.ray_indexing import PICTURES, bench_ray
    from composer.pipeline.loading import load_encoder

    library, settings = _library(args)
    if args.what == "ray":
        return bench_ray(args.profile, library, rounds=args.rounds, progress=_tell, count=args.count or PICTURES)
    if args.what == "search":
        return bench_search(library, progress=_tell, count=args.count or SEARCHED)
    if args.what == "memory":
        return bench_memory(args.profile, library, progress=_tell)
    return bench_index(load_encoder(settings), library, rounds=args.rounds, progress=_tell)


def _stores(args: argparse.Namespace) -> dict[str, Measure]:
    from composer.benchmarks.stores import RECORDS, bench_stores
    from composer.pipeline.loading import load_encoder

    library, settings = _library(args)
    return bench_stores(library, load_encoder(settings), progress=_tell, count=args.count or RECORDS)


def _judge(args: argparse.Namespace) -> dict[str, Measure]:
    from composer.benchmarks.judge import bench_judge

    return bench_judge(args.shape, threads=args.threads, rounds=args.rounds, progress=_tell)


def _article(args: argparse.Namespace) -> dict[str, Measure]:
    from composer.benchmarks.article import bench_article
    from composer.benchmarks.batch import bench_fast

    library, settings = _library(args)
    bench = bench_article if args.what == "article" else bench_fast
    return bench(settings, library, rounds=args.rounds, progress=_tell)


def _batch(args: argparse.Namespace, model: Path, reference: str | None) -> dict[str, Measure]:
    from composer.benchmarks.batch import bench_batch

    library, settings = _library(args)
    settings = replace(settings, writer=replace(settings.writer, model=str(model), threads=args.threads))
    return bench_batch(
        settings, library, model, threads=args.threads, rounds=args.rounds, reference=reference, progress=_tell
    )


def _library(args: argparse.Namespace) -> tuple[Path, Settings]:
    from composer.commands.profiles import settings_for

    args.library_default = "read"
    settle_library(args)
    return args.library, settings_for(args.profile)


def _model(args: argparse.Namespace) -> Path:
    from composer.commands.profiles import settings_for
    from composer.errors import UsageError
    from vision.downloads.checkpoints import gguf_file

    name = args.model
    if not name:
        writer = settings_for(args.profile).writer
        if writer.kind != "gguf":
            raise UsageError("no_gguf_writer", profile=args.profile)
        name = writer.model
    return gguf_file(name)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
