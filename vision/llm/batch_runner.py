"""Runs sequences through a model: pieces of several sequences in one pass, logits where they are wanted.

Between an engine (rows, positions, block tables) and generation (sequences of tokens). Knows no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vision.llm.kv_cache import CachedSequence, KVCache
from vision.llm.sampling import log_softmax_at


class Engine(Protocol):
    """What runs the rows: the C kernels, or PyTorch."""

    vocabulary: int

    def decode(
        self, token: np.ndarray, position: np.ndarray, sequence: np.ndarray, table: np.ndarray, output_row: np.ndarray
    ) -> np.ndarray:
        """Logits (len(output_row), vocabulary) float32, the caller's to change.

        All int32: ``token``, ``position`` and ``sequence`` (rows,), rows of a sequence in order of position;
        ``table`` (sequences, blocks) says where the tokens of each sequence are kept.
        """
        ...

    def copy_block(self, source: int, target: int) -> None: ...


@dataclass(frozen=True, slots=True)
class SequenceInput:
    """Tokens to append to a sequence.

    With ``targets``, the log-probability of each after the token at its place is wanted (they belong to the last
    tokens of the piece); otherwise the logits after the last token.
    """

    sequence: CachedSequence
    tokens: Sequence[int]
    targets: Sequence[int] = ()


class BatchRunner:
    """``run`` appends pieces to their sequences, at most ``max_rows`` tokens in one pass of the engine."""

    def __init__(self, engine: Engine, cache: KVCache, max_rows: int) -> None:
        self.engine, self.cache, self._max_rows = engine, cache, max_rows

    def run(self, pieces: Sequence[SequenceInput]) -> list[np.ndarray]:
        """For each piece its logits, (1, vocabulary) float32, or the log-probabilities of its targets, float64."""
        results: list[list[np.ndarray]] = [[] for _ in pieces]
        todo = [(number, 0) for number in range(len(pieces))]
        while todo:
            taken: list[tuple[int, int, int]] = []
            later, room = [], self._max_rows
            for number, start in todo:
                end = min(len(pieces[number].tokens), start + room)
                if end > start:
                    taken.append((number, start, end))
                    room -= end - start
                if end < len(pieces[number].tokens):
                    later.append((number, end))
            values = self._pass([(pieces[number], start, end) for number, start, end in taken])
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
        lengths = [len(piece.sequence) for piece, _, _ in taken]
        try:
            for number, (piece, start, end) in enumerate(taken):
                self.cache.extend(piece.sequence, piece.tokens[start:end])
                positions += range(lengths[number], lengths[number] + end - start)
                tokens += piece.tokens[start:end]
                owners += [number] * (end - start)
                first_output = len(piece.tokens) - (len(piece.targets) or 1)
                counts.append(max(0, end - max(start, first_output)))
                outputs += range(len(tokens) - counts[-1], len(tokens))
            table = np.zeros((len(taken), max(len(piece.sequence.blocks) for piece, _, _ in taken)), np.int32)
            for number, (piece, _, _) in enumerate(taken):
                table[number, : len(piece.sequence.blocks)] = piece.sequence.blocks
            token, position, owner, output = (np.asarray(v, np.int32) for v in (tokens, positions, owners, outputs))
            logits = self.engine.decode(token, position, owner, table, output)
        except BaseException:  # the cache must not name tokens whose keys were never written
            for (piece, _, _), length in zip(taken, lengths, strict=True):
                self.cache.truncate(piece.sequence, length)
            raise
        values = []
        for (piece, _, end), part in zip(taken, np.split(logits, np.cumsum(counts)[:-1]), strict=True):
            if piece.targets:
                last = len(piece.targets) - (len(piece.tokens) - end)
                wanted = piece.targets[max(0, last - len(part)) : max(0, last)]
                part = log_softmax_at(part, [[target] for target in wanted])[:, 0] if wanted else np.empty(0)
            values.append(part)
        return values
