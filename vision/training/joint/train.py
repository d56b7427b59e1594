"""One training run of the joint encoder: data and recipe in, a folder that ``load_open_clip_encoder`` reads out.

Settings are judged by five folds of books, each measured by a fit that did not see them; the weights that are kept
are then fitted on all of it. The development split is only reported. Prints nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.downloads.files import write_atomic
from vision.errors import DataError
from vision.joint_encoder.checkpoint import (
    CONFIG_FILE,
    QUERY_PROJECTION,
    SHIPPED,
    TRAINED_FILE,
    FolderCheckpoint,
    ShippedCheckpoint,
)
from vision.joint_encoder.kernel_regression import REGRESSION_PREFIX
from vision.malloc import memory_kept
from vision.training import Progress
from vision.training.charts import require_charts
from vision.training.dataset import Figure, figures_of, read_articles
from vision.training.joint.cross_validation import FOLDS, CrossValidated, cross_validate, recalls
from vision.training.joint.features import (
    ClassFeatures,
    PairFeatures,
    class_features,
    pair_features,
    read_pairs,
)
from vision.training.joint.recipe import JointRecipe
from vision.training.joint.regression_fit import JointFit, RegressionFit, fit_joint, fit_regression
from vision.training.joint.report import TrainingReport, model_card
from vision.vectors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

REPORT_FILE, CARD_FILE = "training.json", "README.md"
UNSEEN_FOLDER, VECTORS_FILE = Path("cache", "unseen"), "vectors.npz"
TUNED_FOLDS, INNER_FOLDS = 2, 4  # tuning a text tower takes many minutes, so halves of the books must do


@memory_kept()
def train_joint(data: Path, out: Path, recipe: JointRecipe, progress: Progress = lambda *_: None) -> TrainingReport:
    """Train on ``data/train.jsonl`` and write the encoder to ``out``, features cached in ``out/cache``.

    Raises DataError for unusable data, WeightsError where a tower is not on this machine.
    """
    figures, development = read_figures(data)
    if recipe.tuned_layers:
        require_charts()
    started = time.monotonic()
    untuned = pair_features([*figures, *development], fetched_towers(recipe), out / "cache", progress)
    featured = time.monotonic()

    run = JointRun(recipe, out / "cache", progress, figures, untuned.take(np.arange(len(figures))))
    folds, towers, fits = run.cross_validated()
    checkpoint = run.tuned_on(np.arange(len(figures)), "texts") if recipe.tuned_layers else fetched_towers(recipe)
    unseen = np.arange(len(figures), len(untuned.images))
    seen = untuned.images, untuned.widths
    pairs = read_pairs(seen, [*figures, *development], checkpoint, out / "cache", progress, unseen)
    final = fit_joint(pairs.take(np.arange(len(figures))), recipe, run.classes(checkpoint), progress)
    exported = {"unseen_books": folds.recalls_of([fitted.network for fitted in fits])}
    if development:
        exported["development"] = recalls(final.network, pairs.take(unseen))
    report = TrainingReport(
        recipe,
        len(figures),
        len({figure.book for figure in figures}),
        folds.recalls,
        len(development),
        recalls(final.regression, pairs.take(unseen)) if development else {},
        exported,
        round(featured - started, 1),
        round(time.monotonic() - featured, 1),
    )
    _write_unseen(out / UNSEEN_FOLDER, folds, towers, fits)
    _write_encoder(out, checkpoint, final)
    _write_json(out / REPORT_FILE, asdict(report))
    write_atomic(out / CARD_FILE, model_card(report))
    return report


@dataclass(frozen=True, slots=True)
class JointRun:
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
            lambda part: fit_regression(part, self.recipe, known),
            folds=INNER_FOLDS,
        ).images
        tensors = tune_text_tower(
            [self.figures[i] for i in rows], looks, fetched, self.recipe, self.cache / name, self.progress
        )
        return fetched_towers(self.recipe, tensors)

    def cross_validated(self) -> tuple[CrossValidated, list[ShippedCheckpoint], list[JointFit]]:
        """What fits on parts of the books are worth, the towers they stand on, and the fits."""
        towers: list[ShippedCheckpoint] = []
        fits: list[JointFit] = []

        def on_part(part: PairFeatures) -> RegressionFit:
            fits.append(fit_joint(part, self.recipe, self.classes(towers[-1]), self.progress))
            return fits[-1].regression

        def read_again(rows: NDArray[np.int64]) -> PairFeatures:
            tuned = self.recipe.tuned_layers
            towers.append(self.tuned_on(rows, f"texts-{len(towers)}") if tuned else fetched_towers(self.recipe))
            unseen = np.setdiff1d(np.arange(len(self.figures)), rows)
            seen = self.untuned.images, self.untuned.widths
            return read_pairs(seen, self.figures, towers[-1], self.cache, self.progress, unseen)

        folds = TUNED_FOLDS if self.recipe.tuned_layers else FOLDS
        return cross_validate(self.untuned, self.books, on_part, folds=folds, reread=read_again), towers, fits


def read_figures(data: Path) -> tuple[list[Figure], list[Figure]]:
    """Those of the training split, and those of the development split where there is one."""
    development = figures_of(read_articles(data, "dev")) if (data / "dev.jsonl").is_file() else []
    return figures_of(read_articles(data, "train")), development


def fetched_towers(recipe: JointRecipe, tuned: Mapping[str, Array] | None = None) -> ShippedCheckpoint:
    """The recipe's towers with nothing trained on top of them, ``tuned`` tensors inside them apart."""
    return ShippedCheckpoint(
        towers_only=recipe.resize_mode, image_towers=recipe.image_towers, query_tower=recipe.query_tower, tuned=tuned
    )


