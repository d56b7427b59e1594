"""Lets the language model judge candidates: yes against no for each, as Qwen3-VL-Reranker asks; scored, never sampled.

Every prompt about an article begins with the same turns, so a model that keeps its key-value cache reads it once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from retrieval.candidates import Candidate
from retrieval.tokens import cjk_share
from vision.interfaces import Message

if TYPE_CHECKING:
    from PIL.Image import Image

    from vision.interfaces import Prompt, VisionLanguageModel

MAX_TEXT_CHARACTERS = 160  # of a candidate's text in the prompt; what follows rarely tells look-alikes apart
NO_TEXT = {"zh": "（没有文字说明）"}
NO_TEXT_DEFAULT = "(no description)"


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask about candidates.

    ``turns`` are earlier messages (the article), the same for all questions about it. The last user message is
    ``before`` and a candidate; the answer begins with ``answer_prefix`` and goes on with ``yes`` or ``no``.
    ``caption_language`` picks among a record's captions.
    """

    before: str
    answer_prefix: str
    turns: tuple[Message, ...] = ()
    caption_language: str = "en"
    yes: str = "yes"
    no: str = "no"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Candidates in the order given, each with the model's ``log_prob``.

    ``none_log_prob`` is that of showing nothing, an option of even odds; the log-probabilities of all options
    together are normalised. It is None where there were no candidates.
    """

    candidates: tuple[Candidate, ...]
    none_log_prob: float | None = None


def rerank(
    model: VisionLanguageModel,
    asked: Sequence[tuple[Question, Sequence[Candidate]]],
    *,
    images: Mapping[str, Image] | None = None,
) -> list[Judgement]:
    """Let the model judge the candidates of every question, all of them in one batch.

    ``images`` by record id are shown beside the texts where the model sees images. Raises the model's own errors.
    """
    shown = images if images and model.sees_images else {}
    prompts: list[Prompt] = []
    options: list[list[str]] = []
    for question, candidates in asked:
        prompts += [candidate_prompt(question, candidate, shown) for candidate in candidates]
        options += [[answer_of(question, question.yes), answer_of(question, question.no)]] * len(candidates)
    scores = iter(model.score_batch(prompts, options) if prompts else [])
    return [_judgement(candidates, list(islice(scores, len(candidates)))) for _, candidates in asked]


def candidate_prompt(question: Question, candidate: Candidate, images: Mapping[str, Image]) -> Prompt:
    """What is asked about one candidate, which is shown where ``images`` has it by its record's id."""
    asked = question.before.rstrip() + "\n\n"
    text = _words(candidate, question)
    image = images.get(candidate.record.id)
    content: tuple[str | Image, ...]
    if image is None:
        content = (asked + (text or NO_TEXT.get(question.caption_language, NO_TEXT_DEFAULT)),)
    else:
        content = (asked, image, f" {text}") if text else (asked, image)
    answer = (Message.of("assistant", question.answer_prefix.rstrip()),) if question.answer_prefix.strip() else ()
    return (*question.turns, Message("user", content), *answer)


def _words(candidate: Candidate, question: Question) -> str:
    """What the library says of the picture, on one line."""
    record = candidate.record
    text = record.caption_in(question.caption_language) or record.alt or ", ".join(record.tags or record.guessed_tags)
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT_CHARACTERS else text[: MAX_TEXT_CHARACTERS - 1].rstrip() + "…"


def answer_of(question: Question, option: str) -> str:
    """The option as it continues the answer."""
    return continuing(question.answer_prefix, option)


def continuing(prefix: str, text: str) -> str:
    """The text as it goes on after a prefix: behind a space, except at the start and in a script without spaces."""
    prefix = prefix.rstrip()
    return (
        text if not prefix or cjk_share(prefix[-1]) or not (prefix[-1].isalnum() or prefix[-1] in ":,.") else f" {text}"
    )


def _judgement(candidates: Sequence[Candidate], scores: Sequence[Sequence[float]]) -> Judgement:
    if not candidates:
        return Judgement(())
    *logs, none = _normalised([*(yes - no for yes, no in scores), 0.0])
    judged = (replace(candidate, log_prob=log) for candidate, log in zip(candidates, logs, strict=True))
    return Judgement(tuple(judged), none)


def _normalised(logs: Sequence[float]) -> list[float]:
    top = max(logs)
    total = top + math.log(sum(math.exp(value - top) for value in logs))
    return [value - total for value in logs]
