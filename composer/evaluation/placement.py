"""Do pictures stand where the authors put them? F1 of positions, exact and within one paragraph.

Every article is given its true number of pictures; a place is a boundary after a paragraph, and a picture that the
author put before the first paragraph can only be met within one. Each article counts once (the mean of its F1).
Measured twice: on the text as printed, and with its references to figures removed, as someone writes who has no
pictures yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from composer.evaluation.fit_placement import Illustrated
from composer.evaluation.placement_baselines import RULES, Rule
from composer.evaluation.report import Measure
from composer.evaluation.sequence_metrics import f1_within
from composer.pipeline.placement import choose_places
from composer.pipeline.placement_model import HeadedText, PlacementModel, without_references
from vision.errors import DataError
from vision.training.dataset import TrainingArticle
from vision.training.metrics import bootstrap

# The rule that did best on the train split, texts as printed; every placement is judged against it.
BEST_RULE = "references"
BEST_RULE_UNREFERENCED = "every_third"
LEAST_PASSAGES = 3

Placer: TypeAlias = Callable[[str, Sequence[HeadedText], int], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Task:
    """An article to place pictures in. ``before`` are the true positions: passages before each picture."""

    title: str
    passages: tuple[HeadedText, ...]
    before: tuple[int, ...]

    @property
    def illustrated(self) -> Illustrated:
        """The nearest the pipeline can come: a picture before the first passage follows it instead."""
        return Illustrated(self.passages, tuple(max(position, 1) - 1 for position in self.before))

    def unreferenced(self) -> Task:
        return Task(self.title, tuple(map(without_references, self.passages)), self.before)


def task_of(article: TrainingArticle) -> Task:
    passages: list[HeadedText] = []
    before: list[int] = []
    headed = False
    for block in article.blocks:
        if block.kind == "figure":
            before.append(len(passages))
            continue
        if block.kind == "paragraph":
            passages.append(HeadedText(block.text, headed))
        headed = block.kind == "heading"
    return Task(article.title, tuple(passages), tuple(before))


def tasks_of(articles: Sequence[TrainingArticle]) -> list[Task]:
    """Articles with pictures and at least LEAST_PASSAGES paragraphs."""
    tasks = [task_of(article) for article in articles]
    return [task for task in tasks if task.before and len(task.passages) >= LEAST_PASSAGES]


def learned_placer(scorer: PlacementModel) -> Placer:
    """As the pipeline places: scores of all boundaries, then the best spaced choice."""

    def place(_: str, passages: Sequence[HeadedText], count: int) -> Sequence[int]:
        n = len(passages)
        return choose_places(range(n), scorer.scores(passages).tolist(), count, n)

    return place


def ruled_placer(rule: Rule) -> Placer:
    def place(_: str, passages: Sequence[HeadedText], count: int) -> Sequence[int]:
        return rule(passages, count)

    return place


def measure_placement(tasks: Sequence[Task], placer: Placer) -> dict[str, Measure]:
    """``placement_f1`` and ``placement_f1_within1`` of the placer, and those of the rules under their names.

    References are the best rule's figures on the same texts. Raises DataError for no tasks.
    """
    if not tasks:
        raise DataError("no_illustrated_articles")
    measures: dict[str, Measure] = {}
    for kind, texts, best in (
        ("", tasks, BEST_RULE),
        ("unreferenced_", [task.unreferenced() for task in tasks], BEST_RULE_UNREFERENCED),
    ):
        rules = {name: _figures(texts, ruled_placer(rule)) for name, rule in RULES.items()}
        for measure, values in _figures(texts, placer).items():
            measures[f"placement_{kind}{measure}"] = _measured(values, rules[best][measure].mean())
        for name, figures in rules.items():
            for measure, values in figures.items():
                measures[f"placement_{kind}{name}_{measure}"] = _measured(values, None)
    return measures


def _figures(tasks: Sequence[Task], placer: Placer) -> dict[str, np.ndarray]:
    """F1 of every article."""
    places = [placer(task.title, task.passages, len(task.before)) for task in tasks]
    shown = [[place + 1 for place in several] for several in places]  # as passages before the picture
    return {
        "f1": np.array([f1_within(p, task.before, 0) for p, task in zip(shown, tasks, strict=True)]),
        "f1_within1": np.array([f1_within(p, task.before, 1) for p, task in zip(shown, tasks, strict=True)]),
    }


def _measured(values: np.ndarray, reference: float | None) -> Measure:
    result = bootstrap(values, lambda v: float(v.mean()))
    return Measure(result.value, "F1", None if reference is None else float(reference), result.low, result.high)
