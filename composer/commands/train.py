"""``vignette train``: train what ships with Vignette, on your own machine and data. Work: ``vision.training``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXAMPLES = """\
examples:
  vignette train joint --data openstax --out trained
  vignette train joint --data openstax --out trained --recipe mine.toml
  vignette eval retrieval --data openstax --encoder trained
  vignette train joint --out trained --export checkpoint     one plain open_clip folder, to load elsewhere
  vignette train joint --export checkpoint                   the same of the encoder that ships with Vignette

The data folder holds train.jsonl (and dev.jsonl, which is only reported), one article a line: id, book, title, blocks.
A run that was cut off goes on where it was; the same recipe and seed give the same weights.
"""
DEFAULT_RECIPE = "joint-ridge"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "train",
        help="train the encoder on illustrated articles",
        description="Train parts of Vignette on illustrated articles.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    kinds = parser.add_subparsers(dest="part", metavar="PART", required=True)
    joint = kinds.add_parser(
        "joint",
        help="the text–image encoder that finds pictures",
        description="Train the joint encoder's projections on frozen towers, or export it as an open_clip checkpoint.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    joint.add_argument("--data", metavar="DIR", type=Path, help="the folder with train.jsonl and its pictures")
    joint.add_argument("--out", metavar="DIR", type=Path, help="where the trained encoder goes, or lies already")
    joint.add_argument("--recipe", metavar="NAME", default=DEFAULT_RECIPE, help="a recipe's name or .toml file")
    joint.add_argument("--seed", metavar="N", type=int, help="instead of the recipe's seed")
    joint.add_argument("--export", metavar="DIR", type=Path, help="write a self-contained open_clip folder")
    joint.set_defaults(run=run_joint)


def run_joint(args: argparse.Namespace) -> int:
    from composer.errors import UsageError

    if args.data is None and args.export is None:
        raise UsageError("--data is missing; name the folder with train.jsonl, or --export DIR to export only")
    if args.data is not None:
        if args.out is None:
            raise UsageError("--out is missing; name a folder for the trained encoder")
        _train(args)
    if args.export is not None:
        from vision.training.joint import export_open_clip

        print(export_open_clip(args.out, args.export))
    return 0


def _train(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from vision.training.joint import train_joint
    from vision.training.recipe import load_joint_recipe

    recipe = load_joint_recipe(args.recipe)
    if args.seed is not None:
        recipe = replace(recipe, seed=args.seed)
    report = train_joint(args.data, args.out, recipe, _tell)
    print(file=sys.stderr)
    for name, size, figures in (
        ("validation books", report.validation_figures, report.validation),
        ("dev", report.development_figures, report.development),
    ):
        if figures:
            print(f"{name} ({size}): " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    print(args.out)


def _tell(what: str, done: int, total: int) -> None:
    print(f"\r{what}: {done}/{total}   ", end="", file=sys.stderr, flush=True)
