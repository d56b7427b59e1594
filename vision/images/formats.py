"""The formats of pictures: what they are called, their suffixes, what reads them, and whether that works here.

Pillow reads most. HEIC and camera RAW are read by libraries that come with Vignette; the one for JPEG XL is under the
GPL, so it is read where somebody has installed that.
"""

from __future__ import annotations

import importlib
import tomllib
from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from vision.errors import ImageError, KeyedError, Phrase

_RAW_SUFFIXES = """
    .3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2
    .srf .srw .x3f
"""


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """``plugins`` are its names in Pillow; ``module`` of the distribution ``package`` is what reads it otherwise."""

    name: str
    suffixes: tuple[str, ...]
    plugins: tuple[str, ...] = ()
    package: str = "pillow"
    module: str = ""


CAMERA_RAW = PictureFormat("camera RAW", tuple(_RAW_SUFFIXES.split()), (), "rawpy", "rawpy")
JPEG_XL = PictureFormat("JPEG XL", (".jxl",), ("JXL",), "pillow-jxl-plugin", "pillow_jxl")

# Formats that run other programs (EPS, WMF) are not among them. MPO, two JPEGs in a file, opens as JPEG.
FORMATS = (
    PictureFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), ("JPEG",)),
    PictureFormat("PNG", (".png", ".apng"), ("PNG",)),
    PictureFormat("WebP", (".webp",), ("WEBP",)),
    PictureFormat("GIF", (".gif",), ("GIF",)),
    PictureFormat("TIFF", (".tif", ".tiff"), ("TIFF",)),
    PictureFormat("BMP", (".bmp", ".dib"), ("BMP", "DIB")),
    PictureFormat("AVIF", (".avif", ".avifs"), ("AVIF",)),
    PictureFormat("HEIC", (".heic", ".heics", ".heif", ".heifs", ".hif"), ("HEIF",), "pillow-heif", "pillow_heif"),
    JPEG_XL,
    CAMERA_RAW,
    PictureFormat("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), ("JPEG2000",)),
    PictureFormat("PNM", (".ppm", ".pgm", ".pbm", ".pnm"), ("PPM",)),
    PictureFormat("ICO", (".ico",), ("ICO",)),
    PictureFormat("QOI", (".qoi",), ("QOI",)),
)
BY_SUFFIX = {suffix: each for each in FORMATS for suffix in each.suffixes}
RAW_SUFFIXES = frozenset(CAMERA_RAW.suffixes)


@cache
def reader_missing(wanted: PictureFormat) -> str:
    """Why nothing here reads a format: the error of importing what would, or "". Teaches Pillow to read it."""
    from PIL import Image

    try:
        if wanted.module:
            module = importlib.import_module(wanted.module)
            if wanted.module == "pillow_heif":
                module.register_heif_opener()
    except ImportError as error:
        return str(error)
    Image.init()  # AVIF, WebP and JPEG 2000 are optional in Pillow
    absent = [plugin for plugin in wanted.plugins if plugin not in Image.OPEN]
    return f"Pillow without {', '.join(absent)}" if absent else ""


def not_installed(wanted: PictureFormat) -> Phrase | None:
    """What to say of a file of that format where nothing here reads it."""
    if not reader_missing(wanted):
        return None
    return Phrase("format_needs_package", {"format": wanted.name, "package": wanted.package})


@cache
def known_formats() -> tuple[PictureFormat, ...]:
    """Those that this installation has a reader of."""
    return tuple(each for each in FORMATS if not reader_missing(each))


@cache
def pillow_plugins() -> tuple[str, ...]:
    """Pillow's names of the formats to open; JPEG XL, which its plugin decodes on opening, is none of them."""
    return tuple(plugin for each in known_formats() if each is not JPEG_XL for plugin in each.plugins)


@dataclass(frozen=True, slots=True)
class Tried:
    """A format, and why a small picture in it could not be decoded here; None where it was."""

    format: PictureFormat
    problem: Phrase | KeyedError | None


def try_formats() -> list[Tried]:
    """Decode a picture of 24 × 16 pixels in every format, left half red and right half blue.

    They were made by Pillow, pillow-heif and pillow-jxl-plugin; the RAW is a DNG around such a JPEG.
    """
    samples = tomllib.loads(files("vision.images").joinpath("format_samples.toml").read_text(encoding="utf-8"))
    return [Tried(each, _tried(each, b64decode(samples[each.name]))) for each in FORMATS]


def _tried(wanted: PictureFormat, sample: bytes) -> Phrase | KeyedError | None:
    from vision.images.decoding import load_image

    if (missing := not_installed(wanted)) is not None:
        return missing
    try:
        shown = load_image(sample, name=wanted.name)
    except ImageError as error:
        return error
    left, right = shown.getpixel((4, 8)), shown.getpixel((19, 8))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    if shown.size == (24, 16) and left[0] > 200 > 60 > left[2] and right[2] > 200 > 60 > right[0]:
        return None
    return Phrase("format_decoded_wrongly", {"format": wanted.name})


def is_jpeg_xl(head: bytes) -> bool:
    return head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"))


# Of the longer to the shorter side, by the number in the header; 0 means that the width follows.
_JXL_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def jpeg_xl_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels by the header alone, as stored (ISO/IEC 18181-1, annex D.2).

    Raises ValueError where there is no header.
    """
    stream = _jpeg_xl_stream(data)
    if stream[:2] != b"\xff\x0a" or len(stream) < 14:
        raise ValueError("no JPEG XL codestream")
    bits, at = int.from_bytes(stream[2:14], "little"), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return bits >> (at - count) & ((1 << count) - 1)

    in_eights = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if in_eights else take((9, 13, 18, 30)[take(2)]) + 1

    height_px = side()
    across, down = _JXL_RATIOS[take(3)]
    return (height_px * across // down if across else side()), height_px


def _jpeg_xl_stream(data: bytes) -> bytes:
    """The beginning of the codestream, in a container or bare (ISO/IEC 18181-2)."""
    if not data.startswith(b"\0\0\0\x0cJXL "):
        return data[:64]
    at = 0
    while at + 16 <= len(data):
        length, kind, start = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if length == 1:
            length, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        if kind in (b"jxlc", b"jxlp"):
            start += 4 if kind == b"jxlp" else 0
            return data[start : start + 64]
        if length < 8:
            break
        at += length
    return b""
