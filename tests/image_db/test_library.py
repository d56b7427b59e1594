from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from image_db import catalog as catalog_module
from image_db.catalog import MIGRATIONS, Catalog, Migration
from image_db.errors import EncoderMismatch, LibraryDamaged, LibraryError, LibraryMissing
from image_db.library import CATALOG_NAME, Library, NewImage
from image_db.metadata.record import ImageRecord
from image_db.verification import verify
from tests.fakes import ColourEncoder


def record(number: int, **fields) -> ImageRecord:
    id_ = hashlib.sha256(str(number).encode()).hexdigest()
    return ImageRecord(id_, Path(f"/pictures/{number}.jpg"), 640, 480, **fields)


def unit(dim: int, seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


def entry(encoder: ColourEncoder, number: int, *, text: bool = True, **fields) -> NewImage:
    identity = encoder.identity
    textual = unit(identity.textual_dim, 10_000 + number) if text else None
    return NewImage(record(number, **fields), unit(identity.visual_dim, number), textual, phash=number)


def test_what_was_added_is_read_back_after_reopening(tmp_path: Path, encoder: ColourEncoder) -> None:
    full = {
        "caption": "A cat",
        "alt": "A grey cat asleep",
        "tags": ("cat", "grey"),
        "author": "Ann",
        "license": "CC BY 4.0",
        "source_url": "https://example.org/cat",
        "captions": (("zh", "一只猫"),),
        "caption_origin": "generated",
        "guessed_tags": ("tabby",),
    }
    entries = [entry(encoder, 0, **full), entry(encoder, 1, text=False)]
    with Library.create(tmp_path / "lib", encoder.identity) as library:
        assert library.add(entries) == 2
    with Library.open(tmp_path / "lib", encoder.identity) as library:
        assert list(library.records()) == [e.record for e in entries]
        view = library.matrix()
        assert view.ids == [e.record.id for e in entries]
        assert view.has_text.tolist() == [True, False]
        np.testing.assert_array_equal(view.visual, [e.visual for e in entries])
        np.testing.assert_array_equal(view.textual[0], entries[0].textual)
        assert library.phashes() == {e.record.id: e.phash for e in entries}
        assert library.damage() == []


def test_a_perceptual_hash_keeps_its_highest_bit(library: Library, encoder: ColourEncoder) -> None:
    high = entry(encoder, 1)._replace(phash=(1 << 64) - 2)
    library.add([high])
    assert library.phashes() == {high.record.id: (1 << 64) - 2}


def test_adding_a_known_picture_again_only_gives_it_another_path(library: Library, encoder: ColourEncoder) -> None:
    first = entry(encoder, 1)
    copy = first._replace(record=replace(first.record, path=Path("/elsewhere/copy.jpg")))
    assert library.add([first]) == 1
    assert library.add([copy]) == 0
    assert len(library) == 1
    assert library.files.of(first.record.id) == [Path("/elsewhere/copy.jpg"), Path("/pictures/1.jpg")]


def test_new_words_replace_the_old_ones_and_their_vector(library: Library, encoder: ColourEncoder) -> None:
    library.add([entry(encoder, i) for i in range(3)])
    vector = unit(encoder.identity.textual_dim, 7)
    changed = replace(library.record(record(1).id), caption="A dog", tags=("dog",))
    library.update_text(changed, vector)
    assert library.record(changed.id) == changed
    np.testing.assert_array_equal(library.matrix().textual[1], vector)
    library.update_text(replace(changed, caption="", tags=()), None)
    assert library.matrix().has_text.tolist() == [True, False, True]


def test_a_crash_between_commit_and_vector_is_mended_on_opening(
    tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = unit(encoder.identity.textual_dim, 7)
    with Library.create(tmp_path / "lib", encoder.identity) as library:
        library.add([entry(encoder, i) for i in range(2)])
        # The process dies right after the transaction, before the vector is written.
        monkeypatch.setattr(Library, "_apply_pending", lambda self: None)
        library.update_text(replace(record(0), caption="new"), vector)
        assert not np.array_equal(library.matrix().textual[0], vector)
    monkeypatch.undo()
    with Library.open(tmp_path / "lib", encoder.identity) as library:
        np.testing.assert_array_equal(library.matrix().textual[0], vector)


def test_rows_that_a_crash_left_behind_are_ignored_and_overwritten(tmp_path: Path, encoder: ColourEncoder) -> None:
    with Library.create(tmp_path / "lib", encoder.identity) as library:
        library.add([entry(encoder, 0)])
    for name in ("visual.f32", "textual.f32"):
        with (tmp_path / "lib" / name).open("ab") as file:
            file.write(b"\xff" * 1001)
    with Library.open(tmp_path / "lib", encoder.identity) as library:
        assert len(library.matrix().ids) == 1
        second = entry(encoder, 1)
        library.add([second])
        np.testing.assert_array_equal(library.matrix().visual[1], second.visual)
        assert library.damage() == []


def test_a_failed_batch_leaves_nothing(library: Library, encoder: ColourEncoder) -> None:
    library.add([entry(encoder, 0)])
    revision = library.revision
    bad = entry(encoder, 2)._replace(visual=np.full(encoder.identity.visual_dim, np.nan, np.float32))
    with pytest.raises(ValueError, match="not finite"):
        library.add([entry(encoder, 1), bad])
    assert len(library) == 1
    assert library.revision == revision


def test_nested_changes_are_undone_together(library: Library, encoder: ColourEncoder) -> None:
    def add_and_fail() -> None:
        with library.transaction():
            library.add([entry(encoder, 0)])
            library.update_text(record(99), None)

    with pytest.raises(LibraryError, match=r"^picture_unknown"):
        add_and_fail()
    assert len(library) == 0


def test_removed_pictures_leave_the_vectors_of_the_others_in_place(library: Library, encoder: ColourEncoder) -> None:
    entries = [entry(encoder, i) for i in range(5)]
    library.add(entries)
    assert library.remove([entries[1].record.id, "0" * 64]) == 1
    view = library.matrix()
    kept = [entries[i] for i in (0, 2, 3, 4)]
    assert view.ids == [e.record.id for e in kept]
    np.testing.assert_array_equal(view.visual, [e.visual for e in kept])
    library.add([entries[1]])
    np.testing.assert_array_equal(library.matrix().visual[-1], entries[1].visual)


def test_the_revision_grows_with_every_change_and_only_then(library: Library, encoder: ColourEncoder) -> None:
    seen = [library.revision]

    def changed() -> bool:
        seen.append(library.revision)
        return seen[-1] > seen[-2]

    assert not changed()
    library.add([entry(encoder, 0)])
    assert changed()
    library.matrix(), list(library.records()), library.phashes(), library.failures()
    assert not changed()
    library.update_text(record(0, caption="x"), None)
    assert changed()
    with library.transaction():
        library.files.mark_missing(["/pictures/0.jpg"])
    assert changed()
    library.remove([record(0).id])
    assert changed()


def test_the_view_is_the_same_object_until_something_changes(library: Library, encoder: ColourEncoder) -> None:
    library.add([entry(encoder, 0)])
    view = library.matrix()
    assert library.matrix() is view
    library.add([entry(encoder, 1)])
    assert library.matrix() is not view
    assert len(view.ids) == 1


def test_an_id_is_found_by_its_beginning(library: Library, encoder: ColourEncoder) -> None:
    library.add([entry(encoder, i) for i in range(20)])
    id_ = record(3).id
    assert library.resolve(id_[:12].upper()) == library.resolve(id_) == id_
    with pytest.raises(LibraryError, match=r"^picture_id_short: id=.*, least=4"):
        library.resolve("ab")
    with pytest.raises(LibraryError, match=r"^picture_id_unknown: .*id=0000"):
        library.resolve("0000")
    twin = replace(record(3), id=id_[:40] + "0" * 24)
    library.add([entry(encoder, 3)._replace(record=twin)])
    with pytest.raises(LibraryError, match=r"^picture_id_ambiguous"):
        library.resolve(id_[:40])


def test_records_come_in_the_order_asked_for(library: Library, encoder: ColourEncoder) -> None:
    library.add([entry(encoder, i) for i in range(1200)])
    wanted = [record(i).id for i in (700, 3, 3, 1199)] + [record(i).id for i in range(900)]
    assert [r.id for r in library.get(wanted)] == wanted
    with pytest.raises(LibraryError, match=f"^picture_unknown: .*picture={'f' * 64}"):
        library.get(["f" * 64])


def test_another_encoder_is_refused_by_name(tmp_path: Path, encoder: ColourEncoder) -> None:
    Library.create(tmp_path / "lib", encoder.identity).close()
    other = ColourEncoder("shapes")
    with pytest.raises(EncoderMismatch) as caught:
        Library.open(tmp_path / "lib", other.identity)
    assert caught.value.key == "encoder_mismatch"
    assert caught.value.values == {
        "library": str(tmp_path / "lib"),
        "made_by": f"colours ({encoder.identity.sha256[:12]})",
        "given": f"shapes ({other.identity.sha256[:12]})",
    }
    with Library.open(tmp_path / "lib", None) as library:
        assert library.encoder == encoder.identity


def test_a_missing_library_is_named_and_not_made(tmp_path: Path, encoder: ColourEncoder) -> None:
    with pytest.raises(LibraryMissing) as caught:
        Library.open(tmp_path / "lib", encoder.identity)
    folder = tmp_path / "lib"
    assert (caught.value.key, caught.value.values["folder"]) == ("library_missing", str(folder))
    assert not folder.exists()


def test_a_library_whose_making_was_interrupted_counts_as_missing_and_can_be_made(
    tmp_path: Path, encoder: ColourEncoder
) -> None:
    Catalog.create(tmp_path / "lib" / CATALOG_NAME).close()
    with pytest.raises(LibraryMissing, match=r"^library_unfinished"):
        Library.open(tmp_path / "lib", encoder.identity)
    with Library.open_or_create(tmp_path / "lib", encoder.identity) as library:
        assert len(library) == 0
    with pytest.raises(LibraryError, match=r"^library_exists"):
        Library.create(tmp_path / "lib", encoder.identity)


def test_an_empty_library_has_empty_vectors(library: Library, encoder: ColourEncoder) -> None:
    view = library.matrix()
    assert view.visual.shape == (0, encoder.identity.visual_dim)
    assert view.textual.shape == (0, encoder.identity.textual_dim)
    assert not len(library)
    assert library


def test_a_shortened_vector_file_is_reported_as_damage(tmp_path: Path, encoder: ColourEncoder) -> None:
    with Library.create(tmp_path / "lib", encoder.identity) as library:
        library.add([entry(encoder, i) for i in range(3)])
    path = tmp_path / "lib" / "textual.f32"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(LibraryDamaged, match=r"^vectors_missing: file=.*textual\.f32, held=1, expected=3"):
        Library.open(tmp_path / "lib", encoder.identity)


def test_a_catalogue_that_is_none_is_reported_as_damage(tmp_path: Path, encoder: ColourEncoder) -> None:
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / CATALOG_NAME).write_bytes(b"not a database at all" * 100)
    with pytest.raises(LibraryDamaged, match=r"^catalogue_damaged: .*reason=file is not a database"):
        Library.open(folder, encoder.identity)
    (folder / CATALOG_NAME).unlink()
    with sqlite3.connect(folder / CATALOG_NAME) as other:
        other.execute("CREATE TABLE somebody_elses (x)")
    other.close()
    with pytest.raises(LibraryDamaged, match=r"^catalogue_foreign"):
        Library.open(folder, encoder.identity)


def test_a_catalogue_of_a_later_version_is_not_touched(tmp_path: Path, encoder: ColourEncoder) -> None:
    Library.create(tmp_path / "lib", encoder.identity).close()
    db = sqlite3.connect(tmp_path / "lib" / CATALOG_NAME)
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(LibraryError, match=r"^library_newer: .*schema=999"):
        Library.open(tmp_path / "lib", encoder.identity)


def test_an_older_catalogue_is_migrated_and_keeps_its_pictures(
    tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.create(tmp_path / "lib", encoder.identity) as library:
        library.add([entry(encoder, 0)])
    later = Migration("for this test", "CREATE TABLE later (x INTEGER) STRICT; INSERT INTO later VALUES (42)")
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*MIGRATIONS, later))
    for _ in range(2):
        with Library.open(tmp_path / "lib", encoder.identity) as library:
            assert library._catalog.query("SELECT x FROM later") == [(42,)]
            assert len(library) == 1


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    Library.create(tmp_path / "lib", encoder.identity).close()
    broken = Migration("for this test", "CREATE TABLE later (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1)")
    monkeypatch.setattr(catalog_module, "MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(LibraryError, match=r"^library_not_usable: .*no such table: nowhere"):
        Library.open(tmp_path / "lib", encoder.identity)
    monkeypatch.undo()
    with Library.open(tmp_path / "lib", encoder.identity) as library:
        assert library._catalog.query("SELECT name FROM sqlite_master WHERE name = 'later'") == []


def test_every_migration_gives_its_reason() -> None:
    assert all(len(migration.reason) > 20 for migration in MIGRATIONS)


def test_two_writers_never_share_a_vector_row(tmp_path: Path, encoder: ColourEncoder) -> None:
    folder = tmp_path / "lib"
    Library.create(folder, encoder.identity).close()
    problems: list[Exception] = []

    def write(first: int) -> None:
        try:
            with Library.open(folder, encoder.identity) as library:
                for start in range(first, first + 60, 6):
                    library.add([entry(encoder, i) for i in range(start, start + 6)])
        except Exception as error:  # noqa: BLE001 - handed to the main thread
            problems.append(error)

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with Library.open(folder, encoder.identity) as library:
        assert len(library) == 100
        view = library.matrix()
        expected = {record(i).id: unit(encoder.identity.visual_dim, i) for i in range(100)}
        for id_, vector in zip(view.ids, view.visual, strict=True):
            np.testing.assert_array_equal(vector, expected[id_])


def test_one_library_serves_several_threads(library: Library, encoder: ColourEncoder) -> None:
    library.add([entry(encoder, i) for i in range(50)])
    results: list[int] = []

    def read() -> None:
        results.append(len(library.matrix().ids) + len(list(library.records())))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [100] * 6


def test_a_library_that_cannot_be_written_says_what_to_do(library: Library, encoder: ColourEncoder) -> None:
    (library.folder / "visual.f32").mkdir()
    with pytest.raises(LibraryError, match=r"^vectors_not_written: file=.*visual\.f32"):
        library.add([entry(encoder, 0)])
    assert len(library) == 0


def test_a_file_in_the_way_of_the_folder_is_one_clear_line(tmp_path: Path, encoder: ColourEncoder) -> None:
    (tmp_path / "lib").write_text("a file")
    with pytest.raises(LibraryError, match=r"^library_not_made"):
        Library.create(tmp_path / "lib", encoder.identity)


def test_file_names_need_not_be_unicode(library: Library, encoder: ColourEncoder) -> None:
    odd = Path("/pictures/caf\udce9 \n 'x'.jpg")
    library.add([entry(encoder, 0)._replace(record=replace(record(0), path=odd))])
    assert library.record(record(0).id).path == odd
    assert list(library.files.under("/pictures")) == [str(odd)]
    assert library.files.under("/pict") == {}


# Odd circumstances


def test_a_library_that_cannot_be_written_is_read_and_leaves_no_file_beside_it(
    tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "lib"
    with Library.create(folder, encoder.identity) as library:
        library.add([entry(encoder, number) for number in range(3)])
    before = sorted(path.name for path in folder.iterdir())
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    with Library.open(folder, encoder.identity) as library:
        assert len(library) == len(list(library.records())) == len(library.matrix().ids) == 3
        assert sorted(path.name for path in folder.iterdir()) == before
        with pytest.raises(LibraryError, match=r"^library_not_usable: .*readonly"):
            library.remove([record(0).id])
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_record_that_does_not_hold_what_was_written_is_damage(library: Library, encoder: ColourEncoder) -> None:
    library.add([entry(encoder, number) for number in range(3)])
    with closing(sqlite3.connect(library.folder / CATALOG_NAME)) as other:
        other.execute("UPDATE images SET tags = '[\"cut' WHERE id = ?", (record(1).id,))
        other.commit()
    with pytest.raises(LibraryDamaged, match=r"^record_damaged: picture="):
        list(library.records())
    result = verify(library)
    assert [found.key for found in result.damage] == ["record_damaged"]


@pytest.mark.parametrize("row", [-1, 3, 1 << 40])
def test_a_row_beyond_the_vectors_is_damage(library: Library, encoder: ColourEncoder, row: int) -> None:
    library.add([entry(encoder, number) for number in range(3)])
    with closing(sqlite3.connect(library.folder / CATALOG_NAME)) as other:
        other.execute("UPDATE images SET vector_row = ? WHERE id = ?", (row, record(1).id))
        other.execute("UPDATE library SET revision = revision + 1")
        other.commit()
    with pytest.raises(LibraryDamaged, match=r"^rows_beyond: .*pictures=1, used=3"):
        library.matrix()
    assert [found.key for found in verify(library).damage] == ["rows_beyond"]


def test_a_wait_for_another_program_is_said_once(
    tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "SILENT_S", 0.01)
    monkeypatch.setattr(catalog_module, "BUSY_TIMEOUT_S", 0.1)
    heard: list[Path] = []
    monkeypatch.setattr(catalog_module, "on_wait", heard.append)
    with Library.create(tmp_path / "lib", encoder.identity) as library:
        other = sqlite3.connect(tmp_path / "lib" / CATALOG_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LibraryError, match=r"^library_not_usable: .*locked"):
            library.add([entry(encoder, 0)])
        assert heard == [tmp_path / "lib"]
        monkeypatch.setattr(catalog_module, "on_wait", lambda _: other.execute("COMMIT"))
        monkeypatch.setattr(catalog_module, "BUSY_TIMEOUT_S", 60.0)
        assert library.add([entry(encoder, 0)]) == 1
        other.close()
