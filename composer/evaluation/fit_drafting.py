"""Fits what a draft's sentence is worth on sentences that readers labelled: logistic regression with a small ridge.

The labelled file has one section a line: ``title``, ``heading``, ``facts`` that the writer was given, and ``sentences``
as [draft, label, text] in the drafts' order; the label is fine, absurd, false, empty or off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from composer.pipeline.writing.drafting import DraftSentence, features_of
from composer.sources.support import covered

RIDGE = 3.0  # on standardised columns; weights move by less than a tenth between 1 and 10


@dataclass(frozen=True, slots=True)
class LabelledSentences:
    """Columns of ``features_of`` (n, 4), whether a reader found each fine (n,), and which article it is of (n,)."""

    features: np.ndarray
    fine: np.ndarray
    article: np.ndarray


def read_labels(file: Path, encode: Callable[[Sequence[str]], np.ndarray]) -> LabelledSentences:
    """``encode`` gives unit vectors (n, d) of sentences."""
    features, fine, article = [], [], []
    titles: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        section = json.loads(line)
        if section["title"] not in titles:
            titles.append(section["title"])
        pool = [DraftSentence(text, draft, 0, False, False) for draft, _, text in section["sentences"]]
        vectors = encode([entry.text for entry in pool])
        known = " ".join([section["title"], section["heading"], *section["facts"]])
        given = np.array([covered(entry.text, known) for entry in pool])
        features.append(features_of(pool, vectors @ vectors.T, given))
        fine += [label == "fine" for _, label, _ in section["sentences"]]
        article += [titles.index(section["title"])] * len(pool)
    return LabelledSentences(np.concatenate(features), np.array(fine), np.array(article))


def fit(features: np.ndarray, fine: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (4,) and constant of the log-odds to be fine, by Newton's method."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    columns = np.c_[np.ones(len(features)), (features - mean) / spread]
    ridge = np.diag([0.0, *[RIDGE] * features.shape[1]])
    found = np.zeros(columns.shape[1])
    for _ in range(30):
        odds = 1 / (1 + np.exp(-columns @ found))
        curve = (columns * (odds * (1 - odds))[:, None]).T @ columns + ridge
        found -= np.linalg.solve(curve, columns.T @ (odds - fine) + ridge @ found)
    weights = found[1:] / spread
    return weights, float(found[0] - weights @ mean)


def held_back_odds(labels: LabelledSentences) -> np.ndarray:
    """(n,) log-odds of each sentence by the fit on the other articles."""
    found = np.zeros(len(labels.fine))
    for number in set(labels.article.tolist()):
        own = labels.article == number
        weights, bias = fit(labels.features[~own], labels.fine[~own])
        found[own] = labels.features[own] @ weights + bias
    return found
