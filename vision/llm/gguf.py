"""Reads a GGUF file: metadata, and tensors as memory-mapped bytes.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The ``gguf`` package's own reader takes many seconds
for the vocabulary of a modern model, so only its tables of types and its dequantisation are used.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vision.errors import WeightsError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


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
        """The values as float32, by the ``gguf`` package."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        kind = GGMLQuantizationType[self.kind]
        if self.kind in ("F32", "F16", "BF16"):
            flat = self.data.reshape(-1)
            if self.kind == "BF16":
                return (flat.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(self.shape)
            return flat.view({"F32": np.float32, "F16": np.float16}[self.kind]).astype(np.float32).reshape(self.shape)
        return np.asarray(dequantize(self.data, kind), np.float32).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class GGUF:
    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Tensor]


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def string(self) -> str:
        length = self.scalar("Q")
        end = self.at + length
        if end > len(self.data):
            raise struct.error("a string runs past the end of the file")
        text = self.data[self.at : end].decode("utf-8", errors="replace")
        self.at = end
        return text

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.scalar(_SCALARS[kind])
        inner, count = self.scalar("I"), self.scalar("Q")
        if inner in _SCALARS:
            code = f"<{count}{_SCALARS[inner]}"
            values = list(struct.unpack_from(code, self.data, self.at))
            self.at += struct.calcsize(code)
            return values
        return [self.value(inner) for _ in range(count)]


def read_gguf(path: Path) -> GGUF:
    """Map a GGUF file of version 2 or 3. Raises WeightsError where it is missing, cut short or of another kind."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: the file is empty
        raise WeightsError("gguf_unreadable", file=str(path), reason=str(error)) from error
    if data[:4] != b"GGUF":
        raise WeightsError("not_gguf", file=str(path), start=repr(data[:4]))
    try:
        return _parse(path, data)
    except (struct.error, KeyError, ValueError) as error:
        raise WeightsError("gguf_damaged", file=str(path), reason=str(error)) from error


def _parse(path: Path, data: mmap.mmap) -> GGUF:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    reader = _Reader(data)
    reader.at = 4
    version = reader.scalar("I")
    if version not in (2, 3):
        raise ValueError(f"GGUF version {version}, of which 2 and 3 are known")
    tensor_count, field_count = reader.scalar("Q"), reader.scalar("Q")
    metadata = {}
    for _ in range(field_count):
        key = reader.string()
        metadata[key] = reader.value(reader.scalar("I"))
    heads = []
    for _ in range(tensor_count):
        name = reader.string()
        shape = tuple(reader.scalar("Q") for _ in range(reader.scalar("I")))[::-1]
        heads.append((name, shape, GGMLQuantizationType(reader.scalar("I")), reader.scalar("Q")))
    alignment = metadata.get("general.alignment", 32)
    start = -(-reader.at // alignment) * alignment
    content = np.frombuffer(data, np.uint8)
    tensors = {}
    for name, shape, kind, offset in heads:
        block, size = GGML_QUANT_SIZES[kind]
        rows = int(np.prod(shape[:-1], dtype=np.int64))
        row_bytes = shape[-1] // block * size
        end = start + offset + rows * row_bytes
        if end > len(content):
            raise ValueError(f"tensor {name} ends at byte {end} of {len(content)}")
        tensors[name] = Tensor(name, kind.name, shape, content[start + offset : end].reshape(rows, row_bytes))
    return GGUF(path, metadata, tensors)
