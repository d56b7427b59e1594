"""Large PNGs some rows at a time, and what a PNG says behind its pixels, which Pillow reads by decoding them all.

Of a picture of 177 megapixels some rows take 40 MB where the whole takes 700. Rows depend on the row above, so each
band is decoded below the last row of the band before it (https://www.w3.org/TR/png-3/#9Filters).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, TypeGuard, cast

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngImageFile

_WORDS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_READ_BYTES = 1 << 20
# Channels by the type of colour that the header names, and Pillow's mode of as many channels of 8 bits.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def read_words_behind(image: PngImageFile) -> None:
    """Of an opened PNG what stands behind the pixels: EXIF, XMP, texts. Damage there is no damage of the picture."""
    stream, file = image.png, cast("BinaryIO", image.fp)
    assert stream is not None, "the picture is not decoded yet"
    here = file.tell()
    with suppress(OSError, ValueError, SyntaxError, EOFError, struct.error):
        for kind, size in _chunks_from(file, image.tile[0].offset):
            if kind in _WORDS:
                stream.call(kind, file.tell(), size)
    file.seek(here)


def has_rows(image: Image.Image) -> TypeGuard[PngImageFile]:
    """Whether ``bands`` reads it: a PNG that is neither interlaced nor animated."""
    if image.format != "PNG":
        return False
    png = cast("PngImageFile", image)
    return not png.info.get("interlace") and not png.is_animated and len(png.tile) == 1


def bands(image: PngImageFile, rows: int) -> Iterator[Image.Image]:
    """The opened picture from top to bottom, ``rows`` rows at a time, each in its mode and with its palette.

    Of colours of 16 bits the upper 8 are taken, as Pillow does. Raises OSError and zlib.error for damaged data.
    """
    file, tile = cast("BinaryIO", image.fp), image.tile[0]
    file.seek(24)  # in the header, which comes first
    depth, colour = file.read(2)
    width_px, height_px = image.size
    channels = _CHANNELS[colour]
    row_bytes = -(-width_px * channels * depth // 8)
    shallow = depth == 16 and channels > 1
    # Rows are unfiltered as channels of 8 bits, whatever they hold: filters know bytes alone.
    carrier = _MODES[channels * (2 if depth == 16 and not shallow else 1)]
    carrier_px = width_px if depth >= 8 else row_bytes
    inflated = _Inflated(file, tile.offset)
    above = b""
    for top in range(0, height_px, rows):
        count = min(rows, height_px - top)
        filtered = np.frombuffer(inflated.read(count * (row_bytes + 1)), np.uint8).reshape(count, row_bytes + 1)
        if shallow:  # each byte depends on bytes of its own place in other pixels alone
            filtered = np.concatenate([filtered[:, :1], filtered[:, 1::2]], 1)
        data = zlib.compress((b"\0" + above if above else b"") + filtered.tobytes(), 0)
        band = Image.frombytes(carrier, (carrier_px, count + bool(above)), data, "zip", carrier)
        band = band.crop((0, int(bool(above)), *band.size)) if above else band
        above = band.crop((0, band.height - 1, *band.size)).tobytes()
        yield _as_opened(band, image, tile.args)


def _as_opened(band: Image.Image, image: Image.Image, raw_mode: object) -> Image.Image:
    if band.mode != image.mode or band.width != image.width:
        if image.mode == "RGBA":  # gray and alpha of 16 bits
            return band.convert("RGBA")
        band = Image.frombytes(image.mode, (image.width, band.height), band.tobytes(), "raw", raw_mode)
    if image.palette is not None:
        mode, colors = image.palette.getdata()
        band.putpalette(cast("bytes", colors), mode)
    if (transparency := image.info.get("transparency")) is not None:
        band.info["transparency"] = transparency
    return band


def _chunks_from(file: BinaryIO, data_at: int) -> Iterator[tuple[bytes, int]]:
    """Kind and size of the chunk whose data begins there and of those behind it, ``file`` at its data."""
    at = data_at - 8
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head)
        yield kind, size
        at += size + 12


class _Inflated:
    """The filtered rows, as many bytes at a time as are asked for."""

    def __init__(self, file: BinaryIO, data_at: int) -> None:
        self._packed = _packed(file, data_at)
        self._inflate = zlib.decompressobj()

    def read(self, size: int) -> bytearray:
        made = bytearray()
        while len(made) < size:
            packed = self._inflate.unconsumed_tail or next(self._packed, b"")
            some = self._inflate.decompress(packed, size - len(made))
            if not some and not packed:
                raise OSError("image file is truncated")
            made += some
        return made


def _packed(file: BinaryIO, data_at: int) -> Iterator[bytes]:
    for kind, size in _chunks_from(file, data_at):
        if kind != b"IDAT":
            return
        while size > 0 and (some := file.read(min(size, _READ_BYTES))):
            yield some
            size -= len(some)
