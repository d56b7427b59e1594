"""Which blocks of the key-value cache belong to which sequence, and what earlier prompts left to reuse.

A sequence's tokens lie in blocks of 32; sequences with a common prefix share its blocks and count references
(PagedAttention, arXiv:2309.06180). A new prompt starts from the longest prefix that any sequence, running or
remembered, has in common with it. Blocks are numbers here; copying one is a function the cache is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vision.errors import PromptTooLong

SPARE_BLOCKS = 16


class CachedSequence:
    """Token ids whose keys and values are in the cache, and the blocks they lie in."""

    __slots__ = ("blocks", "tokens")

    def __init__(self, tokens: list[int], blocks: list[int]) -> None:
        self.tokens = tokens
        self.blocks = blocks

    def __len__(self) -> int:
        return len(self.tokens)


class KVCache:
    """Hands out blocks; forgets the sequences used longest ago when it runs out."""

    def __init__(self, blocks: int, block_tokens: int, copy_block: Callable[[int, int], None]) -> None:
        self.block_tokens = block_tokens
        self._copy_block = copy_block
        self._references = [0] * blocks
        self._free = list(range(blocks))[::-1]
        self._running: list[CachedSequence] = []
        self._remembered: list[CachedSequence] = []  # oldest first

    @property
    def capacity_tokens(self) -> int:
        """What running sequences may take up together, with a block to spare for each of a few copies."""
        return (len(self._references) - SPARE_BLOCKS) * self.block_tokens

    def open(self, tokens: Sequence[int]) -> CachedSequence:
        """A running sequence holding the longest known prefix of ``tokens``, never all of them.

        The last token is left to the caller even where it is known, because its logits are not kept.
        """
        best, shared = self._closest(tokens)
        if best is None:
            opened = CachedSequence([], [])
            self._running.append(opened)
            return opened
        if best in self._remembered:  # used again: the last to be forgotten
            self._remembered.remove(best)
            self._remembered.append(best)
        return self.fork(best, shared)

    def known_tokens(self, tokens: Sequence[int]) -> int:
        """How many of the first ``tokens`` ``open`` would find."""
        return self._closest(tokens)[1]

    def _closest(self, tokens: Sequence[int]) -> tuple[CachedSequence | None, int]:
        best, shared = None, 0
        wanted = np.asarray(tokens[:-1], np.int64)
        for sequence in (*self._running, *self._remembered):
            length = _common_prefix(sequence.tokens, wanted)
            if length > shared:
                best, shared = sequence, length
        return best, shared

    def fork(self, sequence: CachedSequence, length: int) -> CachedSequence:
        """A running sequence with the first ``length`` tokens of another, in the same blocks."""
        blocks = sequence.blocks[: -(-length // self.block_tokens)]
        for block in blocks:
            self._references[block] += 1
        opened = CachedSequence(list(sequence.tokens[:length]), blocks)
        self._running.append(opened)
        return opened

    def extend(self, sequence: CachedSequence, tokens: Sequence[int]) -> None:
        """Take blocks for ``tokens`` at the end and note them. Raises PromptTooLong where no block is left."""
        if len(sequence) % self.block_tokens and self._references[sequence.blocks[-1]] > 1:
            shared = sequence.blocks[-1]
            sequence.blocks[-1] = self._take()  # others read that block: write into a copy
            self._copy_block(shared, sequence.blocks[-1])
            self._release(shared)
        needed = -(-(len(sequence) + len(tokens)) // self.block_tokens)
        while len(sequence.blocks) < needed:
            sequence.blocks.append(self._take())
        sequence.tokens.extend(tokens)

    def truncate(self, sequence: CachedSequence, length: int) -> None:
        """Take back the tokens after the first ``length``."""
        del sequence.tokens[length:]
        needed = -(-length // self.block_tokens)
        for block in sequence.blocks[needed:]:
            self._release(block)
        del sequence.blocks[needed:]

    def close(self, sequence: CachedSequence, *, remember: bool = True) -> None:
        """End a running sequence; a remembered one stays for later prompts until its blocks are needed."""
        self._running.remove(sequence)
        if remember and sequence.tokens:
            self._remembered.append(sequence)
        else:
            self._drop(sequence)

    def clear(self) -> None:
        """Forget everything that is not running."""
        while self._remembered:
            self._drop(self._remembered.pop())

    def _drop(self, sequence: CachedSequence) -> None:
        for block in sequence.blocks:
            self._release(block)

    def _release(self, block: int) -> None:
        self._references[block] -= 1
        if self._references[block] == 0:
            self._free.append(block)

    def _take(self) -> int:
        while not self._free:
            if not self._remembered:
                total = len(self._references) * self.block_tokens
                raise PromptTooLong("cache_full", tokens=total)
            self._drop(self._remembered.pop(0))
        block = self._free.pop()
        self._references[block] = 1
        return block


def _common_prefix(tokens: list[int], wanted: np.ndarray) -> int:
    length = min(len(tokens), len(wanted))
    if not length or tokens[0] != wanted[0]:
        return 0
    unequal = np.flatnonzero(np.asarray(tokens[:length], np.int64) != wanted[:length])
    return int(unequal[0]) if len(unequal) else length
