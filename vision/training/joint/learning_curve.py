"""How much unseen books gain from more pairs, and from which of the two fits."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vision.training import Progress
from vision.training.charts import draw_chart, require_charts
from vision.training.joint.cross_validation import Projector, cross_validate
from vision.training.joint.features import PairFeatures, class_features, pair_features
from vision.training.joint.recipe import JointRecipe
from vision.training.joint.regression_fit import fit_network, fit_regression
from vision.training.joint.train import fetched_towers, read_figures

SHARES = (0.25, 0.5, 1.0)
_DRAWN = "alt_r10"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """``pairs``: training pairs of a fold on average. ``recalls`` as ``cross_validate`` gives them."""

    fit: str
    pairs: int
    recalls: dict[str, float]


def measure_learning(
    data: Path, out: Path, recipe: JointRecipe, progress: Progress = lambda *_: None
) -> list[CurvePoint]:
    """The recipe's fits to growing shares of the data, as ``learning.csv`` and ``learning.svg`` in ``out``.

    Uses the features a run left in ``out/cache``, and makes them where they are missing. Raises as ``train_joint``.
    """
    require_charts()
    figures, development = read_figures(data)
    towers = fetched_towers(recipe)
    pairs = pair_features([*figures, *development], towers, out / "cache", progress).take(np.arange(len(figures)))
    classes = class_features(towers, out / "cache", progress) if recipe.class_share else None
    first_classes = classes and classes.of_first_tower(pairs.towers[0])

    def network(part: PairFeatures) -> Projector:
        first = part.of_first_tower
        return fit_network(fit_regression(first, recipe, first_classes), first, recipe, first_classes)

    fits = {"network": network, "regression": lambda part: fit_regression(part, recipe, classes)}
    points = learning_curve(pairs, [figure.book for figure in figures], fits, seed=recipe.seed, progress=progress)
    _write_csv(out / "learning.csv", points)
    own = {name: [point for point in points if point.fit == name] for name in fits}
    lines = {name: ([p.pairs for p in some], [p.recalls[_DRAWN] for p in some]) for name, some in own.items()}
    draw_chart(out / "learning.svg", f"{_DRAWN} on unseen books", "training pairs", lines, doubling=True)
    return points


def learning_curve(
    pairs: PairFeatures,
    books: Sequence[str],
    fits: Mapping[str, Callable[[PairFeatures], Projector]],
    *,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> list[CurvePoint]:
    """Every fit on every share of each fold's training pairs, drawn at random but the same for all fits."""
    found: list[CurvePoint] = []
    for share in SHARES:
        for name, fit in fits.items():
            sizes: list[int] = []

            def on_part(
                train: PairFeatures,
                share: float = share,
                fit: Callable[[PairFeatures], Projector] = fit,
                sizes: list[int] = sizes,
            ) -> Projector:
                size = max(2, round(share * len(train.images)))
                sizes.append(size)
                return fit(train.take(np.random.default_rng(seed).permutation(len(train.images))[:size]))

            recalls = cross_validate(pairs, books, on_part, seed=seed).recalls
            found.append(CurvePoint(name, round(float(np.mean(sizes))), recalls))
            progress("fits", len(found), len(fits) * len(SHARES))
    return found


def _write_csv(file: Path, points: Sequence[CurvePoint]) -> None:
    names = sorted({name for point in points for name in point.recalls})
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["fit", "pairs", *names])
        for point in points:
            writer.writerow([point.fit, point.pairs, *(f"{point.recalls[name]:.4f}" for name in names)])
