"""What make runs before Vignette is there: prerequisites named, pip's failures told in one line, output kept."""

from __future__ import annotations

import importlib.util
import io
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
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

LOCKED_TORCH = next(  # with the local label of the build without CUDA
    line.removeprefix("torch==")
    for line in (install.LOCK / "torch-cpu.txt").read_text(encoding="utf-8").splitlines()
    if line.startswith("torch==")
)
MACHINE, TAG = platform.machine(), f"cp{sys.version_info[0]}{sys.version_info[1]}"
TORCH_PAGE = f'<a href="/whl/cpu/torch-{LOCKED_TORCH}-{TAG}-{TAG}-manylinux_2_28_{MACHINE}.whl#sha256=0">torch</a>'


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
    ("platform", "driver", "page", "build"),
    [
        ("linux", None, TORCH_PAGE, "CPU"),
        ("linux", None, TORCH_PAGE.replace("+", "%2B"), "CPU"),
        ("linux", None, TORCH_PAGE.replace(LOCKED_TORCH, "1.0+cpu"), "CUDA"),
        ("linux", None, TORCH_PAGE.replace(MACHINE, "toaster"), "CUDA"),
        ("linux", None, None, "CUDA"),
        ("linux", "/usr/bin/nvidia-smi", TORCH_PAGE, "CUDA"),
        ("darwin", None, TORCH_PAGE, "CUDA"),
    ],
)
def test_cuda_is_left_out_where_there_is_no_gpu_and_pytorchs_own_index_has_the_locked_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, driver: str | None, page: str | None, build: str
) -> None:
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        if page is None:
            raise OSError("Name or service not known")
        return io.BytesIO(page.encode())

    monkeypatch.setattr(install.sys, "platform", platform)
    monkeypatch.setattr(install.shutil, "which", lambda name: driver)
    monkeypatch.setattr(install, "NVIDIA_DRIVER", tmp_path / "version")
    monkeypatch.setattr(install.urllib.request, "urlopen", urlopen)
    assert install.torch_build(locked=True) is getattr(install, build)
    assert asked == (["https://download.pytorch.org/whl/cpu/torch/"] if platform == "linux" and not driver else [])


def pip_runs(tmp_path: Path, steps: Iterator[list[str]], build: str) -> list[list[str]]:
    """The arguments after ``pip install`` of every run, from a pip that does nothing but write them down."""
    told = tmp_path / "told"
    pip = tmp_path / "python"
    pip.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" end >> {told}\n')
    pip.chmod(0o755)
    install.install(pip, tmp_path, steps, getattr(install, build))
    runs = [run.splitlines() for run in told.read_text(encoding="utf-8").split("end\n")[:-1]]
    assert all(run[:3] == ["-m", "pip", "install"] for run in runs)
    return [run[3:] for run in runs]


def read_files(run: list[str]) -> set[str]:
    return {Path(value).name for option, value in pairwise(run) if option == "--requirement"}


@pytest.mark.parametrize("build", ["CPU", "CUDA"])
@pytest.mark.parametrize("dev", [False, True])
@pytest.mark.parametrize("compiler", [False, True])
def test_pip_is_given_exact_releases_by_hash_and_looks_for_nothing_else(
    tmp_path: Path, build: str, dev: bool, compiler: bool
) -> None:
    steps = install.locked(getattr(install, build), dev=dev, compiler=compiler)
    first, *middle, last = pip_runs(tmp_path, steps, build)
    assert read_files(first) == {"build.txt"}
    assert last[-1] == str(ROOT)
    assert all("--no-deps" in run for run in (first, *middle, last))
    expected = {"runtime.txt"} | ({"dev.txt"} if dev else set()) | ({"compiler.txt"} if compiler else set())
    if build == "CPU":
        torch = middle.pop(0)
        assert read_files(torch) == {"torch-cpu.txt"}
        assert torch[torch.index("--index-url") + 1] == install.CPU_INDEX
    else:
        expected.add("torch.txt")
    assert [read_files(run) for run in middle] == [expected]
    for run in (first, *middle):
        assert {"--require-hashes", "--no-build-isolation"} <= set(run)
        assert "--index-url" not in run


@pytest.mark.parametrize("build", ["CPU", "CUDA"])
def test_the_newest_releases_come_from_the_ranges_and_not_from_the_lock(tmp_path: Path, build: str) -> None:
    steps = install.newest(getattr(install, build), dev=True, compiler=False)
    (run,) = pip_runs(tmp_path, steps, build)
    assert f"{ROOT}[dev,browser]" in run
    assert "--upgrade" in run
    assert read_files(run) == set()
    assert (install.CPU_INDEX in run) is (build == "CPU")


@pytest.mark.parametrize(("installed", "removed"), [("vignette-0.1.0", True), ("vignette_studio-0.2.0", False)])
def test_version_0_1_which_had_another_name_is_removed_first(tmp_path: Path, installed: str, removed: bool) -> None:
    (tmp_path / f"lib/python3.11/site-packages/{installed}.dist-info").mkdir(parents=True)
    pip = tmp_path / "python"
    pip.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path / "told"}\n')
    pip.chmod(0o755)
    install.remove_earlier_name(pip, tmp_path)
    told = (tmp_path / "told").read_text(encoding="utf-8").split() if removed else []
    assert told[2:3] == ["uninstall"] * removed
    assert told[-1:] == ["vignette"] * removed
    assert (tmp_path / "told").exists() is removed


def test_the_first_step_that_fails_is_the_last_and_says_why(tmp_path: Path) -> None:
    pip = tmp_path / "python"
    pip.write_text("#!/bin/sh\necho 'ERROR: No matching distribution found for nosuch==1'\nexit 1\n")
    pip.chmod(0o755)
    with pytest.raises(install.Missing, match=r"No matching distribution found for nosuch==1 \(pip's words are in "):
        install.install(pip, tmp_path, iter([["one"], ["two"]]), install.CUDA)
    assert (tmp_path / "install.log").read_text(encoding="utf-8").count("ERROR") == 1


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
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package "
            "versions, please update the hashes.\n    rich==15.0.0 from https://x/rich.whl (from -r x (line 7)):\n"
            "        Expected sha256 0\n             Got        1\n",
            "what the package index sent for rich==15.0.0 is not the file that requirements/ names by its hash",
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
@pytest.mark.parametrize("target", ["demo", "test", "test-newest", "app", "check", "lock", "clean"])
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
