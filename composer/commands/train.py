"""``vignette train``: train what ships with Vignette, on your own machine and data. Work: ``vision.training``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from composer.commands.options import add_command

if TYPE_CHECKING:
    from composer.commands.options import Subparsers
    from vision.training.bridge.train import RunReport
    from vision.training.joint.recipe import JointRecipe
    from vision.training.recipe_loading import StepsRecipe

Recipe = TypeVar("Recipe", bound="StepsRecipe | JointRecipe")

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
DEFAULT_TUNING, DEFAULT_BRIDGED = "tune-lora", "lora-tiny"
PROFILE_FILE = "profile.toml"
LORA_EXAMPLES = """\
examples:
  vignette train lora --data ~/my-articles --model Qwen/Qwen3-0.6B --out my-tuning
  vignette compose "A day on the farm" --library ~/my-library --out farm --profile my-tuning/profile.toml
  vignette train lora --data ~/my-articles --model smollm2-135m-instruct --out my-tuning --recipe tune-tiny
  vignette train lora --data openstax --bridge my-bridge --out my-model --recipe lora-tiny

The articles are Markdown, HTML, Word or EPUB files with their pictures in one folder, or a .jsonl file. Some of them
are held back and measured before and after. Recipes: tune-lora, tune-tiny, tune-qlora (CUDA), tune-prompt, tune-p; with
--bridge lora-tiny, lora-embedded, lora-gpu. A run that was cut off goes on where it was and ends with the same weights.
"""
BRIDGE_EXAMPLES = """\
examples:
  vignette train bridge --data openstax --out my-bridge --recipe bridge-tiny
  vignette index ~/Pictures --library ~/my-library --describe my-bridge

Recipes: bridge-tiny (135M model, two cores), bridge-embedded (1.5B model, two cores, hours), bridge-gpu. A run that was
cut off goes on where it was and ends with the same weights; losses stand in a CSV file and a picture of --out.
"""

CAPTION_RECIPE = "captions-embedded"
CAPTION_EXAMPLES = """\
examples:
  vignette train captions --data openstax --out my-captions
  vignette train captions --data openstax --out my-captions --recipe mine.toml

