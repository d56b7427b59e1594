"""What an evaluation found, as a table for people and as one JSON object. Knows no measure's meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """``reference`` is the value of the baseline this measure is judged against, where there is one.

    ``low`` and ``high`` bound the 95 % bootstrap interval over queries.
    """

    value: float
    unit: str
    reference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.reference if self.reference else None


def as_json(measures: Mapping[str, Measure]) -> str:
    """One line: measure → value and unit, with reference, ratio and interval where there are any."""
    return json.dumps({name: _as_dict(measure) for name, measure in measures.items()}, ensure_ascii=False)


def as_table(measures: Mapping[str, Measure]) -> str:
    rows = [("measure", "value", "95 % interval", "reference", "ratio")]
    for name, m in measures.items():
        interval = f"{m.low:.3f} to {m.high:.3f}" if m.low is not None and m.high is not None else ""
        reference = f"{m.reference:.3f}" if m.reference is not None else ""
        rows.append((name, f"{m.value:.3f}", interval, reference, f"{m.ratio:.2f}" if m.ratio is not None else ""))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _as_dict(measure: Measure) -> dict[str, object]:
    out: dict[str, object] = {"value": round(measure.value, 6), "unit": measure.unit}
    if measure.reference is not None:
        out["reference"] = round(measure.reference, 6)
        out["ratio"] = round(measure.ratio, 6) if measure.ratio is not None else None
    if measure.low is not None and measure.high is not None:
        out["interval"] = [round(measure.low, 6), round(measure.high, 6)]
    return out
