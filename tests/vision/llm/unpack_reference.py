"""Packed matrices back to numbers, written apart from ``vision.llm.repack`` to test it against."""

from __future__ import annotations

import numpy as np

from vision.llm.repack import BLOCK, COLUMNS, Layout

_HEADER_BYTES = 160  # of eight blocks of a K layout
_BLOCK_BYTES = {Layout.P4: 160, Layout.P4K: 128, Layout.P5K: 160, Layout.P6K: 192, Layout.P8: 272}


def unpack_affine(layout: Layout, outputs: int, inputs: int, data: np.ndarray) -> tuple[np.ndarray, ...]:
    """Quants (outputs, inputs) int16, scales and offsets (outputs, inputs / 16): weight = quant * scale + offset."""
    halves, scales, block = _split(layout, outputs, inputs, data)
    groups, blocks, _ = block.shape
    if layout is Layout.P4:
        scale, offset, quads = _halves(block[..., :16]), _halves(block[..., 16:32]), _nibbles(block[..., 32:])
    elif layout is Layout.P8:
        scale, quads = _halves(block[..., :16]), block[..., 16:].view(np.int8).reshape(groups, blocks, 8, 32)
        offset = np.zeros_like(scale)
    elif layout is Layout.P6K:
        quads = _nibbles(block[..., :128])
        high = block[..., 128:].reshape(groups, blocks, 2, 1, 32) >> np.array([[0], [2], [4], [6]], np.uint8) & 3
        quads = (quads | high.reshape(quads.shape) << 4).astype(np.int16) - 32
        by_half = scales.view(np.int8).reshape(groups, blocks, 2, COLUMNS).astype(np.float32)
        scale = (by_half * _halves(halves[..., :16])[:, :, None]).reshape(groups, blocks * 2, COLUMNS)
        return _rows(quads), _by_output(scale), np.zeros((outputs, inputs // 16), np.float32)
    else:
        scale = scales[..., :8] * _halves(halves[..., :16])
        offset = scales[..., 8:] * _halves(halves[..., 16:])
        quads = _nibbles(block[..., :128])
        if layout is Layout.P5K:
            bits = block[..., None, 128:] >> np.arange(8, dtype=np.uint8)[:, None] & 1
            quads = quads | bits << 4
    return _rows(quads.astype(np.int16)), *(np.repeat(_by_output(part), 2, axis=1) for part in (scale, offset))


def unpack_floats(layout: Layout, outputs: int, inputs: int, data: np.ndarray) -> np.ndarray:
    """(outputs, inputs) float32."""
    quants, scale, offset = unpack_affine(layout, outputs, inputs, data)
    blocks = quants.reshape(outputs, -1, 16).astype(np.float32)
    return np.asarray(blocks * scale[..., None] + offset[..., None]).reshape(outputs, inputs)


def _split(layout: Layout, outputs: int, inputs: int, data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each block: halves of its header (groups, blocks, 32), scales (…, 16), and the block itself."""
    groups, blocks = outputs // COLUMNS, inputs // BLOCK
    size = _BLOCK_BYTES[layout]
    if layout in (Layout.P4, Layout.P8):
        none = np.empty((groups, blocks, 0), np.uint8)
        return none, none, data.reshape(groups, blocks, size)
    supers = data.reshape(groups, blocks // 8, _HEADER_BYTES + 8 * size)
    scales = np.ascontiguousarray(supers[..., 32:_HEADER_BYTES]).reshape(groups, blocks, 16)
    body = np.ascontiguousarray(supers[..., _HEADER_BYTES:]).reshape(groups, blocks, size)
    return np.repeat(supers[..., :32], 8, axis=1), scales, body


def _halves(part: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(part).view(np.float16).astype(np.float32)


def _nibbles(part: np.ndarray) -> np.ndarray:
    low = part.reshape(*part.shape[:2], 4, 32)
    return np.concatenate([low & 15, low >> 4], axis=2)


def _rows(quads: np.ndarray) -> np.ndarray:
    """(groups, blocks, 8 quads, 32 bytes) to (outputs, inputs)."""
    groups, blocks = quads.shape[:2]
    apart = quads.reshape(groups, blocks, 8, COLUMNS, 4).transpose(0, 3, 1, 2, 4)
    return np.ascontiguousarray(apart).reshape(groups * COLUMNS, blocks * BLOCK)


def _by_output(values: np.ndarray) -> np.ndarray:
    """(groups, n, 8) to (outputs, n)."""
    return np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(-1, values.shape[1])
