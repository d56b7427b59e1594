"""What is measured of libraries, on small ones: that it is measured at all, and right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from composer.benchmarks import library as bench
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
