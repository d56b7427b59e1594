"""A camera's RAW made by hand: a DNG (Adobe's specification 1.7, a TIFF) of a sensor with an RGGB filter."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

_LONG, _SHORT, _BYTE, _ASCII, _RATIONAL, _SIGNED_RATIONAL = 4, 3, 1, 2, 5, 10
_SIZES = {_LONG: 4, _SHORT: 2, _BYTE: 1, _ASCII: 1, _RATIONAL: 8, _SIGNED_RATIONAL: 8}


def _packed(kind: int, values: tuple) -> bytes:
    if kind == _ASCII:
        return values[0].encode() + b"\0"
    if kind in (_RATIONAL, _SIGNED_RATIONAL):
        return b"".join(struct.pack("<ii", round(value * 10_000), 10_000) for value in values)
    return struct.pack("<" + {_LONG: "I", _SHORT: "H", _BYTE: "B"}[kind] * len(values), *values)


def _directory(at: int, tags: dict[int, tuple[int, tuple]]) -> bytes:
    """A TIFF directory that will stand at byte ``at``, the values that do not fit into it behind."""
    entries, behind = b"", b""
    start = at + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        data = _packed(kind, values)
        count = len(data) // _SIZES[kind]
        if len(data) <= 4:
            entries += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
        else:
            entries += struct.pack("<HHII", tag, kind, count, start + len(behind))
            behind += data + b"\0" * (len(data) % 2)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + behind


def dng(
    seen: Image.Image,
    preview: bytes | None,
    *,
    orientation: int = 1,
    preview_px: tuple[int, int] = (0, 0),
    **words: str,
) -> bytes:
    """What a sensor of the picture's size would have seen of it, and a preview's JPEG; ``description``, ``artist``."""
    width_px, height_px = seen.size
    rgb = np.asarray(seen.convert("RGB"), float) / 255
    mosaic = np.empty((height_px, width_px))
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = rgb[0::2, 0::2, 0], rgb[1::2, 1::2, 2]
    mosaic[0::2, 1::2], mosaic[1::2, 0::2] = rgb[0::2, 1::2, 1], rgb[1::2, 0::2, 1]
    sensor = np.round(mosaic**2.2 * 65_535).astype("<u2").tobytes()
    preview = preview or b""
    sensor_at, preview_at = 8, 8 + len(sensor)
    at = preview_at + len(preview) + len(preview) % 2
    cfa = {
        254: (_LONG, (0,)),
        256: (_LONG, (width_px,)),
        257: (_LONG, (height_px,)),
        258: (_SHORT, (16,)),
        259: (_SHORT, (1,)),
        262: (_SHORT, (32803,)),
        273: (_LONG, (sensor_at,)),
        277: (_SHORT, (1,)),
        278: (_LONG, (height_px,)),
        279: (_LONG, (len(sensor),)),
        284: (_SHORT, (1,)),
        33421: (_SHORT, (2, 2)),
        33422: (_BYTE, (0, 1, 1, 2)),
        50714: (_SHORT, (0,)),
        50717: (_LONG, (65_535,)),
    }
    shared = {
        270: (_ASCII, (words.get("description", ""),)),
        271: (_ASCII, ("Vignette",)),
        272: (_ASCII, ("Hand 1",)),
        274: (_SHORT, (orientation,)),
        315: (_ASCII, (words.get("artist", ""),)),
        50706: (_BYTE, (1, 4, 0, 0)),
        50707: (_BYTE, (1, 1, 0, 0)),
        50708: (_ASCII, ("Vignette Hand 1",)),
        50721: (_SIGNED_RATIONAL, (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)),
        50728: (_RATIONAL, (0.9505, 1.0, 1.0891)),
        50778: (_SHORT, (21,)),
    }
    if not preview:
        first = _directory(at, {**shared, **cfa})
        return b"II*\0" + struct.pack("<I", at) + sensor + first
    width, height = preview_px if any(preview_px) else seen.size
    tags = {
        254: (_LONG, (1,)),
        256: (_LONG, (width,)),
        257: (_LONG, (height,)),
        258: (_SHORT, (8, 8, 8)),
        259: (_SHORT, (7,)),
        262: (_SHORT, (6,)),
        273: (_LONG, (preview_at,)),
        277: (_SHORT, (3,)),
        278: (_LONG, (height,)),
        279: (_LONG, (len(preview),)),
        284: (_SHORT, (1,)),
        330: (_LONG, (0,)),
        **shared,
    }
    below = at + len(_directory(at, tags))
    first = _directory(at, {**tags, 330: (_LONG, (below,))})
    padding = b"\0" * (len(preview) % 2)
    return b"II*\0" + struct.pack("<I", at) + sensor + preview + padding + first + _directory(below, cfa)
