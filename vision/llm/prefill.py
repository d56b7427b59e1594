"""Reads prompts into the key-value cache: many at once, and what several begin with only once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.interfaces import Usage
from vision.llm.batch_runner import BatchRunner, SequenceInput
from vision.llm.kv_cache import CachedSequence

# A pass of its own costs about as much as reading this many tokens twice.
LEAST_SHARED_TOKENS = 8


def prefill(
    runner: BatchRunner, prompts: Sequence[list[int]], usages: Sequence[Usage]
) -> list[tuple[CachedSequence, np.ndarray]]:
    """For each prompt a running sequence that holds it, and the logits after its last token, (vocabulary,).

    What is in the cache is not read again. Beginnings that prompts share are read first, as prompts of their own, so
    that the others start from them; then all the rest in one batch. Raises PromptTooLong where the cache is too small
    for all of them at once; then nothing stays open. Each prompt is counted in the ``usages`` at its place; what it
    shares with others of the batch is read at the cost of one of them.
    """
    return prefill_with(runner, prompts, usages, ())[0]


def prefill_with(
    runner: BatchRunner, prompts: Sequence[list[int]], usages: Sequence[Usage], others: Sequence[SequenceInput]
) -> tuple[list[tuple[CachedSequence, np.ndarray]], list[np.ndarray]]:
    """``prefill``, and what the runner gives for other sequences' inputs, which share the last pass."""
    cache = runner.cache
    heads: list[CachedSequence] = []
    opened: list[CachedSequence] = []
    read_tokens = [0] * len(prompts)

    def read(
        owned: Sequence[tuple[int, list[int]]], into: list[CachedSequence], first: Sequence[SequenceInput] = ()
    ) -> list[np.ndarray]:
        inputs = list(first)
        for owner, ids in owned:
            into.append(cache.open(ids))
            inputs.append(SequenceInput(into[-1], ids[len(into[-1]) :]))
            read_tokens[owner] += len(inputs[-1].tokens)
        return runner.run(inputs)

    try:
        for wave in _shared_heads(prompts, [cache.known_tokens(ids) for ids in prompts]):
            read(wave, heads)
        logits = read(list(enumerate(prompts)), opened, others)
    except BaseException:
        for sequence in opened:
            cache.close(sequence, remember=False)
        raise
    finally:
        for sequence in heads:
            cache.close(sequence, remember=False)
    for usage, ids, count in zip(usages, prompts, read_tokens, strict=True):
        usage.prompt_tokens += len(ids)
        usage.cached_tokens += len(ids) - count
    read_logits = logits[len(others) :]
    return [(sequence, row[0]) for sequence, row in zip(opened, read_logits, strict=True)], logits[: len(others)]


def groups_that_fit(runner: BatchRunner, prompts: Sequence[list[int]], most_tokens: int) -> list[list[int]]:
    """Indices of prompts that may be read together without filling more than ``most_tokens`` of the cache."""
    spare = 2 * runner.cache.block_tokens  # of each prompt: a copy of a shared block, and a last one half full
    groups: list[list[int]] = []
    room = 0
    for index, ids in enumerate(prompts):
        shared = _common(prompts[index - 1], ids) if groups else 0
        needed = len(ids) - max(shared, runner.cache.known_tokens(ids)) + spare
        if needed > room:
            groups.append([])
            room = most_tokens
        groups[-1].append(index)
        room -= needed
    return groups


def _shared_heads(prompts: Sequence[list[int]], known: Sequence[int]) -> list[list[tuple[int, list[int]]]]:
    """Beginnings worth reading first, each with the index of a prompt that has it.

    In waves: those of a later wave go on from one of an earlier.
    """
    waves: list[list[tuple[int, list[int]]]] = []

    def visit(group: list[int], read: int, wave: int) -> None:
        if len(group) < 2:
            return
        first, last = prompts[group[0]], prompts[group[-1]]
        shared = min(_common(first, last), min(len(prompts[i]) for i in group) - 1)
        if shared - max(read, min(known[i] for i in group)) >= LEAST_SHARED_TOKENS:
            if len(waves) == wave:
                waves.append([])
            waves[wave].append((group[0], first[:shared]))
            read, wave = shared, wave + 1
        branches: dict[int, list[int]] = {}
        for i in group:
            branches.setdefault(prompts[i][shared], []).append(i)
        if len(branches) > 1:
            for branch in branches.values():
                visit(branch, read, wave)

    visit(sorted(range(len(prompts)), key=lambda i: prompts[i]), 0, 0)
    return waves


def _common(one: list[int], other: list[int]) -> int:
    unequal = (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(unequal, min(len(one), len(other)))
