"""What is measured of libraries, on small ones: that it is measured at all, and right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composer.benchmarks import library as bench
from composer.benchmarks import library_worker
from image_db.indexing import index_paths
from image_db.library import Library
from tests.fakes import ColourEncoder
from tests.image_db.conftest import paint_many


def small_library(tmp_path: Path) -> Path:
    encoder = ColourEncoder()
    for path in paint_many(tmp_path / "pictures", 12):
        path.with_suffix(".txt").write_text(f"picture {path.stem}")
    with Library.create(tmp_path / "lib", encoder.identity) as library:
        index_paths(library, encoder, [tmp_path / "pictures"])
    return tmp_path / "lib"


def test_indexing_is_measured_against_the_encoder_and_an_unchanged_folder_is_only_looked_through(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    found = bench.bench_index(ColourEncoder(), small_library(tmp_path), rounds=1, progress=told.append, files=150)
    assert set(found) == {"index_per_s", "index_over_encoder", "rescan_100k_s", "rescan_peak_mb"}
    assert all(measure.value > 0 for measure in found.values())


def test_the_memory_of_indexing_is_that_of_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, ...]] = []

    def in_own_process(*command: str) -> dict:
        started.append(command)
        pictures = sorted(Path(command[2]).rglob("*.*"))
        assert [len(pictures), len({path.read_bytes() for path in pictures})] == [31, 31], "30 pictures and a table"
        return {"added": 30, "seconds": 1.0, "peak_mb": 900.0, "encoder_mb": 800.0}

    monkeypatch.setattr(bench, "_in_own_process", in_own_process)
    found = bench.bench_memory("tiny", small_library(tmp_path), progress=lambda _: None, files=30)
    assert (started[0][0], started[0][3]) == ("fill", "tiny")
    assert (found["index_50k_peak_gb"].value, found["index_50k_peak_gb"].reference) == (0.9, 1.5)


def test_an_encoder_that_is_asked_now_and_then_gives_unit_vectors_for_all() -> None:
    encoder = ColourEncoder()
    some = library_worker._EncodesSome(encoder)
    images = [Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")]
    for _ in range(library_worker.SKIPPED):
        vectors = some.encode_images(images)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.seen["images"] == 2
    some.encode_images(images)
    assert encoder.seen["images"] == 4


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
def test_peak_memory_is_the_processs_own_and_not_its_parents() -> None:
    held = np.ones(40_000_000)  # 320 MB
    own = "from composer.benchmarks.worker import peak_rss_gb; print(peak_rss_gb())"
    told = subprocess.run([sys.executable, "-c", own], capture_output=True, text=True, check=True).stdout
    assert float(told) < held.nbytes / 1e9


def test_searching_is_measured_against_comparing_with_every_vector(tmp_path: Path) -> None:
    found = bench.bench_search(small_library(tmp_path), progress=lambda _: None, count=3_000)
    assert found["search_1m_recall10"].value == 1.0, "so few vectors are searched exactly"
    assert found["search_1m_p95_ms"].value > 0


def test_the_nearest_of_parts_are_the_nearest_of_all() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.random((bench._QUERIES, 90)).astype(np.float32)
    best = np.full((bench._QUERIES, 10), -np.inf, np.float32)
    rows = np.zeros((bench._QUERIES, 10), np.int64)
    for start in (0, 30, 60):
        best, rows = bench._nearest(best, rows, cosines[:, start : start + 30], start)
    assert np.array_equal(rows, np.argsort(-cosines, axis=1)[:, :10])
