"""Rearranges GGUF's quantised matrices for ``kernels/matmul.c``, without changing a weight.

Eight outputs are interleaved so that one 256-bit register holds four inputs of each. The numbers themselves (quants,
scales, minima) are GGUF's, except that kinds without a layout of their own are rounded to 8 bits.

| layout | from              | bits a weight | a block of 32 inputs                                |
|--------|-------------------|---------------|-----------------------------------------------------|
| P4     | Q4_0, Q4_1        | 5.0           | scale and minimum as halves, nibbles                |
| P4K    | Q4_K              | 4.625         | 6-bit scale and minimum, nibbles; halves per 256    |
| P5K    | Q5_K              | 5.625         | as P4K and one more bit                             |
| P6K    | Q6_K              | 6.625         | two 8-bit scales, nibbles, two more bits            |
| P8     | Q8_0, F16, others | 8.5           | scale as half, bytes                                |
The K layouts keep the halves and scales of eight blocks before them, so that nibbles start at multiples of 32 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from vision.errors import WeightsError
from vision.llm.config import BLOCK
from vision.llm.gguf import Tensor

LAYOUT_VERSION = 2
COLUMNS = 8
OUTPUTS_AT_A_TIME = 8192  # bounds the memory that rearranging takes


class Layout(IntEnum):
    """Numbers shared with ``kernels/matmul.h``."""

    P4 = 0
    P4K = 1
    P5K = 2
    P6K = 3
    P8 = 4


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """A matrix ready for the kernel; ``outputs`` counts the padding to a multiple of eight."""

    layout: Layout
    outputs: int
    inputs: int
    data: np.ndarray  # uint8, one dimension


def pack(tensor: Tensor) -> PackedMatrix:
    """Pack a matrix (outputs, inputs), ``inputs`` a multiple of 32. Raises WeightsError for one that is not finite."""
    outputs, inputs = tensor.shape
    layout, function = _PACKERS.get(tensor.kind, (Layout.P8, None))
    parts = []
    for first in range(0, outputs, OUTPUTS_AT_A_TIME):
        part = tensor.rows(first, min(first + OUTPUTS_AT_A_TIME, outputs))
        try:
            with np.errstate(all="ignore"):  # numbers that are not finite raise FloatingPointError by themselves
                parts.append(function(part.data) if function else _pack_8(_round_to_8_bits(part.floats())))
        except FloatingPointError as error:
            raise WeightsError("tensor_not_finite", tensor=tensor.name) from error
    return PackedMatrix(layout, _padded(outputs), inputs, np.concatenate(parts))


def _padded(outputs: int) -> int:
    return -(-outputs // COLUMNS) * COLUMNS


def _grouped(rows: np.ndarray, block_bytes: int) -> np.ndarray:
    """(outputs, bytes) to (groups, 8, blocks, block bytes), padded with zero blocks, which are zero weights."""
    missing = _padded(len(rows)) - len(rows)
    if missing:
        rows = np.concatenate([rows, np.zeros((missing, rows.shape[1]), np.uint8)])
    return rows.reshape(len(rows) // COLUMNS, COLUMNS, -1, block_bytes)


def _interleaved(quants: np.ndarray) -> np.ndarray:
    """(groups, 8 outputs, blocks, 32 inputs) to (groups, blocks, 8 quads, 32 bytes)."""
    groups, _, blocks, _ = quants.shape
    quads = quants.reshape(groups, COLUMNS, blocks, 8, 4)
    return quads.transpose(0, 2, 3, 1, 4).reshape(groups, blocks, 8, 32)


def _nibbles(quads: np.ndarray) -> np.ndarray:
    """Quads 0–3 in the low halves, 4–7 in the high ones: (groups, blocks, 128)."""
    low = (quads[:, :, :4] & 15) | (quads[:, :, 4:] << 4)
    return low.reshape(*quads.shape[:2], 128)


def _halves(values: np.ndarray) -> np.ndarray:
    """(groups, 8, blocks) of float16 to (groups, blocks, 16 bytes). Raises FloatingPointError for inf and nan."""
    if not np.isfinite(values).all():
        raise FloatingPointError
    return np.ascontiguousarray(values.transpose(0, 2, 1)).view(np.uint8)


def _low_then_high(nibbles: np.ndarray) -> np.ndarray:
    return np.concatenate([nibbles & 15, nibbles >> 4], axis=-1)


def _pack_4_0(rows: np.ndarray) -> np.ndarray:
    blocks = _grouped(rows, 18)
    scale = blocks[..., :2].copy().view(np.float16)[..., 0]
    quads = _interleaved(_low_then_high(blocks[..., 2:]))
    minimum = (scale.astype(np.float32) * -8).astype(np.float16)
    return np.concatenate([_halves(scale), _halves(minimum), _nibbles(quads)], axis=-1).reshape(-1)


def _pack_4_1(rows: np.ndarray) -> np.ndarray:
    blocks = _grouped(rows, 20)
    scale, minimum = (blocks[..., i : i + 2].copy().view(np.float16)[..., 0] for i in (0, 2))
    quads = _interleaved(_low_then_high(blocks[..., 4:]))
    return np.concatenate([_halves(scale), _halves(minimum), _nibbles(quads)], axis=-1).reshape(-1)


def _k_scales(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 12 bytes that hold eight 6-bit scales and minima of Q4_K and Q5_K, unpacked to (..., 8) each."""
    low, middle, high = packed[..., 0:4], packed[..., 4:8], packed[..., 8:12]
    scale = np.concatenate([low & 63, (high & 15) | (low >> 6 << 4)], axis=-1)
    minimum = np.concatenate([middle & 63, (high >> 4) | (middle >> 6 << 4)], axis=-1)
    return scale, minimum


