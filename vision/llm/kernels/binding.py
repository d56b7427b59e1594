"""The C engine as one Python object: a converted model, its key-value blocks, and ``decode``.

Mirrors the structures of ``model.h`` and ``matmul.h``. Calls release the interpreter lock.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_float, c_int32, c_void_p
from typing import Any

import numpy as np

from vision.errors import ModelError
from vision.llm.config import rope_tables
from vision.llm.model_cache import CachedModel
from vision.llm.repack import PackedMatrix

BLOCK_TOKENS = 32  # KV_BLOCK of matmul.h


class MatrixStruct(Structure):
    _fields_ = [("kind", c_int32), ("outputs", c_int32), ("inputs", c_int32), ("reserved", c_int32), ("data", c_void_p)]


class LayerStruct(Structure):
    _fields_ = [(name, MatrixStruct) for name in ("q", "k", "v", "output", "gate", "up", "down")] + [
        (name, c_void_p) for name in ("attention_norm", "feed_norm", "q_bias", "k_bias", "v_bias", "q_norm", "k_norm")
    ]


class ModelStruct(Structure):
    _fields_ = [
        *((n, c_int32) for n in ("layers", "width", "heads", "kv_heads", "head_size", "hidden", "interleaved")),
        ("epsilon", c_float),
        ("embedding", MatrixStruct),
        ("logits", MatrixStruct),
        ("last_norm", c_void_p),
        ("layer", POINTER(LayerStruct)),
        *((n, c_void_p) for n in ("cosine", "sine", "keys", "values")),
    ]


class BatchStruct(Structure):
    _fields_ = [
        *((n, c_int32) for n in ("rows", "outputs", "table_stride", "logits_stride")),
        *((n, c_void_p) for n in ("token", "position", "sequence", "table", "output_row", "logits", "state")),
    ]


def matrix_struct(matrix: PackedMatrix) -> MatrixStruct:
    """The kernel's view of a packed matrix, whose memory must outlive it."""
    return MatrixStruct(int(matrix.layout), matrix.outputs, matrix.inputs, 0, matrix.data.ctypes.data)


