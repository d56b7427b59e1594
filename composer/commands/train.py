"""``vignette train``: train what ships with Vignette, on your own machine and data. Work: ``vision.training``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from vision.training.bridge.recipe import StepsRecipe
    from vision.training.bridge.train import RunReport

Recipe = TypeVar("Recipe", bound="StepsRecipe")

EXAMPLES = """\
examples:
  vignette train joint --data openstax --out trained
  vignette train joint --data openstax --out trained --recipe mine.toml
  vignette eval retrieval --data openstax --encoder trained
  vignette train joint --out trained --export checkpoint     one plain open_clip folder, to load elsewhere
  vignette train joint --export checkpoint                   the same of the encoder that ships with Vignette
  vignette train fusion --data openstax --encoder trained    weights of looks, meaning and words for that encoder

The data folder holds train.jsonl (and dev.jsonl, which is only reported), one article a line: id, book, title, blocks.
A run that was cut off goes on where it was; the same recipe and seed give the same weights.
"""
DEFAULT_RECIPE = "joint-kernel"
BRIDGE_EXAMPLES = """\
examples:
  vignette train bridge --data openstax --out my-bridge --recipe bridge-tiny
  vignette train lora --data openstax --bridge my-bridge --out my-model --recipe lora-tiny
  vignette index ~/Pictures --library ~/my-library --describe my-bridge

Recipes: NAME-tiny (135M model, two cores), NAME-embedded (1.5B model, two cores, hours), NAME-gpu. A run that was cut
off goes on where it was and ends with the same weights; losses stand in a CSV file and a picture of --out.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _parser(
        subparsers,
        "train",
        "train the encoder or a bridge on illustrated articles",
        "Train parts of Vignette on illustrated articles.",
        EXAMPLES,
    )
    kinds = parser.add_subparsers(dest="part", metavar="PART", required=True)
    joint = _parser(
        kinds,
        "joint",
        "the text–image encoder that finds pictures",
        "Train the joint encoder, or export it as an open_clip checkpoint.",
        EXAMPLES,
    )
    joint.add_argument("--data", metavar="DIR", type=Path, help="the folder with train.jsonl and its pictures")
    joint.add_argument("--out", metavar="DIR", type=Path, help="where the trained encoder goes, or lies already")
    joint.add_argument("--recipe", metavar="NAME", default=DEFAULT_RECIPE, help="a recipe's name or .toml file")
    joint.add_argument("--seed", metavar="N", type=int, help="instead of the recipe's seed")
    joint.add_argument("--export", metavar="DIR", type=Path, help="write a self-contained open_clip folder")
    joint.add_argument(
        "--curve",
        action="store_true",
        help="instead of training: unseen books over growing data, OUT/learning.csv and .svg",
    )
    joint.set_defaults(run=run_joint)
    fusion = _parser(
        kinds,
        "fusion",
        "how much looks, meaning and words count in search",
        "Fit the search's fusion weights to the unseen books of a joint encoder's training.",
        EXAMPLES,
    )
    fusion.add_argument("--data", metavar="DIR", type=Path, required=True, help="what the encoder was trained on")
    fusion.add_argument(
        "--encoder", metavar="DIR", type=Path, required=True, help="the --out of `vignette train joint`"
    )
    fusion.set_defaults(run=run_fusion)
    bridge = _parser(
        kinds,
        "bridge",
        "stage 1: lets a language model see through a vision tower",
        "Train a bridge from a frozen vision tower to a frozen language model on captioned pictures.",
        BRIDGE_EXAMPLES,
    )
    lora = _parser(
        kinds,
        "lora",
        "stage 2: tunes the language model behind a bridge on the tasks of composing",
        "Train a LoRA behind a bridge: where a picture belongs, its caption, which of several fits.",
        BRIDGE_EXAMPLES,
    )
    lora.add_argument("--bridge", metavar="DIR", type=Path, required=True, help="a folder of `vignette train bridge`")
    for part, recipe in ((bridge, "bridge-tiny"), (lora, "lora-tiny")):
        part.add_argument("--data", metavar="DIR", type=Path, required=True, help="the folder with train.jsonl")
        part.add_argument("--out", metavar="DIR", type=Path, required=True, help="where the trained weights go")
        part.add_argument("--recipe", metavar="NAME", default=recipe, help="a recipe's name or .toml file")
        part.add_argument("--seed", metavar="N", type=int, help="instead of the recipe's seed")
    bridge.set_defaults(run=run_bridge)
    lora.set_defaults(run=run_lora)


