"""Camera RAW: the preview that the camera put into the file, or the developed picture where there is none worth it.

What a camera developed itself is what its owner knows the picture by, and reading it takes milliseconds. LibRaw, which
rawpy brings, finds it.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

if TYPE_CHECKING:
    import rawpy

# How the files begin that are no TIFF: Canon (CRW, CR2 and CR3), Fuji, Olympus, Panasonic, Sigma, Minolta.
_MAGIC = (b"II\x1a\0\0\0HEAPCCDR", b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
EXIF_ORIENTATION = 0x0112
_PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 262, 330, 50706
_OF_SENSOR = (32803, 34892)  # colour filter array, linear raw
# Of the longer side. A smaller preview is a thumbnail, from which nothing can be printed: the picture is developed.
MIN_PREVIEW_PX = 320
_TURN_OF_FLIP = {3: 3, 5: 8, 6: 6}  # LibRaw's flip as an EXIF orientation


def is_raw(file: BinaryIO) -> bool:
    """Whether the bytes are a camera's RAW, which often calls itself a TIFF and shows a thumbnail as such."""
    file.seek(0)
    head = file.read(32)
    if head.startswith(_MAGIC) or head[4:11] == b"ftypcrx":
        return True
    if head[:4] not in (b"II*\0", b"MM\0*"):
        return False
    if head[8:10] == b"CR" or head[8:12] in (b"IIII", b"MMMM"):  # Canon, Phase One
        return True
    try:
        first = _directory(file, head, ImageFileDirectory_v2(head[:8]).next)
        if _DNG_VERSION in first or first.get(_PHOTOMETRIC) in _OF_SENSOR:
            return True
        below = first.get(_SUB_IFDS, ())
        offsets = (below if isinstance(below, tuple) else (below,))[:8]
        return any(_directory(file, head, int(offset)).get(_PHOTOMETRIC) in _OF_SENSOR for offset in offsets)
    except (OSError, ValueError, TypeError, KeyError, SyntaxError, OverflowError, struct.error):
        return False  # what is wrong with it is for the decoder of TIFF to say


def _directory(file: BinaryIO, head: bytes, offset: int) -> ImageFileDirectory_v2:
    directory = ImageFileDirectory_v2(head[:8])
    file.seek(offset)
    directory.load(file)
    return directory


class UndevelopedRaw(ImageFile.ImageFile):
    """A RAW without a preview worth it, as Pillow has pictures: developed on loading, by the camera's white balance."""

    format = "RAW"

    def _open(self) -> None:
        import rawpy

        assert self.fp is not None
        self._data = self.fp.read()
        self._half = self._developed = False
        with rawpy.imread(io.BytesIO(self._data)) as raw:
            self._size = (raw.sizes.width, raw.sizes.height)
        self._mode = "RGB"
        self.tile = []

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> None:  # noqa: ARG002 - Pillow's
        """Take the four samples of one colour filter as one pixel where that is enough: several times faster."""
        half = ((self.width + 1) // 2, (self.height + 1) // 2)
        if size is not None and half[0] >= size[0] and half[1] >= size[1]:
            self._half, self._size = True, half

    def load(self):  # type: ignore[no-untyped-def]
        import rawpy

        if not self._developed:
            with rawpy.imread(io.BytesIO(self._data)) as raw:
                made = Image.fromarray(raw.postprocess(use_camera_wb=True, half_size=self._half, user_flip=0))
            self.im, self._size, self._developed, self._data = made.im, made.size, True, b""
        return super().load()


def open_raw(data: bytes) -> Image.Image | None:
    """The preview, or the picture to be developed; how it is to be turned is in its EXIF.

    None where LibRaw takes the file for none of a camera. Raises what LibRaw does.
    """
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            width_px, height_px, turn = raw.sizes.width, raw.sizes.height, _TURN_OF_FLIP.get(raw.sizes.flip, 1)
            image = _preview(raw)
    except rawpy.LibRawFileUnsupportedError:
        return None
    if image is None or max(image.size) < min(MIN_PREVIEW_PX, width_px, height_px):
        image = UndevelopedRaw(io.BytesIO(data))
    else:
        turn = image.getexif().get(EXIF_ORIENTATION, turn)  # LibRaw puts its own into a JPEG without EXIF
        if turn in (5, 6, 7, 8) and (image.width > image.height) != (width_px > height_px):
            turn = 1  # the camera turned it already
    image.getexif()[EXIF_ORIENTATION] = turn
    return image


def _preview(raw: rawpy.RawPy) -> Image.Image | None:
    import rawpy

    try:
        data = raw.extract_thumb().data
        return Image.open(io.BytesIO(data), formats=("JPEG",)) if isinstance(data, bytes) else Image.fromarray(data)
    except (rawpy.LibRawError, OSError, SyntaxError, ValueError):
        return None  # without one, or with one that is damaged, the picture is developed
