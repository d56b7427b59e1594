"""Charts of training runs as SVG files, drawn by matplotlib, which comes with the extra ``train``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vision.errors import ModelError

Line = tuple[Sequence[float], Sequence[float]]


def require_charts() -> None:
    """Raises ModelError where matplotlib is missing: better before hours of training than after."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ModelError("package_for_training", package="matplotlib") from error


def draw_chart(
    file: Path, title: str, across: str, lines: Mapping[str, Line], *, dots: Line | None = None, doubling: bool = False
) -> None:
    """Lines by name over the quantity ``across``, which with ``doubling`` has a logarithmic axis."""
    from matplotlib.figure import Figure

    chart = Figure(figsize=(7.2, 4), layout="constrained")
    axes = chart.add_subplot(title=title, xlabel=across)
    axes.grid(alpha=0.3)
    if dots is not None:
        axes.plot(*dots, ".", color="C0", alpha=0.4)
    for name, line in lines.items():
        axes.plot(*line, label=name, marker="o" if doubling else "")
    if doubling:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    if len(lines) > 1:
        axes.legend()
    chart.savefig(file, metadata={"Date": None})
