"""Files as phones, cameras and programs write them: HEIC, JPEG XL, camera RAW, profiles, CMYK, turned TIFFs."""

import struct
import threading

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.raw_files import dng
from tests.vision.test_images import BLUE, RED, WHITE, close, encoded, two_halves
from vision.errors import ImageError
from vision.images import image_size, load_display_image, load_image
from vision.images.formats import jpeg_xl_size, try_formats

GREEN, YELLOW = (0, 255, 0), (255, 255, 0)
SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))


@pytest.fixture(autouse=True, scope="module")
def readers() -> None:
    """Teaches Pillow to write HEIC and JPEG XL, too."""
    assert [tried.format.name for tried in try_formats() if tried.problem is not None] == []


def turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "HEIF", exif=exif.tobytes(), quality=90, chroma=444)


def test_heic_is_upright_and_a_thumbnail_in_it_is_taken_only_where_it_is_large_enough() -> None:
    upright = two_halves(600, 400)
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    data = turned(stored, 6)
    assert image_size(data) == (600, 400)
    shown = load_image(data)
    assert shown.size == (600, 400)
    assert close(shown.getpixel((20, 20)), RED)
    assert close(shown.getpixel((580, 20)), BLUE)
    small = load_image(encoded(upright, "HEIF", thumbnails=[300]), target_px=100)
    assert min(small.size) >= 100
    assert close(small.getpixel((3, 3)), RED)


def test_heic_with_transparency_is_laid_on_white() -> None:
    assert close(load_image(encoded(Image.new("RGBA", (64, 64), (255, 0, 0, 0)), "HEIF")).getpixel((9, 9)), WHITE)


