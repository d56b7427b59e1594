"""Questions with the answers to learn, in the very tokens a model meets in use, and their loss.

Import it lazily: torch comes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from vision.huggingface.model import HubModel

if TYPE_CHECKING:
    from vision.huggingface.prompt_encoding import EncodedPrompt
    from vision.interfaces import Prompt


@dataclass(frozen=True, slots=True)
class TuningExample:
    """``prompt`` makes the question, with its pictures read when it is asked for. ``closed``: the answer ends the turn.

    ``article`` is what it was made from, so that whole articles are held back.
    """

    task: str
    article: str
    prompt: Callable[[], Prompt]
    answer: str
    closed: bool = True


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """``question`` is kept where it has no pictures; ``tokens`` are those of question and answer."""

    source: TuningExample
    question: EncodedPrompt | None
    answer: tuple[int, ...]
    tokens: int


def encode_examples(
    model: HubModel, examples: Sequence[TuningExample], max_prompt: int, max_answer: int
) -> tuple[list[EncodedExample], int]:
    """Those whose question fits, and how many do not. A longer answer is cut, and then does not end the turn."""
    found: list[EncodedExample] = []
    for example in examples:
        question = model.encoder.encode(example.prompt())
        answer = model.encoder.encode_answer(example.answer, closed=example.closed)[:max_answer]
        if answer and len(question.ids) <= max_prompt:
            kept = None if question.images else question
            found.append(EncodedExample(example, kept, answer, len(question.ids) + len(answer)))
    return found, len(examples) - len(found)


class ExampleLoss:
    """Negative log-probability of the answers' tokens, summed, with their number.

    Questions of words alone are read side by side; one with pictures is read by itself, since architectures batch
    pictures in ways of their own.
    """

    def __init__(self, model: HubModel, examples: Sequence[EncodedExample]) -> None:
        self._model, self._examples = model, examples

    def __call__(self, part: Sequence[int]) -> tuple[torch.Tensor, float]:
        chosen = [self._examples[i] for i in part]
        worded = [example for example in chosen if example.question is not None]
        groups = ([worded] if worded else []) + [[example] for example in chosen if example.question is None]
        sums = [self._sum(group) for group in groups]
        return torch.stack(sums).sum(), float(sum(len(example.answer) for example in chosen))

    def _sum(self, group: Sequence[EncodedExample]) -> torch.Tensor:
        questions = [example.question or self._model.encoder.encode(example.source.prompt()) for example in group]
        width = max(len(q.ids) + len(e.answer) for q, e in zip(questions, group, strict=True))
        ids = torch.zeros(len(group), width, dtype=torch.long)
        mask = torch.zeros(len(group), width, dtype=torch.long)
        labels = torch.full((len(group), width), -100)
        for row, (question, example) in enumerate(zip(questions, group, strict=True)):
            whole = torch.tensor([*question.ids, *example.answer])
            ids[row, : len(whole)], mask[row, : len(whole)] = whole, 1
            labels[row, len(question.ids) : len(whole)] = whole[len(question.ids) :]
        positions, extra = torch.arange(width).expand(len(group), -1), {}
        if len(group) == 1:
            (question,), length = questions, len(group[0].answer)
            after = question.positions.max() + 1 + torch.arange(length)
            positions = torch.cat([question.positions, after.expand(*question.positions.shape[:-1], -1)], dim=-1)
            positions = positions[..., None, :]
            padded = {name: functional.pad(value, (0, length)) for name, value in question.aligned.items()}
            extra = padded | question.pixels
        # Only positions before an answer's token need logits, the dearest part for a large vocabulary.
        first = int((labels >= 0).nonzero()[:, 1].min()) - 1
        logits = self._model.forward.logits(ids, positions, mask, torch.arange(first, width - 1), extra)
        targets = labels[:, first + 1 :].to(logits.device)
        return functional.cross_entropy(logits.float().transpose(1, 2), targets, reduction="sum")


@torch.no_grad()
def nats_by_task(model: HubModel, examples: Sequence[EncodedExample], at_once: int) -> dict[str, float]:
    """Mean loss a token of the answers, for each task and as ``all`` for all tokens together."""
    sums: dict[str, float] = {}
    tokens: dict[str, float] = {}
    order = sorted(range(len(examples)), key=lambda i: (examples[i].source.task, examples[i].tokens, i))
    loss = ExampleLoss(model, examples)
    while order:
        task = examples[order[0]].source.task
        part = [i for i in order[:at_once] if examples[i].source.task == task]
        order = order[len(part) :]
        value, count = loss(part)
        for name in (task, "all"):
            sums[name] = sums.get(name, 0.0) + float(value)
            tokens[name] = tokens.get(name, 0.0) + count
    return {task: sums[task] / tokens[task] for task in sorted(sums)}
