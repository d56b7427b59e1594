"""Log-probabilities of given texts as continuations of one prompt, in one pass over the prompt they share.

Works on token ids; knows neither templates nor weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.decoder import Decoder, Piece
from vision.generation import read_prompt
from vision.kv_cache import CachedSequence
from vision.protocol import Usage
from vision.sampling import log_softmax_at


def score_answers(
    decoder: Decoder, ids: list[int], answers: Sequence[Sequence[int]], context_tokens: int, usage: Usage
) -> list[float]:
    """Natural-log probability of each answer after ``ids``, summed over its tokens. Equal answers are run once."""
    sequence, logits = read_prompt(decoder, ids, usage)
    try:
        firsts = log_softmax_at(logits[None], [[answer[0] for answer in answers]])[0]
        longer = list(dict.fromkeys(tuple(answer) for answer in answers if len(answer) > 1))
        rest: dict[tuple[int, ...], float] = {}
        for group in _groups(longer, context_tokens, decoder.cache.block_tokens):
            rest |= _score_group(decoder, sequence, group)
    finally:
        decoder.cache.close(sequence)
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
    decoder: Decoder, sequence: CachedSequence, answers: list[tuple[int, ...]]
) -> dict[tuple[int, ...], float]:
    forks: list[CachedSequence] = []
    length = len(sequence)
    try:
        for _ in answers:
            forks.append(decoder.cache.fork(sequence, length))
        pieces = [Piece(fork, answer[:-1], targets=answer[1:]) for fork, answer in zip(forks, answers, strict=True)]
        return {answer: float(np.sum(values)) for answer, values in zip(answers, decoder.run(pieces), strict=True)}
    finally:
        for fork in forks:
            decoder.cache.close(fork, remember=False)
