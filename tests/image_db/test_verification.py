from __future__ import annotations

from pathlib import Path

import numpy as np

from image_db.indexing import index_paths
from image_db.library import Library
from image_db.verification import verify
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint, paint_many
from vision.errors import Phrase


def test_a_library_whose_files_are_as_indexed_is_sound(
    library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    paint_many(pictures, 3)
    paint(pictures / "red wall.png")
    index_paths(library, encoder, [pictures])
    seen: list[tuple[int, int]] = []
    result = verify(library, lambda done, total: seen.append((done, total)))
    assert result.sound
    assert (result.pictures, result.files) == (4, 4)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_missing_and_changed_files_are_told_apart(library: Library, encoder: ColourEncoder, pictures: Path) -> None:
    first, second, _ = paint_many(pictures, 3)
    index_paths(library, encoder, [pictures])
    first.unlink()
    second.write_bytes(b"something else")
    result = verify(library)
    assert not result.sound
    assert result.missing == (first,)
    assert result.changed == ((second, Phrase("contents_differ")),)
    assert result.damage == ()


def test_vectors_that_were_overwritten_are_found(library: Library, encoder: ColourEncoder, pictures: Path) -> None:
    paint_many(pictures, 3)
    index_paths(library, encoder, [pictures])
    path = library.folder / "visual.f32"
    vectors = np.fromfile(path, np.float32).reshape(3, -1)
    vectors[1] = 0
    vectors[2, 0] = np.nan
    vectors.tofile(path)
    with Library.open(library.folder, encoder.identity) as reopened:
        damage = verify(reopened).damage
    assert damage == (Phrase("vectors_not_unit", {"count": 2, "space": "visual"}),)


def test_a_file_that_was_cut_short_while_open_is_found(
    library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    paint_many(pictures, 3)
    index_paths(library, encoder, [pictures])
    (library.folder / "textual.f32").write_bytes(b"")
    assert verify(library).damage == (Phrase("vectors_short", {"file": "textual.f32", "held": 0, "expected": 3}),)
