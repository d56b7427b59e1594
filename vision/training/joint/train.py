"""One training run of the joint encoder: data and recipe in, a folder that ``load_open_clip_encoder`` reads out.

Settings are judged by five folds of books, each measured by a fit that did not see them; the weights that are kept
are then fitted on all of it. The development split is only reported. Prints nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.errors import DataError
from vision.joint_encoder.checkpoint import (
    CONFIG_FILE,
    QUERY_PROJECTION,
    SHIPPED,
    TRAINED_FILE,
    FolderCheckpoint,
    ShippedCheckpoint,
)
from vision.joint_encoder.kernel_regression import KERNEL_PREFIX
from vision.malloc import memory_kept
from vision.training.dataset import Figure, figures_of, read_articles
from vision.training.joint.cross_validation import FOLDS, CrossValidated, cross_validate
from vision.training.joint.features import (
    ClassFeatures,
    PairFeatures,
    Progress,
    class_features,
    pair_features,
    read_pairs,
)
from vision.training.joint.kernel_fit import KeptKernel, distil, fit_kernel
from vision.training.joint.learning_curve import Point, as_csv, as_svg, learning_curve
from vision.training.joint.linear_fit import Joint, fit_ridge, recalls
from vision.training.joint.model_card import card
from vision.training.joint.recipe import JointRecipe
from vision.vectors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

REPORT_FILE, CARD_FILE = "training.json", "README.md"
LINEAR_PENALTY = 3.0  # the best of 1, 3, 10 by folds
UNSEEN_FOLDER, VECTORS_FILE = Path("cache", "unseen"), "vectors.npz"
TUNED_FOLDS, INNER_FOLDS = 2, 4  # tuning a text tower takes many minutes, so halves of the books must do


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """``unseen_books`` is the mean over folds of books in galleries of about 245 pictures, ``development`` among all
    pictures of the dev split, empty where the data have none. ``exported`` are the same two of what open_clip reads,
    where that is not what Vignette reads.
    """

    recipe: JointRecipe
    figures: int
    books: int
    unseen_books: dict[str, float]
    development_figures: int
    development: dict[str, float]
    exported: dict[str, dict[str, float]]
    feature_seconds: float
    fit_seconds: float


@memory_kept()
def train_joint(data: Path, out: Path, recipe: JointRecipe, progress: Progress = lambda *_: None) -> TrainingReport:
    """Train on ``data/train.jsonl`` and write the encoder to ``out``, features cached in ``out/cache``.

    Raises DataError for unusable data, WeightsError where a tower is not on this machine.
    """
    figures = figures_of(read_articles(data, "train"))
    development = figures_of(read_articles(data, "dev")) if (data / "dev.jsonl").is_file() else []
    started = time.monotonic()
    untuned = pair_features([*figures, *development], _towers(recipe), out / "cache", progress)
    featured = time.monotonic()

    run = _Run(recipe, out / "cache", progress, figures, untuned.take(np.arange(len(figures))))
    folds, towers = run.cross_validated()
    checkpoint = run.tuned_on(np.arange(len(figures)), "texts") if recipe.tuned_layers else _towers(recipe)
    unseen = np.arange(len(figures), len(untuned.images))
    seen = untuned.images, untuned.widths
    pairs = read_pairs(seen, [*figures, *development], checkpoint, out / "cache", progress, unseen)
    final = fit(pairs.take(np.arange(len(figures))), recipe, run.classes(checkpoint), progress)
    report = TrainingReport(
        recipe,
        len(figures),
        len({figure.book for figure in figures}),
        folds.recalls,
        len(development),
        recalls(final, pairs.take(unseen)) if development else {},
        _exported(final, pairs.take(unseen), folds),
        round(featured - started, 1),
        round(time.monotonic() - featured, 1),
    )
    _write_unseen(out / UNSEEN_FOLDER, folds, towers)
    _write_encoder(out, checkpoint, final)
    _write_json(out / REPORT_FILE, asdict(report))
    (out / CARD_FILE).write_text(card(report), encoding="utf-8")
    return report


@dataclass(frozen=True, slots=True)
class _Run:
    """What the fits of one run share: ``untuned`` are the pairs of ``figures`` as the fetched towers read them."""

    recipe: JointRecipe
    cache: Path
    progress: Progress
    figures: Sequence[Figure]
    untuned: PairFeatures

    @property
    def books(self) -> list[str]:
        return [figure.book for figure in self.figures]

    def classes(self, tower: ShippedCheckpoint) -> ClassFeatures | None:
        return class_features(tower, self.cache, self.progress) if self.recipe.class_share else None

    def tuned_on(self, rows: NDArray[np.int64], name: str) -> ShippedCheckpoint:
        """A text tower tuned on these rows. What pixels say of them comes from fits that have not seen their books."""
        from vision.training.joint.text_tower import tune_text_tower

        fetched = ShippedCheckpoint(towers_only=self.recipe.resize_mode)
        known = self.classes(fetched)
        looks = cross_validate(
            self.untuned.of_first_tower.take(rows),
            [self.figures[i].book for i in rows],
            lambda part: first_fit(part, self.recipe, known),
            folds=INNER_FOLDS,
        ).images
        tensors = tune_text_tower(
            [self.figures[i] for i in rows], looks, fetched, self.recipe, self.cache / name, self.progress
        )
        return _towers(self.recipe, tensors)

    def cross_validated(self) -> tuple[CrossValidated, list[ShippedCheckpoint]]:
        """Fits on parts of the books, and the towers they stand on."""
        towers: list[ShippedCheckpoint] = []

        def on_part(part: PairFeatures) -> Joint:
            return fit(part, self.recipe, self.classes(towers[-1]), self.progress)

        def read_again(rows: NDArray[np.int64]) -> PairFeatures:
            tuned = self.recipe.tuned_layers
            towers.append(self.tuned_on(rows, f"texts-{len(towers)}") if tuned else _towers(self.recipe))
            unseen = np.setdiff1d(np.arange(len(self.figures)), rows)
            seen = self.untuned.images, self.untuned.widths
            return read_pairs(seen, self.figures, towers[-1], self.cache, self.progress, unseen)

        folds = TUNED_FOLDS if self.recipe.tuned_layers else FOLDS
        return cross_validate(self.untuned, self.books, on_part, folds=folds, reread=read_again), towers


def _towers(recipe: JointRecipe, tuned: Mapping[str, Array] | None = None) -> ShippedCheckpoint:
    return ShippedCheckpoint(
        towers_only=recipe.resize_mode, image_towers=recipe.image_towers, query_tower=recipe.query_tower, tuned=tuned
    )


def first_fit(pairs: PairFeatures, recipe: JointRecipe, classes: ClassFeatures | None) -> Joint:
    """What the first tower's pixels say, for texts to be tuned to: the fit before it is pressed into a network."""
    if recipe.head == "mlp":
        return fit_kernel(pairs, recipe, classes)
    return fit_ridge(pairs, recipe.penalty, recipe.caption_share, classes, recipe.class_share)


