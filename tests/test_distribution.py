"""The built wheel is all of Vignette: installed anywhere, it works without the checkout it came from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from composer.export.article_folder import load_article
from tests.image_db.conftest import paint
from vision import DISTRIBUTION, own_version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("vision", "image_db", "retrieval", "composer")
MODULES = ("app.py", "vignette_studio.py")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because building leaves folders beside pyproject.toml."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=NOT_SHIPPED)
    for name in (*MODULES, "pyproject.toml", "README.md", "LICENSE"):
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
    wanted = {str(path.relative_to(ROOT)) for path in files if path.suffix in kept} | set(MODULES)
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
        "main = command.load(); import composer; assert command.module == 'vignette_studio'; "
        "assert composer.__file__.startswith(sys.argv[1]), composer.__file__; "
        "sys.exit(main(sys.argv[2:]))"
    )
    for words, printed in ((["--version"], PROJECT["version"]), (["models", "list"], "qwen2.5-coder-1.5b-instruct")):
        command = [sys.executable, "-c", code, str(tmp_path / "site"), *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode, printed in done.stdout) == (0, True), done.stderr + done.stdout


# Beside packages of the same names


@pytest.fixture
def unpacked(wheel: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    return tmp_path / "site"


def start(tmp_path: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """``vignette --version`` as the installed command runs it, with these folders on Python's path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    code = "import sys; from vignette_studio import main; sys.argv[1:] = ['--version']; sys.exit(main())"
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)


HOSTILE = "raise ImportError('this package must not even be imported')\n"


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("kind", ["package", "module", "namespace"])
def test_a_package_of_the_same_name_in_the_way_is_one_line(
    unpacked: Path, tmp_path: Path, name: str, kind: str
) -> None:
    other = tmp_path / "other"
    stands = {"package": f"{name}/__init__.py", "module": f"{name}.py", "namespace": f"{name}/part.py"}[kind]
    (other / stands).parent.mkdir(parents=True)
    (other / stands).write_text(HOSTILE)
    done = start(tmp_path, other, unpacked)
    if kind == "namespace":  # a real package further along the path comes before a folder without __init__.py
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"another package called {name} ({other / stands})" in done.stderr
    assert start(tmp_path, unpacked, other).returncode == 0, "behind ours it does no harm"


@pytest.mark.parametrize("file", [*(f"{name}/__init__.py" for name in PACKAGES), "composer/cli/__init__.py", "app.py"])
def test_a_package_mixed_with_ours_in_one_folder_is_one_line(unpacked: Path, tmp_path: Path, file: str) -> None:
    assert start(tmp_path, unpacked).returncode == 0
    (unpacked / file).parent.mkdir(exist_ok=True)
    (unpacked / file).write_text(HOSTILE)
    done = start(tmp_path, unpacked)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert str(unpacked / file.removesuffix("/__init__.py")) in done.stderr


# Installed by pip


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with the wheel in it; what it needs is borrowed from this one."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    (site,) = folder.rglob("site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    install(commands, wheel)
    return commands


def install(commands: Path, wheel: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(commands / "python")]
    done = subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(commands: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """An installed ``vignette``, started in a folder that is no checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(commands / "vignette"), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_installed_command_writes_an_article_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import composer; print(composer.__file__)"
    where = subprocess.run([str(installed / "python"), "-I", "-c", code], capture_output=True, text=True, check=True)
    assert Path(where.stdout.strip()).is_relative_to(installed.parent)
    for colour in ("red", "green"):
        paint(tmp_path / "pictures" / f"{colour}.png", colour)
        (tmp_path / "pictures" / f"{colour}.txt").write_text(f"A barn painted {colour}")
    (tmp_path / "text.md").write_text("# Barns\n\nA red barn stands in the field.\n\nA green barn stands beside it.\n")
    assert run(installed, tmp_path, "index", "pictures", "--library", "library").returncode == 0
    words = (
        "--illustrate",
        "text.md",
        "--library",
        "library",
        "--profile",
        "tiny",
        "--images",
        "1",
        "--out",
        "article",
    )
    made = run(installed, tmp_path, "compose", *words, "--format", "md,html,docx,pdf,epub")
    assert made.returncode == 0, made.stderr
    article = load_article(tmp_path / "article")
    assert article.title == "Barns"
    assert {path.name for path in (tmp_path / "article").glob("article.*")} >= {"article.docx", "article.pdf"}


@pytest.mark.slow
def test_installed_beside_a_package_of_the_same_name_the_command_says_so(
    wheel: Path, installed: Path, tmp_path: Path
) -> None:
    assert run(installed, tmp_path, "--version").stdout.strip() == PROJECT["version"]
    other = tmp_path / "other_composer-1.0-py3-none-any.whl"
    info = "other_composer-1.0.dist-info"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("composer/__init__.py", HOSTILE)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: other-composer\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "composer/__init__.py,,\n")
    install(installed, other)
    done = run(installed, tmp_path, "--version")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "another package called composer" in done.stderr
