from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from image_db.errors import LibraryError
from image_db.exporting import export_folder, export_records, json_line
from image_db.indexing import index_paths
from image_db.library import Library
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint
from vision.errors import Phrase

WORDS = {
    "caption": "A red wall",
    "alt": "Bricks",
    "tags": ["wall", "brick"],
    "author": "Ann",
    "license": "CC0",
    "source_url": "https://example.org",
    "captions": {"zh": "红墙"},
}


def test_an_exported_folder_says_the_same_when_it_is_indexed_again(
    tmp_path: Path, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    paint(pictures / "IMG_1.png", "red")
    (pictures / "IMG_1.json").write_text(json.dumps(WORDS))
    paint(pictures / "sub" / "IMG_1.png", "blue")
    paint(pictures / "caf\udce9 x.png", "green")
    index_paths(library, encoder, [pictures])
    copied, failed = export_folder(library, tmp_path / "out")
    assert (copied, failed) == (3, [])
    with Library.create(tmp_path / "again", encoder.identity) as again:
        report = index_paths(again, encoder, [tmp_path / "out"])
        assert (report.added, report.failed, report.warnings) == (3, (), ())
        here = {record.id: replace(record, path=Path()) for record in library.records()}
        there = {record.id: replace(record, path=Path()) for record in again.records()}
    assert here == there


def test_records_are_exported_one_json_object_a_line(
    tmp_path: Path, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    paint(pictures / "x.png", "red")
    (pictures / "x.json").write_text(json.dumps(WORDS))
    index_paths(library, encoder, [pictures])
    assert export_records(library, tmp_path / "out.jsonl") == 1
    (line,) = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    values = json.loads(line)
    assert {key: values[key] for key in WORDS} == WORDS
    assert values["path"] == str(pictures / "x.png")
    assert "红墙" in line


def test_nothing_is_overwritten(tmp_path: Path, library: Library) -> None:
    (tmp_path / "out.jsonl").write_text("mine")
    with pytest.raises(LibraryError, match=r"^export_exists"):
        export_records(library, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    with pytest.raises(LibraryError, match=r"^export_folder_not_empty"):
        export_folder(library, tmp_path)


def test_a_picture_that_cannot_be_copied_is_named(
    tmp_path: Path, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    file = paint(pictures / "x.png")
    paint(pictures / "y.png", "blue")
    index_paths(library, encoder, [pictures])
    file.unlink()
    assert export_folder(library, tmp_path / "out") == (
        1,
        [(file, Phrase("not_copied", {"reason": "No such file or directory"}))],
    )


def test_a_generated_caption_does_not_come_back_as_a_given_one(
    tmp_path: Path, library: Library, encoder: ColourEncoder, pictures: Path
) -> None:
    paint(pictures / "IMG_1.png")
    index_paths(library, encoder, [pictures])
    (record,) = library.records()
    library.update_text(replace(record, caption="perhaps a wall", caption_origin="generated"), None)
    export_folder(library, tmp_path / "out")
    assert "perhaps" not in (tmp_path / "out" / "metadata.jsonl").read_text()


def test_names_that_are_not_unicode_read_back_as_they_were() -> None:
    assert json.loads(json_line({"path": "caf\udce9 图"})) == {"path": "caf\udce9 图"}
    json_line("caf\udce9").encode("utf-8")


def test_an_export_that_fails_half_way_leaves_nothing_in_the_way(
    tmp_path: Path, library: Library, encoder: ColourEncoder, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(pictures / "x.png")
    index_paths(library, encoder, [pictures])

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("image_db.exporting.json_line", full)
    with pytest.raises(LibraryError, match=r"^export_not_written: .*No space left"):
        export_records(library, tmp_path / "out.jsonl")
    monkeypatch.undo()
    assert export_records(library, tmp_path / "out.jsonl") == 1
