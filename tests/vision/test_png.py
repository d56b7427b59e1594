"""Large PNGs come out the same some rows at a time, and what stands behind the pixels is read without them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vision.errors import ImageError
from vision.images import decoding, image_size, load_image, opened_for_words
from vision.images.png import bands, has_rows

KINDS = (
    [(d, 0) for d in (1, 2, 4, 8, 16)] + [(d, 3) for d in (1, 2, 4, 8)] + [(d, c) for d in (8, 16) for c in (2, 4, 6)]
)
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
WIDTH, HEIGHT = 37, 23


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, colour: int, *, before: bytes = b"", behind: bytes = b"", cut: int | None = None) -> bytes:
    """Random bytes under random filters, in image chunks of odd sizes."""
    random = np.random.default_rng(depth * 10 + colour)
    row_bytes = -(-WIDTH * depth * CHANNELS[colour] // 8)
    rows = random.integers(0, 256, (HEIGHT, row_bytes + 1), np.uint8)
    rows[:, 0] = random.integers(0, 5, HEIGHT)
    packed = zlib.compress(rows.tobytes())[:cut]
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", random.integers(0, 256, 3 << depth, np.uint8).tobytes()) if colour == 3 else b""
    pixels = b"".join(chunk(b"IDAT", packed[at : at + 101]) for at in range(0, len(packed), 101))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + before + pixels + behind + chunk(b"IEND", b"")


@pytest.fixture
def everything_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_LARGE_BYTES", 0)
    monkeypatch.setattr(decoding, "_BAND_BYTES", 4 * WIDTH * 3)


@pytest.mark.parametrize(("depth", "colour"), KINDS)
@pytest.mark.parametrize("rows", [1, 5, HEIGHT])
def test_bands_are_what_pillow_decodes_at_once(depth: int, colour: int, rows: int) -> None:
    data = png(depth, colour)
    with Image.open(io.BytesIO(data)) as opened:
        assert has_rows(opened)
        made = list(bands(opened, rows))
    with Image.open(io.BytesIO(data)) as whole:
        assert {band.mode for band in made} == {whole.mode}
        stacked = np.concatenate([np.asarray(band) for band in made])
        assert np.array_equal(stacked, np.asarray(whole))
        assert np.array_equal(
            np.concatenate([np.asarray(band.convert("RGB")) for band in made if whole.mode != "I;16"] or [stacked]),
            np.asarray(whole.convert("RGB") if whole.mode != "I;16" else whole),
        )


@pytest.mark.parametrize(
    ("depth", "colour", "shown_through"),
    [
        (8, 3, bytes(range(250, 0, -1))),
        (4, 3, b"\0\x80"),
        (8, 2, b"\0\x07\0\x09\0\x0b"),
        (8, 0, b"\0\x10"),
        (16, 6, b""),
    ],
)
@pytest.mark.usefixtures("everything_large")
def test_a_large_picture_shows_what_a_small_one_does(
    depth: int, colour: int, shown_through: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = png(depth, colour, before=chunk(b"tRNS", shown_through) if shown_through else b"")
    banded = load_image(data, target_px=5)
    monkeypatch.setattr(decoding, "_LARGE_BYTES", 1 << 30)
    assert banded.size == (10, 6)
    assert np.array_equal(np.asarray(banded), np.asarray(load_image(data, target_px=5)))


@pytest.mark.usefixtures("everything_large")
def test_a_large_picture_is_never_in_memory_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", _refuse_if_whole(Image.Image.load))
    assert load_image(png(8, 2), target_px=5).size == (10, 6)
    assert image_size(png(8, 2)) == (WIDTH, HEIGHT)


def _refuse_if_whole(load: object) -> object:
    def checked(image: Image.Image) -> object:
        assert image.height < HEIGHT, "the whole picture was decoded"
        return load(image)  # type: ignore[operator]

    return checked


@pytest.mark.parametrize("cut", [0, 30, -40])
@pytest.mark.usefixtures("everything_large")
def test_a_large_picture_cut_short_is_damaged(cut: int) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(png(8, 2, cut=cut), target_px=5)
    assert caught.value.key == "image_damaged"


@pytest.mark.usefixtures("everything_large")
def test_a_large_picture_of_garbage_is_damaged() -> None:
    data = png(8, 2)
    at = data.index(b"IDAT") + 4
    with pytest.raises(ImageError) as caught:
        load_image(data[:at] + b"\xff" * 40 + data[at + 40 :], target_px=5)
    assert caught.value.key == "image_damaged"


def test_interlaced_and_animated_pictures_are_decoded_whole() -> None:
    file = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    with Image.open(file) as opened:
        assert not has_rows(opened)


def test_words_and_turn_behind_the_pixels_are_read_without_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    behind = chunk(b"eXIf", exif.tobytes()[6:]) + chunk(b"tEXt", b"Title\0The heron")
    data = png(8, 2, behind=behind)
    upright = load_image(data)
    assert upright.size == image_size(data) == (HEIGHT, WIDTH)
    monkeypatch.setattr(Image.Image, "load", _refuse_if_whole(Image.Image.load))
    assert image_size(data) == (HEIGHT, WIDTH)
    with opened_for_words(io.BytesIO(data)) as opened:
        assert opened.info["Title"] == "The heron"


@pytest.mark.parametrize("behind", [b"\xff\xff\xff\xfftEXt", chunk(b"tEXt", b""), chunk(b"zTXt", b"a\0\0x"), b"\0\0"])
def test_damage_behind_the_pixels_does_not_hide_the_picture(behind: bytes) -> None:
    assert image_size(png(8, 2, behind=behind)) == (WIDTH, HEIGHT)


def test_texts_before_the_pixels_stay() -> None:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<x/>")
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    with opened_for_words(file) as opened:
        assert opened.info["XML:com.adobe.xmp"] == "<x/>"
