"""Blocks are shared, copied, counted and given back: properties that hold whatever is opened and closed."""

from __future__ import annotations

import random

import pytest

from vision.errors import PromptTooLong
from vision.llm.kv_cache import CachedSequence, KVCache


class Memory:
    """What lies in the blocks, as the engine would write it: to see that every sequence finds its own tokens."""

    def __init__(self, blocks: int, block_tokens: int) -> None:
        self.content = [[-1] * block_tokens for _ in range(blocks)]
        self.cache = KVCache(blocks, block_tokens, self.copy)
        self.size = block_tokens

    def copy(self, source: int, target: int) -> None:
        self.content[target] = list(self.content[source])

    def append(self, sequence: CachedSequence, tokens: list[int]) -> None:
        start = len(sequence)
        self.cache.extend(sequence, tokens)
        for place, token in enumerate(tokens, start):
            self.content[sequence.blocks[place // self.size]][place % self.size] = token

    def read(self, sequence: CachedSequence) -> list[int]:
        return [self.content[sequence.blocks[i // self.size]][i % self.size] for i in range(len(sequence))]


def test_the_longest_known_prefix_is_shared_and_the_last_token_left_to_read() -> None:
    memory = Memory(20, 4)
    for tokens in ([1, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 9, 9]):
        sequence = memory.cache.open(tokens)
        memory.append(sequence, tokens[len(sequence) :])
        memory.cache.close(sequence)
    found = memory.cache.open([1, 2, 3, 4, 5, 6, 7, 0])
    assert found.tokens == memory.read(found) == [1, 2, 3, 4, 5, 6, 7]
    same = memory.cache.open([1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert same.tokens == [1, 2, 3, 4, 5, 6, 7, 8], "the last token's logits are not kept, so it is read again"
    assert same.blocks[:2] == [*found.blocks[:1], same.blocks[1]]
    assert memory.cache.open([7, 7]).tokens == []


def test_a_running_sequence_is_shared_too() -> None:
    memory = Memory(20, 4)
    first = memory.cache.open([5, 6, 7, 8, 9])
    memory.append(first, [5, 6, 7, 8, 9])
    second = memory.cache.open([5, 6, 7, 8, 1])
    assert second.blocks == first.blocks[:1]
    memory.append(second, [1])
    assert (memory.read(first), memory.read(second)) == ([5, 6, 7, 8, 9], [5, 6, 7, 8, 1])


def test_the_sequence_used_longest_ago_is_forgotten_first() -> None:
    memory = Memory(4, 2)
    for start in (10, 20):
        sequence = memory.cache.open([start, start + 1, start + 2])
        memory.append(sequence, [start, start + 1, start + 2])
        memory.cache.close(sequence)
    used = memory.cache.open([10, 11, 0])  # 10 is now the more recent one
    memory.cache.close(used, remember=False)
    large = memory.cache.open([30, 31])
    memory.append(large, [30, 31])
    memory.cache.close(large, remember=False)
    assert memory.cache.open([20, 21, 22, 23]).tokens == []
    assert memory.cache.open([10, 11, 12, 13]).tokens == [10, 11, 12]


def test_what_runs_is_never_forgotten() -> None:
    memory = Memory(3, 2)
    running = memory.cache.open([1, 2, 3])
    memory.append(running, [1, 2, 3, 4])
    other = memory.cache.open([9, 9])
    with pytest.raises(PromptTooLong, match="cache_full: tokens=6"):
        memory.append(other, [9, 9, 9])
    assert memory.read(running) == [1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(8))
def test_no_block_is_lost_or_given_twice_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    memory = Memory(24, 4)
    running: list[CachedSequence] = []
    for _ in range(400):
        try:
            match rng.randrange(5):
                case 0:
                    tokens = [rng.randrange(2) for _ in range(rng.randrange(1, 20))]
                    sequence = memory.cache.open(tokens)
                    assert sequence.tokens == tokens[: len(sequence)]
                    running.append(sequence)
                    memory.append(sequence, tokens[len(sequence) :])
                case 1 if running:
                    memory.append(rng.choice(running), [rng.randrange(2)])
                case 2 if running:
                    source = rng.choice(running)
                    running.append(memory.cache.fork(source, rng.randrange(len(source) + 1)))
                case 3 if running:
                    sequence = rng.choice(running)
                    memory.cache.truncate(sequence, rng.randrange(len(sequence) + 1))
                case 4 if running:
                    memory.cache.close(running.pop(rng.randrange(len(running))), remember=rng.random() < 0.7)
        except PromptTooLong:
            memory.cache.close(running.pop(rng.randrange(len(running))), remember=False)
        for sequence in running:
            assert memory.read(sequence) == sequence.tokens
    for sequence in running:
        memory.cache.close(sequence)
    memory.cache.clear()
    everything = memory.cache.open([1])
    memory.append(everything, [0] * 96)
    assert sorted(everything.blocks) == list(range(24))
