"""What readers found, from the sheets they filled: how many of 100 sentences are absurd, false, repeated …"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from composer.errors import UsageError
from composer.evaluation.report import Measure
from composer.evaluation.writing.sheet import LABELS, SheetRow
from vision.training.metrics import bootstrap

GROUPS: dict[str, tuple[str, ...]] = {
    **{label: (label,) for label in LABELS},
    "absurd_or_false": ("absurd", "false"),
    "repeated_or_empty": ("repeated", "empty"),
}


@dataclass(slots=True)
class Reading:
    """One reader's labels of one article; ``publishable`` is None where the reader did not say."""

    article: str
    sentences: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    alts: list[str] = field(default_factory=list)
    publishable: bool | None = None


def readings_of(rows: Sequence[SheetRow], path: str) -> list[Reading]:
    """The articles of one sheet that were read. Raises UsageError for one of which only some sentences are labelled."""
    found: list[Reading] = []
    for name in dict.fromkeys(row.article for row in rows):
        own = [row for row in rows if row.article == name]
        sentences = [row for row in own if row.kind == "sentence"]
        empty = [row.number for row in sentences if not row.label]
        if len(empty) == len(sentences):
            continue
        if empty:
            raise UsageError("sheet_unfinished", path=path, article=name, number=empty[0], count=len(empty))
        labels = {kind: [row.label for row in own if row.kind == kind and row.label] for kind in ("caption", "alt")}
        verdict = [row.label == "yes" for row in own if row.kind == "article" and row.label]
        said = verdict[0] if verdict else None
        found.append(Reading(name, [row.label for row in sentences], labels["caption"], labels["alt"], said))
    return found


def measure_readings(readings: Sequence[Reading]) -> dict[str, Measure]:
    """Over all readings. Intervals are over articles where there are several (bootstrap), else over sentences (Wilson):
    sentences of one article are not independent.
    """
    by_article: dict[str, list[str]] = {}
    for reading in readings:
        by_article.setdefault(reading.article, []).extend(reading.sentences)
    measures = {
        name: _per_hundred([(sum(label in labels for label in own), len(own)) for own in by_article.values()])
        for name, labels in GROUPS.items()
    }
    captions = [label for reading in readings for label in reading.captions]
    alts = [label for reading in readings for label in reading.alts]
    verdicts = [reading.publishable for reading in readings if reading.publishable is not None]
    for name, hits, count in (
        ("captions_untrue", sum(label in ("absurd", "false") for label in captions), len(captions)),
        ("captions_fine", captions.count("fine"), len(captions)),
        ("alts_untrue", sum(label in ("absurd", "false") for label in alts), len(alts)),
        ("alts_fine", alts.count("fine"), len(alts)),
        ("publishable", sum(verdicts), len(verdicts)),
    ):
        if count:
            measures[name] = wilson(hits, count, "fraction")
    measures["sentences_read"] = Measure(sum(map(len, by_article.values())), "sentences")
    measures["articles_read"] = Measure(len(by_article), "articles")
    return measures


def article_rows(readings: Sequence[Reading]) -> list[list[str]]:
    """One line a reading: article, sentences, and of 100 sentences those of each label."""
    return [
        [
            reading.article,
            str(len(reading.sentences)),
            *(f"{100 * reading.sentences.count(label) / len(reading.sentences):.0f}" for label in LABELS),
            {True: "yes", False: "no", None: ""}[reading.publishable],
        ]
        for reading in readings
    ]


def wilson(hits: int, count: int, unit: str, scale: float = 1.0) -> Measure:
    """A share with its 95 % interval by Wilson (JASA 22, 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(hits, count).proportion_ci(method="wilson")
    return Measure(scale * hits / count, unit, None, scale * float(interval.low), scale * float(interval.high))


def _per_hundred(counts: Sequence[tuple[int, int]]) -> Measure:
    if len(counts) == 1:
        return wilson(*counts[0], "per 100 sentences", 100)
    result = bootstrap(np.array(counts, float), lambda several: float(100 * several[:, 0].sum() / several[:, 1].sum()))
    return Measure(result.value, "per 100 sentences", None, result.low, result.high)
