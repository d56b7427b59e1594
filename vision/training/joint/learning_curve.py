"""How unseen books gain from more pairs, and from which kind of fit: what a learning curve shows. Knows no files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vision.training.joint.cross_validation import cross_validate
from vision.training.joint.features import PairFeatures, Progress
from vision.training.joint.linear_fit import Joint

SHARES = (0.25, 0.5, 1.0)
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 640, 360, 56, 30, 150, 44
_COLOURS = ("#1f5fa8", "#c2571a", "#3a8f4d", "#7a4fa3")


@dataclass(frozen=True, slots=True)
class Point:
    """``pairs``: training pairs of a fold on average. ``recalls`` as ``cross_validate`` gives them."""

    fit: str
    pairs: int
    recalls: dict[str, float]


def learning_curve(
    pairs: PairFeatures,
    books: Sequence[str],
    fits: Mapping[str, Callable[[PairFeatures], Joint]],
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> list[Point]:
    """Every fit on every share of each fold's training pairs, drawn at random but the same for all fits."""
    found: list[Point] = []
    total = len(fits) * len(shares)
    for share in shares:
        for name, fit in fits.items():
            sizes: list[int] = []

            def on_part(
                train: PairFeatures, fit: Callable[[PairFeatures], Joint] = fit, sizes: list[int] = sizes
            ) -> Joint:
                size = max(2, round(share * len(train.images)))  # noqa: B023 - called within this turn of the loop
                sizes.append(size)
                return fit(train.take(np.random.default_rng(seed).permutation(len(train.images))[:size]))

            recalls = cross_validate(pairs, books, on_part, seed=seed).recalls
            found.append(Point(name, round(float(np.mean(sizes))), recalls))
            progress("fits", len(found), total)
    return found


def as_csv(points: Sequence[Point]) -> str:
    out = io.StringIO()
    names = sorted({name for point in points for name in point.recalls})
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["fit", "pairs", *names])
    for point in points:
        writer.writerow([point.fit, point.pairs, *(f"{point.recalls[name]:.4f}" for name in names)])
    return out.getvalue()


def as_svg(points: Sequence[Point], measure: str = "alt_r10") -> str:
    """One line a fit over the number of pairs, which doubles from mark to mark. Raises ValueError for no points."""
    if not points:
        raise ValueError("there are no points to draw")
    sizes = sorted({point.pairs for point in points})
    values = [point.recalls[measure] for point in points]
    low, high = np.floor(min(values) * 20) / 20, np.ceil(max(values) * 20 + 0.01) / 20
    span = max(np.log2(sizes[-1] / sizes[0]), 1e-9)

    def at(pairs: int, value: float) -> str:
        x = _LEFT + np.log2(pairs / sizes[0]) / span * (_WIDTH - _LEFT - _RIGHT)
        y = _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    marks = []
    for value in np.arange(low, high + 1e-9, 0.05):
        y = at(sizes[0], float(value)).split(",")[1]
        marks.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        marks.append(f'<text x="{_LEFT - 6}" y="{y}" dy="4" text-anchor="end">{value:.2f}</text>')
    for size in sizes:
        x = at(size, float(low)).split(",")[0]
        marks.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{size}</text>')
    lines = []
    for number, name in enumerate(dict.fromkeys(point.fit for point in points)):
        colour = _COLOURS[number % len(_COLOURS)]
        own = [point for point in points if point.fit == name]
        path = " ".join(at(point.pairs, point.recalls[measure]) for point in own)
        x, y = at(own[-1].pairs, own[-1].recalls[measure]).split(",")
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="{x}" y="{y}" dx="8" dy="4" fill="{colour}">{name}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{_LEFT}" y="18" font-size="14">{measure} on unseen books by training pairs</text>'
        f"{''.join(marks)}{''.join(lines)}</svg>\n"
    )
