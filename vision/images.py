"""Decodes pictures safely into plain RGB, as a person would see them.

EXIF turn applied, transparency laid on white, CMYK, palettes and 16 bits brought to 8-bit RGB, animations reduced
to their first frame. A file from anywhere may be fed to it: formats that run other programs (EPS, WMF) are not
opened, size and shape are checked before anything is decoded, and threads take turns with what is large.
"""

from __future__ import annotations

import contextlib
import io
import math
import threading
import warnings
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from vision.errors import ImageError
from vision.malloc import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ImageSource: TypeAlias = Path | bytes

# Twice Pillow's own warning threshold, where Pillow itself refuses: about half a gigabyte as RGB.
MAX_PIXELS = 178_956_970
# Of the longer side to the shorter, where there are many pixels: scrolls and panoramas have up to 50.
MAX_ASPECT, SHAPELESS_PIXELS = 200, 1_000_000
# Of a reduced picture to the square that was asked for, so that the shorter side does not decide alone.
MAX_AREA = 8
# What all threads together may have decoded before it is reduced; a larger picture waits until it is the only one.
DECODED_BYTES = 384 << 20
_BAND_BYTES = 16 << 20
_LARGE_BYTES = 128 << 20  # goes back to the system at once; less is needed again soon

# MPO (two JPEGs in a file, as phones write them) opens as JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "QOI")

_EXIF_ORIENTATION = 0x0112
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
        orientation = _orientation(image)
        if target_px is not None:
            image.draft(None, (target_px, target_px))
        with _decoding(shown), _in_turn(image):
            image.load()
            factor = _factor(image.size, target_px)
            rgb = _to_rgb(image) if factor < 2 else _reduced(image, factor, _converter_to_rgb(image))
    turn = _TURNS.get(orientation)
    return rgb.transpose(turn) if turn is not None else rgb


def load_display_image(source: ImageSource, *, longest_px: int | None = None, name: str | None = None) -> Image.Image:
    """The picture as an article prints it: RGB or RGBA in sRGB, upright, its longer side at most ``longest_px``.

    Transparency is kept, and colours of a profile (a telephone's wide gamut, CMYK of a printer) are brought to sRGB.
    Raises ImageError as ``load_image``.
    """
    shown = _shown_name(source, name)
    with _opened(source, shown, MAX_PIXELS) as image:
        orientation = _orientation(image)
        profile = image.info.get("icc_profile")
        if longest_px is not None:
            image.draft(None, (longest_px, longest_px))
        with _decoding(shown), _in_turn(image):
            image.load()
            whole_px = image.size
            if longest_px is not None and (factor := max(image.size) // (2 * longest_px)) >= 2:
                image = _reduced(image, factor, _plain)
            flat = _in_srgb(image, profile)
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
def _opened(source: ImageSource, shown: str, max_pixels: int) -> Iterator[Image.Image]:
    with _decoding(shown):
        file = source.open("rb") if isinstance(source, Path) else io.BytesIO(source)
    with file:
        with _decoding(shown), _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit below is ours, and odd metadata does not matter here
            image = Image.open(file, formats=_available_formats())
        with image:
            width_px, height_px = image.size
            if width_px * height_px > max_pixels:
                raise ImageError("image_pixels", name=shown, width=width_px, height=height_px, limit=max_pixels)
            if width_px * height_px > SHAPELESS_PIXELS and max(image.size) > MAX_ASPECT * min(image.size):
                raise ImageError("image_shape", name=shown, width=width_px, height=height_px, limit=MAX_ASPECT)
            yield image


@lru_cache(maxsize=1)
def _available_formats() -> tuple[str, ...]:
    """Those of FORMATS that this build of Pillow reads: AVIF, WebP and JPEG 2000 are optional in it."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _decoding(shown: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError("image_missing", name=shown) from error
    except IsADirectoryError as error:
        raise ImageError("image_is_folder", name=shown) from error
    except PermissionError as error:
        raise ImageError("image_forbidden", name=shown) from error
    except UnidentifiedImageError as error:
        raise ImageError("image_format_unknown", name=shown, known=_available_formats()) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ImageError("image_damaged", name=shown, reason=reason) from error


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1–8; 1 where there is none or it is unreadable, as every viewer takes it."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
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
def _in_turn(image: Image.Image) -> Iterator[None]:
    """Decode and reduce within: what is decoded counts against what threads may hold together."""
    size = decoded_bytes(image)
    with _turns.hold(size):
        yield
        if size > _LARGE_BYTES:
            image.im = None  # type: ignore[assignment]
            give_back()


def decoded_bytes(image: Image.Image) -> int:
    """What decoding an opened picture takes at its peak, as far as its header tells."""
    width_px, height_px = image.size
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


def _reduced(image: Image.Image, factor: int, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """The picture in another mode and ``factor`` times smaller, some rows at a time: in full it would take up to four
    times what was decoded.
    """
    width_px, height_px = image.size
    rows = max(1, _BAND_BYTES // (4 * width_px * factor)) * factor
    made: Image.Image | None = None
    for top in range(0, height_px, rows):
        band = convert(image.crop((0, top, width_px, min(top + rows, height_px)))).reduce(factor)
        if made is None:
            made = Image.new(band.mode, (band.width, -(-height_px // factor)))
        made.paste(band, (0, top // factor))
    assert made is not None, "a picture has at least one row"
    return made


def _converter_to_rgb(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """``_to_rgb`` for parts of a picture, which must all take the range of gray of the whole."""
    if _is_deep(image):
        top = _deep_top(image)
        return lambda part: _deep_gray_to_rgb(part, top)
    return _to_rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        return _deep_gray_to_rgb(image, _deep_top(image))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    # A copy also where the mode fits already: the opened file is closed by the caller.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _plain(image: Image.Image) -> Image.Image:
    """A mode that can be reduced; colours stay those of the picture's profile."""
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("RGB", "CMYK", "L") else _to_rgb(image)


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, or RGBA where something shows through; a profile that is damaged or does not fit is disregarded."""
    transparent = image.has_transparency_data
    if transparent:
        plain = image.convert("RGBA")
        transparent = int(np.asarray(plain.getchannel("A")).min()) < 255
    if not transparent:
        plain = image.copy() if profile and image.mode in ("RGB", "CMYK") else _to_rgb(image)
    if profile and plain.mode in ("RGB", "RGBA", "CMYK"):
        from PIL import ImageCms

        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            mode = "RGBA" if plain.mode == "RGBA" else "RGB"
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(plain, own, ImageCms.createProfile("sRGB"), outputMode=mode) or plain
    return plain.convert("RGB") if plain.mode == "CMYK" else plain


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _deep_top(image: Image.Image) -> float:
    """The value that is white in gray of 16 or 32 bits or of floats."""
    if image.mode.startswith("I;16"):
        return 65535.0
    # The range of 32-bit and float files is not declared: take the smallest usual one that holds the values.
    highest = float(np.nan_to_num(np.asarray(image)).max(initial=0))
    tops = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    return next((top for top in tops if highest <= top), highest)


def _deep_gray_to_rgb(image: Image.Image, top: float) -> Image.Image:
    """Gray of 16 or 32 bits or of floats to 8 bits.

    Pillow's own conversion clips at 255, which turns every 16-bit scan white.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    gray = np.rint(np.clip(values / top, 0.0, 1.0) * 255.0).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")
