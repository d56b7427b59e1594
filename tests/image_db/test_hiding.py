"""A picture that a person hid is not shown and not found, whatever becomes of its file, until it is shown again."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_db.compaction import compact
from image_db.corrections import correct
from image_db.errors import LibraryError
from image_db.indexing import index_paths
from image_db.library import Library
from tests.composer.small_pipeline import paint
from tests.fakes import ColourEncoder


@pytest.fixture
def library(tmp_path: Path):  # type: ignore[no-untyped-def]
    for colour in ("red", "green", "blue"):
        paint(tmp_path / "pictures" / f"{colour}.png", colour)
    with Library.create(tmp_path / "library", ColourEncoder().identity) as library:
        index_paths(library, ColourEncoder(), [tmp_path / "pictures"])
        yield library


def shown(library: Library) -> set[str]:
    return {record.path.stem for record in library.records()}


def test_a_hidden_picture_is_kept_out_and_comes_back(library: Library, tmp_path: Path) -> None:
    red = next(record.id for record in library.records() if record.path.stem == "red")
    correct(library, ColourEncoder(), red, {"author": "Anna"})
    library.hide([red])
    assert shown(library) == {"green", "blue"}
    assert red not in library.matrix().ids
    assert (len(library), [record.id for record in library.hidden()]) == (2, [red])
    assert library.correction(red)["author"] == "Anna"
    library.hide([red], hidden=False)
    assert shown(library) == {"red", "green", "blue"}
    assert library.hidden() == []
    assert library.record(red).author == "Anna"


def test_neither_indexing_nor_compaction_shows_or_forgets_it(library: Library, tmp_path: Path) -> None:
    red = next(record.id for record in library.records() if record.path.stem == "red")
    library.hide([red])
    index_paths(library, ColourEncoder(), [tmp_path / "pictures"])
    path = tmp_path / "pictures/red.png"
    path.rename(path.with_name("moved.png"))
    index_paths(library, ColourEncoder(), [tmp_path / "pictures"])
    assert shown(library) == {"green", "blue"}
    assert compact(library).forgotten == 0
    assert [record.path.stem for record in library.hidden()] == ["moved"]
    library.remove([red])
    index_paths(library, ColourEncoder(), [tmp_path / "pictures"])
    assert shown(library) == {"green", "blue"}, "what a person hid stays hidden when its file is indexed anew"
    library.hide([red], hidden=False)
    assert shown(library) == {"moved", "green", "blue"}
    with pytest.raises(LibraryError, match="picture_unknown"):
        library.hide(["0" * 64])
