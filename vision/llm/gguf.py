"""Reads a GGUF file: metadata, and tensors as memory-mapped bytes.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The ``gguf`` package's own reader takes many seconds
for the vocabulary of a modern model, so only its tables of types and its dequantisation are used.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vision.errors import WeightsError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 4  # as in ggml
_LARGEST_ALIGNMENT = 1 << 16


@dataclass(frozen=True, slots=True)
class Tensor:
    """``shape`` is (outputs, inputs), as PyTorch has it; ``kind`` a name of ``gguf.GGMLQuantizationType``.

    ``data`` holds the file's bytes, (outputs, bytes a row).
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    data: np.ndarray

    def rows(self, first: int, end: int) -> Tensor:
        """Some outputs of a matrix."""
        return Tensor(self.name, self.kind, (end - first, *self.shape[1:]), self.data[first:end])

    def floats(self) -> np.ndarray:
        """The values as float32, by the ``gguf`` package. Raises WeightsError for a kind it has not."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        kind = GGMLQuantizationType[self.kind]
        if self.kind in ("F32", "F16", "BF16"):
            flat = self.data.reshape(-1)
            if self.kind == "BF16":
                return (flat.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(self.shape)
            return flat.view({"F32": np.float32, "F16": np.float16}[self.kind]).astype(np.float32).reshape(self.shape)
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused where it is used
                return np.asarray(dequantize(self.data, kind), np.float32).reshape(self.shape)
        except NotImplementedError as error:
            raise WeightsError("tensor_kind_unknown", tensor=self.name, kind=self.kind) from error


@dataclass(frozen=True, slots=True)
class GGUF:
    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Tensor]

    def text(self, key: str) -> str:
        """Empty where the file does not have it. Raises WeightsError where it is no text."""
        value = self.metadata.get(key, "")
        if not isinstance(value, str):
            raise WeightsError("gguf_value_wrong", field=key, value=repr(value)[:80])
        return value


class _Reader:
    """Reads numbers and strings one after the other. Raises ValueError past the end of the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def take(self, code: str) -> tuple[Any, ...]:
        size = struct.calcsize(code)
        if self.at + size > len(self.data):
            raise ValueError(f"it ends at byte {len(self.data)}")
        self.at += size
        return struct.unpack_from(code, self.data, self.at - size)

    def scalar(self, code: str) -> Any:
        return self.take("<" + code)[0]

    def string(self) -> str:
        length = self.scalar("Q")
        if length > len(self.data) - self.at:
            raise ValueError(f"a text of {length} bytes runs past its end")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind != _ARRAY:
            raise ValueError(f"a value of kind {kind}")
        inner, count = self.scalar("I"), self.scalar("Q")
        if count > len(self.data) - self.at:  # an item takes a byte at least
            raise ValueError(f"a list of {count} items runs past its end")
        if inner in _SCALARS:
            return list(self.take(f"<{count}{_SCALARS[inner]}"))
        if inner != _STRING:
            raise ValueError(f"a list of items of kind {inner}")
        return [self.string() for _ in range(count)]


def read_gguf(path: Path) -> GGUF:
    """Map a GGUF file of version 2 or 3. Raises WeightsError where it is missing, cut short or of another kind.

    What the header says is checked against the file's size, so that every tensor lies within it.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: the file is empty
        raise WeightsError("gguf_unreadable", file=str(path), reason=str(error)) from error
    if data[:4] != b"GGUF":
        raise WeightsError("not_gguf", file=str(path), start=repr(data[:4]))
    try:
        return _parse(path, data)
    except ValueError as error:
        raise WeightsError("gguf_damaged", file=str(path), reason=str(error)) from error


def _parse(path: Path, data: mmap.mmap) -> GGUF:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    reader = _Reader(data)
    reader.at = 4
    version = reader.scalar("I")
    if version not in (2, 3):
        raise ValueError(f"GGUF version {version}, of which 2 and 3 are known")
    tensor_count, field_count = reader.scalar("Q"), reader.scalar("Q")
    metadata: dict[str, Any] = {}
    for _ in range(field_count):
        key = reader.string()
        metadata[key] = reader.value(reader.scalar("I"))
    heads = []
    for _ in range(tensor_count):
        name, dimensions = reader.string(), reader.scalar("I")
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise ValueError(f"tensor {name} has {dimensions} dimensions")
        shape = reader.take(f"<{dimensions}Q")[::-1]
        heads.append((name, shape, GGMLQuantizationType(reader.scalar("I")), reader.scalar("Q")))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= _LARGEST_ALIGNMENT:
        raise ValueError(f"alignment {alignment}")
    start = -(-reader.at // alignment) * alignment
    content = np.frombuffer(data, np.uint8)
    tensors: dict[str, Tensor] = {}
    for name, shape, kind, offset in heads:
        block, size = GGML_QUANT_SIZES[kind]
        rows, row_bytes = math.prod(shape[:-1]), shape[-1] // block * size
        end = start + offset + rows * row_bytes
        if name in tensors or 0 in shape or shape[-1] % block or offset % alignment or end > len(content):
            raise ValueError(f"tensor {name} of shape {shape} at byte {start + offset} of {len(content)}")
        tensors[name] = Tensor(name, kind.name, shape, content[start + offset : end].reshape(rows, row_bytes))
    return GGUF(path, metadata, tensors)