def fit(
    pairs: PairFeatures,
    recipe: JointRecipe,
    classes: ClassFeatures | None = None,
    progress: Progress = lambda *_: None,
) -> Joint:
    """The recipe's projections for these pairs; the same seed gives the same bytes on the same machine."""
    if recipe.head == "mlp":
        first = pairs.of_first_tower
        known = classes and classes.of_first_tower(first.images.shape[1])
        network = distil(fit_kernel(first, recipe, known), first, recipe, known, progress)
        return KeptKernel(fit_kernel(pairs, recipe, classes).rounded(), network) if recipe.keep_kernel else network
    projection = fit_ridge(pairs, recipe.penalty, recipe.caption_share, classes, recipe.class_share)
    if not recipe.steps:
        return projection
    from vision.training.joint.contrastive import refine

    return refine(projection, pairs, recipe, progress)


def measure_learning(data: Path, out: Path, recipe: JointRecipe, progress: Progress = lambda *_: None) -> list[Point]:
    """The recipe's fits and a linear one on growing shares of the data, as CSV and SVG in ``out``.

    Uses the features a run left in ``out/cache``, and makes them where they are missing. Raises as ``train_joint``.
    """
    figures = figures_of(read_articles(data, "train"))
    checkpoint = _towers(recipe)
    development = figures_of(read_articles(data, "dev")) if (data / "dev.jsonl").is_file() else []
    pairs = pair_features([*figures, *development], checkpoint, out / "cache", progress)
    classes = class_features(checkpoint, out / "cache", progress) if recipe.class_share else None
    known = classes and classes.of_first_tower(pairs.towers[0])
    fits: dict[str, Callable[[PairFeatures], Joint]] = {
        "linear": lambda part: fit_ridge(
            part.of_first_tower, LINEAR_PENALTY, recipe.caption_share, known, recipe.class_share
        )
    }
    if recipe.head == "mlp":
        exported = replace(recipe, keep_kernel=False, image_towers=recipe.image_towers[:1], query_tower="")
        fits["network"] = lambda part: fit(part.of_first_tower, exported, known)
    if recipe.keep_kernel:
        fits["kernel"] = lambda part: fit_kernel(part, recipe, classes)
    points = learning_curve(
        pairs.take(np.arange(len(figures))), [figure.book for figure in figures], fits, seed=recipe.seed,
        progress=progress,
    )  # fmt: skip
    (out / "learning.csv").write_text(as_csv(points), encoding="utf-8")
    (out / "learning.svg").write_text(as_svg(points), encoding="utf-8")
    return points