def _with_headers(halves: np.ndarray, scales: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Halves (groups, supers, 32), scales (groups, supers * 8, 16) and blocks (groups, supers * 8, b), by eights."""
    groups, supers, _ = halves.shape
    parts = [halves, *(part.reshape(groups, supers, 8 * part.shape[-1]) for part in (scales, blocks))]
    return np.concatenate(parts, axis=-1).reshape(-1)


def _k_parts(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Header (scale, negated minimum) and the bytes of scales and minima a block, of Q4_K or Q5_K super-blocks."""
    groups, _, supers, _ = blocks.shape
    halves = blocks[..., :4].copy().view(np.float16)
    header = np.concatenate([_halves(halves[..., 0]), _halves(-halves[..., 1])], axis=-1)
    scales = [part.transpose(0, 2, 3, 1).reshape(groups, supers * 8, 8) for part in _k_scales(blocks[..., 4:16])]
    return header, np.concatenate(scales, axis=-1)


def _pack_4_k(rows: np.ndarray) -> np.ndarray:
    blocks = _grouped(rows, 144)
    return _with_headers(*_k_parts(blocks), _nibbles(_k_quads(blocks[..., 16:])))


def _pack_5_k(rows: np.ndarray) -> np.ndarray:
    blocks = _grouped(rows, 176)
    groups, _, supers, _ = blocks.shape
    bits = blocks[..., None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    high = _interleaved(bits.reshape(groups, COLUMNS, supers * 8, 32))
    plane = np.bitwise_or.reduce(high << np.arange(8, dtype=np.uint8)[:, None], axis=2)
    body = np.concatenate([_nibbles(_k_quads(blocks[..., 48:])), plane], axis=-1)
    return _with_headers(*_k_parts(blocks), body)


def _k_quads(nibbles: np.ndarray) -> np.ndarray:
    """The 4-bit parts of Q4_K or Q5_K super-blocks, (groups, 8, super-blocks, 128), as quads."""
    groups, _, supers, _ = nibbles.shape
    pairs = nibbles.reshape(groups, COLUMNS, supers, 4, 32)
    return _interleaved(np.stack([pairs & 15, pairs >> 4], axis=4).reshape(groups, COLUMNS, supers * 8, 32))


def _pack_6_k(rows: np.ndarray) -> np.ndarray:
    blocks = _grouped(rows, 210)
    groups, _, supers, _ = blocks.shape
    header = _halves(blocks[..., 208:].copy().view(np.float16)[..., 0])
    header = np.concatenate([header, np.zeros_like(header)], axis=-1)  # where the others have a minimum
    scales = blocks[..., 192:208].reshape(groups, COLUMNS, supers, 8, 2).transpose(0, 2, 3, 4, 1)
    low = blocks[..., :128].reshape(groups, COLUMNS, supers, 2, 64)
    low = np.stack([low & 15, low >> 4], axis=4).reshape(groups, COLUMNS, supers, 8, 32)
    high = blocks[..., 128:192].reshape(groups, COLUMNS, supers, 2, 1, 32)
    high = (high >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3).reshape(groups, COLUMNS, supers, 8, 32)
    quads = _interleaved((low | high << 4).reshape(groups, COLUMNS, supers * 8, 32))
    top = (quads >> 4).reshape(groups, supers * 8, 2, 4, 32) << np.array([0, 2, 4, 6], np.uint8)[:, None]
    plane = np.bitwise_or.reduce(top, axis=3).reshape(groups, supers * 8, 64)
    body = np.concatenate([_nibbles(quads), plane], axis=-1)
    return _with_headers(header, scales.reshape(groups, supers * 8, 16), body)


def _pack_8(rows: np.ndarray) -> np.ndarray:
    blocks = _grouped(rows, 34)
    scale = blocks[..., :2].copy().view(np.float16)[..., 0]
    quads = _interleaved(blocks[..., 2:])
    return np.concatenate([_halves(scale), quads.reshape(*quads.shape[:2], 256)], axis=-1).reshape(-1)


def _round_to_8_bits(weights: np.ndarray) -> np.ndarray:
    """Rows of Q8_0 blocks: a half-precision scale and 32 bytes."""
    blocks = weights.reshape(len(weights), -1, BLOCK)
    largest = np.abs(blocks).max(-1, keepdims=True) / 127
    if not (largest < np.finfo(np.float16).max).all():  # nan is not less either
        raise FloatingPointError
    scale = largest.astype(np.float16)
    wide = scale.astype(np.float32)
    inverse = np.divide(1, wide, out=np.zeros_like(wide), where=wide > 0)
    quants = np.clip(np.rint(blocks * inverse), -127, 127).astype(np.int8)
    return np.concatenate([scale.view(np.uint8), quants.view(np.uint8)], axis=-1).reshape(len(weights), -1)


_PACKERS = {
    "Q4_0": (Layout.P4, _pack_4_0),
    "Q4_1": (Layout.P4, _pack_4_1),
    "Q4_K": (Layout.P4K, _pack_4_k),
    "Q5_K": (Layout.P5K, _pack_5_k),
    "Q6_K": (Layout.P6K, _pack_6_k),
    "Q8_0": (Layout.P8, _pack_8),
}
