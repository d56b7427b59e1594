"""Lets the language model choose among candidates: options are scored, never sampled.

Two ways of asking. *Listwise*: all candidates stand in one list and the model scores the letters; the list is shown
in several orders and the log-probabilities are averaged, because models favour places in a list. *Pointwise*: one
question a candidate, yes against no, as Qwen3-VL-Reranker asks it. Either way every prompt begins with the same turns,
so a model that keeps its key-value cache reads the article once. Knows no prompts of its own (they come with the
``Question``), no index and no library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from retrieval.candidates import Candidate, log_odds
from retrieval.tokens import cjk_share
from vision.interfaces import Message

if TYPE_CHECKING:
    from PIL.Image import Image

    from vision.interfaces import Prompt, VisionLanguageModel

Mode: TypeAlias = Literal["listwise", "pointwise"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_TEXT_CHARACTERS = 160  # of a candidate's text in the prompt; what follows rarely tells look-alikes apart
NO_TEXT = {"zh": "（没有文字说明）"}
NO_TEXT_DEFAULT = "(no description)"


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask about candidates.

    ``turns`` are earlier messages (the article), the same for all questions about it; ``system`` opens the
    conversation where there are none. The last user message is ``before``, the candidates, ``after``; the answer
    begins with ``answer_prefix``. ``none_text`` is the option of showing nothing (None: there is no such option).
    ``caption_language`` picks among a record's captions. ``yes`` and ``no`` are the answers of pointwise asking.
    """

    before: str
    after: str
    answer_prefix: str
    none_text: str | None
    system: str = ""
    caption_language: str = "en"
    turns: tuple[Message, ...] = ()
    yes: str = "yes"
    no: str = "no"