def export_open_clip(source: Path | None, out: Path) -> Path:
    """Write one self-contained open_clip folder from a training run's (None: what ships with Vignette). Where the run
    kept its kernel, pictures go through the network that was fitted to it.

    open_clip itself loads it as ``local-dir:OUT``, as long as it stays in place: its configuration must name the
    folder of the text tower by an absolute path. ``load_open_clip_encoder`` reads it anywhere.
    """
    from safetensors.numpy import save_file

    checkpoint = ShippedCheckpoint(source or SHIPPED)
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise DataError(f"--export {out} is not empty; name a new folder")
    beside = (KERNEL_PREFIX, QUERY_PROJECTION)
    known = {name: value for name, value in checkpoint.tensors("").items() if not name.startswith(beside)}
    tensors = {name: np.ascontiguousarray(value) for name, value in known.items()}
    tensors.setdefault("logit_scale", np.array(np.log(1 / 0.07), np.float32))
    save_file(tensors, out / FolderCheckpoint.weights_name)
    config = json.loads(json.dumps(checkpoint.config))
    for name in ("image_towers", "query_tower"):  # what stands beside the network
        config["vignette"].pop(name, None)
    place = str(out.resolve())
    config["model_cfg"]["text_cfg"] |= {"hf_model_name": place, "hf_tokenizer_name": place}
    _write_json(out / CONFIG_FILE, config)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        (out / name).write_bytes((checkpoint.text_folder / name).read_bytes())
    return out


def _exported(final: Joint, development: PairFeatures, folds: CrossValidated) -> dict[str, dict[str, float]]:
    """What the networks beside kept kernels are worth."""
    if not isinstance(final, KeptKernel):
        return {}
    found = {
        "unseen_books": folds.recalls_of([joint.network for joint in folds.joints if isinstance(joint, KeptKernel)])
    }
    if len(development.images):
        found["development"] = recalls(final.network, development)
    return found


def _write_unseen(folder: Path, folds: CrossValidated, towers: Sequence[ShippedCheckpoint]) -> None:
    """What the fusion weights are fitted to: pictures and texts as they look in a library training never saw, and the
    encoders of the folds.
    """
    for number, (tower, joint) in enumerate(zip(towers, folds.joints, strict=True)):
        _write_encoder(folder / str(number), tower, joint)
    found: dict[str, Any] = {"images": folds.images, "fold": folds.fold}
    for name in ("alts", "captions", "sections"):
        found[name] = getattr(folds.pairs, name)
        found[f"joint_{name}"] = np.zeros((len(found[name]), folds.images.shape[1]), np.float32)
        for number, joint in enumerate(folds.joints):
            own = folds.fold == number
            asked = joint.told(folds.pairs.take(own))
            found[f"joint_{name}"][own] = unit(joint.read(getattr(asked, name)))
    np.savez(folder / VECTORS_FILE, **found)


def _write_encoder(out: Path, checkpoint: ShippedCheckpoint, joint: Joint) -> None:
    """What ``load_open_clip_encoder`` needs."""
    from safetensors.numpy import save_file

    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.ascontiguousarray(value) for name, value in joint.tensors().items()}
    # Half precision, to which tuning has rounded them already.
    tensors |= {name: np.ascontiguousarray(value, np.float16) for name, value in checkpoint.tuned.items()}
    save_file(tensors, out / TRAINED_FILE)
    config = json.loads(json.dumps(checkpoint.config))
    config["model_cfg"]["vision_cfg"] |= joint.vision_cfg
    _write_json(out / CONFIG_FILE, config)


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
