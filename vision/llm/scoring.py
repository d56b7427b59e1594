"""Log-probabilities of given texts as continuations of prompts, in one pass over what the prompts share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.interfaces import Usage
from vision.llm.batch_runner import BatchRunner, SequenceInput
from vision.llm.kv_cache import CachedSequence
from vision.llm.prefill import groups_that_fit, prefill
from vision.llm.sampling import log_softmax_at


def score_answers(
    runner: BatchRunner,
    prompts: Sequence[list[int]],
    answers: Sequence[Sequence[Sequence[int]]],
    context_tokens: int,
    usage: Usage,
) -> list[list[float]]:
    """For each prompt the natural-log probability of each of its answers, summed over the answer's tokens.

    Prompts are read together, as many as one context has room for. Equal answers are run once.
    """
    scores: list[list[float]] = []
    for group in groups_that_fit(runner, prompts, context_tokens):
        read = prefill(runner, [prompts[i] for i in group], [usage] * len(group))
        try:
            for i, (sequence, logits) in zip(group, read, strict=True):
                scores.append(_score(runner, sequence, logits, answers[i], context_tokens))
        finally:
            for sequence, _ in read:
                runner.cache.close(sequence)
    return scores


def _score(
    runner: BatchRunner,
    sequence: CachedSequence,
    logits: np.ndarray,
    answers: Sequence[Sequence[int]],
    context_tokens: int,
) -> list[float]:
    firsts = log_softmax_at(logits[None], [[answer[0] for answer in answers]])[0]
    longer = list(dict.fromkeys(tuple(answer) for answer in answers if len(answer) > 1))
    rest: dict[tuple[int, ...], float] = {}
    for group in _groups(longer, context_tokens, runner.cache.block_tokens):
        rest |= _score_group(runner, sequence, group)
    return [float(first) + rest.get(tuple(answer), 0.0) for first, answer in zip(firsts, answers, strict=True)]


def _groups(answers: list[tuple[int, ...]], most_tokens: int, block_tokens: int) -> list[list[tuple[int, ...]]]:
    """Answers that run together: the copies of the prompt's last block count too."""
    groups: list[list[tuple[int, ...]]] = []
    room = 0
    for answer in answers:
        needed = len(answer) + 2 * block_tokens
        if needed > room:
            groups.append([])
            room = most_tokens
        groups[-1].append(answer)
        room -= needed
    return groups


def _score_group(
    runner: BatchRunner, sequence: CachedSequence, answers: list[tuple[int, ...]]
) -> dict[tuple[int, ...], float]:
    forks: list[CachedSequence] = []
    length = len(sequence)
    try:
        for _ in answers:
            forks.append(runner.cache.fork(sequence, length))
        pieces = [
            SequenceInput(fork, answer[:-1], targets=answer[1:]) for fork, answer in zip(forks, answers, strict=True)
        ]
        return {answer: float(np.sum(values)) for answer, values in zip(answers, runner.run(pieces), strict=True)}
    finally:
        for fork in forks:
            runner.cache.close(fork, remember=False)