class CEngine:
    """A model in the C engine, with room for ``blocks`` blocks of 32 tokens in its key-value cache."""

    def __init__(
        self, library: ctypes.CDLL, model: CachedModel, *, threads: int, context_tokens: int, blocks: int, max_rows: int
    ) -> None:
        self._library = library
        library.pool_open.restype = c_void_p
        library.work_open.restype = c_void_p
        config = model.config
        self.vocabulary = config.vocabulary
        self._max_rows, self._context_tokens = max_rows, context_tokens
        self._vectors, self._matrices = model.vectors, model.matrices
        # Zero pages cost no memory until they are written.
        shape = (blocks, config.layers, config.kv_heads, BLOCK_TOKENS, config.head_size)
        self.keys, self.values = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
        cosine, sine = rope_tables(config, context_tokens, model.vectors.get("rope_freqs.weight"))
        layers = (LayerStruct * config.layers)(*(self._layer(f"blk.{i}") for i in range(config.layers)))
        embedding = self._matrix("token_embd.weight")
        self._model = ModelStruct(
            **{name: getattr(config, name) for name in ("layers", "width", "heads", "kv_heads", "head_size", "hidden")},
            interleaved=int(config.interleaved_rope),
            epsilon=config.epsilon,
            embedding=embedding,
            logits=self._matrix("output.weight") if "output.weight" in model.matrices else embedding,
            last_norm=self._vector("output_norm.weight"),
            layer=layers,
            **{
                name: array.ctypes.data
                for name, array in (("cosine", cosine), ("sine", sine), ("keys", self.keys), ("values", self.values))
            },
        )
        self._kept: list[Any] = [model, cosine, sine, layers]  # C holds pointers into these
        self._pool = c_void_p(library.pool_open(threads))
        size = library.pool_size(self._pool)
        self._work = c_void_p(library.work_open(ctypes.byref(self._model), max_rows, size, context_tokens))
        if not self._work:
            raise ModelError("no_memory_for_work", rows=max_rows)

    def _matrix(self, name: str) -> MatrixStruct:
        if name not in self._matrices:
            raise ModelError("tensor_missing", tensor=name)
        return matrix_struct(self._matrices[name])

    def _vector(self, name: str, *, optional: bool = False) -> int | None:
        if name not in self._vectors:
            if optional:
                return None
            raise ModelError("tensor_missing", tensor=name)
        return int(self._vectors[name].ctypes.data)

    def _layer(self, prefix: str) -> LayerStruct:
        names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "output": "attn_output"}
        names |= {"gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
        optional = {f"{part}_bias": f"attn_{part}.bias" for part in "qkv"}
        optional |= {f"{part}_norm": f"attn_{part}_norm.weight" for part in "qk"}
        return LayerStruct(
            **{field: self._matrix(f"{prefix}.{name}.weight") for field, name in names.items()},
            attention_norm=self._vector(f"{prefix}.attn_norm.weight"),
            feed_norm=self._vector(f"{prefix}.ffn_norm.weight"),
            **{field: self._vector(f"{prefix}.{name}", optional=True) for field, name in optional.items()},
        )

    def decode(
        self, token: np.ndarray, position: np.ndarray, sequence: np.ndarray, table: np.ndarray, output_row: np.ndarray
    ) -> np.ndarray:
        """Logits (len(output_row), vocabulary) float32, the caller's to change.

        All int32: ``token``, ``position`` and ``sequence`` (rows,), rows of a sequence in order of position;
        ``table`` (sequences, blocks) says where the tokens of each sequence are kept. Raises ValueError for an index
        out of range: C reads and writes where these point.
        """
        logits = np.empty((len(output_row), self._model.logits.outputs), np.float32)
        self._pass(token, position, sequence, table, output_row, logits=logits)
        return logits[:, : self.vocabulary]

    def states(
        self, token: np.ndarray, position: np.ndarray, sequence: np.ndarray, table: np.ndarray, output_row: np.ndarray
    ) -> np.ndarray:
        """(len(output_row), width) float32: the normalised vectors whose products with the output matrix are the
        logits. Arguments and errors as ``decode``.
        """
        states = np.empty((len(output_row), self._model.width), np.float32)
        self._pass(token, position, sequence, table, output_row, states=states)
        return states

    def _pass(
        self,
        token: np.ndarray,
        position: np.ndarray,
        sequence: np.ndarray,
        table: np.ndarray,
        output_row: np.ndarray,
        *,
        logits: np.ndarray | None = None,
        states: np.ndarray | None = None,
    ) -> None:
        rows, sequences = len(token), len(table)
        limits = (
            ("rows", np.array([rows]), self._max_rows + 1),
            ("token", token, self.vocabulary),
            ("position", position, min(self._context_tokens, table.shape[1] * BLOCK_TOKENS)),
            ("sequence", sequence, sequences),
            ("block", table, len(self.keys)),
            ("output row", output_row, rows),
        )
        for name, values, end in limits:
            if values.size and (values.min() < 0 or values.max() >= end):
                raise ValueError(f"{name} {values.min()} to {values.max()} is out of range: 0 to {end - 1}")
        if not len(position) == len(sequence) == rows:
            raise ValueError(f"{rows} tokens came with {len(position)} positions and {len(sequence)} sequences")
        arrays = [np.ascontiguousarray(a, np.int32) for a in (token, position, sequence, table, output_row)]
        batch = BatchStruct(
            rows,
            len(output_row),
            table.shape[1],
            self._model.logits.outputs,
            *(a.ctypes.data for a in arrays),
            *(None if wanted is None else wanted.ctypes.data for wanted in (logits, states)),
        )
        self._library.decode(ctypes.byref(self._model), ctypes.byref(batch), self._work, self._pool)

    def copy_block(self, source: int, target: int) -> None:
        self.keys[target] = self.keys[source]
        self.values[target] = self.values[source]

    def __del__(self) -> None:
        if getattr(self, "_work", None):
            self._library.work_close(self._work)
            self._library.pool_close(self._pool)
