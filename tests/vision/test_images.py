"""Pictures of every awkward kind come out as the RGB a person would see, or as an error that names the file."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from PIL import Image, ImageFile

from vision.errors import ImageError
from vision.images.decoding import MAX_AREA, _Turns, decoded_bytes, image_size, load_display_image, load_image

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


def test_a_header_without_a_picture_behind_it_makes_no_room_for_what_it_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    for source in (b"P6 13000 13000 255\n", b"P4 13000 13000\n" + bytes(1000)):
        with pytest.raises(ImageError) as refused:
            load_image(source, target_px=512)
        assert refused.value.key == "image_damaged"
    monkeypatch.undo()
    assert load_image(b"P4 9 3\n" + bytes(6)).size == (9, 3), "bits are the least that a pixel takes"


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


@pytest.mark.parametrize("size_px", [(70_000, 300), (1, 1_200_000)])
def test_a_shape_that_no_picture_has_is_refused_before_decoding(size_px: tuple[int, int]) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(encoded(Image.new("L", size_px), "PNG"), name="strip.png")
    assert caught.value.key == "image_shape"
    assert caught.value.values["name"] == "strip.png"


def test_a_thin_line_is_a_picture() -> None:
    assert load_image(encoded(Image.new("RGB", (900, 2), RED), "PNG")).getpixel((899, 1)) == RED


def test_a_long_scroll_is_reduced_by_its_area() -> None:
    shown = load_image(encoded(two_halves(9_000, 90), "PNG"), target_px=64)
    assert shown.width * shown.height <= MAX_AREA * 64 * 64 * 1.1
    assert abs(shown.width / shown.height - 100) < 5
    assert (shown.getpixel((0, 0)), shown.getpixel((shown.width - 1, 0))) == (RED, BLUE)


def _shades(mode: str) -> tuple[Image.Image, str]:
    """Something of every kind that is brought to RGB, with rows that differ, and a format that keeps it."""
    values = np.add.outer(np.arange(210), np.arange(330))
    if mode == "I;16":
        return Image.fromarray((values * 100).astype(np.uint16)), "PNG"
    if mode == "F":
        return Image.fromarray((values / 600).astype(np.float32)), "TIFF"
    gray = Image.fromarray((values % 251).astype(np.uint8))
    if mode in ("RGBA", "LA"):
        plain = Image.merge("RGB", (gray, gray.transpose(Image.Transpose.ROTATE_180), gray)).convert(mode[:-1])
        plain.putalpha(gray)
        return plain, "PNG"
    return (gray, "PNG") if mode == "L" else (gray.convert("RGB").convert(mode), "TIFF" if mode == "CMYK" else "PNG")


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "F"])
def test_reducing_some_rows_at_a_time_gives_what_reducing_all_gives(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.images.decoding._BAND_BYTES", 4 * 330 * 30)
    picture, kind = _shades(mode)
    data = encoded(picture, kind)
    whole = np.asarray(load_image(data).reduce(3), int)
    assert np.abs(np.asarray(load_image(data, target_px=70), int) - whole).max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK"])
def test_a_picture_for_print_is_the_same_whether_or_not_it_was_large(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(*_shades(mode))
    small = load_display_image(data, longest_px=40)
    with monkeypatch.context() as patch:
        patch.setattr("vision.images.decoding._reduced", lambda image, *_: image)
        straight = load_display_image(data, longest_px=40)
    assert (small.mode, small.size) == (straight.mode, straight.size)
    seen = [np.asarray(load_image(encoded(image, "PNG")), int) for image in (small, straight)]
    assert np.abs(seen[0] - seen[1]).mean() < 4


def test_large_pictures_are_decoded_one_after_another_and_small_ones_side_by_side() -> None:
    turns = _Turns(100)
    held: list[int] = []
    most: list[int] = []
    together = Barrier(2, timeout=20)

    def decode(size: int) -> None:
        with turns.hold(size):
            held.append(size)
            most.append(sum(held))
            if size == 40:
                together.wait()  # would time out if they took turns
            held.remove(size)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decode, [40, 40]))
        list(pool.map(decode, [90, 300, 60, 300, 30, 70, 90] * 3))
    assert all(total <= 100 or total == 300 for total in most)


@pytest.mark.parametrize(
    ("mode", "kind", "options", "a_pixel"),
    [
        ("L", "PNG", {}, 1),
        ("RGB", "PNG", {}, 4),
        ("RGB", "WEBP", {}, 8),
        ("RGB", "JPEG", {"progressive": True}, 10),
        ("RGB", "JPEG", {}, 4),
    ],
)
def test_what_decoding_takes_is_known_from_the_header(
    mode: str, kind: str, options: dict[str, bool], a_pixel: int
) -> None:
    with Image.open(io.BytesIO(encoded(Image.new(mode, (300, 200)), kind, **options))) as opened:
        assert decoded_bytes(opened) == 300 * 200 * a_pixel
