"""From shards to a library and a store: what a person corrected leads, drafts stay; no Ray is needed for that."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from image_db.cluster.filling import Drafted, ShardContents, fill_library
from image_db.cluster.shards import ShardFolder
from image_db.cluster.sources import Sources, list_sources
from image_db.corrections import correct
from image_db.library import Library
from image_db.metadata.generate import draft_wordless
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint
from vision.bridge.drafting import CaptionDraft

pa = pytest.importorskip("pyarrow", reason="pip install 'vignette-studio[cluster]'")


def made_shards(sources: Sources, folder: Path) -> ShardFolder:
    """As Ray makes them, one step after the other in this process."""
    from image_db.cluster.ray_index import EncodeRows, WriteShards, _units, read_unit

    shards = ShardFolder(str(folder))
    encode = EncodeRows(ColourEncoder, ColourEncoder().identity, threads=0)
    write = WriteShards(shards, ColourEncoder().identity)
    for unit in _units(sources, shards.done(ColourEncoder().identity), shard_files=4):
        for batch in read_unit(pa.table({"unit": [pickle.dumps(unit)]}), shards):
            write(encode(batch))
    return shards


def draft(vectors: np.ndarray) -> list[CaptionDraft]:
    return [CaptionDraft("A wall.", ("red",)) for _ in vectors]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library", ColourEncoder().identity) as library:
        yield library


def fill(library: Library, folder: Path) -> dict[str, str]:
    """The captions by file name, once the folder's shards are the library."""
    sources = list_sources([folder])
    fill_library(library, ColourEncoder(), made_shards(sources, folder.parent / "shards"), sources)
    return {record.path.name: record.caption for record in library.records()}


def test_corrections_and_drafts_outlive_another_run(tmp_path: Path, library: Library) -> None:
    folder, encoder = tmp_path / "pictures", ColourEncoder()
    for name, colour in (("IMG_1", "red"), ("IMG_2", "blue"), ("IMG_3", "green")):
        paint(folder / f"{name}.png", colour)
    (folder / "IMG_1.txt").write_text("a red wall")
    assert fill(library, folder) == {"IMG_1.png": "a red wall", "IMG_2.png": "", "IMG_3.png": ""}
    draft_wordless(library, encoder, draft)
    ids = {record.path.name: record.id for record in library.records()}
    correct(library, encoder, ids["IMG_1.png"], {"caption": "a crimson wall"})
    (folder / "IMG_3.txt").write_text("a green wall")
    paint(folder / "IMG_4.png", "cyan")
    expected = {"IMG_1.png": "a crimson wall", "IMG_2.png": "A wall.", "IMG_3.png": "a green wall", "IMG_4.png": ""}
    assert fill(library, folder) == expected
    records = {record.path.name: record for record in library.records()}
    assert (records["IMG_2.png"].caption_origin, records["IMG_2.png"].guessed_tags) == ("generated", ("red",))
    assert records["IMG_3.png"].caption_origin == "given"
    view = library.matrix()
    rows = dict(zip(view.ids, view.textual, strict=True))
    said = encoder.encode_sentences(["a crimson wall"])[0]
    assert np.allclose(rows[ids["IMG_1.png"]], said, atol=1e-6)
    assert fill(library, folder) == expected


def test_a_picture_that_was_corrected_before_it_left_comes_back_with_its_words(
    tmp_path: Path, library: Library
) -> None:
    folder = tmp_path / "pictures"
    path = paint(folder / "IMG_1.png", "red")
    fill(library, folder)
    (record,) = library.records()
    library.note_correction(record.id, {"caption": "a crimson wall"})
    with Library.create(tmp_path / "new", ColourEncoder().identity) as new:
        new.note_correction(record.id, {"caption": "a crimson wall"})
        assert fill(new, folder) == {path.name: "a crimson wall"}
        assert new.with_text == 1


def test_pictures_for_a_store_are_drafted_once(tmp_path: Path) -> None:
    folder, asked = tmp_path / "pictures", []
    for number in range(5):
        paint(folder / f"IMG_{number}.png", (number * 40, 0, 0))
    (folder / "IMG_0.txt").write_text("a black wall")
    sources = list_sources([folder])
    shards = made_shards(sources, tmp_path / "shards")

    def counted(vectors: np.ndarray) -> list[CaptionDraft]:
        asked.append(len(vectors))
        return draft(vectors)

    read = Drafted(ShardContents(shards, sources).pictures, ColourEncoder(), counted)
    once, again = list(read()), list(read())
    assert sum(asked) == 4
    assert [picture.record for picture in once] == [picture.record for picture in again]
    told = {picture.record.path.name: picture for picture in once}
    assert told["IMG_0.png"].record.caption == "a black wall"
    assert (told["IMG_1.png"].record.caption, told["IMG_1.png"].record.caption_origin) == ("A wall.", "generated")
    assert all(picture.textual is not None for picture in once)
