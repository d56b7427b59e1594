"""The measurement of indexing on Ray: its pictures, its cores, and once the whole of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from composer.benchmarks import ray_indexing
from image_db.indexing import index_paths
from image_db.library import Library
from tests.composer.benchmarks.test_library import small_library
from tests.fakes import ColourEncoder

linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")


def test_the_pictures_are_as_many_as_asked_and_no_two_alike(tmp_path: Path) -> None:
    made = ray_indexing.make_pictures(small_library(tmp_path), tmp_path / "made", 50, lambda _: None)
    files = list((tmp_path / "made").iterdir())
    assert made == len(files) == len({file.read_bytes() for file in files}) == 50


@linux
def test_processes_are_kept_on_cores_and_let_go_again() -> None:
    before = os.sched_getaffinity(0)
    with ray_indexing.kept_on({min(before)}):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


@linux
def test_each_turn_is_compared_with_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        pytest.skip("needs two cores")
    took_s = {("plain", 2): 10.0, ("ray", 2): 12.0, ("ray", 1): 18.0, ("plain", 1): 19.0}

    def timed(engine: str, profile: str, pictures: Path, library_dir: Path) -> ray_indexing._Timing:
        with Library.create(library_dir, ColourEncoder().identity) as library:
            index_paths(library, ColourEncoder(), [pictures])
        cores = len(os.sched_getaffinity(0))
        return ray_indexing._Timing(took_s[engine, cores], 3.0 if engine == "ray" else 0.0, 1.8 * cores)

    monkeypatch.setattr(ray_indexing, "_timed", timed)
    told: list[str] = []
    found = ray_indexing.bench_ray("embedded", small_library(tmp_path), rounds=1, progress=told.append, count=20)
    assert {name: round(measure.value, 3) for name, measure in found.items()} == {
        "plain_index_per_s": 2.0,
        "ray_index_per_s": 1.667,
        "ray_over_plain": 1.2,
        "ray_start_s": 3.0,
        "ray_one_core_per_s": 1.111,
        "ray_two_over_one": 1.5,
        "ray_work_two_over_one": 2.0,
        "plain_two_over_one": 1.9,
    }
    assert any("12.0 s" in line for line in told)


@linux
@pytest.mark.slow
def test_ray_is_measured_against_plain_indexing(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'vignette-studio[cluster]'")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    found = ray_indexing.bench_ray("embedded", small_library(tmp_path), rounds=1, progress=lambda _: None, count=24)
    assert all(measure.value > 0 for measure in found.values())
