from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from image_db.library import Library
from tests.fakes import ColourEncoder


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def library(tmp_path: Path, encoder: ColourEncoder) -> Iterator[Library]:
    with Library.create(tmp_path / "library", encoder.identity) as made:
        yield made
