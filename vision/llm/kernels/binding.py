"""The C engine as one Python object: a converted model, its key-value blocks, and ``decode``.

Mirrors the structures of ``runner.h``. Calls release the interpreter lock. Knows nothing of text, of sampling, or of
which blocks belong to whom.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_float, c_int32, c_void_p
from typing import Any

import numpy as np

from vision.errors import ModelError
from vision.llm.config import rope_tables
from vision.llm.model_cache import CachedModel, MatrixView
from vision.llm.repack import Packed

KV_BLOCK_TOKENS = 32  # KV_BLOCK of engine.h


class MatrixStruct(Structure):
    _fields_ = [("kind", c_int32), ("outputs", c_int32), ("inputs", c_int32), ("reserved", c_int32), ("data", c_void_p)]


class SpanStruct(Structure):
    """256 activations of a row."""

    _fields_ = [
        ("q", ctypes.c_int8 * 256),
        ("times", c_int32 * 8),
        ("sum", ctypes.c_int16 * 8),
        ("unit", c_float),
        ("scale", c_float * 8),
        ("centre", c_int32 * 16),
    ]


class RowsStruct(Structure):
    _fields_ = [("span", c_void_p), ("count", c_int32), ("inputs", c_int32)]


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
        *((n, c_void_p) for n in ("token", "position", "sequence", "table", "output_row", "logits")),
    ]


def matrix_struct(view: MatrixView | Packed) -> MatrixStruct:
    """The kernel's view of a packed matrix, whose memory must outlive it."""
    return MatrixStruct(int(view.layout), view.outputs, view.inputs, 0, view.data.ctypes.data)


class CEngine:
    """A model in the C engine, with room for ``blocks`` blocks of 32 tokens in its key-value cache."""

    def __init__(
        self, library: ctypes.CDLL, model: CachedModel, *, threads: int, context_tokens: int, blocks: int, max_rows: int
    ) -> None:
        self._library = library
        library.team_open.restype = c_void_p
        library.work_open.restype = c_void_p
        arch = model.architecture
        self.vocabulary = arch.vocabulary
        self._max_rows, self._context_tokens = max_rows, context_tokens
        self._kept: list[Any] = [model]  # C holds pointers into these
        self._vectors, self._matrices = model.vectors, model.matrices
        # Zero pages cost no memory until they are written.
        shape = (blocks, arch.layers, arch.kv_heads, KV_BLOCK_TOKENS, arch.head_size)
        self.keys, self.values = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
        cosine, sine = rope_tables(arch, context_tokens, model.vectors.get("rope_freqs.weight"))
        layers = (LayerStruct * arch.layers)(*(self._layer(f"blk.{i}") for i in range(arch.layers)))
        embedding = self._matrix("token_embd.weight")
        self._model = ModelStruct(
            layers=arch.layers,
            width=arch.width,
            heads=arch.heads,
            kv_heads=arch.kv_heads,
            head_size=arch.head_size,
            hidden=arch.hidden,
            interleaved=int(arch.interleaved_rope),
            epsilon=arch.epsilon,
            embedding=embedding,
            logits=self._matrix("output.weight") if "output.weight" in model.matrices else embedding,
            last_norm=self._vector("output_norm.weight"),
            layer=layers,
            cosine=cosine.ctypes.data,
            sine=sine.ctypes.data,
            keys=self.keys.ctypes.data,
            values=self.values.ctypes.data,
        )
        self._kept += [cosine, sine, layers]
        self._team = c_void_p(library.team_open(threads))
        size = library.team_size(self._team)
        self._work = c_void_p(library.work_open(ctypes.byref(self._model), max_rows, size, context_tokens))
        if not self._work:
            raise ModelError(f"not enough memory for the work space of {max_rows} rows")

    def _matrix(self, name: str) -> MatrixStruct:
        if name not in self._matrices:
            raise ModelError(f"the GGUF file lacks the matrix {name}; it is not a complete model")
        return matrix_struct(self._matrices[name])

    def _vector(self, name: str, *, optional: bool = False) -> int | None:
        if name not in self._vectors:
            if optional:
                return None
            raise ModelError(f"the GGUF file lacks the vector {name}; it is not a complete model")
        return int(self._vectors[name].ctypes.data)

    def _layer(self, prefix: str) -> LayerStruct:
        names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "output": "attn_output"}
        names |= {"gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
        matrices = {field: self._matrix(f"{prefix}.{name}.weight") for field, name in names.items()}
        return LayerStruct(
            **matrices,
            attention_norm=self._vector(f"{prefix}.attn_norm.weight"),
            feed_norm=self._vector(f"{prefix}.ffn_norm.weight"),
            q_bias=self._vector(f"{prefix}.attn_q.bias", optional=True),
            k_bias=self._vector(f"{prefix}.attn_k.bias", optional=True),
            v_bias=self._vector(f"{prefix}.attn_v.bias", optional=True),
            q_norm=self._vector(f"{prefix}.attn_q_norm.weight", optional=True),
            k_norm=self._vector(f"{prefix}.attn_k_norm.weight", optional=True),
        )

    def decode(
        self, token: np.ndarray, position: np.ndarray, sequence: np.ndarray, table: np.ndarray, output_row: np.ndarray
    ) -> np.ndarray:
        """See ``vision.llm.batch_runner.Engine``."""
        # C reads where these point, so what the caller got wrong must not reach it.
        if len(token) > self._max_rows or position.max() >= self._context_tokens or token.max() >= self.vocabulary:
            raise ValueError(f"{len(token)} rows, position {position.max()} or token {token.max()} is out of range")
        if table.max() >= len(self.keys) or min(token.min(), position.min(), table.min()) < 0:
            raise ValueError(f"block {table.max()} or a negative index is out of range")
        logits = np.empty((len(output_row), self._model.logits.outputs), np.float32)
        arrays = [np.ascontiguousarray(a, np.int32) for a in (token, position, sequence, table, output_row)]
        batch = BatchStruct(
            len(token),
            len(output_row),
            arrays[3].shape[1],
            logits.shape[1],
            *(a.ctypes.data for a in arrays),
            logits.ctypes.data,
        )
        self._library.decode(ctypes.byref(self._model), ctypes.byref(batch), self._work, self._team)
        return logits[:, : self.vocabulary]

    def copy_block(self, source: int, target: int) -> None:
        self.keys[target] = self.keys[source]
        self.values[target] = self.values[source]

    def close(self) -> None:
        if self._work:
            self._library.work_close(self._work)
            self._library.team_close(self._team)
            self._work = c_void_p()

    def __del__(self) -> None:
        if getattr(self, "_work", None):
            self.close()
