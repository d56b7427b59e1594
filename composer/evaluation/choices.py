"""Which of eight pictures belongs to a section? The questions, and what retrieval knows of the answers.

Three kinds of wrong pictures: ``look_alikes`` of the right one (nearest in the joint space; they are the headline),
``best_ranked`` for the section by the library's search, and ``random`` ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from composer.evaluation.dataset import EvaluationGallery
from retrieval.candidates import Candidate, Query
from retrieval.search import Searcher
from vision.errors import DataError
from vision.interfaces import JointEncoder
from vision.training.dataset import Figure

Negatives: TypeAlias = Literal["look_alikes", "best_ranked", "random"]
NEGATIVES: tuple[Negatives, ...] = get_args(Negatives)
COUNT = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """The section around ``figure``, and COUNT rows of the gallery, shuffled; ``truth`` is the right one's place."""

    figure: Figure
    rows: tuple[int, ...]
    truth: int


@dataclass(frozen=True, slots=True)
class Found:
    """What the search answers to each section: ``candidates[q][row]`` is how it judges that picture."""

    candidates: tuple[dict[int, Candidate], ...]

    def fused(self, query: int, rows: Sequence[int]) -> np.ndarray:
        return np.array([self.candidates[query][row].fused for row in rows])

    def of(self, query: int, rows: Sequence[int]) -> list[Candidate]:
        return [self.candidates[query][row] for row in rows]


def search_sections(gallery: EvaluationGallery, encoder: JointEncoder, figures: Sequence[Figure]) -> Found:
    """Every picture of the gallery, judged for every figure's section by the library's own search."""
    queries = [Query(caption=figure.section) for figure in figures]
    return found_in(gallery, encoder, queries)


def found_in(gallery: EvaluationGallery, encoder: JointEncoder, queries: Sequence[Query]) -> Found:
    answers = Searcher(gallery, encoder).search_batch(queries, len(gallery.figures), explained=False) if queries else []
    return Found(tuple({int(candidate.record.id): candidate for candidate in answer} for answer in answers))


def sample_rows(gallery: EvaluationGallery, limit: int, seed: int) -> list[int]:
    """``limit`` figures, all of them for 0, in an order drawn with the seed.

    A smaller limit gives the beginning of a larger one's list, so that its scores serve again.
    """
    drawn: list[int] = np.random.default_rng(seed).permutation(len(gallery.figures)).tolist()
    return drawn[:limit] if limit else drawn


def make_choices(
    gallery: EvaluationGallery, rows: Sequence[int], found: Found, negatives: Negatives, seed: int
) -> list[Choice]:
    """A choice for each of the figures ``rows``; ``found`` belongs to them. Raises DataError for a small gallery."""
    if len(gallery.figures) < COUNT:
        raise DataError("too_few_photographs", least=COUNT, count=len(gallery.figures))
    generator = np.random.default_rng(seed)
    choices = []
    for query, row in enumerate(rows):
        if negatives == "look_alikes":
            worth = gallery.visual @ gallery.visual[row]
        elif negatives == "best_ranked":
            worth = found.fused(query, range(len(gallery.figures)))
        else:
            worth = generator.random(len(gallery.figures))
        order = [int(other) for other in np.argsort(-worth, kind="stable") if other != row]
        shown = generator.permutation([row, *order[: COUNT - 1]]).tolist()
        choices.append(Choice(gallery.figures[row], tuple(shown), shown.index(row)))
    return choices
