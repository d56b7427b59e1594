"""Colours of every kind of picture as sRGB in 8 bits: profiles, CMYK, Lab, palettes, 16 bits, floats, transparency."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsProfile

# What a profile says it is for, by the mode of a picture that it fits.
_SPACES = {"RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK", "L": "GRAY"}

# Red, green and blue of sRGB as XYZ, adapted to D50 as in profiles (https://www.color.org/srgb04.xalter).
_SRGB_PRIMARIES = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139))


def converter_to_plain(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """What brings a picture, or a part of it, to RGB, RGBA, CMYK, L or LAB, the values still those of its profile.

    All parts of a picture take the range of gray of the whole. RGBA only where something may show through.
    """
    if _is_deep(image):
        top = _deep_top(image)
        return lambda part: _deep_gray(part, top)
    if image.has_transparency_data:
        return lambda part: part.convert("RGBA")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Adobe's programs store CMYK inverted in JPEG and say so; Pillow takes every file for theirs.
        return ImageChops.invert
    if image.mode in _SPACES or image.mode == "LAB":
        return lambda part: part.copy()  # the opened file is closed by the caller
    return lambda part: part.convert("L" if part.mode == "1" else "RGB")


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, or RGBA for RGBA, of a picture that is plain; a profile that is damaged or does not fit is disregarded."""
    from PIL import ImageCms

    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    own = None
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        if image.mode == "LAB":
            own = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif profile and image.mode in _SPACES:
            own = _profile_for(_SPACES[image.mode], profile)
        if own is not None:
            return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode=mode) or image
    return image if image.mode == mode else image.convert(mode)


def on_white(image: Image.Image) -> Image.Image:
    """RGB of RGB or RGBA."""
    if image.mode == "RGB":
        return image
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def without_full_alpha(image: Image.Image) -> Image.Image:
    """RGB where nothing shows through after all."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == 255:
        return image.convert("RGB")
    return image


@lru_cache(maxsize=8)
def _is_srgb(profile: bytes) -> bool:
    """Most photographs carry sRGB itself, which needs no conversion."""
    from PIL import ImageCms

    own = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    described = (own.profile_description or "").strip().casefold()
    primaries = (own.red_colorant, own.green_colorant, own.blue_colorant)
    return (
        described.startswith("srgb")
        and None not in primaries
        and np.allclose([primary[0] for primary in primaries if primary is not None], _SRGB_PRIMARIES, atol=0.005)
    )


def _profile_for(space: str, profile: bytes) -> ImageCmsProfile | None:
    """None where the profile is of another kind of colours, or sRGB."""
    from PIL import ImageCms

    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if opened.profile.xcolor_space.strip() != space or (space == "RGB" and _is_srgb(profile)):
        return None
    return opened


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


def _deep_gray(image: Image.Image, top: float) -> Image.Image:
    """Gray of 16 or 32 bits or of floats to 8 bits.

    Pillow's own conversion clips at 255, which turns every 16-bit scan white.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    return Image.fromarray(np.rint(np.clip(values / top, 0.0, 1.0) * 255.0).astype(np.uint8))
