"""One training run of the joint encoder: data and recipe in, a folder that ``load_open_clip_encoder`` reads out.

Settings are judged on books of the training split that a trial fit did not see; the weights that are kept are then
fitted on all of it. The development split is only reported. Prints nothing.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vision.errors import DataError
from vision.joint_checkpoint import CONFIG_FILE, SHIPPED, TRAINED_FILE, FolderCheckpoint, ShippedCheckpoint
from vision.training.contrastive import refine
from vision.training.data import Figure, figures_of, read_articles
from vision.training.features import PairFeatures, Progress, pair_features
from vision.training.model_card import card
from vision.training.projection import Projection, fit_ridge, recalls
from vision.training.recipe import JointRecipe

VALIDATION_SHARE = 0.15
REPORT_FILE, CARD_FILE = "training.json", "README.md"


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """Recalls are among all pictures of the set named. ``development`` is empty where the data have no dev split."""

    recipe: JointRecipe
    figures: int
    books: int
    validation_books: tuple[str, ...]
    validation_figures: int
    validation: dict[str, float]
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

    held_out = validation_books(figures)
    unseen = np.array([figure.book in held_out for figure in figures])
    trial = fit(train.take(~unseen), recipe, progress)
    final = fit(train, recipe, progress)
    report = TrainingReport(
        recipe,
        len(figures),
        len({figure.book for figure in figures}),
        held_out,
        int(unseen.sum()),
        recalls(trial, train.take(unseen)),
        len(development),
        recalls(final, dev) if development else {},
        round(featured - started, 1),
        round(time.monotonic() - featured, 1),
    )
    _write(out, checkpoint, final, report)
    return report


def fit(pairs: PairFeatures, recipe: JointRecipe, progress: Progress = lambda *_: None) -> Projection:
    """The recipe's projections for these pairs; the same seed gives the same bytes on the same machine."""
    projection = fit_ridge(pairs, recipe.penalty, recipe.caption_share)
    return refine(projection, pairs, recipe, progress) if recipe.steps else projection


def validation_books(figures: Sequence[Figure]) -> tuple[str, ...]:
    """Whole books, smallest first, until they hold a share of all pictures: neighbours in a book are no strangers.

    Raises DataError where there is only one book.
    """
    sizes = Counter(figure.book for figure in figures)
    if len(sizes) < 2:
        raise DataError("the training split has one book; validation needs at least two, told apart by their `book`")
    chosen: list[str] = []
    for book, _ in sorted(sizes.items(), key=lambda item: (item[1], item[0]))[:-1]:
        if sum(sizes[b] for b in chosen) >= VALIDATION_SHARE * len(figures):
            break
        chosen.append(book)
    return tuple(chosen)


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


def _write(out: Path, checkpoint: ShippedCheckpoint, projection: Projection, report: TrainingReport) -> None:
    from safetensors.numpy import save_file

    tensors = {"visual.head.proj.weight": projection.image.T, "text.proj.weight": projection.text.T}
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, out / TRAINED_FILE)
    _write_json(out / CONFIG_FILE, dict(checkpoint.config))
    _write_json(out / REPORT_FILE, asdict(report))
    (out / CARD_FILE).write_text(card(report), encoding="utf-8")


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
