"""Decodes pictures safely into plain RGB, as a person would see them.

EXIF turn applied, transparency laid on white, colours brought to 8 bits in sRGB, animations reduced to their first
frame, camera RAW shown by its preview. A file from anywhere may be fed to it: formats that run other programs (EPS,
WMF) are not opened, size and shape are checked before anything is decoded, and threads take turns with what is large.
"""

from __future__ import annotations

import io
import math
import threading
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, TypeGuard, cast

from PIL import Image, UnidentifiedImageError

from vision.errors import ImageError
from vision.images.colors import converter_to_plain, in_srgb, on_white, without_full_alpha
from vision.images.formats import (
    CAMERA_RAW,
    JPEG_XL,
    is_jpeg_xl,
    jpeg_xl_size,
    known_formats,
    not_installed,
    pillow_plugins,
)
from vision.images.png import bands, has_rows, read_words_behind
from vision.images.raw import EXIF_ORIENTATION, is_raw, open_raw
from vision.malloc import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL.PngImagePlugin import PngImageFile

ImageSource: TypeAlias = Path | bytes

# Twice Pillow's own warning threshold, where Pillow itself refuses: about half a gigabyte as RGB.
MAX_PIXELS = 178_956_970
# Of the longer side to the shorter, where there are many pixels: scrolls and panoramas have up to 50.
MAX_ASPECT, SHAPELESS_PIXELS = 200, 1_000_000
# Of a reduced picture to the square that was asked for, so that the shorter side does not decide alone.
MAX_AREA = 8
# What all threads together may have decoded before it is reduced; a larger picture waits until it is the only one.
DECODED_BYTES = 384 << 20
_BAND_BYTES = 4 << 20
_BANDED_BYTES = 8 * _BAND_BYTES  # packed, filtered, decoded and converted
_LARGE_BYTES = 128 << 20  # decoded some rows at a time where the format allows, and given back to the system at once

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})

# What LibRaw and libheif take beside the picture, and libjxl, which computes in floats.
_BYTES_OF_FORMAT = {"RAW": 12, "HEIF": 12}
_JXL_BYTES = 24
_BYTES_A_PIXEL = {"1": 1, "L": 1, "P": 1, "LA": 4, "PA": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}  # others have 4

# warnings.catch_warnings changes process-wide state; files are opened from several threads while indexing.
_warnings_lock = threading.Lock()


def load_image(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, target_px: int | None = None, name: str | None = None
) -> Image.Image:
    """The picture as RGB, upright, on white.

    ``target_px`` says how long the shorter side must be for the caller's purpose: larger pictures may then come back
    reduced by a whole factor, never below it (large JPEGs are decoded at a fraction, several times faster); below it
    only where the picture would still have more than MAX_AREA times the pixels of a square of that side.
    ``name`` stands for the picture in messages where ``source`` is bytes.

    Raises ImageError naming the file and the reason: missing, not a picture, damaged, cut short, too many pixels.
    """
    shown = _shown_name(source, name)
    with _opened(source, shown, max_pixels) as image:
        orientation, profile = _orientation(image), image.info.get("icc_profile")
        if target_px is not None:
            image.draft(None, (target_px, target_px))
        factor = _factor(image.size, target_px)
        with _decoding(shown), _in_turn(image, factor):
            rgb = on_white(in_srgb(_plain(image, factor), profile))
    turn = _TURNS.get(orientation)
    return rgb.transpose(turn) if turn is not None else rgb


def load_display_image(source: ImageSource, *, longest_px: int | None = None, name: str | None = None) -> Image.Image:
    """The picture as an article prints it: RGB or RGBA in sRGB, upright, its longer side at most ``longest_px``.

    Transparency is kept, and colours of a profile (a telephone's wide gamut, CMYK of a printer) are brought to sRGB.
    Raises ImageError as ``load_image``.
    """
    shown = _shown_name(source, name)
    with _opened(source, shown, MAX_PIXELS) as image:
        orientation, profile = _orientation(image), image.info.get("icc_profile")
        if longest_px is not None:
            image.draft(None, (longest_px, longest_px))
        whole_px = image.size
        factor = max(whole_px) // (2 * longest_px) if longest_px is not None else 1
        with _decoding(shown), _in_turn(image, factor):
            flat = without_full_alpha(in_srgb(_plain(image, factor), profile))
            if longest_px is not None and (scale := longest_px / max(whole_px)) < 1:
                width_px, height_px = (max(1, round(side * scale)) for side in whole_px)
                flat = flat.resize((width_px, height_px), Image.Resampling.BICUBIC, reducing_gap=2.0)
    turn = _TURNS.get(orientation)
    return flat.transpose(turn) if turn is not None else flat


