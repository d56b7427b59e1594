"""One training run of the joint encoder: data and recipe in, a folder that ``load_open_clip_encoder`` reads out.

Settings are judged by five folds of books, each measured by a fit that did not see them; the weights that are kept
are then fitted on all of it. The development split is only reported. Prints nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vision.errors import DataError
from vision.joint_checkpoint import CONFIG_FILE, SHIPPED, TRAINED_FILE, FolderCheckpoint, ShippedCheckpoint
from vision.training.data import figures_of, read_articles
from vision.training.features import ClassFeatures, PairFeatures, Progress, class_features, pair_features
from vision.training.folds import cross_validate
from vision.training.kernel import distil, fit_kernel
from vision.training.learning import Point, as_csv, as_svg, learning_curve
from vision.training.model_card import card
from vision.training.projection import Joint, fit_ridge, recalls
from vision.training.recipe import JointRecipe

REPORT_FILE, CARD_FILE = "training.json", "README.md"
LINEAR_PENALTY = 3.0  # the best of 1, 3, 10 by folds
OUT_OF_FOLD_FILE = "out-of-fold.npy"


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """``unseen_books`` is the mean over five folds of books in galleries of about 245 pictures, ``development``
    among all pictures of the dev split, empty where the data have none.
    """

    recipe: JointRecipe
    figures: int
    books: int
    unseen_books: dict[str, float]
    development_figures: int
    development: dict[str, float]
    feature_seconds: float
    fit_seconds: float


def train_joint(data: Path, out: Path, recipe: JointRecipe, progress: Progress = lambda *_: None) -> TrainingReport:
    """Train on ``data/train.jsonl`` and write the encoder to ``out``, features cached in ``out/cache``.

    Raises DataError for unusable data, WeightsError where a tower is not on this machine.
    """
    figures = figures_of(read_articles(data, "train"))
    development = figures_of(read_articles(data, "dev")) if (data / "dev.jsonl").is_file() else []
    checkpoint = ShippedCheckpoint(towers_only=recipe.resize_mode)
    started = time.monotonic()
    pairs = pair_features([*figures, *development], checkpoint, out / "cache", progress)
    featured = time.monotonic()
    train, dev = pairs.take(np.arange(len(figures))), pairs.take(np.arange(len(figures), len(pairs.images)))

    classes = class_features(checkpoint, out / "cache", progress) if recipe.class_share else None
    folds = cross_validate(
        train, [figure.book for figure in figures], lambda part: fit(part, recipe, classes, progress)
    )
    final = fit(train, recipe, classes, progress)
    report = TrainingReport(
        recipe,
        len(figures),
        len({figure.book for figure in figures}),
        folds.recalls,
        len(development),
        recalls(final, dev) if development else {},
        round(featured - started, 1),
        round(time.monotonic() - featured, 1),
    )
    # What the fusion weights are fitted to: pixels as they look in a library that training never saw.
    np.save(out / "cache" / OUT_OF_FOLD_FILE, folds.images)
    _write(out, checkpoint, final, report)
    return report


def fit(
    pairs: PairFeatures,
    recipe: JointRecipe,
    classes: ClassFeatures | None = None,
    progress: Progress = lambda *_: None,
) -> Joint:
    """The recipe's projections for these pairs; the same seed gives the same bytes on the same machine."""
    if recipe.head == "mlp":
        return distil(fit_kernel(pairs, recipe, classes), pairs, recipe, classes, progress)
    projection = fit_ridge(pairs, recipe.penalty, recipe.caption_share, classes, recipe.class_share)
    if not recipe.steps:
        return projection
    from vision.training.contrastive import refine

    return refine(projection, pairs, recipe, progress)


def measure_learning(data: Path, out: Path, recipe: JointRecipe, progress: Progress = lambda *_: None) -> list[Point]:
    """The recipe's fit and a linear one on growing shares of the data, as CSV and SVG in ``out``.

    Uses the features a run left in ``out/cache``, and makes them where they are missing. Raises as ``train_joint``.
    """
    figures = figures_of(read_articles(data, "train"))
    checkpoint = ShippedCheckpoint(towers_only=recipe.resize_mode)
    development = figures_of(read_articles(data, "dev")) if (data / "dev.jsonl").is_file() else []
    pairs = pair_features([*figures, *development], checkpoint, out / "cache", progress)
    classes = class_features(checkpoint, out / "cache", progress) if recipe.class_share else None
    fits: dict[str, Callable[[PairFeatures], Joint]] = {
        "linear": lambda part: fit_ridge(part, LINEAR_PENALTY, recipe.caption_share, classes, recipe.class_share)
    }
    if recipe.head == "mlp":
        fits["network"] = lambda part: fit(part, recipe, classes)
    points = learning_curve(
        pairs.take(np.arange(len(figures))), [figure.book for figure in figures], fits, seed=recipe.seed,
        progress=progress,
    )  # fmt: skip
    (out / "learning.csv").write_text(as_csv(points), encoding="utf-8")
    (out / "learning.svg").write_text(as_svg(points), encoding="utf-8")
    return points


def export_open_clip(source: Path | None, out: Path) -> Path:
    """Write one self-contained open_clip folder from a training run's (None: what ships with Vignette).

    open_clip itself loads it as ``local-dir:OUT``, as long as it stays in place: its configuration must name the
    folder of the text tower by an absolute path. ``load_open_clip_encoder`` reads it anywhere.
    """
    from safetensors.numpy import save_file

    checkpoint = ShippedCheckpoint(source or SHIPPED)
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise DataError(f"--export {out} is not empty; name a new folder")
    tensors = {name: np.ascontiguousarray(value) for name, value in checkpoint.tensors("").items()}
    tensors.setdefault("logit_scale", np.array(np.log(1 / 0.07), np.float32))
    save_file(tensors, out / FolderCheckpoint.weights_name)
    config = json.loads(json.dumps(checkpoint.config))
    place = str(out.resolve())
    config["model_cfg"]["text_cfg"] |= {"hf_model_name": place, "hf_tokenizer_name": place}
    _write_json(out / CONFIG_FILE, config)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        (out / name).write_bytes((checkpoint.text_folder / name).read_bytes())
    return out


def _write(out: Path, checkpoint: ShippedCheckpoint, joint: Joint, report: TrainingReport) -> None:
    from safetensors.numpy import save_file

    tensors = {name: np.ascontiguousarray(value) for name, value in joint.tensors().items()}
    save_file(tensors, out / TRAINED_FILE)
    config = json.loads(json.dumps(checkpoint.config))
    config["model_cfg"]["vision_cfg"] |= joint.vision_cfg
    _write_json(out / CONFIG_FILE, config)
    _write_json(out / REPORT_FILE, asdict(report))
    (out / CARD_FILE).write_text(card(report), encoding="utf-8")


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