def export_open_clip(source: Path | None, out: Path) -> Path:
    """Write one self-contained open_clip folder from a training run's (None: what ships with Vignette). Pictures go
    through the network that was fitted to the regression.

    open_clip itself loads it as ``local-dir:OUT``, as long as it stays in place: its configuration must name the
    folder of the text tower by an absolute path. ``load_open_clip_encoder`` reads it anywhere.
    """
    from safetensors.numpy import save_file

    checkpoint = ShippedCheckpoint(source or SHIPPED)
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise DataError("folder_not_empty", folder=str(out))
    beside = (REGRESSION_PREFIX, QUERY_PROJECTION)
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


def _write_unseen(
    folder: Path, folds: CrossValidated, towers: Sequence[ShippedCheckpoint], fits: Sequence[JointFit]
) -> None:
    """What the fusion weights are fitted to: pictures and texts as they look in a library training never saw, and the
    encoders of the folds.
    """
    for number, (tower, fitted) in enumerate(zip(towers, fits, strict=True)):
        _write_encoder(folder / str(number), tower, fitted)
    found: dict[str, Any] = {"images": folds.images, "fold": folds.fold}
    for name in ("alts", "captions", "sections"):
        found[name] = getattr(folds.pairs, name)
        found[f"joint_{name}"] = np.zeros((len(found[name]), folds.images.shape[1]), np.float32)
        for number, fitted in enumerate(fits):
            own = folds.fold == number
            asked = fitted.regression.select_texts(folds.pairs.take(own))
            found[f"joint_{name}"][own] = unit(fitted.regression.embed_texts(getattr(asked, name)))
    np.savez(folder / VECTORS_FILE, **found)


def _write_encoder(out: Path, checkpoint: ShippedCheckpoint, fitted: JointFit) -> None:
    """What ``load_open_clip_encoder`` needs."""
    from safetensors.numpy import save_file

    out.mkdir(parents=True, exist_ok=True)
    trained = fitted.network.tensors() | fitted.regression.tensors()
    tensors = {name: np.ascontiguousarray(value) for name, value in trained.items()}
    # Half precision, to which tuning has rounded them already.
    tensors |= {name: np.ascontiguousarray(value, np.float16) for name, value in checkpoint.tuned.items()}
    save_file(tensors, out / TRAINED_FILE)
    config = json.loads(json.dumps(checkpoint.config))
    config["model_cfg"]["vision_cfg"] |= {"timm_proj": "mlp", "timm_proj_bias": True}
    _write_json(out / CONFIG_FILE, config)


def _write_json(file: Path, value: object) -> None:
    write_atomic(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
