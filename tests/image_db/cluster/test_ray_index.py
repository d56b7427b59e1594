"""Indexing on Ray gives the library that indexing here gives, whatever dies on the way. One local cluster for all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_db.cluster.filling import ShardContents, fill_library
from image_db.cluster.ray_index import RayOptions, RayReport, index_on_ray, start_ray
from image_db.cluster.shards import ShardFolder
from image_db.cluster.sources import Sources, list_sources
from image_db.errors import EncoderMismatch
from image_db.indexing import index_paths
from image_db.library import Library
from image_db.stores.opening import open_library
from retrieval.stores.store_loading import load_store
from tests.fakes import PALETTE, ColourEncoder
from tests.image_db.conftest import paint_many
from tests.retrieval.small_library import picture

ray = pytest.importorskip("ray", reason="pip install 'vignette-studio[cluster]'")

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = RayOptions(workers=2, shard_files=8)


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """Two workers, which import this project and its tests; Ray leaves sockets and files to the collector."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start_ray(OPTIONS)
        yield
        ray.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two dozen pictures, one of them twice, some with words, and one file that is none."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for number, colour in enumerate([*PALETTE, *PALETTE]):
        image = picture(colour)
        image.putpixel((0, 0), (number, number, number))
        path = folder / ("more" if number % 2 else ".") / f"{number:02d}-{colour}.png"
        image.save(path)
        if number % 3 == 0:
            path.with_suffix(".txt").write_text(f"a {colour} wall, number {number}")
    (folder / "copy.png").write_bytes((folder / "00-red.png").read_bytes())
    (folder / "07-broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return folder


def run(sources: Sources, shards: ShardFolder, load_encoder: Any = ColourEncoder, **options: Any) -> RayReport:
    given = RayOptions(**({"workers": 2, "shard_files": 8} | options))
    return index_on_ray(sources, shards, ColourEncoder().identity, load_encoder, given)


def contents(library: Library) -> dict[str, Any]:
    """All that a library holds, vectors to half precision."""
    view = library.matrix()
    rows = {
        id_: (visual.astype(np.float16), textual.astype(np.float16) if has_text else None)
        for id_, visual, textual, has_text in zip(view.ids, view.visual, view.textual, view.has_text, strict=True)
    }
    return {
        "records": {record.id: record for record in library.records()},
        "files": {record.id: sorted(map(str, library.files.of(record.id))) for record in library.records()},
        "failures": {str(failure.path): failure.reason.key for failure in library.failures()},
        "phashes": library.phashes(),
        "rows": rows,
    }


def assert_same(one: Library, other: Library) -> None:
    mine, theirs = contents(one), contents(other)
    rows, others = mine.pop("rows"), theirs.pop("rows")
    assert mine == theirs
    assert rows.keys() == others.keys()
    for id_, (visual, textual) in rows.items():
        assert np.allclose(visual, others[id_][0], atol=2e-3)
        assert (textual is None) == (others[id_][1] is None)
        assert textual is None or np.allclose(textual, others[id_][1], atol=2e-3)


def plain(pictures: Path, folder: Path) -> Library:
    library = Library.create(folder, ColourEncoder().identity)
    index_paths(library, ColourEncoder(), [pictures])
    return library


class DyingEncoder(ColourEncoder):
    """Its worker is killed, as a machine that is lost, with the first pictures it gets; the next one lives."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self._mark = Path(mark)

    def encode_images(self, images: Any) -> np.ndarray:
        if not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_images(images)


class Dying:
    """Picklable: makes the encoder where the work is."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __call__(self) -> ColourEncoder:
        return DyingEncoder(self.mark)


def test_the_library_is_that_of_indexing_here_though_a_worker_is_killed(tmp_path: Path, pictures: Path) -> None:
    sources, shards = list_sources([pictures]), ShardFolder(str(tmp_path / "shards"))
    report = run(sources, shards, Dying(tmp_path / "killed"))
    assert (tmp_path / "killed").exists()
    assert (report.files, report.kept, report.shards) == (26, 0, 4)
    # Readers and encoders are apart: an encoder that also decodes would keep its GPU waiting.
    assert "MapBatches(read_unit)" in report.stats
    assert "MapBatches(read_unit)->MapBatches(EncodeRows)" not in report.stats
    with (
        plain(pictures, tmp_path / "plain") as wanted,
        Library.create(tmp_path / "own", ColourEncoder().identity) as library,
    ):
        filled = fill_library(library, ColourEncoder(), shards, sources)
        assert (filled.added, filled.linked, len(filled.failed)) == (24, 1, 1)
        assert_same(library, wanted)
        # Plain indexing takes the library as its own: there is nothing to do.
        after = index_paths(library, ColourEncoder(), [pictures])
        assert (after.unchanged, after.added, after.updated_text, len(after.failed)) == (25, 0, 0, 1)


@pytest.mark.slow
def test_a_killed_driver_is_gone_on_from_and_poisoned_files_cost_themselves(tmp_path: Path) -> None:
    folder, kept = tmp_path / "pictures", tmp_path / "shards"
    files = paint_many(folder, 198)
    files[40].write_bytes(files[40].read_bytes()[:60])  # cut off
    (folder / "IMG_00100.jpg").write_text("<html>not a picture</html>")
    (folder / "IMG_00150.tif").write_bytes(b"II*\0" + b"\xff" * 400)
    sources, shards = list_sources([folder]), ShardFolder(str(kept))
    address = ray.get_runtime_context().gcs_address
    command = ["tests.image_db.cluster.killed_driver", address, str(folder), shards.address, "16"]
    driver = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert driver.returncode == -signal.SIGKILL, driver.stderr
    times = {name: (kept / name).stat().st_mtime_ns for name in shards.names()}
    assert 0 < len(times) < 13

    report = run(sources, shards, shard_files=16)
    assert report.kept >= 16 * len(times)
    assert report.files + report.kept == 200
    assert {name: (kept / name).stat().st_mtime_ns for name in times} == times
    assert len(shards.names()) == 13  # those that were open are made again under their names
    with (
        plain(folder, tmp_path / "plain") as wanted,
        Library.create(tmp_path / "own", ColourEncoder().identity) as library,
    ):
        filled = fill_library(library, ColourEncoder(), shards, sources)
        assert (filled.added, len(filled.failed)) == (197, 3)
        assert_same(library, wanted)


@pytest.mark.slow
def test_nothing_is_done_twice_and_what_was_not_finished_or_has_changed_is_done(tmp_path: Path, pictures: Path) -> None:
    sources, shards = list_sources([pictures]), ShardFolder(str(tmp_path / "shards"))
    run(sources, shards)
    with Library.create(tmp_path / "own", ColourEncoder().identity) as library:
        fill_library(library, ColourEncoder(), shards, sources)

    # Again: nothing is done twice. A shard that is half written, and one that is missing, are made again; no other is.
    report = run(sources, shards)
    assert (report.files, report.kept, report.shards, report.stats) == (0, 26, 0, "")
    names = shards.names()
    half, missing = (tmp_path / "shards" / name for name in names[:2])
    half.write_bytes(half.read_bytes()[:100])
    missing.unlink()
    times = {name: (tmp_path / "shards" / name).stat().st_mtime_ns for name in names[2:]}
    report = run(sources, shards)
    assert (report.files, report.kept, report.shards) == (16, 10, 2)
    assert shards.names() == names
    assert {name: (tmp_path / "shards" / name).stat().st_mtime_ns for name in names[2:]} == times

    # What changed, came and went: the library follows.
    (pictures / "08-yellow.png").unlink(missing_ok=True)
    picture("cyan").save(pictures / "new.png")
    picture("black").save(pictures / "00-red.png")
    sources = list_sources([pictures])
    run(sources, shards)
    with (
        plain(pictures, tmp_path / "plain-2") as wanted,
        Library.open(tmp_path / "own", ColourEncoder().identity) as library,
    ):
        fill_library(library, ColourEncoder(), shards, sources)
        assert_same(library, wanted)

    # And a store is loaded from the same shards.
    where = f"milvus+file://{tmp_path}/store"
    loaded = load_store(where, ColourEncoder().identity, ShardContents(shards, sources).pictures)
    with open_library(where) as store, Library.open(tmp_path / "own") as library:
        assert loaded == len(store) == len(library)
        assert {record.id for record in store.records()} == {record.id for record in library.records()}
    with pytest.raises(EncoderMismatch):
        shards.done(ColourEncoder("other").identity)
