"""Decodes pictures safely into plain RGB, as a person would see them.

EXIF turn applied, transparency laid on white, CMYK, palettes and 16 bits brought to 8-bit RGB, animations reduced
to their first frame. A file from anywhere may be fed to it: formats that run other programs (EPS, WMF) are not
opened, and the number of pixels is checked before any is decoded.
"""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from vision.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

ImageSource: TypeAlias = Path | bytes

# Twice Pillow's own warning threshold, where Pillow itself refuses: about half a gigabyte as RGB.
MAX_PIXELS = 178_956_970

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

# warnings.catch_warnings changes process-wide state; files are opened from several threads while indexing.
_warnings_lock = threading.Lock()


def load_image(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, target_px: int | None = None, name: str | None = None
) -> Image.Image:
    """The picture as RGB, upright, on white.

    ``target_px`` says how long the shorter side must be for the caller's purpose: larger pictures may then come back
    reduced by a whole factor, never below it (large JPEGs are decoded at a fraction, several times faster).
    ``name`` stands for the picture in messages where ``source`` is bytes.

    Raises ImageError naming the file and the reason: missing, not a picture, damaged, cut short, too many pixels.
    """
    shown = _shown_name(source, name)
    with _opened(source, shown, max_pixels) as image:
        orientation = _orientation(image)
        if target_px is not None:
            image.draft(None, (target_px, target_px))
        with _decoding(shown):
            image.load()
            rgb = _to_rgb(image)
    if target_px is not None and (factor := min(rgb.size) // target_px) >= 2:
        rgb = rgb.reduce(factor)
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
        with _decoding(shown):
            if longest_px is not None:
                image.draft(None, (longest_px, longest_px))
            image.load()
            flat = _in_srgb(image, profile)
            if longest_px is not None and max(flat.size) > longest_px:
                flat.thumbnail((longest_px, longest_px), Image.Resampling.BICUBIC, reducing_gap=2.0)
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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_gray_to_rgb(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    # A copy also where the mode fits already: the opened file is closed by the caller.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


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


def _deep_gray_to_rgb(image: Image.Image) -> Image.Image:
    """Gray of 16 or 32 bits or of floats to 8 bits.

    Pillow's own conversion clips at 255, which turns every 16-bit scan white.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    if image.mode.startswith("I;16"):
        top = 65535.0
    else:
        # The range of 32-bit and float files is not declared: take the smallest usual one that holds the values.
        highest = float(values.max(initial=0.0))
        tops = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        top = next((top for top in tops if highest <= top), highest)
    gray = np.rint(np.clip(values / top, 0.0, 1.0) * 255.0).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")
