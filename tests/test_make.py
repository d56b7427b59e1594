"""What make runs before Vignette is there: prerequisites named, pip's failures told in one line, output kept."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


install = load("install")
demo = load("demo")


def test_the_accepted_pythons_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (oldest, too_new) = (".".join(map(str, version)) for version in (install.OLDEST, install.TOO_NEW))
    assert project["requires-python"] == f">={oldest},<{too_new}"


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 14, 0)])
def test_a_wrong_python_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]) -> None:
    told = ".".join(map(str, version))
    monkeypatch.setattr(install, "sys", SimpleNamespace(version_info=version, version=told, executable="/usr/bin/py"))
    with pytest.raises(install.Missing) as caught:
        install.check_python()
    assert str(caught.value) == (
        f"Vignette needs Python 3.11 to 3.13, and /usr/bin/py is {told}; "
        "install one of them, or name it: make demo PYTHON=/path/to/python3.11"
    )


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_or_pip_is_named_with_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find_spec(name))
    with pytest.raises(install.Missing, match=rf"has no module {module}, .*apt-get install python3\.\d+-venv"):
        install.make_venv(tmp_path / "venv")


def test_too_little_disk_is_said_before_anything_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2.5e9))
    with pytest.raises(install.Missing, match=r"installing takes \d+\.\d GB in .*, which has 2\.5 GB free"):
        install.check_disk(tmp_path, install.CUDA)
    site = tmp_path / "lib" / "python3.11" / "site-packages" / "torch"
    site.mkdir(parents=True)
    (site / "__init__.py").touch()
    install.check_disk(tmp_path, install.CUDA)  # torch is there: nothing large is to come


@pytest.mark.parametrize(
    ("platform", "driver", "answers", "build"),
    [
        ("linux", None, True, "CPU"),
        ("linux", None, False, "CUDA"),
        ("linux", "/usr/bin/nvidia-smi", True, "CUDA"),
        ("darwin", None, True, "CUDA"),
    ],
)
def test_cuda_is_left_out_where_there_is_no_gpu_and_pytorchs_own_index_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, driver: str | None, answers: bool, build: str
) -> None:
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        if not answers:
            raise OSError("Name or service not known")
        return io.BytesIO()

    monkeypatch.setattr(install.sys, "platform", platform)
    monkeypatch.setattr(install.shutil, "which", lambda name: driver)
    monkeypatch.setattr(install, "NVIDIA_DRIVER", tmp_path / "version")
    monkeypatch.setattr(install.urllib.request, "urlopen", urlopen)
    assert install.torch_build() is getattr(install, build)
    assert asked == (["https://download.pytorch.org/whl/cpu/torch/"] if platform == "linux" and not driver else [])


@pytest.mark.parametrize("build", ["CPU", "CUDA"])
def test_pip_is_told_of_the_other_index_only_for_the_build_that_is_there(tmp_path: Path, build: str) -> None:
    told = tmp_path / "told"
    pip = tmp_path / "python"
    pip.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\n')
    pip.chmod(0o755)
    install.install(pip, tmp_path, "dev", getattr(install, build))
    arguments = told.read_text(encoding="utf-8").splitlines()
    assert arguments[:3] == ["-m", "pip", "install"]
    assert f"{ROOT}[dev]" in arguments
    assert ("--extra-index-url" in arguments) is (build == "CPU")
    assert (install.CPU_INDEX in arguments) is (build == "CPU")


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for setuptools>=77\n",
            "the package index cannot be reached",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
            "the disk is full",
        ),
        ("ERROR: No matching distribution found for nosuch\n", "pip could not install Vignette: No matching"),
        ("something odd\n", "pip could not install Vignette: something odd"),
        ("", "pip could not install Vignette: no message"),
    ],
)
def test_a_failed_install_is_told_in_one_line(log: str, told: str) -> None:
    message = install.explain(log, install.CUDA)
    assert message.startswith(told)
    assert "\n" not in message


def test_a_second_demo_never_writes_over_the_first(tmp_path: Path) -> None:
    wanted = tmp_path / "out" / "demo"
    folders = []
    for _ in range(3):
        folder = demo.fresh_folder(wanted)
        folder.mkdir(parents=True)
        folders.append(folder.name)
    assert folders == ["demo", "demo-2", "demo-3"]


def test_a_step_measures_its_own_time_and_memory_and_hands_back_its_output() -> None:
    # In a process of its own, as make runs it: a child's peak starts from the memory of the process that forks it,
    # and a test run may be larger than any limit worth asserting.
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import demo\n"
        "s = demo.run('version', '--version')\n"
        "assert s.output.strip().count('.') == 2, s\nassert 0 < s.seconds < 60, s\nassert 0.005 < s.peak_gb < 1, s"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_step_that_fails_ends_the_demo_with_its_exit_code() -> None:
    with pytest.raises(demo.StepFailed) as caught:
        demo.run("models", "models", "pull", "nosuch")
    assert caught.value.code == 2


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", ["demo", "test", "app", "check", "clean"])
def test_make_knows_the_target(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != ""


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_without_a_python_says_so(tmp_path: Path) -> None:
    command = ["make", "demo", "PYTHON=no-such-python", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == (
        "make: there is no no-such-python here; install Python 3.11, or name one: make demo PYTHON=/path/to/python3.11"
    )
