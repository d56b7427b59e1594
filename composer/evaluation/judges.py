"""Language models as judges of a choice: by the candidates' words, or by looking.

Asks through ``retrieval.rerank``, as the pipeline does, with the section in the place of the article. Any
``VisionLanguageModel`` can be judged this way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from composer.evaluation.choices import Choice
from composer.evaluation.dataset import EvaluationGallery
from composer.pipeline.reranking import JUDGE_PX, seen
from retrieval.candidates import Candidate
from retrieval.rerank import Question, rerank
from vision.interfaces import Message, VisionLanguageModel
from vision.training.dataset import Figure

if TYPE_CHECKING:
    from PIL.Image import Image

SECTION_CHARACTERS = 600  # of the paragraph's end, next to the picture
BEFORE = (
    "Does the following photograph belong right after this section: does it show what the section speaks of? "
    "Answer yes or no.\n\nPhotograph:"
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``candidates`` in the choice's order with ``log_prob``; ``none_log_prob`` is that of showing nothing."""

    candidates: tuple[Candidate, ...]
    none_log_prob: float

    @property
    def log_odds(self) -> np.ndarray:
        """Of each picture against none."""
        return np.array([c.log_prob for c in self.candidates], float) - self.none_log_prob


def read_section(figure: Figure, wish: str = "") -> tuple[Message, ...]:
    """The conversation in which the model has read what stands before the figure."""
    paragraph = figure.before[-SECTION_CHARACTERS:] or figure.title  # a picture that opens a chapter
    return (
        Message.of("system", "You are an experienced picture editor."),
        Message.of("user", f"A section of the article “{figure.title}”:\n\n{paragraph}{wish}"),
        Message.of("assistant", "I have read the section."),
    )


def question_about(choice: Choice) -> Question:
    return Question(
        before=BEFORE,
        answer_prefix="Answer:",
        turns=read_section(choice.figure, "\n\nA photograph is to stand right after it."),
    )


def judge(
    model: VisionLanguageModel,
    asked: Sequence[tuple[Question, Sequence[Candidate]]],
    *,
    gallery: EvaluationGallery | None = None,
    progress: Progress = lambda *_: None,
) -> list[Verdict]:
    """The model's judgement of every question's candidates. It looks at the pictures of ``gallery`` where one is given.

    Raises ModelError as the model does, ImageError for a picture that cannot be read.
    """
    verdicts = []
    for done, (question, several) in enumerate(asked, 1):
        images = _pictures(gallery, several) if gallery is not None else None
        (judgement,) = rerank(model, [(question, several)], images=images)
        assert judgement.none_log_prob is not None  # a choice has candidates
        verdicts.append(Verdict(judgement.candidates, judgement.none_log_prob))
        progress(done, len(asked))
    return verdicts


def _pictures(gallery: EvaluationGallery, candidates: Sequence[Candidate]) -> Mapping[str, Image]:
    ids = [candidate.record.id for candidate in candidates]
    return {id_: seen(gallery.figures[int(id_)].image, JUDGE_PX) for id_ in ids}
