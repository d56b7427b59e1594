"""``vignette eval wordless``: what a library gives without its words. Work: ``composer.evaluation.library``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from composer.commands.index import DRAFTS
from composer.commands.options import add_command, add_json, add_library, add_profile

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from composer.evaluation.library.wordless import Shown

EXAMPLES = """\
examples:
  vignette eval wordless --library sample                      by looks alone
  vignette eval wordless --library sample --describe drafts    with drafts, as `vignette index` makes them
  vignette eval wordless --library sample --searches           words typed, no texts: loads no language model
"""


def add_wordless(kinds: Subparsers) -> None:
    about = "twelve texts illustrated from a library without its words: is what is shown of the kind that is meant?"
    kind = add_command(kinds, "wordless", about, run, examples=EXAMPLES)
    add_library(kind)
    kind.add_argument("--describe", choices=(DRAFTS,), help="give the pictures drafts, as indexing does")
    kind.add_argument("--searches", action="store_true", help="the texts' headings as words typed; no texts")
    add_profile(kind, measured=True)
    add_json(kind, "print one JSON object instead of tables")


def run(args: argparse.Namespace) -> int:
    from tempfile import TemporaryDirectory

    from composer.commands.profiles import settings_for
    from composer.commands.terminal import measure_table, printable, progress_of, say, table
    from composer.evaluation.library.wordless import (
        illustrated,
        measure_shown,
        own_requests,
        searched,
        without_words,
    )
    from composer.evaluation.report import as_json
    from composer.pipeline.loading import load_drafting, load_encoder, load_pipeline_over
    from image_db.library import Library
    from image_db.metadata.generate import draft_wordless
    from retrieval.search import Searcher

    settings, requests = settings_for(args.profile), own_requests()
    encoder = load_encoder(settings)
    with TemporaryDirectory() as folder, Library.open(args.library, encoder.identity) as told:
        bare = without_words(told, Path(folder))
        if args.describe:
            with progress_of(say("pictures_described")) as draw:
                draft_wordless(bare, encoder, load_drafting(settings, encoder), draw)
        searcher = Searcher(bare, encoder)
        found = list(searched(searcher, bare, told, requests))
        measures = measure_shown("wordless_search", found)
        placed: list[Shown] = []
        if not args.searches:
            pipeline = load_pipeline_over(settings, encoder, bare, searcher)
            with progress_of(say("articles")) as draw:
                placed = list(illustrated(pipeline, told, requests, draw))
            measures |= measure_shown("wordless_place", placed)
        about = say("eval_wordless", count=len(bare), library=args.library, described=bare.with_text)
        bare.close()
    if args.json:
        print(as_json(measures))
    else:
        for shown in filter(None, (found, placed)):
            print(table([[printable(cell) for cell in each.as_row] for each in shown]) + "\n")
        print(f"{about}\n\n{measure_table(measures)}")
    return 0