def image_size(source: ImageSource, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> tuple[int, int]:
    """Width and height in pixels of the picture as shown (EXIF turn applied), from its header alone.

    Raises ImageError as ``load_image``, except for damage that only decoding finds.
    """
    with _opened(source, _shown_name(source, name), max_pixels) as image:
        width_px, height_px = image.size
        return (height_px, width_px) if _orientation(image) in _SIDEWAYS else (width_px, height_px)


def _shown_name(source: ImageSource, name: str | None) -> str:
    if name is not None:
        return name
    return str(source) if isinstance(source, Path) else "the picture given"


@contextmanager
def opened_for_words(file: BinaryIO) -> Iterator[Image.Image]:
    """The picture opened and not decoded, for what is written inside it; of a camera RAW what it is as a TIFF.

    Raises ImageError as ``load_image``.
    """
    with _opened(file, "", MAX_PIXELS, as_tiff=True) as image:
        yield image


@contextmanager
def _opened(
    source: ImageSource | BinaryIO, shown: str, max_pixels: int, *, as_tiff: bool = False
) -> Iterator[Image.Image]:
    with _decoding(shown):
        file = _file_of(source)
    with file:
        with _decoding(shown):
            image = _open(file, shown, max_pixels, as_tiff)
        with image:
            _check_size(image.size, shown, max_pixels)
            _check_length(image, file, shown)
            yield image


def _file_of(source: ImageSource | BinaryIO) -> BinaryIO:
    if isinstance(source, Path):
        return source.open("rb")
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _open(file: BinaryIO, shown: str, max_pixels: int, as_tiff: bool) -> Image.Image:
    if is_jpeg_xl(head := file.read(16)):
        return _open_jpeg_xl(head + file.read(), shown, max_pixels)
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the limits are ours, and odd metadata does not matter here
        if is_raw(file):
            if as_tiff:
                with suppress(UnidentifiedImageError):  # in which case the preview may say something
                    return Image.open(file, formats=("TIFF",))
            if (missing := not_installed(CAMERA_RAW)) is not None:
                raise ImageError(missing.key, **missing.values)
            file.seek(0)
            if (raw := open_raw(file.read())) is not None:
                return raw
        image = Image.open(file, formats=pillow_plugins())
        if image.format == "PNG":
            read_words_behind(cast("PngImageFile", image))
        return image


def exif_of(image: Image.Image) -> Image.Exif:
    """What an opened picture's EXIF says, without decoding it: for a PNG that has none, Pillow's own method does."""
    return Image.Image.getexif(image)


def _open_jpeg_xl(data: bytes, shown: str, max_pixels: int) -> Image.Image:
    """Its plugin decodes on opening, so what is checked of others afterwards is checked before."""
    if (missing := not_installed(JPEG_XL)) is not None:
        raise ImageError(missing.key, **missing.values)
    size_px = jpeg_xl_size(data)
    _check_size(size_px, shown, max_pixels)
    with _turns.hold(size_px[0] * size_px[1] * _JXL_BYTES):
        image = Image.open(io.BytesIO(data), formats=JPEG_XL.plugins)
        image.load()
    if not getattr(image, "jpeg", False):
        image.getexif()[EXIF_ORIENTATION] = 1  # applied in decoding, from the codestream, whatever EXIF says
    return image


def _check_size(size_px: tuple[int, int], shown: str, max_pixels: int) -> None:
    width_px, height_px = size_px
    if width_px * height_px > max_pixels:
        raise ImageError("image_pixels", name=shown, width=width_px, height=height_px, limit=max_pixels)
    if width_px * height_px > SHAPELESS_PIXELS and max(size_px) > MAX_ASPECT * min(size_px):
        raise ImageError("image_shape", name=shown, width=width_px, height=height_px, limit=MAX_ASPECT)


def _check_length(image: Image.Image, file: BinaryIO, shown: str) -> None:
    """A header without a picture behind it: to make room for what it claims takes a second or more.

    Only PNM packs nothing, so that its length tells.
    """
    if image.format != "PPM":
        return
    place = file.tell()
    length = file.seek(0, io.SEEK_END)
    file.seek(place)
    if 8 * length < image.width * image.height:
        raise ImageError("image_damaged", name=shown, reason="image file is truncated")


@contextmanager
def _decoding(shown: str) -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("image_missing", name=shown) from error
    except IsADirectoryError as error:
        raise ImageError("image_is_folder", name=shown) from error
    except PermissionError as error:
        raise ImageError("image_forbidden", name=shown) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            "image_format_unknown", name=shown, known=tuple(each.name for each in known_formats())
        ) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ImageError("image_damaged", name=shown, reason=reason) from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1–8; 1 where there is none or it is unreadable, as every viewer takes it."""
    if image.format == "TIFF":  # Pillow turns it itself, and gives its size turned
        return 1
    try:
        value = exif_of(image).get(EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - on damaged bytes Pillow raises anything
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


class _Turns:
    """A number of bytes that threads share; each waits, in the order of asking, until what it needs is free."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: list[object] = []
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold ``size`` bytes; more than there are is held by waiting until nobody else holds any."""
        place = object()
        with self._changed:
            self._waiting.append(place)
            self._changed.wait_for(lambda: self._waiting[0] is place and (not self._held or self._fits(size)))
            self._waiting.pop(0)
            self._held += size
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return self._held + size <= self._limit


_turns = _Turns(DECODED_BYTES)


@contextmanager
def _in_turn(image: Image.Image, factor: int) -> Iterator[None]:
    """Decode and reduce within: what is decoded counts against what threads may hold together."""
    size = decoded_bytes(image)
    with _turns.hold(_BANDED_BYTES if _by_rows(image, factor) else size):
        yield
        if size > _LARGE_BYTES:
            image.im = None  # type: ignore[assignment]
            give_back()


def decoded_bytes(image: Image.Image) -> int:
    """What decoding an opened picture takes at its peak, as far as its header tells."""
    width_px, height_px = image.size
    if image.format in _BYTES_OF_FORMAT:
        return width_px * height_px * _BYTES_OF_FORMAT[image.format]
    size = width_px * height_px * _BYTES_A_PIXEL.get(image.mode, 4)
    if image.format in ("WEBP", "AVIF"):  # their decoders make a copy
        return 2 * size
    if image.info.get("progressive"):  # 16-bit coefficients of the whole picture, whatever fraction is wanted of it
        scale = (getattr(image, "decoderconfig", None) or (1,))[0]
        return size + width_px * height_px * scale * scale * 6
    return size


def _factor(size_px: tuple[int, int], target_px: int | None) -> int:
    if target_px is None:
        return 1
    over = size_px[0] * size_px[1] / (MAX_AREA * target_px**2)
    return max(min(size_px) // target_px, math.ceil(math.sqrt(over)) if over > 1 else 1)


def _by_rows(image: Image.Image, factor: int) -> TypeGuard[PngImageFile]:
    return factor > 1 and decoded_bytes(image) > _LARGE_BYTES and has_rows(image)


def _plain(image: Image.Image, factor: int) -> Image.Image:
    """Decoded, reduced where ``factor`` is above 1, and in a mode that ``in_srgb`` takes."""
    if not _by_rows(image, factor):
        image.load()
    convert = converter_to_plain(image)
    return convert(image) if factor < 2 else _reduced(image, factor, convert)


def _reduced(image: Image.Image, factor: int, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """The picture in another mode and ``factor`` times smaller, some rows at a time: in full it would take up to four
    times what was decoded.
    """
    width_px, height_px = image.size
    rows = max(1, _BAND_BYTES // (4 * width_px * factor)) * factor
    tops = range(0, height_px, rows)
    whole = (image.crop((0, top, width_px, min(top + rows, height_px))) for top in tops)
    made: Image.Image | None = None
    for top, part in zip(tops, bands(image, rows) if _by_rows(image, factor) else whole, strict=True):
        band = convert(part).reduce(factor)
        if made is None:
            made = Image.new(band.mode, (band.width, -(-height_px // factor)))
        made.paste(band, (0, top // factor))
    assert made is not None, "a picture has at least one row"
    return made
