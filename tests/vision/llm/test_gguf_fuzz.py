"""No GGUF file, whatever its bytes, ends the process, hangs, or fails with another error than Vignette's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def fuzz(folder: Path, files: int, **environment: str) -> None:
    """In a process of its own, so that a signal is seen."""
    command = [sys.executable, "-W", "error", "-m", "tests.vision.llm.gguf_fuzzer", str(folder), "0", str(files)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
        env=os.environ | environment,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"ended by {done.returncode} at seed {lines[-1:]}: {done.stderr[-3000:]}"
    assert int(lines[-1].split()[0]) >= files // 20, "nearly nothing ran"


@pytest.mark.parametrize("files", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_files_run_or_are_refused_by_name(tmp_path: Path, files: int) -> None:
    fuzz(tmp_path, files)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="the sanitizers are gcc's")
def test_no_file_makes_the_kernels_read_or_write_where_they_should_not(tmp_path: Path) -> None:
    gcc = "gcc -g -fsanitize=address,undefined -fno-sanitize-recover=undefined"
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    (tmp_path / "files").mkdir()
    fuzz(
        tmp_path / "files",
        1000,
        VIGNETTE_HOME=str(tmp_path / "home"),
        CC=gcc,
        LD_PRELOAD=" ".join(libraries),
        ASAN_OPTIONS="detect_leaks=0",
    )
