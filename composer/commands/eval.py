"""``vignette eval``: measure the parts of composing on articles with known answers. Work: ``composer.evaluation``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.protocol import JointEncoder

EXAMPLES = """\
examples:
  vignette eval retrieval --data openstax
  vignette eval sections --data openstax --split dev --json
  vignette eval retrieval --data openstax --encoder trained/     a folder that `vignette train joint` wrote

The data folder holds SPLIT.jsonl, one article a line: id, book, title, blocks (heading, paragraph, figure), and the
pictures its figures name.
"""
_MEASURES = {
    "retrieval": "alt texts and captions as queries: recall and median rank by pixels, by texts, and fused",
    "sections": "sections of articles as queries: which photograph belongs here?",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "eval",
        help="measure retrieval on illustrated articles",
        description="Measure on articles whose pictures are known.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    kinds = parser.add_subparsers(dest="measure", metavar="WHAT", required=True)
    for name, text in _MEASURES.items():
        kind = kinds.add_parser(name, help=text, description=text[0].upper() + text[1:], allow_abbrev=False)
        kind.add_argument("--data", metavar="DIR", type=Path, required=True, help="the folder with SPLIT.jsonl")
        kind.add_argument("--split", metavar="NAME", default="dev", help="which split to measure on (default: dev)")
        kind.add_argument("--encoder", metavar="MODEL", help="an open_clip checkpoint instead of the profile's encoder")
        kind.add_argument("--profile", metavar="NAME", default="embedded", help="a profile's name or .toml file")
        kind.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
        kind.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from composer.evaluation.gallery import Gallery
    from composer.evaluation.report import as_json, as_table
    from composer.evaluation.retrieval import measure_retrieval, measure_sections
    from vision.joint_checkpoint import file_sha256
    from vision.training.data import figures_of, read_articles

    figures = figures_of(read_articles(args.data, args.split))
    encoder = _encoder(args)
    gallery = Gallery.encode(figures, encoder, _tell)
    print(file=sys.stderr)
    measure = {"retrieval": measure_retrieval, "sections": measure_sections}[args.measure]
    measures = measure(gallery, encoder, file_sha256(args.data / f"{args.split}.jsonl"))
    if args.json:
        print(as_json(measures))
    else:
        print(f"{len(figures)} photographs of {args.data / args.split}, encoder {encoder.identity.name}\n")
        print(as_table(measures))
    return 0


def _encoder(args: argparse.Namespace) -> JointEncoder:
    if args.encoder:
        from vision.joint import load_open_clip_encoder

        return load_open_clip_encoder(args.encoder)
    from composer.parts import load_encoder
    from composer.settings import load_settings

    return load_encoder(load_settings(args.profile))


def _tell(done: int, total: int) -> None:
    print(f"\rpictures: {done}/{total}", end="", file=sys.stderr, flush=True)