Minutes on two cores. A run that was cut off goes on where it was; losses stand in CSV files and pictures of --out.
"""


def register(subparsers: Subparsers) -> None:
    about = "train the encoder or a bridge on illustrated articles"
    parts = add_command(subparsers, "train", about, examples=EXAMPLES).add_subparsers(
        dest="part", metavar="PART", required=True
    )
    joint = add_command(
        parts,
        "joint",
        "the text–image encoder that finds pictures",
        run_joint,
        description="Train the joint encoder, or export it as an open_clip checkpoint.",
        examples=EXAMPLES,
    )
    joint.add_argument("--data", metavar="DIR", type=Path, help="the folder with train.jsonl and its pictures")
    joint.add_argument("--out", metavar="DIR", type=Path, help="where the trained encoder goes, or lies already")
    joint.add_argument("--export", metavar="DIR", type=Path, help="write a self-contained open_clip folder")
    joint.add_argument(
        "--curve",
        action="store_true",
        help="instead of training: unseen books over growing data, OUT/learning.csv and .svg",
    )
    fusion = add_command(
        parts,
        "fusion",
        "how much looks, meaning and words count in search",
        run_fusion,
        description="Fit the search's fusion weights to the unseen books of a joint encoder's training.",
        examples=EXAMPLES,
    )
    fusion.add_argument("--data", metavar="DIR", type=Path, required=True, help="what the encoder was trained on")
    fusion.add_argument(
        "--encoder", metavar="DIR", type=Path, required=True, help="the --out of `vignette train joint`"
    )
    bridge = add_command(
        parts,
        "bridge",
        "stage 1: lets a language model see through a vision tower",
        run_bridge,
        description="Train a bridge from a frozen vision tower to a frozen language model on captioned pictures.",
        examples=BRIDGE_EXAMPLES,
    )
    lora = add_command(
        parts,
        "lora",
        "tunes a language model on your own illustrated articles",
        run_lora,
        description="Tune a language model on the tasks of composing: writing, captions, which picture fits.",
        examples=LORA_EXAMPLES,
    )
    captions = add_command(
        parts,
        "captions",
        "what drafts captions of pictures that nobody described",
        run_captions,
        description="Train the bridge from the shipped encoder's space to words, on the data that it learned from.",
        examples=CAPTION_EXAMPLES,
    )
    lora.add_argument("--model", metavar="NAME", help="a hub name, a folder, or a name of `vignette models list`")
    lora.add_argument(
        "--bridge", metavar="DIR", type=Path, help="instead of --model: a folder of `vignette train bridge`"
    )
    lora.add_argument("--data", metavar="PATH", type=Path, required=True, help="the folder with your articles")
    for part in (bridge, captions):
        part.add_argument("--data", metavar="DIR", type=Path, required=True, help="the folder with train.jsonl")
    for part in (bridge, lora, captions):
        part.add_argument("--out", metavar="DIR", type=Path, required=True, help="where the trained weights go")
    recipes = ((joint, DEFAULT_RECIPE), (bridge, "bridge-tiny"), (captions, CAPTION_RECIPE), (lora, None))
    for part, recipe in recipes:
        part.add_argument("--recipe", metavar="NAME", default=recipe, help="a recipe's name or .toml file")
        part.add_argument("--seed", metavar="N", type=int, help="instead of the recipe's seed")


def run_joint(args: argparse.Namespace) -> int:
    from composer.errors import UsageError

    if args.data is None and args.export is None:
        raise UsageError("train_data_missing")
    if args.data is not None:
        if args.out is None:
            raise UsageError("train_out_missing")
        _curve(args) if args.curve else _train(args)
    if args.export is not None:
        from vision.training.joint.train import export_open_clip

        print(export_open_clip(args.out, args.export))
    return 0


def _curve(args: argparse.Namespace) -> None:
    from composer.commands.terminal import progress, say
    from vision.training.joint.learning_curve import measure_learning
    from vision.training.joint.recipe import load_joint_recipe

    with progress() as draw:
        points = measure_learning(args.data, args.out, load_joint_recipe(args.recipe), draw)
    for point in points:
        print(say("learning_point", fit=point.fit, pairs=point.pairs, figures=_figures(point.recalls)))


def _train(args: argparse.Namespace) -> None:
    from composer.commands.terminal import progress, say
    from vision.training.joint.recipe import load_joint_recipe
    from vision.training.joint.train import train_joint

    with progress() as draw:
        report = train_joint(args.data, args.out, _seeded(load_joint_recipe(args.recipe), args.seed), draw)
    if report.unseen_books:
        print(say("unseen_books", figures=_figures(report.unseen_books)))
    if report.development:
        print(say("dev_split", count=report.development_figures, figures=_figures(report.development)))
    print(args.out)


def _figures(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def run_fusion(args: argparse.Namespace) -> int:
    from dataclasses import fields

    from composer.commands.terminal import progress_of, say
    from composer.evaluation.fit_fusion import fit_fusion
    from vision.training.dataset import figures_of, read_articles

    figures = figures_of(read_articles(args.data, "train"))
    with progress_of(say("books")) as progress:
        found = fit_fusion(args.encoder, figures, progress)
    for field in fields(found.weights):
        print(f"{field.name} = {getattr(found.weights, field.name):.3f}")
    print(f"min_fused = {found.min_fused:.2f}")
    return 0


def run_bridge(args: argparse.Namespace) -> int:
    from vision.training.bridge.recipe import BridgeRecipe, load_steps_recipe
    from vision.training.bridge.train import train_bridge

    recipe = _seeded(load_steps_recipe(args.recipe, BridgeRecipe), args.seed)
    return _run_steps(args.out, lambda draw: train_bridge(args.data, args.out, recipe, draw))


def run_lora(args: argparse.Namespace) -> int:
    from composer.errors import UsageError

    if (args.model is None) == (args.bridge is None):
        raise UsageError("tuning_model_missing" if args.model is None else "tuning_model_and_bridge")
    if args.bridge is None:
        return _tune(args)
    from vision.training.bridge.recipe import LoraRecipe, load_steps_recipe
    from vision.training.bridge.train import train_lora

    recipe = _seeded(load_steps_recipe(args.recipe or DEFAULT_BRIDGED, LoraRecipe), args.seed)
    return _run_steps(args.out, lambda draw: train_lora(args.data, args.bridge, args.out, recipe, draw))


def _tune(args: argparse.Namespace) -> int:
    from functools import partial

    from composer.commands.terminal import note, progress, say
    from composer.tuning.articles import read_own_articles
    from composer.tuning.profile import write_profile
    from composer.tuning.tasks import check_articles, make_examples
    from vision.training.tuning.layers import require_peft
    from vision.training.tuning.recipe import load_tuning_recipe
    from vision.training.tuning.train import planned_memory, tune

    require_peft()
    recipe = _seeded(load_tuning_recipe(args.recipe or DEFAULT_TUNING), args.seed)
    articles, left_out = read_own_articles(args.data, args.out)
    for problem in left_out:
        note(say("notice", text=problem))
    check_articles(articles, recipe)
    note(say("tuning_articles", articles=len(articles), pictures=sum(len(article.figures) for article in articles)))
    note(say("tuning_memory", gb=planned_memory(args.model, recipe).total_gb))
    with progress() as draw:
        names = [article.name for article in articles]
        report = tune(args.model, names, partial(make_examples, articles, recipe), args.out, recipe, draw)
    for task in report.before:
        print(say("nats_before_after", task=task, before=report.before[task], after=report.after[task]))
    counts = {"steps": report.steps, "best": report.best_step, "articles": len(report.articles.held_back)}
    note(say("tuning_done", **counts))
    print(write_profile(args.out, args.model, recipe.method, PROFILE_FILE))
    return 0


def run_captions(args: argparse.Namespace) -> int:
    from vision.training.captions.recipe import load_caption_recipe
    from vision.training.captions.train import train_captions

    recipe = _seeded(load_caption_recipe(args.recipe), args.seed)
    return _run_steps(args.out, lambda draw: train_captions(args.data, args.out, recipe, draw))


def _seeded(recipe: Recipe, seed: int | None) -> Recipe:
    return recipe if seed is None else replace(recipe, seed=seed)


def _run_steps(out: Path, train: Callable[[Callable[[str, int, int], None]], RunReport]) -> int:
    from composer.commands.terminal import progress, say

    with progress() as draw:
        report = train(draw)
    for task, own in report.nats_own.items():
        print(say("nats_of_task", task=task, own=own, other=report.nats_other[task]))
    print(out)
    return 0
