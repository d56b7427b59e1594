"""A loss curve as an SVG picture: every step as a dot, a moving mean as a line. Knows no training."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 720, 360, 56, 40, 36, 16
_SMOOTH = 0.9


def draw(steps: Sequence[int], values: Sequence[float], *, title: str) -> str:
    """A standalone SVG document. Raises ValueError for sequences that are empty or of different lengths."""
    if not steps or len(steps) != len(values):
        raise ValueError(f"{len(steps)} steps came with {len(values)} values; give as many, and at least one")
    low, high = min(values), max(values)
    high = high if high > low else low + 1.0
    first, last = steps[0], max(steps[-1], steps[0] + 1)

    def at(step: float, value: float) -> tuple[float, float]:
        across = _LEFT + (step - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)
        down = _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return round(across, 1), round(down, 1)

    points = [at(step, value) for step, value in zip(steps, values, strict=True)]
    line = [at(step, value) for step, value in zip(steps, _smoothed(values), strict=True)]
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="1.5"/>' for x, y in points)
    path = " ".join(f"{x},{y}" for x, y in line)
    marks = []
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + part * (high - low)
        _, y = at(first, value)
        marks.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        marks.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.3g}</text>')
        step = first + part * (last - first)
        x, _ = at(step, low)
        marks.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{round(step)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/><text x="{_LEFT}" y="20" font-size="14">{escape(title)}</text>'
        f'{"".join(marks)}<g fill="#9db7d5">{dots}</g>'
        f'<polyline points="{path}" fill="none" stroke="#1f5fa8" stroke-width="2"/>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">step</text></svg>\n'
    )


def _smoothed(values: Sequence[float]) -> list[float]:
    """An exponential mean that does not begin at the first value alone."""
    mean = weight = 0.0
    out = []
    for value in values:
        mean = _SMOOTH * mean + (1 - _SMOOTH) * value
        weight = _SMOOTH * weight + (1 - _SMOOTH)
        out.append(mean / weight)
    return out
