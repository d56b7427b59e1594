"""The measurement of indexing on Ray: its pictures, its cores, and once the whole of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from composer.benchmarks import ray_indexing
from tests.composer.benchmarks.test_library import small_library

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
def test_the_work_of_processes_that_others_started_counts() -> None:
    busy = "sum(i for i in range(3_000_000))"
    before = ray_indexing.processor_seconds()
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    subprocess.run([sys.executable, "-c", nested], check=True)
    assert ray_indexing.processor_seconds() > before + 0.02


@linux
@pytest.mark.slow
def test_ray_is_measured_against_plain_indexing(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'vignette-studio[cluster]'")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    found = ray_indexing.bench_ray("embedded", small_library(tmp_path), rounds=1, progress=lambda _: None, count=24)
    assert all(measure.value > 0 for measure in found.values())
