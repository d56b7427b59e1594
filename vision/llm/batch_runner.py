"""Runs sequences through the engine: tokens of several sequences in one pass, logits where they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

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


_Taken: TypeAlias = tuple[SequenceInput, int, int]  # its tokens from, to
_Pass: TypeAlias = Callable[[Sequence[_Taken]], list[np.ndarray]]


class BatchRunner:
    """``run`` appends tokens to sequences, at most ``max_rows`` in one pass of the engine."""

    def __init__(self, engine: CEngine, cache: KVCache, max_rows: int) -> None:
        self.engine, self.cache, self._max_rows = engine, cache, max_rows

    def run(self, inputs: Sequence[SequenceInput]) -> list[np.ndarray]:
        """For each input its logits, (1, vocabulary) float32, or the log-probabilities of its targets, float64."""
        return self._run(inputs, self._passed)

    def states(self, inputs: Sequence[SequenceInput]) -> list[np.ndarray]:
        """For each input (n, width) float32: what the logits would be made of after its last token, or where there are
        ``targets`` after as many.
        """
        return self._run(inputs, self._passed_states)

    def _run(self, inputs: Sequence[SequenceInput], one_pass: _Pass) -> list[np.ndarray]:
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
            values = one_pass([(inputs[number], start, end) for number, start, end in taken])
            for (number, _, _), value in zip(taken, values, strict=True):
                results[number].append(value)
            todo = later
        return [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in results]

    def _passed(self, taken: Sequence[_Taken]) -> list[np.ndarray]:
        values = []
        for (part, _, end), rows in zip(taken, self._appended(taken, self.engine.decode), strict=True):
            if part.targets:
                last = len(part.targets) - (len(part.tokens) - end)
                wanted = part.targets[max(0, last - len(rows)) : max(0, last)]
                rows = log_softmax_at(rows, [[target] for target in wanted])[:, 0] if wanted else np.empty(0)
            values.append(rows)
        return values

    def _passed_states(self, taken: Sequence[_Taken]) -> list[np.ndarray]:
        return self._appended(taken, self.engine.states)

    def _appended(self, taken: Sequence[_Taken], forward: Callable[..., np.ndarray]) -> list[np.ndarray]:
        """For each part the rows that ``forward`` gives for the outputs wanted of it."""
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
            given = forward(token, position, owner, table, output)
        except BaseException:  # the cache must not name tokens whose keys were never written
            for (part, _, _), length in zip(taken, lengths, strict=True):
                self.cache.truncate(part.sequence, length)
            raise
        return np.split(given, np.cumsum(counts)[:-1])
