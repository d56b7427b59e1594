"""Formats by name, and file names that are readable, unique and stay in their folder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from composer.errors import UsageError
from composer.export import parse_formats
from composer.export.picture_export import prepare
from composer.export.picture_files import is_plain_name, picture_name, shown_as, slug
from tests.raw_files import dng
from vision.images.formats import FORMATS, reader_missing


def test_formats_come_in_a_fixed_order_without_repeats() -> None:
    assert parse_formats("html, md,html") == ("md", "html")
    assert parse_formats("MD") == ("md",)


def test_an_unknown_or_empty_format_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UsageError) as unknown:
        parse_formats("md,rtf,doc,pdf")
    assert (unknown.value.key, unknown.value.values) == (
        "format_unknown",
        {"formats": ["doc", "rtf"], "known": ("md", "html", "docx", "pdf", "epub")},
    )
    with pytest.raises(UsageError, match=r"^no_format: "):
        parse_formats(" , ")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hens leave the barn at sunrise.", "hens-leave-the-barn-at-sunrise"),
        ("../../etc/passwd", "etc-passwd"),
        ("一只猫。", "一只猫"),
        ("a\x00b\u202egpj.exe", "a-b-gpj-exe"),
        ("", ""),
        ("...", ""),
        ("x" * 90, "x" * 40),
        ("Ünïted_STATES", "ünïted-states"),
    ],
)
def test_names_are_readable_and_never_leave_their_folder(text: str, name: str) -> None:
    assert slug(text) == name


def test_picture_names_end_in_hash_and_true_suffix(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "wrong.txt", "PNG")
    written = (tmp_path / "wrong.txt").read_bytes()
    kind, data = shown_as(written, "wrong.txt")
    assert data == written
    assert picture_name("Hens!", "4f2a9c10" + "0" * 56, kind) == "hens-4f2a9c10.png"
    assert picture_name("", "4f2a9c10" + "0" * 56, kind) == "picture-4f2a9c10.png"


def test_a_drawing_in_a_format_browsers_cannot_show_becomes_png(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "scan.tif")
    kind, data = shown_as((tmp_path / "scan.tif").read_bytes(), "scan.tif")
    with Image.open(io.BytesIO(data)) as again:
        assert (kind.suffix, again.format, again.size) == (".png", "PNG", (8, 6))
        assert again.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("name", ["HEIF", "TIFF", "JXL", "RAW"])
def test_a_photograph_in_a_format_browsers_cannot_show_becomes_jpeg(name: str) -> None:
    assert not any(reader_missing(each) for each in FORMATS)
    photograph = Image.effect_noise((700, 500), 60).convert("RGB")
    data = io.BytesIO()
    photograph.save(data, "JPEG" if name == "RAW" else name)
    written = dng(photograph, data.getvalue()) if name == "RAW" else data.getvalue()
    for kind, made in (shown_as(written, "x"), prepare(written, 600, "x")[:2]):
        with Image.open(io.BytesIO(made)) as again:
            assert (kind.suffix, again.format, again.getexif()) == (".jpg", "JPEG", {})


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "..\\b", "C:x", "a\0b"])
def test_names_from_outside_must_be_plain(name: str) -> None:
    assert not is_plain_name(name)