@dataclass(frozen=True, slots=True)
class RerankWeights:
    """How the model's judgement and retrieval's are put together; see docs/retrieval.md for the origin.

    ``model`` multiplies the model's log-probability, ``retrieval`` the log-odds of ``fused``. ``none`` is added to the
    log-score of showing nothing, whose log-odds stand in for a ``fused`` of one half.
    """

    model: float = 1.0
    retrieval: float = 1.0
    none: float = 0.0

    def __post_init__(self) -> None:
        for name in ("model", "retrieval"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; a weight must not be negative")


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates best first, each with the model's ``log_prob``, normalised over the options ("none" among them).

    ``scores`` are the log-probabilities after fusing with retrieval, falling, in the same order; ``none_log_prob``
    and ``none_score`` are those of showing nothing (None where that was no option).
    """

    candidates: tuple[Candidate, ...]
    scores: tuple[float, ...]
    none_log_prob: float | None = None
    none_score: float | None = None


def rerank(
    model: VisionLanguageModel,
    question: Question,
    candidates: Sequence[Candidate],
    *,
    images: Mapping[str, Image] | None = None,
    orders: int = 2,
    mode: Mode = "listwise",
    weights: RerankWeights | None = None,
) -> Ranking:
    """Let the model judge the candidates, in one batch over their shared prefix.

    ``images`` by record id are shown beside the texts where the model sees images. ``orders`` (listwise) is the
    number of orders averaged over: as many as there are options cancel every additive position bias exactly, two
    cancel one that rises or falls along the list. Raises ValueError for more candidates than there are letters, and
    the model's own errors.
    """
    return rerank_batch(model, [(question, candidates)], images=images, orders=orders, mode=mode, weights=weights)[0]


def rerank_batch(
    model: VisionLanguageModel,
    asked: Sequence[tuple[Question, Sequence[Candidate]]],
    *,
    images: Mapping[str, Image] | None = None,
    orders: int = 2,
    mode: Mode = "listwise",
    weights: RerankWeights | None = None,
) -> list[Ranking]:
    """``rerank`` for several questions at once: all slots of an article share the article as prefix."""
    if orders < 1:
        raise ValueError(f"orders is {orders}; it must be at least 1")
    shown = images if images and model.sees_images else {}
    prompts: list[Prompt] = []
    options: list[list[str]] = []
    spans = []
    for question, candidates in asked:
        limit = len(LETTERS) - (question.none_text is not None)
        if mode == "listwise" and len(candidates) > limit:
            raise ValueError(f"{len(candidates)} candidates are too many for one list; give at most {limit}")
        start = len(prompts)
        if candidates and mode == "listwise":
            for order in _orders(_count(question, candidates), orders):
                prompts.append(_list_prompt(question, candidates, order, shown))
                options.append([_answer(question, letter) for letter in LETTERS[: len(order)]])
        elif candidates:
            for candidate in candidates:
                prompts.append(_single_prompt(question, candidate, shown))
                options.append([_answer(question, question.yes), _answer(question, question.no)])
        spans.append(slice(start, len(prompts)))
    scores = model.score_batch(prompts, options) if prompts else []
    rankings = []
    for (question, candidates), span in zip(asked, spans, strict=True):
        if mode == "listwise":
            logs = _debiased(scores[span], _orders(_count(question, candidates), orders)) if candidates else []
        else:
            logs = _pointwise(scores[span], question.none_text is not None)
        rankings.append(_ranking(candidates, logs, question.none_text is not None, weights or RerankWeights()))
    return rankings


def _count(question: Question, candidates: Sequence[Candidate]) -> int:
    return len(candidates) + (question.none_text is not None)


def _orders(n: int, wanted: int) -> list[list[int]]:
    """Orders of n options such that positions even out: forward and reversed first, then cyclic shifts of both.

    With exactly n orders they are the n cyclic shifts: every option once in every place. Deterministic, so that the
    same question gives the same answer.
    """
    forward = list(range(n))
    if wanted >= n:
        return [forward[shift:] + forward[:shift] for shift in range(n)]
    pairs = -(-wanted // 2)
    found = []
    for pair in range(pairs):
        shift = pair * n // pairs
        turned = forward[shift:] + forward[:shift]
        found += [turned, turned[::-1]]
    return found[:wanted]


def _list_prompt(
    question: Question, candidates: Sequence[Candidate], order: Sequence[int], images: Mapping[str, Image]
) -> Prompt:
    parts: list[str | Image] = [question.before.rstrip() + "\n\n"]
    for letter, option in zip(LETTERS, order, strict=False):
        if option == len(candidates):
            assert question.none_text is not None
            parts.append(f"{letter}. {question.none_text}\n")
        else:
            parts += [f"{letter}. ", *_described(candidates[option], question, images), "\n"]
    return _conversation(question, parts)


def _single_prompt(question: Question, candidate: Candidate, images: Mapping[str, Image]) -> Prompt:
    return _conversation(question, [question.before.rstrip() + "\n\n", *_described(candidate, question, images), "\n"])


def _conversation(question: Question, parts: list[str | Image]) -> Prompt:
    if question.after:
        parts.append("\n" + question.after.strip())
    opening = question.turns or ((Message.of("system", question.system),) if question.system else ())
    answer = (Message.of("assistant", question.answer_prefix.rstrip()),) if question.answer_prefix.strip() else ()
    return (*opening, Message("user", _joined(parts)), *answer)


def _joined(parts: Sequence[str | Image]) -> tuple[str | Image, ...]:
    """Neighbouring texts as one part, the last without white space at its end."""
    joined: list[str | Image] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    if isinstance(joined[-1], str):
        joined[-1] = joined[-1].rstrip()
    return tuple(joined)


def _described(candidate: Candidate, question: Question, images: Mapping[str, Image]) -> list[str | Image]:
    """A candidate as the model meets it: the picture where it may look, and what the library says of it."""
    record = candidate.record
    text = record.caption_in(question.caption_language) or record.alt or ", ".join(record.tags or record.guessed_tags)
    text = " ".join(text.split())
    if len(text) > MAX_TEXT_CHARACTERS:
        text = text[: MAX_TEXT_CHARACTERS - 1].rstrip() + "…"
    image = images.get(record.id)
    if image is None:
        return [text or NO_TEXT.get(question.caption_language, NO_TEXT_DEFAULT)]
    return [image, f" {text}"] if text else [image]


def _answer(question: Question, option: str) -> str:
    """The option as it continues the answer: after a space, except at the start and in a script without spaces."""
    prefix = question.answer_prefix.rstrip()
    return (
        option
        if not prefix or cjk_share(prefix[-1]) or not (prefix[-1].isalnum() or prefix[-1] in ":,.")
        else f" {option}"
    )


def _debiased(scores: Sequence[Sequence[float]], orders: Sequence[Sequence[int]]) -> list[float]:
    """Mean log-probability of each option over the orders, normalised over the options."""
    n = len(orders[0])
    totals = [0.0] * n
    for row, order in zip(scores, orders, strict=True):
        for value, option in zip(_normalised(row), order, strict=True):
            totals[option] += value / len(orders)
    return _normalised(totals)


def _pointwise(scores: Sequence[Sequence[float]], with_none: bool) -> list[float]:
    """Log-odds of yes for each candidate, normalised over the candidates; "none" has even odds."""
    odds = [yes - no for yes, no in scores]
    return _normalised([*odds, 0.0] if with_none else odds)


def _ranking(
    candidates: Sequence[Candidate], logs: Sequence[float], with_none: bool, weights: RerankWeights
) -> Ranking:
    fused = [
        weights.model * log + weights.retrieval * log_odds(candidate.fused)
        for candidate, log in zip(candidates, logs, strict=False)
    ]
    if with_none and candidates:
        fused.append(weights.model * logs[-1] + weights.none)
    scores = _normalised(fused)
    order = sorted(range(len(candidates)), key=lambda i: -scores[i])
    return Ranking(
        candidates=tuple(replace(candidates[i], log_prob=logs[i]) for i in order),
        scores=tuple(scores[i] for i in order),
        none_log_prob=logs[-1] if with_none and candidates else None,
        none_score=scores[-1] if with_none and candidates else None,
    )


def _normalised(logs: Sequence[float]) -> list[float]:
    if not logs:
        return []
    top = max(logs)
    total = top + math.log(sum(math.exp(value - top) for value in logs))
    return [value - total for value in logs]
