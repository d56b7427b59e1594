"""Years of use: corrections that last, compacting, other encoders, repair and backups."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from image_db import compaction, vectors
from image_db.backup import back_up
from image_db.compaction import compact
from image_db.corrections import correct
from image_db.errors import EncoderMismatch, LibraryDamaged, LibraryError
from image_db.indexing import IndexReport, index_paths
from image_db.library import CATALOG_NAME, Library
from image_db.reencoding import reencode
from image_db.repairing import repair, salvage
from image_db.verification import verify
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint, paint_many

OTHER = ColourEncoder("shapes", textual_dim=32)


@pytest.fixture
def run(library: Library, encoder: ColourEncoder, pictures: Path) -> Callable[[], IndexReport]:
    return lambda: index_paths(library, encoder, [pictures])


@pytest.fixture
def filled(run, pictures: Path, library: Library) -> Library:
    """Eight pictures; those of even numbers have words."""
    for number, path in enumerate(paint_many(pictures, 8)):
        if number % 2 == 0:
            path.with_suffix(".txt").write_text(f"picture number {number}")
    run()
    return library


def vectors_by_id(library: Library) -> dict[str, tuple[list[float], list[float] | None]]:
    view = library.matrix()
    return {
        id_: (view.visual[i].tolist(), view.textual[i].tolist() if view.has_text[i] else None)
        for i, id_ in enumerate(view.ids)
    }


# Corrections


def test_a_correction_outlives_sidecars_moves_and_removal(
    run, filled: Library, pictures: Path, encoder: ColourEncoder
) -> None:
    first = next(filled.records())
    correct(filled, encoder, first.id, {"caption": "My own words", "caption_zh": "", "tags": "kept, both"})
    first.path.with_suffix(".txt").write_text("a sidecar written later")
    (pictures / "IMG_00000.json").write_text('{"alt": "from the sidecar", "tags": ["x"]}')
    run()
    kept = filled.record(first.id)
    assert (kept.caption, kept.tags) == ("My own words", ("kept", "both"))
    assert kept.alt == "from the sidecar", "what was not corrected follows the files"
    moved = pictures / "elsewhere" / "new name.png"
    moved.parent.mkdir()
    first.path.rename(moved)
    run()
    assert filled.record(first.id).path == moved
    assert filled.record(first.id).caption == "My own words"
    moved.rename(pictures.parent / "away.png")
    run()
    assert compact(filled).forgotten == 1
    (pictures.parent / "away.png").rename(moved)
    run()
    assert filled.record(first.id).caption == "My own words"


def test_a_copy_and_a_renamed_file_keep_vector_and_correction(
    run, filled: Library, pictures: Path, encoder: ColourEncoder
) -> None:
    record = next(filled.records())
    correct(filled, encoder, record.id, {"caption": "Mine"})
    before, seen = vectors_by_id(filled), encoder.seen["images"]
    shutil.copy(record.path, pictures / "IMG_00000 (1).png")
    record.path.rename(pictures / "IMG_90000.png")
    assert run().linked == 2
    assert {id_: looks for id_, (looks, _) in vectors_by_id(filled).items()} == {
        id_: looks for id_, (looks, _) in before.items()
    }
    assert encoder.seen["images"] == seen
    assert filled.record(record.id).caption == "Mine"


def test_a_kept_draft_is_a_persons_and_a_dropped_one_stays_away(
    run, library: Library, pictures: Path, encoder: ColourEncoder
) -> None:
    from dataclasses import replace

    paint_many(pictures, 2)
    run()
    for record in list(library.records()):
        library.update_text(replace(record, caption="a drafted wall", caption_origin="generated"), None)
    kept, dropped = (record.id for record in library.records())
    correct(library, encoder, kept, {"caption": "a drafted wall"})
    correct(library, encoder, dropped, {"caption": ""})
    assert [(r.caption, r.caption_origin) for r in library.records()] == [("a drafted wall", "given"), ("", "given")]
    assert vectors_by_id(library)[kept][1] is not None


# Compacting


def test_compacting_forgets_what_is_gone_and_changes_nothing_else(run, filled: Library, pictures: Path) -> None:
    for number in (0, 3, 7):
        (pictures / f"IMG_{number:05}.png").unlink()
    run()
    records, kept = list(filled.records()), vectors_by_id(filled)
    size = (filled.folder / "visual.f32").stat().st_size
    with Library.open(filled.folder) as reader:
        mapped = reader.matrix()
        done = compact(filled)
        assert done.forgotten == 3
        assert done.freed_bytes > 0
        assert mapped.visual[0].any(), "a reader keeps what it has mapped"
        assert vectors_by_id(reader) == kept, "and then sees the new files"
    assert (list(filled.records()), vectors_by_id(filled)) == (records, kept)
    assert not (filled.folder / "visual.f32").exists()
    assert (filled.folder / "visual-1.f32").stat().st_size == size * 5 // 8
    assert verify(filled).sound
    paint(pictures / "IMG_later.png", "cyan")
    assert run().added == 1
    assert verify(filled).sound
    assert compact(filled).forgotten == 0


def test_a_disk_that_is_full_while_compacting_leaves_the_library_as_it_was(
    run, filled: Library, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "IMG_00000.png").unlink()
    run()
    before, files = vectors_by_id(filled), sorted(path.name for path in filled.folder.glob("*.f32"))
    write = vectors.VectorFile.write

    def full(self: vectors.VectorFile, row: int, rows: np.ndarray) -> None:
        if self.path.name == "textual-1.f32":
            raise LibraryError("vectors_not_written", file=str(self.path), reason="No space left on device")
        write(self, row, rows)

    monkeypatch.setattr(compaction.VectorFile, "write", full)
    with pytest.raises(LibraryError, match="vectors_not_written"):
        compact(filled)
    monkeypatch.undo()
    assert vectors_by_id(filled) == before
    assert {"visual.f32", "textual.f32"} <= {path.name for path in filled.folder.glob("*.f32")}
    compact(filled)
    assert vectors_by_id(filled) == before
    assert len(files) == len(list(filled.folder.glob("*.f32")))


# Another encoder


def indexed_with(encoder: ColourEncoder, pictures: Path, folder: Path) -> dict:
    with Library.create(folder, encoder.identity) as library:
        index_paths(library, encoder, [pictures])
        return vectors_by_id(library)


def test_vectors_made_anew_are_those_of_indexing_with_that_encoder(
    filled: Library, pictures: Path, tmp_path: Path
) -> None:
    before = vectors_by_id(filled)
    with Library.open(filled.folder) as reader:
        assert reencode(filled, OTHER, batch_size=3).encoded == 8
        assert len(reader) == 8
        with pytest.raises(EncoderMismatch):
            vectors_by_id(reader)
    with Library.open(filled.folder, OTHER.identity) as library:
        assert vectors_by_id(library) == indexed_with(OTHER, pictures, tmp_path / "fresh") != before
        assert verify(library).sound
        assert index_paths(library, OTHER, [pictures]).unchanged == 8
    assert len(list(filled.folder.glob("*.f32"))) == 2


def test_a_run_that_was_cut_off_goes_on_and_the_old_vectors_serve_meanwhile(
    filled: Library, encoder: ColourEncoder, pictures: Path, tmp_path: Path
) -> None:
    class CutOff(ColourEncoder):
        def encode_images(self, images):
            if self.seen["images"] >= 4:
                raise KeyboardInterrupt
            return super().encode_images(images)

    before = vectors_by_id(filled)
    with pytest.raises(KeyboardInterrupt):
        reencode(filled, CutOff("shapes", textual_dim=32), batch_size=2)
    with Library.open(filled.folder, encoder.identity) as library:
        assert vectors_by_id(library) == before
        correct(library, encoder, library.matrix().ids[0], {"caption": "corrected meanwhile"})
        with pytest.raises(LibraryError, match="compact_reencoding"):
            compact(library)
    whole = ColourEncoder("shapes", textual_dim=32)
    with Library.open(filled.folder) as library:
        assert reencode(library, whole, batch_size=2).encoded == 4
    assert whole.seen["images"] == 4
    with Library.open(filled.folder, whole.identity) as library:
        made = vectors_by_id(library)
        assert {id_: looks for id_, (looks, _) in made.items()} == {
            id_: looks for id_, (looks, _) in indexed_with(whole, pictures, tmp_path / "fresh").items()
        }
        words = made[library.matrix().ids[0]][1]
        np.testing.assert_allclose(words, whole.encode_sentences(["corrected meanwhile"])[0], rtol=1e-6)


def test_pictures_that_cannot_be_read_hold_up_the_swap_until_they_can_or_may_leave(
    filled: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    away = pictures.parent / "away.png"
    (pictures / "IMG_00002.png").rename(away)
    with pytest.raises(LibraryError) as refused:
        reencode(filled, OTHER)
    assert (refused.value.key, refused.value.values["count"]) == ("reencode_unreadable", 1)
    with Library.open(filled.folder, encoder.identity) as library:
        assert len(library) == 8
        assert reencode(library, OTHER, without_unreadable=True).left_out == (pictures / "IMG_00002.png",)
    with Library.open(filled.folder, OTHER.identity) as library:
        assert (len(library), verify(library).sound) == (7, True)
        away.rename(pictures / "IMG_00002.png")
        assert index_paths(library, OTHER, [pictures]).added == 1


def test_the_encoder_that_made_the_vectors_need_not_make_them_again(filled: Library, encoder: ColourEncoder) -> None:
    with pytest.raises(LibraryError, match="reencode_same"):
        reencode(filled, encoder)


# Repair and backup


def test_damaged_vectors_and_records_are_mended_from_the_pictures(
    run, filled: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    before = vectors_by_id(filled)
    folder, ids = filled.folder, filled.matrix().ids
    filled.close()
    looks = np.memmap(folder / "visual.f32", "<f4", "r+", shape=(8, encoder.identity.visual_dim))
    looks[1] = np.nan
    looks.flush()
    with (folder / "textual.f32").open("r+b") as file:
        file.truncate(5 * 4 * encoder.identity.textual_dim)
    with sqlite3.connect(folder / CATALOG_NAME) as db:
        db.execute("UPDATE images SET tags = '[' WHERE id = ?", (ids[3],))
    db.close()
    (pictures / "IMG_00004.png").unlink()
    with pytest.raises(LibraryDamaged, match="vectors_missing"):
        Library.open(folder)
    with Library.open(folder, encoder.identity, for_repair=True) as library:
        done = repair(library, encoder, verify(library))
        assert (done.encoded, done.dropped) == (1, 1)
        assert set(vectors_by_id(library)) == set(ids) - {ids[3], ids[4]} or set(vectors_by_id(library)) == set(ids) - {
            ids[3]
        }
        index_paths(library, encoder, [pictures])
        assert verify(library).sound
        after = vectors_by_id(library)
    assert set(after) == set(ids) - {ids[4]}
    for id_ in after:
        np.testing.assert_allclose(after[id_][0], before[id_][0], atol=1e-6)
        if before[id_][1] is None:
            assert after[id_][1] is None
        else:
            np.testing.assert_allclose(after[id_][1], before[id_][1], atol=1e-6)


def test_what_can_be_read_of_a_damaged_catalogue_is_saved(
    filled: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    paint_many(pictures, 200, start=8)
    index_paths(filled, encoder, [pictures])
    correct(filled, encoder, filled.matrix().ids[5], {"caption": "Mine"})
    folder = filled.folder
    filled.close()
    file = folder / CATALOG_NAME
    data = bytearray(file.read_bytes())
    page = len(data) // 2 // 4096 * 4096
    data[page : page + 4096] = b"\xa5" * 4096
    file.write_bytes(data)
    aside = salvage(folder)
    assert aside.read_bytes() == data
    with Library.open(folder, encoder.identity, for_repair=True) as library:
        repair(library, encoder, verify(library))
        assert len(library) > 20, "most of it was readable"
        index_paths(library, encoder, [pictures])
        assert (len(library), verify(library).sound) == (208, True)


def test_a_catalogue_of_which_nothing_is_left_is_left_alone(filled: Library) -> None:
    folder = filled.folder
    filled.close()
    (folder / CATALOG_NAME).write_bytes(b"\xa5" * 40_960)
    with pytest.raises(LibraryDamaged, match="catalogue_lost"):
        salvage(folder)
    assert (folder / CATALOG_NAME).read_bytes() == b"\xa5" * 40_960
    assert not list(folder.glob("*.part*"))


def test_a_backup_is_a_library_as_of_one_moment(run, filled: Library, pictures: Path, encoder: ColourEncoder) -> None:
    target = pictures.parent / "backup"
    before = (list(filled.records()), vectors_by_id(filled))
    assert back_up(filled, target) > 0
    (pictures / "IMG_00001.png").unlink()
    run()
    with Library.open(target, encoder.identity) as copy:
        assert (list(copy.records()), vectors_by_id(copy)) == before
    with pytest.raises(LibraryError, match="export_folder_not_empty"):
        back_up(filled, target)
    assert sorted(path.name for path in pictures.parent.iterdir()) == ["backup", "library", "pictures"]


def test_a_second_long_writer_waits_for_the_first(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from image_db import catalog, writer_lock

    monkeypatch.setattr(catalog, "SILENT_S", 0.01)
    waiting = threading.Event()
    monkeypatch.setattr(catalog, "on_wait", lambda folder: waiting.set())
    done: list[str] = []

    def second() -> None:
        with writer_lock.writer_lock(filled.folder):
            done.append("second")

    thread = threading.Thread(target=second)
    with filled.writing():
        thread.start()
        assert waiting.wait(10)
        done.append("first")
    thread.join(10)
    assert done == ["first", "second"]
