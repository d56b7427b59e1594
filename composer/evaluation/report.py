"""What an evaluation or a benchmark found, as a table for people and as one JSON object."""

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

    def as_json(self) -> dict[str, object]:
        """Value and unit, with reference, ratio and interval where there are any."""
        out: dict[str, object] = {"value": round(self.value, 6), "unit": self.unit}
        if self.reference is not None:
            out["reference"] = round(self.reference, 6)
            out["ratio"] = round(self.ratio, 6) if self.ratio is not None else None
        if self.low is not None and self.high is not None:
            out["interval"] = [round(self.low, 6), round(self.high, 6)]
        return out


def as_json(measures: Mapping[str, Measure]) -> str:
    """One line: measure → what ``Measure.as_json`` says of it."""
    return json.dumps({name: measure.as_json() for name, measure in measures.items()}, ensure_ascii=False)


def table_rows(measures: Mapping[str, Measure]) -> list[tuple[str, ...]]:
    """Name, value with unit, interval, reference and ratio of every measure, empty where there is none."""
    return [
        (
            name,
            f"{m.value:.3f} {m.unit}",
            f"{m.low:.3f} to {m.high:.3f}" if m.low is not None and m.high is not None else "",
            f"{m.reference:.3f}" if m.reference is not None else "",
            f"{m.ratio:.2f}" if m.ratio is not None else "",
        )
        for name, m in measures.items()
    ]
