"""Runs sequences through the engine: tokens of several sequences in one pass, logits where they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vision.llm.kv_cache import CachedSequence, KVCache
from vision.llm.sampling import log_softmax_at

if TYPE_CHECKING:
    from vision.llm.kernels.binding import CEngine


@dataclass(frozen=True, slots=True)
class SequenceInput:
    """Tokens to append to a sequence.

    With ``targets``, the log-probability of each after the token at its place is wanted (they belong to the last
    tokens); otherwise the logits after the last token.
    """

    sequence: CachedSequence
    tokens: Sequence[int]
    targets: Sequence[int] = ()


class BatchRunner:
    """``run`` appends tokens to sequences, at most ``max_rows`` in one pass of the engine."""

    def __init__(self, engine: CEngine, cache: KVCache, max_rows: int) -> None:
        self.engine, self.cache, self._max_rows = engine, cache, max_rows

    def run(self, inputs: Sequence[SequenceInput]) -> list[np.ndarray]:
        """For each input its logits, (1, vocabulary) float32, or the log-probabilities of its targets, float64."""
        results: list[list[np.ndarray]] = [[] for _ in inputs]
        todo = [(number, 0) for number in range(len(inputs))]
        while todo:
            taken: list[tuple[int, int, int]] = []
            later, free_rows = [], self._max_rows
            for number, start in todo:
                end = min(len(inputs[number].tokens), start + free_rows)
                if end > start:
                    taken.append((number, start, end))
                    free_rows -= end - start
                if end < len(inputs[number].tokens):
                    later.append((number, end))
            values = self._pass([(inputs[number], start, end) for number, start, end in taken])
            for (number, _, _), value in zip(taken, values, strict=True):
                results[number].append(value)
            todo = later
        return [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in results]

    def _pass(self, taken: Sequence[tuple[SequenceInput, int, int]]) -> list[np.ndarray]:
        tokens: list[int] = []
        positions: list[int] = []
        owners: list[int] = []
        outputs: list[int] = []
        counts: list[int] = []
        lengths = [len(part.sequence) for part, _, _ in taken]
        try:
            for number, (part, start, end) in enumerate(taken):
                self.cache.extend(part.sequence, part.tokens[start:end])
                positions += range(lengths[number], lengths[number] + end - start)
                tokens += part.tokens[start:end]
                owners += [number] * (end - start)
                first_output = len(part.tokens) - (len(part.targets) or 1)
                counts.append(max(0, end - max(start, first_output)))
                outputs += range(len(tokens) - counts[-1], len(tokens))
            table = np.zeros((len(taken), max(len(part.sequence.blocks) for part, _, _ in taken)), np.int32)
            for number, (part, _, _) in enumerate(taken):
                table[number, : len(part.sequence.blocks)] = part.sequence.blocks
            token, position, owner, output = (np.asarray(v, np.int32) for v in (tokens, positions, owners, outputs))
            logits = self.engine.decode(token, position, owner, table, output)
        except BaseException:  # the cache must not name tokens whose keys were never written
            for (part, _, _), length in zip(taken, lengths, strict=True):
                self.cache.truncate(part.sequence, length)
            raise
        values = []
        for (part, _, end), rows in zip(taken, np.split(logits, np.cumsum(counts)[:-1]), strict=True):
            if part.targets:
                last = len(part.targets) - (len(part.tokens) - end)
                wanted = part.targets[max(0, last - len(rows)) : max(0, last)]
                rows = log_softmax_at(rows, [[target] for target in wanted])[:, 0] if wanted else np.empty(0)
            values.append(rows)
        return values
