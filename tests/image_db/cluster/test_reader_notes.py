"""A file that kills whoever reads it costs itself, and no other file is noted as long as nobody dies."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_db.cluster import ray_index
from image_db.cluster.ray_index import read_unit
from image_db.cluster.reader_notes import MOST_DEATHS, SUFFIX, ReaderNote
from image_db.cluster.shards import ShardFolder
from image_db.cluster.sources import list_sources
from tests.image_db.conftest import paint_many

pa = pytest.importorskip("pyarrow", reason="pip install 'vignette-studio[cluster]'")


class Died(BaseException):
    """In place of SIGKILL: nothing is tidied up."""


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """Reads the one unit that the pictures make, as a worker of Ray does; again where the one before died."""
    paint_many(tmp_path / "pictures", 6)
    (unit,) = ray_index._units(list_sources([tmp_path / "pictures"]), set(), 10)
    shards = ShardFolder(str(tmp_path / "shards"))

    def read() -> list[dict[str, Any]]:
        table = pa.table({"unit": [pickle.dumps(unit)]})
        return [row for batch in read_unit(table, shards) for row in batch.to_pylist()]

    return read


def test_a_file_that_kills_its_readers_is_left_out_and_the_others_are_read(
    attempt: Callable[[], list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_picture = ray_index.read_picture
    deaths = []

    def deadly(found: Any, *others: Any) -> Any:
        if found.stamp.path.endswith("IMG_00003.png"):
            deaths.append(1)
            raise Died
        return read_picture(found, *others)

    monkeypatch.setattr(ray_index, "read_picture", deadly)
    for _ in range(MOST_DEATHS + 1):  # the first knew of nothing and noted nothing
        with pytest.raises(Died):
            attempt()
    rows = attempt()
    assert [bool(row["failure"]) for row in rows] == [False, False, False, True, False, False]
    assert '"reader_died"' in rows[3]["failure"]
    assert len(deaths) == MOST_DEATHS + 1
    assert not list((tmp_path / "shards").glob(f"*{SUFFIX}"))


def test_readers_that_die_of_something_else_leave_no_file_out(
    attempt: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_picture, kills = ray_index.read_picture, [1, 4, 2]

    def lost(found: Any, *others: Any) -> Any:
        if kills and found.stamp.path.endswith(f"IMG_{kills[0]:05}.png"):
            kills.pop(0)
            raise Died
        return read_picture(found, *others)

    monkeypatch.setattr(ray_index, "read_picture", lost)
    for _ in range(3):
        with pytest.raises(Died):
            attempt()
    assert not any(row["failure"] for row in attempt())


def test_a_note_cut_off_in_the_middle_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / f"unit{SUFFIX}").write_text('{"at": 3, "dea')
    note = ReaderNote.begin(ShardFolder(str(tmp_path)), "unit")
    assert (note.careful, note.deaths) == (True, {})
