"""Pictures on disk and libraries to put them into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from image_db.library import Library
from tests.fakes import PALETTE, ColourEncoder


def paint(path: Path, colour: str | tuple[int, int, int] = "red", size: tuple[int, int] = (40, 30), **options) -> Path:
    """Write a picture of one colour; ``options`` go to Pillow (exif, xmp, …)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = PALETTE[colour] if isinstance(colour, str) else colour
    Image.new("RGB", size, rgb).save(path, **options)
    return path


def paint_many(folder: Path, count: int, *, start: int = 0) -> list[Path]:
    """``count`` pictures with different bytes and names without words."""
    return [paint(folder / f"IMG_{i:05}.png", (i % 256, i // 256, 90)) for i in range(start, start + count)]


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def library(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Library]:
    with Library.create(tmp_path / "library", encoder.identity) as made:
        yield made
