"""Which samples make a batch: by epoch, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")

# Number of an epoch → its batches, each a list of samples' numbers.
Batches = Callable[[int], list[list[int]]]


def batches_of(lengths: Sequence[int], batch: int, seed: int) -> Batches:
    """Like lengths together, batches in random order."""

    def epoch(number: int) -> list[list[int]]:
        generator = np.random.default_rng([seed, number])
        order = generator.permutation(len(lengths))
        pool = 16 * batch
        found: list[list[int]] = []
        for start in range(0, len(order), pool):
            near = sorted((int(i) for i in order[start : start + pool]), key=lambda i: lengths[i])
            found += [near[i : i + batch] for i in range(0, len(near), batch)]
        return [found[i] for i in generator.permutation(len(found))]

    return epoch


def book_batches(books: Sequence[str], batch: int, seed: int) -> Batches:
    """Every second batch holds neighbours of one book (at a book's end of two), the others anybody. All
    batches of an epoch are full: what is left over sits out.
    """

    def epoch(number: int) -> list[list[int]]:
        generator = np.random.default_rng([seed, number])
        size = min(batch, len(books))
        order = generator.permutation(len(books))
        near = sorted((int(i) for i in order), key=lambda i: books[i])
        shift = int(generator.integers(0, size))
        full = range(0, len(books) - size + 1, size)
        together = [(near[shift:] + near[:shift])[start : start + size] for start in full]
        apart = [[int(i) for i in order[start : start + size]] for start in full]
        together = [together[i] for i in generator.permutation(len(together))]
        return [(together if i % 2 else apart)[i] for i in range(len(apart))]

    return epoch


def mixed(parts: Sequence[tuple[float, Sequence[Item]]], seed: int) -> list[Item]:
    """Each part's share of its samples, drawn once; a share above 1 repeats some."""
    generator = np.random.default_rng(seed)
    chosen: list[Item] = []
    for share, samples in parts:
        order = generator.permutation(len(samples))
        count = round(share * len(samples))
        chosen += [samples[order[i % len(samples)]] for i in range(count)]
    return chosen
