"""A whole article, places and pictures together: the sequence shown against the author's, by Edit and Kendall.

Two libraries: all photographs of the split, from which the pipeline may show nothing, and the article's own, all of
which must appear (as with ``--use-image``), so that only their order counts. Captions are not written: sections ask for
pictures, as in ``composer.evaluation.retrieval``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from composer.article.model import Slot
from composer.evaluation.choices import Found, found_in
from composer.evaluation.dataset import EvaluationGallery
from composer.evaluation.placement import Placer, ruled_placer, task_of
from composer.evaluation.placement_baselines import evenly_spaced
from composer.evaluation.report import Measure
from composer.evaluation.selection import accuracy
from composer.evaluation.sequence_metrics import edit_similarity, kendall_agreement
from composer.pipeline.selection import Considered, choose
from composer.settings import IllustrationSettings
from retrieval.candidates import Query
from vision.interfaces import JointEncoder
from vision.training.dataset import TrainingArticle


def measure_illustration(
    articles: Sequence[TrainingArticle],
    gallery: EvaluationGallery,
    encoder: JointEncoder,
    placer: Placer,
    settings: IllustrationSettings,
) -> dict[str, Measure]:
    """``placement_edit`` and ``placement_kendall`` from the whole gallery, ``placement_own_…`` from the article's own
    pictures (only articles with at least two). References: the same with evenly spaced places.
    """
    numbers = {figure.image: row for row, figure in enumerate(gallery.figures)}
    told = [article for article in articles if any(block.kind == "paragraph" for block in article.blocks)]
    truth = [list(dict.fromkeys(numbers[b.image] for b in article.blocks if b.image is not None)) for article in told]
    scores: dict[str, dict[str, np.ndarray]] = {}
    for way, place in (("placed", placer), ("evenly", ruled_placer(evenly_spaced))):
        queries: list[Query] = []
        spans = []
        for article, true in zip(told, truth, strict=True):
            passages = task_of(article).passages
            places = place(article.title, passages, min(len(true), len(passages)))
            spans.append(range(len(queries), len(queries) + len(places)))
            queries += [Query(caption=f"{article.title}. {passages[i].text}") for i in places]
        found = found_in(gallery, encoder, queries)
        shown = [_shown(found, span, settings, None) for span in spans]
        several = [i for i, true in enumerate(truth) if len(true) > 1 and len(spans[i]) == len(true)]
        own = [_shown(found, spans[i], settings, truth[i]) for i in several]
        scores[way] = {
            "edit": np.array([edit_similarity(s, t) for s, t in zip(shown, truth, strict=True)]),
            "kendall": np.array([kendall_agreement(s, t) for s, t in zip(shown, truth, strict=True)]),
            "own_edit": np.array([edit_similarity(s, truth[i]) for s, i in zip(own, several, strict=True)]),
            "own_kendall": np.array([kendall_agreement(s, truth[i]) for s, i in zip(own, several, strict=True)]),
        }
    return {
        f"placement_{name}": accuracy(values, float(scores["evenly"][name].mean()), "similarity")
        for name, values in scores["placed"].items()
        if len(values)
    }


def _shown(found: Found, queries: range, settings: IllustrationSettings, own: list[int] | None) -> list[int]:
    """The rows of the pictures shown, in the article's order; all of ``own`` where that is the library."""
    considered = []
    for position, query in enumerate(queries):
        known = found.candidates[query]
        rows = own or sorted(known, key=lambda row: -known[row].fused)[: settings.candidates]
        considered.append(Considered(Slot(position, ""), tuple(known[row] for row in rows)))
    ids = frozenset(c.record.id for entry in considered for c in entry.candidates) if own is not None else frozenset()
    placements = choose(considered, settings, required=ids)
    return [int(placement.chosen.id) for placement in placements if placement.chosen is not None]