def _parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    about: str,
    description: str,
    epilog: str,
) -> argparse.ArgumentParser:
    return subparsers.add_parser(
        name,
        help=about,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def run_joint(args: argparse.Namespace) -> int:
    from composer.errors import UsageError

    if args.data is None and args.export is None:
        raise UsageError("--data is missing; name the folder with train.jsonl, or --export DIR to export only")
    if args.data is not None:
        if args.out is None:
            raise UsageError("--out is missing; name a folder for the trained encoder")
        _curve(args) if args.curve else _train(args)
    if args.export is not None:
        from vision.training.joint.train import export_open_clip

        print(export_open_clip(args.out, args.export))
    return 0


def _curve(args: argparse.Namespace) -> None:
    from vision.training.joint.recipe import load_joint_recipe
    from vision.training.joint.train import measure_learning

    points = measure_learning(args.data, args.out, load_joint_recipe(args.recipe), _tell)
    print(file=sys.stderr)
    for point in points:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in point.recalls.items())
        print(f"{point.fit}, {point.pairs} pairs: {figures}")


def _train(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from vision.training.joint.recipe import load_joint_recipe
    from vision.training.joint.train import train_joint

    recipe = load_joint_recipe(args.recipe)
    if args.seed is not None:
        recipe = replace(recipe, seed=args.seed)
    report = train_joint(args.data, args.out, recipe, _tell)
    print(file=sys.stderr)
    for name, figures in (
        ("unseen books, by folds", report.unseen_books),
        (f"dev ({report.development_figures})", report.development),
    ):
        if figures:
            print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    print(args.out)


def run_fusion(args: argparse.Namespace) -> int:
    from dataclasses import fields

    from composer.evaluation.fit_fusion import fit_fusion
    from vision.training.dataset import figures_of, read_articles

    figures = figures_of(read_articles(args.data, "train"))
    found = fit_fusion(args.encoder, figures, lambda done, total: _tell("books", done, total))
    print(file=sys.stderr)
    for field in fields(found.weights):
        print(f"{field.name} = {getattr(found.weights, field.name):.3f}")
    print(f"min_fused = {found.min_fused:.2f}")
    return 0


def run_bridge(args: argparse.Namespace) -> int:
    from vision.training.bridge.recipe import BridgeRecipe, load_steps_recipe

    recipe = _seeded(load_steps_recipe(args.recipe, BridgeRecipe), args.seed)
    from vision.training.bridge.train import train_bridge

    _report_run(train_bridge(args.data, args.out, recipe, _tell), args.out)
    return 0


def run_lora(args: argparse.Namespace) -> int:
    from vision.training.bridge.recipe import LoraRecipe, load_steps_recipe

    recipe = _seeded(load_steps_recipe(args.recipe, LoraRecipe), args.seed)
    from vision.training.bridge.train import train_lora

    _report_run(train_lora(args.data, args.bridge, args.out, recipe, _tell), args.out)
    return 0


def _seeded(recipe: Recipe, seed: int | None) -> Recipe:
    from dataclasses import replace

    return recipe if seed is None else replace(recipe, seed=seed)


def _report_run(report: RunReport, out: Path) -> None:
    print(file=sys.stderr)
    for task, own in report.nats_own.items():
        other = report.nats_other[task]
        print(f"{task}: {own:.3f} nats a token with its own pictures, {other:.3f} with others (books held back)")
    print(out)


def _tell(what: str, done: int, total: int) -> None:
    print(f"\r{what}: {done}/{total}   ", end="", file=sys.stderr, flush=True)
