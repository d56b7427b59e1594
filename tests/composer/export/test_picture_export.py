"""Pictures in exports: sensible size, upright, true colours, no hidden data; every kind of file a library may hold."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docx
import numpy as np
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from composer.article.model import Article, Section
from composer.errors import ComposerError, UsageError
from composer.export.article_folder import load_article, save_article
from composer.export.export import export
from composer.export.figure_size import COLUMN_PX, MAX_ENLARGEMENT, shown_share
from composer.export.picture_export import (
    ExportedPictureSettings,
    Pictures,
    in_folder,
    in_library,
    prepare,
    without_metadata,
)
from composer.export.picture_files import JPEG, PNG
from composer.i18n import localize
from tests.composer.article_samples import farm_article, placed, record_of
from vision.errors import ImageError

GPS, ORIENTATION, MAKER = 0x8825, 0x0112, 0x010F
FORMATS = ("md", "html", "docx", "pdf", "epub")


def photograph(size: tuple[int, int] = (400, 300), seed: int = 0) -> Image.Image:
    """Something that compresses like a photograph: smooth colours with grain."""
    rng = np.random.default_rng(seed)
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    planes = [120 + 100 * np.sin(3 * x + seed), 120 + 100 * np.cos(2 * y), 255 * x * y]
    pixels = np.stack(planes, axis=-1) + rng.normal(0, 8, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def secret_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[MAKER] = "SECRET CAMERA"
    exif.get_ifd(GPS)[2] = (48.0, 8.0, 14.0)
    return exif


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def near(one: tuple[int, ...], other: tuple[int, ...], by: int = 12) -> bool:
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_no_place_time_or_camera_survives(format_: str) -> None:
    image = photograph()
    options: dict[str, object] = {"exif": secret_exif()}
    if format_ == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Author", "SECRET AUTHOR")
        options["pnginfo"] = info
    elif format_ == "JPEG":
        options["comment"] = b"SECRET COMMENT"
    data = encoded(image, format_, **options)
    assert b"SECRET" in data
    _, clean, size = prepare(data, 1600, "a picture")
    assert b"SECRET" not in clean
    assert size == (400, 300)
    assert dict(opened(clean).getexif()) == {}
    assert not {"exif", "comment", "Author", "xmp", "photoshop"} & set(opened(clean).info)


def test_a_jpeg_that_fits_keeps_its_pixels_and_profile_to_the_bit() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(photograph(), "JPEG", quality=91, exif=secret_exif(), icc_profile=profile)
    kind, clean, _ = prepare(data, 1600, "a picture")
    assert kind == JPEG
    assert np.array_equal(np.asarray(opened(clean)), np.asarray(opened(data)))
    assert opened(clean).info["icc_profile"] == profile
    assert len(clean) < len(data)
    bare = encoded(photograph(), "JPEG", quality=91)
    assert prepare(bare, 1600, "a picture")[1] == bare


@given(st.binary(max_size=200))
def test_odd_bytes_after_a_jpeg_marker_never_crash_the_reader(tail: bytes) -> None:
    assert without_metadata(b"\xff\xd8" + tail) is None or b"\xff\xd9" in tail


def test_what_telephones_append_to_a_jpeg_is_cut() -> None:
    data = encoded(photograph(), "JPEG") + encoded(photograph(seed=3), "JPEG", exif=secret_exif())
    _, clean, _ = prepare(data, 1600, "a picture")
    assert b"SECRET" not in clean
    assert clean.count(b"\xff\xd9") == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_stands_upright_in_its_pixels(orientation: int) -> None:
    upright = Image.new("RGB", (80, 40), "white")
    upright.paste((200, 0, 0), (0, 0, 20, 20))
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright.transpose(undo) if undo is not None else upright
    data = encoded(stored, "JPEG", quality=95, exif=secret_exif(orientation))
    _, clean, size = prepare(data, 1600, "a picture")
    assert size == (80, 40)
    shown = opened(clean)
    assert near(shown.convert("RGB").getpixel((8, 8)), (200, 0, 0), 20)  # type: ignore[arg-type]
    assert near(shown.convert("RGB").getpixel((70, 30)), (255, 255, 255), 20)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "shown"),
    [((3000, 2000), (1600, 1067)), ((2000, 3000), (1067, 1600)), ((9000, 300), (1600, 53)), ((1600, 10), (1600, 10))],
)
def test_large_pictures_are_made_smaller_and_none_is_made_larger(size: tuple[int, int], shown: tuple[int, int]) -> None:
    data = encoded(Image.new("RGB", size, "olive"), "JPEG")
    _, clean, measured = prepare(data, 1600, "a picture")
    assert measured == opened(clean).size == shown
    assert prepare(data, None, "a picture")[2] == size


def test_drawings_stay_exact_and_photographs_become_jpegs() -> None:
    drawing = Image.new("RGB", (300, 200), "white")
    drawing.paste((10, 60, 200), (40, 40, 120, 120))
    kind, data, _ = prepare(encoded(drawing, "PNG"), 1600, "a drawing")
    assert kind == PNG
    assert np.array_equal(np.asarray(opened(data)), np.asarray(drawing))
    assert prepare(encoded(photograph(), "PNG"), 1600, "a photograph")[0] == JPEG


def test_what_shows_through_keeps_showing_through() -> None:
    glass = Image.new("RGBA", (60, 40), (200, 30, 30, 90))
    kind, data, _ = prepare(encoded(glass, "PNG"), 1600, "glass")
    assert kind == PNG
    assert opened(data).getpixel((5, 5)) == (200, 30, 30, 90)
    opaque = Image.new("RGBA", (60, 40), (200, 30, 30, 255))
    assert opened(prepare(encoded(opaque, "PNG"), 1600, "opaque")[1]).mode == "RGB"


def gray16(values: int) -> bytes:
    return encoded(Image.fromarray(np.full((20, 30), values, dtype=np.uint16)), "PNG")


KINDS: dict[str, tuple[Callable[[], bytes], tuple[int, int, int]]] = {
    "cmyk.jpg": (lambda: encoded(Image.new("CMYK", (64, 48), (0, 255, 255, 0)), "JPEG"), (255, 0, 0)),
    "gray.jpg": (lambda: encoded(Image.new("L", (64, 48), 128), "JPEG"), (128, 128, 128)),
    "deep.png": (lambda: gray16(32768), (128, 128, 128)),
    "palette.gif": (lambda: encoded(Image.new("RGB", (64, 48), (0, 128, 0)).convert("P"), "GIF"), (0, 153, 0)),
    "bits.png": (lambda: encoded(Image.new("1", (64, 48), 1), "PNG"), (255, 255, 255)),
    "photo.webp": (lambda: encoded(Image.new("RGB", (64, 48), (20, 40, 200)), "WEBP", lossless=True), (20, 40, 200)),
    "scan.tif": (lambda: encoded(Image.new("RGB", (64, 48), (200, 40, 20)), "TIFF"), (200, 40, 20)),
    "old.bmp": (lambda: encoded(Image.new("RGB", (64, 48), (200, 40, 20)), "BMP"), (200, 40, 20)),
    "wide.png": (lambda: encoded(Image.new("RGB", (4000, 8), (200, 40, 20)), "PNG"), (200, 40, 20)),
    "tall.png": (lambda: encoded(Image.new("RGB", (8, 4000), (200, 40, 20)), "PNG"), (200, 40, 20)),
    "tiny.png": (lambda: encoded(Image.new("RGB", (1, 1), (200, 40, 20)), "PNG"), (200, 40, 20)),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_picture_reaches_every_format_in_its_colours(name: str, tmp_path: Path) -> None:
    make, colour = KINDS[name]
    path = tmp_path / name
    path.write_bytes(make())
    width_px, height_px = opened(path.read_bytes()).size
    image = record_of(path, width_px, height_px, caption="a picture")
    article = Article("T", "en", (Section("Text."),), (placed(image, 0, "Shown."),))
    pictures = Pictures(article, in_library)
    exports = {name: export(article, name, pictures).files for name in FORMATS}
    ready = Pictures(article, in_library).ready(image)
    assert near(opened(ready.data).convert("RGB").getpixel((0, 0)), colour)  # type: ignore[arg-type]
    assert len(docx.Document(io.BytesIO(exports["docx"]["article.docx"])).inline_shapes) == 1
    (shown,) = pypdf.PdfReader(io.BytesIO(exports["pdf"]["article.pdf"])).pages[0].images
    assert near(shown.image.convert("RGB").getpixel((0, 0)), colour)


def profile_with_swapped_primaries() -> bytes:
    """An ICC profile (version 2, matrix) whose red is sRGB's green and whose green is sRGB's red."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    red, green, blue = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    text = b"text\0\0\0\0test\0\0\0\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 79
    tags = {b"desc": described, b"cprt": text, b"wtpt": xyz(0.9642, 1.0, 0.8249)}
    tags |= {b"rXYZ": xyz(*green), b"gXYZ": xyz(*red), b"bXYZ": xyz(*blue)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        padded = data + b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += padded
    head = b"\0\0\0\0" + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    head += fixed(0.9642) + fixed(1.0) + fixed(0.8249) + b"\0" * 48
    whole = struct.pack(">I", 128 + 4 + len(table) + len(body)) + head
    return whole + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("size", [(32, 24), (64, 48)])
@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_colours_are_seen_through_the_pictures_own_profile(format_: str, size: tuple[int, int]) -> None:
    """As a telephone's wide gamut is: dropped, its photographs would look dull."""
    image = Image.new("RGB", size, (220, 30, 30))
    data = encoded(image, format_, icc_profile=profile_with_swapped_primaries())
    smaller = prepare(data, 48, "swapped")
    shown = opened(smaller[1]).convert("RGB").getpixel((3, 3))
    if "icc_profile" in opened(smaller[1]).info:
        assert size == (32, 24), "only a JPEG that fits keeps its profile, for the reader's program to apply"
        assert near(shown, (220, 30, 30))  # type: ignore[arg-type]
    else:
        assert near(shown, (30, 220, 30), 25)  # type: ignore[arg-type]


def test_a_damaged_profile_is_disregarded() -> None:
    data = encoded(Image.new("RGB", (32, 24), (220, 30, 30)), "PNG", icc_profile=b"no profile at all")
    assert near(opened(prepare(data, 1600, "damaged")[1]).convert("RGB").getpixel((3, 3)), (220, 30, 30))  # type: ignore[arg-type]


def test_no_picture_is_enlarged_beyond_what_it_bears(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    cows = article.pictures[1]
    assert (cows.width_px, shown_share(500, 400, 1.0)) == (500, 500 / COLUMN_PX)
    for width_px in (1, 30, 553, 554, 555, 720, 5000):
        for height_px in (1, 30, 500, 5000):
            shown_px = shown_share(width_px, height_px, 0.85) * COLUMN_PX
            assert shown_px <= max(width_px * MAX_ENLARGEMENT, 1)
            assert shown_px * height_px / width_px <= 0.85 * COLUMN_PX + 1 or shown_px == 1
    exported = export(article, "docx", Pictures(article, in_library))
    shapes = docx.Document(io.BytesIO(exported.files["article.docx"])).inline_shapes
    assert [round(shape.height.mm) for shape in shapes] == [64, 64], "a third of a page with their words"
    assert shapes[1].width.mm <= 150 * 500 / COLUMN_PX
    assert abs(shapes[1].height / shapes[1].width - 400 / 500) < 0.01


def test_originals_travel_as_they_are_only_where_a_file_is_carried(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(photograph((2000, 1500)), "JPEG", exif=secret_exif(6)))
    image = record_of(path, 1500, 2000, caption="photo")
    article = Article("T", "en", (Section("Text."),), (placed(image, 0, "Shown."),))
    settings = ExportedPictureSettings(originals=True)
    pictures = Pictures(article, in_library, settings)
    files = {name: export(article, name, pictures).files for name in FORMATS}
    (carried,) = (data for name, data in files["md"].items() if name.startswith("images/"))
    assert carried == path.read_bytes()
    for format_ in ("docx", "pdf", "epub"):
        assert b"SECRET" not in files[format_][f"article.{format_}"]
    ready = Pictures(article, in_library, settings).ready(image)
    assert (ready.width_px, ready.height_px) == (1500, 2000)


@pytest.mark.parametrize("bad", [0, 63, 16_385, -1])
def test_a_size_out_of_range_is_refused(bad: int) -> None:
    with pytest.raises(UsageError, match=f"^image_px_range: px={bad}, least=64, most=16384$"):
        ExportedPictureSettings(bad)


# --- the folder of a saved article


@pytest.mark.parametrize("format_", FORMATS)
def test_a_missing_picture_is_named_and_nothing_is_made(format_: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_article(farm_article(tmp_path / "pictures"), out)
    article = load_article(out)
    gone = out / "images" / article.files[article.pictures[1].id]
    gone.unlink()
    with pytest.raises(ImageError, match=f"^picture_missing: path={gone}$"):
        export(article, format_, Pictures(article, in_folder(article, out / "images")))


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_article(farm_article(tmp_path / "pictures"), out)
    article = load_article(out)
    path = out / "images" / article.files[article.pictures[0].id]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageError, match=str(path)):
        export(article, "pdf", Pictures(article, in_folder(article, out / "images")))


def test_a_picture_is_taken_from_the_articles_folder_and_nowhere_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_article(farm_article(tmp_path / "pictures"), out)
    article = load_article(out)
    inside = in_folder(article, out / "images")
    record = article.pictures[0]
    # The library's path in article.json is not followed, whatever it names.
    assert inside(replace(record, path=Path("/etc/passwd"))) == out / "images" / article.files[record.id]
    for name in ("../secret.jpg", "/etc/passwd", "", ".."):
        forged = replace(article, files={**article.files, record.id: name})
        with pytest.raises(ComposerError):
            in_folder(forged, out / "images")(record)
    linked = out / "images" / article.files[record.id]
    linked.unlink()
    linked.symlink_to(tmp_path / "pictures" / "hens.jpg")
    with pytest.raises(ImageError, match=r"^picture_links_out: "):
        inside(record)


def test_a_saved_folder_with_small_pictures_can_be_saved_again(tmp_path: Path) -> None:
    """Its pictures are no longer the library's bytes, and must not be taken for changed ones and left out."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(photograph((2000, 1500)), "JPEG", exif=secret_exif()))
    image = record_of(path, 2000, 1500, caption="photo")
    article = Article("T", "en", (Section("Text."),), (placed(image, 0, "Shown."),))
    save_article(article, tmp_path / "one", pictures=ExportedPictureSettings(800))
    (small,) = (tmp_path / "one" / "images").iterdir()
    assert opened(small.read_bytes()).size == (800, 600)
    assert b"SECRET" not in small.read_bytes()
    save_article(load_article(tmp_path / "one"), tmp_path / "two", pictures=ExportedPictureSettings(800))
    (again,) = (tmp_path / "two" / "images").iterdir()
    assert again.read_bytes() == small.read_bytes()
    # A library picture that changed since it was indexed is still left out.
    path.write_bytes(encoded(photograph((20, 15)), "JPEG"))
    left_out = save_article(article, tmp_path / "three")
    assert left_out.placements[0].chosen is None
    assert "has changed since it was indexed" in localize(left_out.placements[0].reason, "en")
