"""Formats by name, and file names that are readable, unique and stay in their folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from composer.errors import UsageError
from composer.export import parse_formats
from composer.export.picture_files import is_plain_name, picture_bytes, picture_name, slug


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
    kind, data = picture_bytes(tmp_path / "wrong.txt")
    assert data == (tmp_path / "wrong.txt").read_bytes()
    assert picture_name("Hens!", "4f2a9c10" + "0" * 56, kind) == "hens-4f2a9c10.png"
    assert picture_name("", "4f2a9c10" + "0" * 56, kind) == "picture-4f2a9c10.png"


def test_a_format_browsers_cannot_show_becomes_png(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "scan.tif")
    kind, data = picture_bytes(tmp_path / "scan.tif")
    (tmp_path / "again.png").write_bytes(data)
    with Image.open(tmp_path / "again.png") as again:
        assert (kind.suffix, again.format, again.size, again.convert("RGB").getpixel((0, 0))) == (
            ".png",
            "PNG",
            (8, 6),
            (255, 0, 0),
        )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "..\\b", "C:x", "a\0b"])
def test_names_from_outside_must_be_plain(name: str) -> None:
    assert not is_plain_name(name)
