"""Runs sequences through a model: pieces of several sequences in one pass, logits where they are wanted.

Between the kernels (rows, positions, block tables) and generation (sequences of tokens). Knows no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vision.kv_cache import CachedSequence, KVCache


class Engine(Protocol):
    """What runs the rows: the C kernels, or PyTorch."""

    vocabulary: int

    def decode(
        self, token: np.ndarray, position: np.ndarray, sequence: np.ndarray, table: np.ndarray, output_row: np.ndarray
    ) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens to append to a sequence; logits are wanted after the last ``outputs`` of them."""

    sequence: CachedSequence
    tokens: Sequence[int]
    outputs: int = 1


class Decoder:
    """``run`` appends pieces to their sequences, at most ``max_rows`` tokens in one pass of the engine."""

    def __init__(self, engine: Engine, cache: KVCache, max_rows: int) -> None:
        self.engine, self.cache, self._max_rows = engine, cache, max_rows

    def run(self, pieces: Sequence[Piece]) -> list[np.ndarray]:
        """Logits of each piece, (outputs, vocabulary) float32.

        Where a pass fails or is interrupted, sequences keep only the tokens whose keys are in the cache.
        """
        results: list[list[np.ndarray]] = [[] for _ in pieces]
        todo = [(i, piece, 0) for i, piece in enumerate(pieces)]
        while todo:
            taken: list[tuple[int, Piece, int, int]] = []
            room, later = self._max_rows, []
            for i, piece, start in todo:
                end = min(len(piece.tokens), start + room)
                if end > start:
                    taken.append((i, piece, start, end))
                    room -= end - start
                if end < len(piece.tokens):
                    later.append((i, piece, end))
            for (i, *_), logits in zip(taken, self._pass(taken), strict=True):
                results[i].append(logits)
            todo = later
        return [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in results]

    def _pass(self, taken: list[tuple[int, Piece, int, int]]) -> list[np.ndarray]:
        tokens: list[int] = []
        positions: list[int] = []
        owners: list[int] = []
        outputs: list[int] = []
        counts: list[int] = []
        for number, (_, piece, start, end) in enumerate(taken):
            before = len(piece.sequence)
            self.cache.extend(piece.sequence, piece.tokens[start:end])
            positions += range(before, before + end - start)
            first_output = max(start, len(piece.tokens) - piece.outputs)
            counts.append(max(0, end - first_output))
            outputs += range(len(tokens) + end - start - counts[-1], len(tokens) + end - start)
            tokens += piece.tokens[start:end]
            owners += [number] * (end - start)
        table = np.zeros((len(taken), max(len(piece.sequence.blocks) for _, piece, _, _ in taken)), np.int32)
        for number, (_, piece, _, _) in enumerate(taken):
            table[number, : len(piece.sequence.blocks)] = piece.sequence.blocks
        int32 = [np.asarray(a, np.int32) for a in (tokens, positions, owners)]
        logits = self.engine.decode(*int32, table, np.asarray(outputs, np.int32))
        return np.split(logits, np.cumsum(counts)[:-1])
