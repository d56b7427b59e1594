"""The built wheel is all of Vignette: installed anywhere, it works without the checkout it came from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from vision import DISTRIBUTION, own_version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("vision", "image_db", "retrieval", "composer")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because building leaves folders beside pyproject.toml."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=NOT_SHIPPED)
    for name in ("app.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "--wheel-dir", "dist", "."], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_distribution_has_one_name_and_one_version(wheel: Path) -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert wheel.name == f"{DISTRIBUTION.replace('-', '_')}-{PROJECT['version']}-py3-none-any.whl"
    assert own_version() in (PROJECT["version"], "unknown")


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    kept = {
        ".py",
        ".toml",
        ".json",
        ".jsonl",
        ".css",
        ".js",
        ".txt",
        ".typ",
        ".c",
        ".h",
        ".md",
        ".safetensors",
        ".docx",
    }
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in files if path.suffix in kept} | {"app.py"}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == wanted


def test_the_wheel_answers_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "VIGNETTE_HOME": str(tmp_path / "home")}
    code = (
        "import sys; from importlib.metadata import entry_points; "
        f"(command,) = (e for e in entry_points(group='console_scripts') if e.dist.name == {DISTRIBUTION!r}); "
        "main = command.load(); import composer; assert composer.__file__.startswith(sys.argv[1]), composer.__file__; "
        "sys.exit(main(sys.argv[2:]))"
    )
    for words, printed in ((["--version"], PROJECT["version"]), (["models", "list"], "qwen2.5-coder-1.5b-instruct")):
        command = [sys.executable, "-c", code, str(tmp_path / "site"), *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode, printed in done.stdout) == (0, True), done.stderr + done.stdout
