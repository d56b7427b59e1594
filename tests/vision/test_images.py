"""Pictures of every awkward kind come out as the RGB a person would see, or as an error that names the file."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision.errors import ImageError
from vision.images import image_size, load_image

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def two_halves(width_px: int = 40, height_px: int = 20) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width_px, height_px), RED)
    image.paste(BLUE, (width_px // 2, 0, width_px, height_px))
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def close(a: object, b: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool(np.abs(np.asarray(a, dtype=int) - np.asarray(b)).max() <= tolerance)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_comes_out_as_its_original(orientation: int) -> None:
    upright = two_halves()
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, "PNG", exif=exif)
    assert image_size(data) == upright.size
    assert np.array_equal(np.asarray(load_image(data)), np.asarray(upright))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0)).convert(mode)
    kind = "TIFF" if mode == "PA" else "PNG"
    assert load_image(encoded(image, kind)).getpixel((0, 0)) == WHITE


def test_half_transparent_black_is_mid_gray() -> None:
    pixel = load_image(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG")).getpixel((1, 1))
    assert close(pixel, (127, 127, 127), 1)


def test_a_transparent_palette_entry_is_laid_on_white() -> None:
    image = two_halves().convert("P", palette=Image.Palette.ADAPTIVE)
    red_index = image.getpixel((0, 0))
    shown = load_image(encoded(image, "PNG", transparency=red_index))
    assert shown.getpixel((0, 0)) == WHITE
    assert shown.getpixel((39, 0)) == BLUE


def test_a_transparent_colour_key_is_laid_on_white() -> None:
    shown = load_image(encoded(two_halves(), "PNG", transparency=RED))
    assert (shown.getpixel((0, 0)), shown.getpixel((39, 0))) == (WHITE, BLUE)


def test_cmyk_keeps_its_colours() -> None:
    shown = load_image(encoded(two_halves().convert("CMYK"), "JPEG", quality=95))
    assert shown.mode == "RGB"
    assert close(shown.getpixel((3, 3)), RED)
    assert close(shown.getpixel((36, 3)), BLUE)


def test_sixteen_bit_gray_keeps_its_shades_instead_of_clipping() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    shown = np.asarray(load_image(encoded(Image.fromarray(ramp), "PNG")))[0, :, 0]
    assert np.array_equal(shown, np.arange(256))


@pytest.mark.parametrize(("top", "dtype"), [(1.0, np.float32), (65535, np.int32), (255, np.int32)])
def test_deep_tiff_uses_the_range_of_its_values(top: float, dtype: type) -> None:
    values = np.array([[0, top / 2, top]]).astype(dtype)
    shown = np.asarray(load_image(encoded(Image.fromarray(values), "TIFF")))[0, :, 0]
    assert shown[0] == 0
    assert abs(int(shown[1]) - 127) <= 1
    assert shown[2] == 255


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert close(load_image(data).getpixel((4, 4)), RED)


def test_one_bit_and_gray_pictures_become_rgb() -> None:
    for mode in ("1", "L"):
        shown = load_image(encoded(Image.new(mode, (4, 4), 255 if mode == "L" else 1), "PNG"))
        assert (shown.mode, shown.getpixel((0, 0))) == ("RGB", WHITE)


def test_a_large_jpeg_is_reduced_but_never_below_the_target() -> None:
    data = encoded(two_halves(2400, 1000), "JPEG")
    reduced = load_image(data, target_px=100)
    assert 100 <= reduced.height < 200
    assert reduced.width / reduced.height == pytest.approx(2.4, rel=0.02)
    assert close(reduced.getpixel((5, 5)), RED)
    assert load_image(data, target_px=600).size == (2400, 1000)
    assert load_image(data).size == (2400, 1000)


def test_a_target_reduces_pictures_of_other_formats_too() -> None:
    assert load_image(encoded(two_halves(900, 450), "PNG"), target_px=100).size == (225, 113)


def test_a_picture_over_the_pixel_limit_is_refused_before_decoding() -> None:
    data = encoded(Image.new("1", (3000, 2000)), "PNG")
    with pytest.raises(ImageError) as caught:
        load_image(data, max_pixels=1_000_000, name="big.png")
    assert caught.value.key == "image_pixels"
    assert caught.value.values == {"name": "big.png", "width": 3000, "height": 2000, "limit": 1_000_000}
    with pytest.raises(ImageError, match=r"^image_pixels"):
        image_size(data, max_pixels=1_000_000)


def test_a_picture_between_pillows_warning_and_our_limit_opens_without_a_warning() -> None:
    data = encoded(Image.new("1", (12_000, 8_000)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_size(data) == (12_000, 8_000)


def test_a_decompression_bomb_is_one_image_error() -> None:
    header = encoded(Image.new("1", (8, 8)), "BMP")
    bomb = header[:18] + (60_000).to_bytes(4, "little") * 2 + header[26:]
    with pytest.raises(ImageError, match=r"bomb\.bmp"):
        load_image(bomb, name="bomb.bmp")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_file_cut_short_names_itself_and_the_reason(tmp_path: Path, kind: str) -> None:
    noise = Image.effect_noise((200, 200), 60).convert("RGB")
    data = encoded(noise, kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert (caught.value.key, caught.value.values["name"]) == ("image_damaged", str(path))


def test_what_is_not_a_picture_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("not a picture")
    with pytest.raises(ImageError, match=r"^image_format_unknown: name=.*notes\.jpg, known=\('JPEG', 'PNG'"):
        load_image(text)
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(ImageError, match=r"^image_format_unknown: name=.*empty\.png"):
        image_size(empty)
    with pytest.raises(ImageError, match=r"^image_missing: name=.*gone\.png"):
        load_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=r"^image_is_folder"):
        load_image(tmp_path)


def test_formats_that_run_other_programs_are_not_opened() -> None:
    with pytest.raises(ImageError, match=r"^image_format_unknown"):
        load_image(encoded(two_halves(), "EPS"))


def test_the_same_file_decodes_alike_from_many_threads() -> None:
    data = encoded(two_halves(), "PNG")
    with ThreadPoolExecutor(4) as pool:
        shown = list(pool.map(lambda _: np.asarray(load_image(data)), range(16)))
    assert all(np.array_equal(image, shown[0]) for image in shown)


def test_the_file_is_closed_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    two_halves().save(path)
    image = load_image(path)
    path.unlink()
    assert image.getpixel((0, 0)) == RED