def jpeg(left: tuple, right: tuple, width_px: int, height_px: int, **options: object) -> bytes:
    image = Image.new("RGB", (width_px, height_px), left)
    image.paste(right, (width_px // 2, 0, width_px, height_px))
    return encoded(image, "JPEG", **options)


def test_a_raw_shows_its_preview_turned_as_the_camera_was_held() -> None:
    seen = two_halves(800, 600)
    preview = jpeg(YELLOW, GREEN, 640, 480)
    for orientation, size, first, last in ((1, (640, 480), YELLOW, GREEN), (6, (480, 640), YELLOW, GREEN)):
        data = dng(seen, preview, orientation=orientation, preview_px=(640, 480))
        shown = load_image(data)
        assert image_size(data) == shown.size == size
        assert close(shown.getpixel((5, 5)), first)
        assert close(shown.getpixel((size[0] - 5, size[1] - 5)), last)
    upright = dng(seen, jpeg(YELLOW, GREEN, 480, 640), orientation=6, preview_px=(480, 640))
    assert load_image(upright).size == (480, 640)  # the preview was turned already
    exif = Image.Exif()
    exif[0x0112] = 3
    full = jpeg(YELLOW, GREEN, 640, 480, exif=exif)
    full = full[:2] + full[20:]  # without JFIF, as cameras write EXIF
    own = dng(seen, full, orientation=1, preview_px=(640, 480))
    assert close(load_image(own).getpixel((5, 5)), GREEN)


@pytest.mark.parametrize("preview_px", [None, (96, 72)])
def test_a_raw_without_a_preview_worth_it_is_developed(preview_px: tuple[int, int] | None) -> None:
    preview = None if preview_px is None else jpeg(YELLOW, GREEN, *preview_px)
    data = dng(two_halves(800, 600), preview, orientation=6, preview_px=preview_px or (0, 0))
    shown = load_image(data)
    assert image_size(data) == shown.size == (600, 800)
    assert close(shown.getpixel((9, 9)), RED, 40)
    assert close(shown.getpixel((9, 790)), BLUE, 40)
    assert load_image(data, target_px=200).size == (300, 400)
    assert max(load_display_image(data, longest_px=256).size) == 256


def test_a_raw_over_the_pixel_limit_says_so_and_one_cut_short_is_damaged() -> None:
    data = dng(two_halves(800, 600), None)
    with pytest.raises(ImageError, match=r"^image_pixels: name=big\.dng, width=800, height=600"):
        load_image(data, max_pixels=400_000, name="big.dng")
    preview = dng(two_halves(64, 48), jpeg(RED, BLUE, 64, 48))
    with pytest.raises(ImageError) as caught:
        load_image(preview[: len(preview) // 2], name="cut.dng")
    assert caught.value.key in ("image_damaged", "image_format_unknown")


def test_jpeg_xl_is_measured_before_it_is_decoded() -> None:
    for size_px in ((40, 20), (16, 16), (256, 256), (300, 200), (5_000, 3), (1_024, 576)):
        picture = Image.new("RGB", size_px, RED)
        for options in ({}, {"use_container": True}):
            data = encoded(picture, "JXL", lossless=True, **options)
            assert jpeg_xl_size(data) == size_px
    assert close(load_image(data).getpixel((3, 3)), RED)
    with pytest.raises(ImageError, match=r"^image_pixels: name=big\.jxl, width=1024, height=576"):
        load_image(data, max_pixels=500_000, name="big.jxl")
    with pytest.raises(ImageError, match=r"^image_damaged: name=cut\.jxl"):
        load_image(data[:20], name="cut.jxl")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_is_turned_once(orientation: int) -> None:
    back = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    turn = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }[back]
    upright = two_halves()
    stored = upright if turn is None else upright.transpose(turn)
    data = encoded(stored, "TIFF", tiffinfo={274: orientation})
    assert image_size(data) == upright.size
    assert np.array_equal(np.asarray(load_image(data)), np.asarray(upright))


def profile(primaries: tuple[tuple[float, ...], ...], name: str) -> bytes:
    """A profile of these primaries with the tone curve of sRGB (ICC.1:2022, 7.3 and 10.31)."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(struct.unpack_from(">I", made, 128)[0]):
        tag, at, _ = struct.unpack_from(">4sII", made, 132 + 12 * number)
        if tag in (b"rXYZ", b"gXYZ", b"bXYZ"):
            values = (round(value * 65_536) for value in primaries[b"rgb".index(tag[0])])
            struct.pack_into(">iii", made, at + 8, *values)
    return bytes(made).replace("sRGB built-in".encode("utf-16-be"), name.ljust(13).encode("utf-16-be"))


def in_srgb(colour: tuple[int, ...], primaries: tuple[tuple[float, ...], ...]) -> tuple[int, int, int]:
    """By the formulas of IEC 61966-2-1."""
    value = np.asarray(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.linalg.solve(np.asarray(SRGB).T, np.asarray(primaries).T @ linear).clip(0, 1)
    shown = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return tuple(round(each * 255) for each in shown)  # type: ignore[return-value]


@pytest.mark.parametrize(("primaries", "name"), [(DISPLAY_P3, "Display P3"), (ADOBE_RGB, "Adobe RGB"), (SRGB, "sRGB")])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_colours_of_a_profile_are_brought_to_srgb(
    primaries: tuple[tuple[float, ...], ...], name: str, kind: str
) -> None:
    colour = (200, 90, 60)
    data = encoded(Image.new("RGB", (64, 64), colour), kind, icc_profile=profile(primaries, name), quality=95)
    right = in_srgb(colour, primaries)
    assert (right == colour) == (primaries is SRGB)
    assert close(load_image(data).getpixel((9, 9)), right, 5)
    assert close(load_image(data, target_px=16).getpixel((3, 3)), right, 5)
    assert close(load_display_image(data).getpixel((9, 9)), right, 5)


def test_a_profile_that_is_damaged_or_of_other_colours_is_disregarded() -> None:
    wide = profile(DISPLAY_P3, "Display P3")
    for broken in (b"no profile", wide[:200], wide[:16] + b"CMYK" + wide[20:]):
        assert load_image(encoded(Image.new("RGB", (8, 8), RED), "PNG", icc_profile=broken)).getpixel((3, 3)) == RED


def test_a_profile_leaves_what_shows_through_as_it_is() -> None:
    clear = Image.new("RGBA", (8, 8), (200, 90, 60, 128))
    data = encoded(clear, "PNG", icc_profile=profile(DISPLAY_P3, "Display P3"))
    red, green, blue = in_srgb((200, 90, 60), DISPLAY_P3)
    assert load_display_image(data).getpixel((3, 3))[3] == 128
    assert close(load_image(data).getpixel((3, 3)), ((red + 255) // 2, (green + 255) // 2, (blue + 255) // 2), 4)


def test_cmyk_is_inverted_where_adobe_says_so_and_not_elsewhere() -> None:
    data = encoded(two_halves().convert("CMYK"), "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    without = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    assert b"Adobe" in data
    assert b"Adobe" not in without
    assert close(load_image(data).getpixel((3, 3)), RED)
    # The same numbers without Adobe's mark are ink where they were none.
    assert close(load_image(without).getpixel((3, 3)), (0, 0, 0))
    assert close(load_image(encoded(two_halves().convert("CMYK"), "TIFF")).getpixel((3, 3)), RED)


def test_lab_and_sixteen_bits_a_colour_keep_their_colours() -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(two_halves(), to_lab)
    assert lab is not None
    assert close(load_image(encoded(lab, "TIFF")).getpixel((3, 3)), RED)
    samples = np.zeros((4, 4, 3), "<u2")
    samples[..., 0], samples[..., 1] = 0xFFFF, 0x8000
    tags = {256: 4, 257: 4, 258: (16, 16, 16), 259: 1, 262: 2, 273: 8, 277: 3, 278: 4, 279: samples.nbytes}
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) if isinstance(value, int) else struct.pack("<HHII", tag, 3, 3, 300)
        for tag, value in tags.items()
    )
    body = (b"II*\0" + struct.pack("<I", 120) + samples.tobytes()).ljust(120, b"\0")
    body += struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    data = body.ljust(300, b"\0") + struct.pack("<HHH", 16, 16, 16)
    assert close(load_image(data).getpixel((1, 1)), (255, 128, 0), 1)


def test_raw_and_jpeg_xl_are_read_by_many_threads_at_once() -> None:
    files = [dng(two_halves(64, 48), None), dng(two_halves(64, 48), jpeg(RED, BLUE, 64, 48)), turned(two_halves(), 1)]
    files.append(encoded(two_halves(64, 48), "JXL"))
    seen: list[bool] = []

    def read() -> None:
        seen.extend(close(load_image(file).getpixel((3, 3)), RED, 40) for file in files)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 24
