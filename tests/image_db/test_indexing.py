from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composer.i18n import localize
from image_db import indexing
from image_db.errors import EncoderMismatch, LibraryError
from image_db.files import FileStamp
from image_db.indexing import IndexReport, IndexTiming, index_paths
from image_db.library import Library
from image_db.metadata import reading
from image_db.metadata.description import sentence
from image_db.metadata.record import ImageRecord
from image_db.scan import FoundFile
from tests.fakes import PALETTE, ColourEncoder
from tests.image_db.conftest import paint, paint_many
from tests.raw_files import dng
from vision.errors import Phrase
from vision.images.formats import try_formats


@pytest.fixture
def run(library: Library, encoder: ColourEncoder, pictures: Path):
    def index(*paths: Path, **options) -> IndexReport:
        encoder.seen = dict.fromkeys(encoder.seen, 0)
        return index_paths(library, encoder, paths or [pictures], **options)

    return index


def by_name(library: Library) -> dict[str, ImageRecord]:
    return {record.path.name: record for record in library.records()}


def test_every_picture_gets_the_vectors_of_its_own_pixels_and_words(
    run, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    for colour in ("red", "green", "blue", "yellow"):
        paint(pictures / f"{colour} wall.png", colour)
    (pictures / "red wall.txt").write_text("A wall in red")
    report = run(batch_size=3)
    assert (report.added, report.failed, report.warnings) == (4, (), ())
    view = library.matrix()
    records = library.get(view.ids)
    assert [r.path.name for r in records] == ["blue wall.png", "green wall.png", "red wall.png", "yellow wall.png"]
    for record, visual, textual in zip(records, view.visual, view.textual, strict=True):
        with Image.open(record.path) as image:
            np.testing.assert_array_equal(visual, encoder.encode_images([image])[0])
        np.testing.assert_array_equal(textual, encoder.encode_sentences([sentence(record, encoder.languages)])[0])
    assert records[2].caption == "A wall in red"
    assert records[0].tags == ("blue", "wall")
    assert len(library.phashes()) == 4


def test_a_second_run_opens_and_encodes_nothing(
    run, library: Library, encoder: ColourEncoder, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(pictures, 20)
    run()
    revision = library.revision
    monkeypatch.setattr(indexing, "read_picture", lambda *_: pytest.fail("a file was opened"))
    report = run()
    assert (report.added, report.unchanged, report.linked, report.usable) == (0, 20, 0, 20)
    assert encoder.seen == {"images": 0, "texts": 0, "sentences": 0}
    assert library.revision == revision


def test_only_what_is_new_is_encoded(run, library: Library, encoder: ColourEncoder, pictures: Path) -> None:
    paint_many(pictures, 5)
    run()
    paint_many(pictures, 3, start=5)
    assert run().added == 3
    assert encoder.seen["images"] == 3
    assert len(library) == 8


def test_unusable_files_are_named_with_their_reason_and_the_rest_goes_on(run, library: Library, pictures: Path) -> None:
    paint_many(pictures, 3)
    (pictures / "empty.jpg").write_bytes(b"")
    (pictures / "text.jpg").write_text("not a picture")
    whole = paint(pictures / "cut.jpg", size=(400, 300)).read_bytes()
    (pictures / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    report = run()
    assert report.added == 3
    told = {path.name: reason for path, reason in report.failed}
    assert set(told) == {"cut.jpg", "empty.jpg", "text.jpg"}
    assert {name: reason.key for name, reason in told.items()} == {
        "empty.jpg": "file_empty",
        "text.jpg": "image_format_unknown",
        "cut.jpg": "image_damaged",
    }
    kept = {f.path.name: localize(f.reason, "en") for f in library.failures()}
    assert kept == {name: localize(reason, "en") for name, reason in told.items()}
    assert kept["text.jpg"].startswith("is not a picture of a known format (JPEG, PNG, ")
    revision = library.revision
    assert {path.name for path, _ in run().failed} == set(told)
    assert library.revision == revision
    for name in told:
        (pictures / name).unlink()
    paint(pictures / "cut.jpg", "green")
    assert run().failed == ()
    assert library.failures() == []
    assert len(library) == 4


def test_a_picture_that_becomes_unreadable_is_not_shown_any_more(run, library: Library, pictures: Path) -> None:
    file = paint(pictures / "x.png")
    run()
    data = file.read_bytes()
    file.write_bytes(b"broken")
    report = run()
    assert (len(report.failed), len(library)) == (1, 0)
    file.write_bytes(data)
    assert (run().linked, len(library), library.failures()) == (1, 1, [])


def test_copies_share_one_record(run, library: Library, encoder: ColourEncoder, pictures: Path) -> None:
    file = paint(pictures / "b.png")
    shutil.copy(file, pictures / "a.png")
    (pictures / "sub").mkdir()
    shutil.copy(file, pictures / "sub" / "c.png")
    report = run()
    assert (report.added, report.linked, len(library)) == (1, 2, 1)
    (record,) = library.records()
    assert library.files.of(record.id) == [pictures / "a.png", pictures / "b.png", pictures / "sub" / "c.png"]
    assert record.path == pictures / "a.png"
    (pictures / "a.png").unlink()
    assert run().removed == 0
    assert library.record(record.id).path == pictures / "b.png"


def test_the_words_of_all_copies_are_used_whatever_order_they_came_in(
    run, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    file = paint(pictures / "z.png")
    run()
    (pictures / "a.json").write_text('{"caption": "A red wall", "author": "Ann"}')
    (pictures / "z.json").write_text('{"author": "Zoe", "license": "CC0"}')
    shutil.copy(file, pictures / "a.png")
    report = run()
    assert (report.linked, report.updated_text, encoder.seen["images"]) == (1, 1, 0)
    (record,) = library.records()
    assert (record.caption, record.author, record.license) == ("A red wall", "Ann", "CC0")
    np.testing.assert_array_equal(library.matrix().textual[0], encoder.encode_sentences(["A red wall"])[0])


def test_a_moved_picture_is_recognised_by_its_bytes(
    run, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    file = paint(pictures / "IMG_1.png")
    run()
    (record,) = library.records()
    (pictures / "sub").mkdir()
    file.rename(pictures / "sub" / "sunset.png")
    report = run()
    assert (report.linked, report.added, report.removed, encoder.seen["images"]) == (1, 0, 0, 0)
    (moved,) = library.records()
    assert (moved.id, moved.path, moved.tags) == (record.id, pictures / "sub" / "sunset.png", ("sunset",))


def test_deleted_pictures_are_gone_and_come_back_without_encoding(
    run, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    files = paint_many(pictures, 3)
    run()
    ids = library.matrix().ids
    away = pictures.parent / "away.png"
    files[1].rename(away)
    report = run()
    assert (report.removed, report.unchanged, len(library)) == (1, 2, 2)
    assert library.matrix().ids == [ids[0], ids[2]]
    assert [record.id for record in library.records(gone=True)] == [ids[1]]
    away.rename(files[1])
    report = run()
    assert (report.linked, encoder.seen["images"], library.matrix().ids) == (1, 0, ids)


def test_a_folder_that_was_not_indexed_now_keeps_its_pictures(run, library: Library, pictures: Path) -> None:
    paint(pictures / "a" / "x.png", "red")
    other = paint(pictures / "b" / "y.png", "blue")
    run()
    other.unlink()
    run(pictures / "a")
    assert len(library) == 2
    shutil.rmtree(pictures / "b")
    report = run(pictures / "b", pictures / "a" / "x.png")
    assert (len(library), [p for p, _ in report.failed]) == (2, [pictures / "b"])
    run(pictures)
    assert len(library) == 1


def test_a_replaced_picture_gives_way_to_the_new_one(run, library: Library, pictures: Path) -> None:
    paint(pictures / "x.png", "red")
    run()
    (old,) = library.records()
    paint(pictures / "x.png", "blue", size=(50, 50))
    report = run()
    assert (report.added, len(library)) == (1, 1)
    (new,) = library.records()
    assert (new.id != old.id, new.width_px) == (True, 50)


def test_a_changed_sidecar_updates_the_words_without_touching_pixels(
    run, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    paint(pictures / "IMG_1.png")
    run()
    assert not library.matrix().has_text[0]
    (pictures / "IMG_1.txt").write_text("A red wall")
    report = run()
    assert (report.updated_text, report.unchanged, encoder.seen["images"]) == (1, 1, 0)
    np.testing.assert_array_equal(library.matrix().textual[0], encoder.encode_sentences(["A red wall"])[0])
    (pictures / "IMG_1.txt").unlink()
    assert run().updated_text == 1
    assert not library.matrix().has_text[0]
    assert run().updated_text == 0


def test_a_bad_sidecar_is_a_warning_until_it_is_mended(run, library: Library, pictures: Path) -> None:
    paint(pictures / "x.png")
    (pictures / "x.json").write_text("{")
    report = run()
    assert (report.added, report.failed) == (1, ())
    ((path, reason),) = report.warnings
    assert (path.name, reason.key, reason.values["reason"].key) == ("x.json", "sidecar_not_used", "sidecar_not_json")
    assert [(f.path.name, f.kind) for f in library.failures()] == [("x.json", "sidecar")]
    (pictures / "x.json").write_text('{"caption": "A wall"}')
    assert run().warnings == ()
    assert library.failures() == []
    assert by_name(library)["x.png"].caption == "A wall"


def test_words_come_from_sidecars_then_from_the_picture_then_from_its_name(
    run, library: Library, pictures: Path
) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "From the camera", "Ann"
    for name in ("old tower.jpg", "IMG_2.jpg"):
        paint(pictures / name, "red" if name[0] == "o" else "blue", exif=exif)
    (pictures / "old tower.json").write_text(json.dumps({"caption": "From the sidecar"}))
    run()
    records = by_name(library)
    assert (records["old tower.jpg"].caption, records["old tower.jpg"].author) == ("From the sidecar", "Ann")
    assert records["old tower.jpg"].tags == ("old", "tower")
    assert (records["IMG_2.jpg"].caption, records["IMG_2.jpg"].tags) == ("From the camera", ())


def test_sizes_are_those_of_the_picture_as_shown(run, library: Library, pictures: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    paint(pictures / "turned.jpg", size=(3000, 2000), exif=exif)
    run()
    (record,) = library.records()
    assert (record.width_px, record.height_px) == (2000, 3000)


def test_odd_file_names_are_indexed_and_found_unchanged(run, library: Library, pictures: Path) -> None:
    names = [
        "图 片.png",
        "naïve café.PNG",
        "new\nline.png",
        "quote ' \" %s ?.png",
        "-rf.png",
        "caf\udce9.png",
        "a" * 200 + ".png",
    ]
    for i, name in enumerate(names):
        paint(pictures / "tmp.png", (i, i, i)).rename(pictures / name)
    assert run().added == len(names)
    assert set(by_name(library)) == set(names)
    assert run().unchanged == len(names)


def test_labels_are_guessed_only_for_pictures_without_words(run, library: Library, pictures: Path) -> None:
    paint(pictures / "IMG_1.png", "red")
    paint(pictures / "blue wall.png", "blue")

    def labeller(images: Sequence[Image.Image]) -> list[tuple[str, ...]]:
        assert len(images) == 1
        return [("red thing",)]

    run(labeller=labeller)
    records = by_name(library)
    assert (records["IMG_1.png"].guessed_tags, records["IMG_1.png"].tags) == (("red thing",), ())
    assert records["blue wall.png"].guessed_tags == ()
    assert library.matrix().has_text.all()


def test_an_interruption_keeps_what_was_encoded_and_the_next_run_goes_on(
    run, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    paint_many(pictures, 30)

    def interrupt(done: int, total: int) -> None:
        assert total == 30
        if done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(progress=interrupt, batch_size=4)
    assert len(library) == 16
    report = run()
    assert (report.unchanged, report.added, encoder.seen["images"]) == (16, 14, 14)
    assert library.damage() == []


def test_progress_counts_up_to_the_total(run, pictures: Path) -> None:
    paint_many(pictures, 7)
    seen: list[tuple[int, int]] = []
    run(progress=lambda done, total: seen.append((done, total)), batch_size=3)
    assert seen == [(i, 7) for i in range(1, 8)]


def test_rows_follow_the_order_of_the_walk_whatever_the_batches(
    tmp_path: Path, encoder: ColourEncoder, pictures: Path
) -> None:
    paint_many(pictures, 25)
    orders = []
    for size in (1, 7, 100):
        with Library.create(tmp_path / f"lib{size}", encoder.identity) as library:
            index_paths(library, encoder, [pictures], batch_size=size)
            orders.append(library.matrix().ids)
    assert orders[0] == orders[1] == orders[2]


def test_a_vector_that_is_not_a_number_costs_one_picture_only(
    run, library: Library, encoder: ColourEncoder, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(pictures, 3)
    encode = encoder.encode_images

    def spoiled(images: Sequence[Image.Image]) -> np.ndarray:
        vectors = encode(images)
        vectors[1] = np.nan
        return vectors

    monkeypatch.setattr(encoder, "encode_images", spoiled)
    report = run()
    assert (report.added, len(library)) == (2, 2)
    assert report.failed == ((pictures / "IMG_00001.png", Phrase("no_vector")),)


def test_another_encoder_is_refused_before_anything_is_read(library: Library, pictures: Path) -> None:
    with pytest.raises(EncoderMismatch, match=r"^encoder_mismatch"):
        index_paths(library, ColourEncoder("shapes"), [pictures])


def test_a_full_disk_stops_with_one_line_and_keeps_what_was_committed(
    run, library: Library, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(pictures, 4)
    run()
    paint_many(pictures, 4, start=4)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LibraryError, match=r"^vectors_not_written: .*reason=No space left on device"):
        run()
    monkeypatch.undo()
    assert len(library) == 4
    assert run().added == 4


# Copies, moves, several writers


def test_a_moved_folder_is_recognised_and_what_it_lost_is_gone(run, library: Library, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for number in range(4):
        paint(old / "sub" / f"IMG_{number}.png", (number, 9, 9))
    run(old)
    old.rename(new)
    (new / "sub" / "IMG_3.png").unlink()
    report = run(new)
    assert (report.added, report.linked) == (0, 3)
    assert [record.path for record in library.records()] == [new / "sub" / f"IMG_{number}.png" for number in range(3)]
    assert [record.path.name for record in library.records(gone=True)] == ["IMG_3.png"]
    (new / "sub" / "IMG_0.png").unlink()
    assert run(new).removed == 1
    assert len(library) == 2


def test_a_folder_of_which_nothing_is_left_is_named(run, pictures: Path) -> None:
    """An empty folder is also where a drive is connected."""
    paths = paint_many(pictures, 3)
    paths[0].unlink()
    assert run().emptied == ()
    for path in paths[1:]:
        path.unlink()
    left = run()
    assert (left.removed, left.emptied) == (2, (pictures,))
    assert run().emptied == (), "once"
    paint_many(pictures, 3)
    back = run()
    assert (back.linked, back.emptied) == (2, ()), "what comes back is not read again"
    for path in paths:
        path.unlink()
    paint(pictures / "other.png", "red")
    assert run().emptied == ()


def test_a_drive_that_is_not_connected_keeps_its_pictures(run, library: Library, tmp_path: Path) -> None:
    drive, here = tmp_path / "drive", tmp_path / "here"
    paths = paint_many(drive, 5)
    run(drive)
    here.mkdir()
    shutil.copy(paths[0], here)
    drive.rename(tmp_path / "unplugged")
    run(here)
    assert len(library) == 5
    (tmp_path / "unplugged").rename(drive)
    run(drive)
    assert len(library) == 5


def test_a_copy_elsewhere_leaves_the_original(run, library: Library, pictures: Path, tmp_path: Path) -> None:
    file = paint(pictures / "x.png")
    run()
    (tmp_path / "copies").mkdir()
    shutil.copy(file, tmp_path / "copies")
    run(tmp_path / "copies")
    (record,) = library.records()
    assert len(library.files.of(record.id)) == 2


def test_words_follow_the_copies_that_are_left(run, library: Library, pictures: Path) -> None:
    file = paint(pictures / "IMG_1.png")
    copy = pictures / "IMG_2.png"
    shutil.copy(file, copy)
    (pictures / "IMG_2.txt").write_text("A caption of the copy")
    (pictures / "IMG_1.json").write_text('{"author": "Ann"}')
    run()
    (record,) = library.records()
    assert (record.caption, record.author) == ("A caption of the copy", "Ann")
    copy.unlink()
    assert run().updated_text == 1
    (record,) = library.records()
    assert (record.caption, record.author) == ("", "Ann")
    assert library.matrix().has_text.tolist() == [False]


def test_a_sidecar_written_while_another_run_goes_on_is_not_lost(
    run, library: Library, pictures: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This run's walk sees the sidecar; another one, which did not, adds the picture first."""
    file = paint(pictures / "IMG_1.png")
    with Library.create(pictures.parent / "other", encoder.identity) as elsewhere:
        index_paths(elsewhere, encoder, [pictures])
        (record,) = elsewhere.records()
        stamp = FileStamp(str(file), file.stat().st_size, file.stat().st_mtime_ns)
    (pictures / "IMG_1.txt").write_text("A late caption")
    encode = encoder.encode_images

    def another_run_is_quicker(images: Sequence[Image.Image]) -> np.ndarray:
        vectors = encode(images)
        with Library.open(library.folder, encoder.identity) as same:
            same.add([(record, vectors[0], None, None, stamp)])
        return vectors

    monkeypatch.setattr(encoder, "encode_images", another_run_is_quicker)
    run()
    assert [each.caption for each in library.records()] == ["A late caption"]
    assert library.matrix().has_text.tolist() == [True]


def test_a_run_tells_what_its_time_goes_into_while_it_goes_on(run, pictures: Path) -> None:
    paint_many(pictures, 5)
    timing, seen = IndexTiming(), []
    run(batch_size=2, timing=timing, progress=lambda done, total: seen.append(timing.encoding_s))
    assert 0 == seen[0] < seen[-1] <= timing.encoding_s
    assert timing.reading_s > 0 < timing.writing_s
    assert (timing.slowest, IndexTiming(reading_s=9.0, encoding_s=3.0).slowest) == ("", "reading")


# Files that break readers


def test_whatever_reading_one_file_raises_is_that_files_failure(
    run, library: Library, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_many(pictures, 3)
    bad = paint(pictures / "bad.png", "green")
    read = reading.load_image

    def load(data: bytes, **options) -> Image.Image:
        if data == bad.read_bytes():
            raise RuntimeError("Failed to decode image: BMFF parsing failed")
        return read(data, **options)

    monkeypatch.setattr(reading, "load_image", load)
    report = run()
    assert report.added == 3
    ((path, reason),) = report.failed
    assert (path, reason.key) == (bad, "unexpected_in_file")


def test_a_file_that_cannot_be_decoded_is_read_again_once_it_has_changed(
    run, library: Library, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = pictures / "bad.png"
    bad.write_bytes(b"no picture")
    asked: list[str] = []
    read = indexing.read_picture

    def counted(found: FoundFile, *rest: object) -> object:
        asked.append(found.stamp.path)
        return read(found, *rest)

    monkeypatch.setattr(indexing, "read_picture", counted)
    first = run()
    again = run()
    assert [reason.key for _, reason in first.failed] == [reason.key for _, reason in again.failed]
    assert len(asked) == 1
    paint(bad)
    assert (run().added, run().failed, len(asked)) == (1, (), 2)
    monkeypatch.setattr(indexing, "own_version", lambda: "9")
    bad.write_bytes(b"no picture")
    run()
    monkeypatch.setattr(indexing, "own_version", lambda: "10")
    run()
    assert len(asked) == 4, "a later version may read it"


def test_a_pipe_and_an_endless_file_do_not_hold_up_a_run(run, library: Library, pictures: Path) -> None:
    paint(pictures / "IMG_1.png")
    os.mkfifo(pictures / "IMG_1.txt")
    os.mkfifo(pictures / "IMG_1.json")
    (pictures / "metadata.jsonl").symlink_to("/dev/zero")
    os.mkfifo(pictures / "pipe.jpg")
    (pictures / "zero.jpg").symlink_to("/dev/zero")
    report = run()
    assert report.added == 1
    assert {path.name for path, _ in report.failed} == {"pipe.jpg", "zero.jpg"}
    assert {path.name for path, _ in report.warnings} == {"IMG_1.txt", "IMG_1.json", "metadata.jsonl"}


def test_heic_raw_and_jpeg_xl_are_indexed_with_the_words_inside_them(run, library: Library, pictures: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "Hens in the yard", "Anna"
    green = Image.new("RGB", (80, 60), PALETTE["green"])
    assert not any(tried.problem for tried in try_formats())  # which teaches Pillow to write them
    green.save(pictures / "IMG_0001.HEIC", exif=exif.tobytes())
    (pictures / "IMG_0001.MOV").write_bytes(b"the moving half of a live photo")
    green.save(pictures / "IMG_0002.jxl", lossless=True)
    preview = io.BytesIO()
    green.save(preview, "JPEG", quality=95)
    (pictures / "IMG_0003.DNG").write_bytes(dng(green, preview.getvalue(), description="A cat asleep", artist="Bo"))
    (pictures / "IMG_0004.dng").write_bytes(dng(green, preview.getvalue()))
    green.save(pictures / "IMG_0004.jpg")
    report = run()
    assert (report.added, report.paired, report.failed) == (4, 1, ())
    said = {name: (record.caption, record.author) for name, record in by_name(library).items()}
    assert said == {
        "IMG_0001.HEIC": ("Hens in the yard", "Anna"),
        "IMG_0002.jxl": ("", ""),
        "IMG_0003.DNG": ("A cat asleep", "Bo"),
        "IMG_0004.jpg": ("", ""),
    }
    again = run(exclude=["*.dng"])
    assert (again.unchanged, again.removed, again.excluded) == (3, 1, 2)
