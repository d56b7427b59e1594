"""Makes ``.venv`` with Vignette in it, or says in one line what this machine lacks.

Installs the exact releases of requirements/ by their hashes, or with ``--newest`` the newest that pyproject.toml's
ranges allow. Runs under whatever Python make was given, so it uses nothing newer than Python 3.7 before it has checked.
Downloads no models and starts nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import typing
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements"  # written by scripts/lock.py
OLDEST, TOO_NEW = (3, 11), (3, 14)  # as requires-python in pyproject.toml; a test compares them
SHOWN_MB = 20.0
CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyTorch's own index of builds without CUDA
INDEX_TIMEOUT_S = 5.0
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


class Build(typing.NamedTuple):
    """A build of PyTorch: what the environment takes with it, what pip holds meanwhile, where it is to be had."""

    name: str
    installed_gb: float
    wheels_gb: float
    index: str = ""  # beside the indexes that pip is set to


CUDA = Build("PyTorch with its CUDA libraries", 6.6, 3.6)  # measured
CPU = Build("PyTorch without CUDA", 2.4, 1.1, CPU_INDEX)  # reckoned from the one above and the sizes of the wheels


class Missing(Exception):
    """What this machine lacks, and what to do about it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the environment")
    parser.add_argument("--dev", action="store_true", help="what the tests need as well (extras dev and browser)")
    parser.add_argument("--newest", action="store_true", help="the newest releases of all, not the locked ones")
    args = parser.parse_args()
    args.venv = args.venv.absolute()
    started = time.monotonic()
    try:
        check_python()
        python = make_venv(args.venv)
        build = torch_build(locked=not args.newest)
        check_disk(args.venv, build)
        if build.index:
            print(f"There is no NVIDIA GPU here; taking {build.name} from {build.index}.", file=sys.stderr)
        compiler = not any(shutil.which(name) for name in ("cc", "gcc", "clang"))
        if compiler:
            # The engine's C kernels are compiled when they are first used.
            print("There is no C compiler here; installing one from the package index (ziglang).", file=sys.stderr)
        steps = newest if args.newest else locked
        remove_earlier_name(python, args.venv)
        install(python, args.venv, steps(build, dev=args.dev, compiler=compiler), build)
    except Missing as missing:
        print(f"make: {missing}", file=sys.stderr)
        return 1
    print(f"Vignette is installed in {args.venv} ({time.monotonic() - started:.0f} s).", file=sys.stderr)
    return 0


def check_python() -> None:
    if not OLDEST <= sys.version_info[:2] < TOO_NEW:
        raise Missing(
            f"Vignette needs Python {OLDEST[0]}.{OLDEST[1]} to {TOO_NEW[0]}.{TOO_NEW[1] - 1}, and {sys.executable} is "
            f"{sys.version.split()[0]}; install one of them, or name it: make demo PYTHON=/path/to/python3.11"
        )


def make_venv(venv: Path) -> Path:
    """The Python of the environment, which is made where it is not there or not whole."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.exists() and subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return python
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise Missing(
                f"{sys.executable} has no module {module}, which makes environments with pip; on Debian and Ubuntu: "
                f"apt-get install python{version}-venv"
            )
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True)
    if made.returncode != 0:
        last = (made.stderr.strip() or made.stdout.strip() or "no message").splitlines()[-1]
        raise Missing(f"the environment {venv} cannot be made: {last}")
    return python


def torch_build(*, locked: bool) -> Build:
    """Without a GPU of NVIDIA, PyTorch without CUDA where its index has it: the package index has it for Linux only
    with CUDA, four gigabytes that such a machine never uses.
    """
    if sys.platform != "linux" or has_nvidia_gpu():
        return CUDA
    try:
        with urllib.request.urlopen(CPU_INDEX + "/torch/", timeout=INDEX_TIMEOUT_S) as answer:
            page = answer.read().decode("utf-8", "replace")
    except (OSError, ValueError):  # ValueError: what a proxy's address may be
        return CUDA
    return CPU if not locked or lists_locked_torch(page) else CUDA


def lists_locked_torch(page: str) -> bool:
    """Whether PyTorch's index has the locked build without CUDA for this Python and machine."""
    pin = re.search(r"^torch==(\S+)$", (LOCK / "torch-cpu.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pin is not None
    version = re.escape(pin.group(1)).replace(r"\+", r"(?:\+|%2B)")
    python = "cp{}{}".format(*sys.version_info[:2])
    return re.search(f"torch-{version}-{python}-{python}-\\w*{platform.machine()}", page) is not None


def has_nvidia_gpu() -> bool:
    return NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None


def check_disk(venv: Path, build: Build) -> None:
    """Room for the packages, and for the wheels that pip holds meanwhile. Raises Missing."""
    if any(venv.glob("lib/python3*/site-packages/torch/__init__.py")):
        return
    scratch = Path(tempfile.gettempdir())
    needs = [(venv, build.installed_gb), (scratch, build.wheels_gb)]
    if venv.stat().st_dev == scratch.stat().st_dev:
        needs = [(venv, build.installed_gb + build.wheels_gb)]
    for place, need_gb in needs:
        free_gb = shutil.disk_usage(place).free / 1e9
        if free_gb < need_gb:
            raise Missing(
                f"installing takes {need_gb:.1f} GB in {place}, which has {free_gb:.1f} GB free; {build.name} is most "
                "of it. Free some space (TMPDIR moves what is needed only while installing)"
            )


def locked(build: Build, *, dev: bool, compiler: bool) -> typing.Iterator[list[str]]:
    """Arguments of pip install, step by step: the releases of requirements/, which are complete, and the project.

    First comes what builds packages, so that the few of them that are source are built by the locked setuptools.
    """
    exact = ["--no-deps", "--no-build-isolation", "--require-hashes"]
    yield [*exact, "--requirement", str(LOCK / "build.txt")]
    names = ["runtime.txt"]
    if dev:
        names.append("dev.txt")
    if compiler:
        names.append("compiler.txt")
    if build.index:
        # Its hashes are those of that index, which pip compares; ours are of the package index's builds.
        yield ["--no-deps", "--index-url", build.index, "--requirement", str(LOCK / "torch-cpu.txt")]
    else:
        names.append("torch.txt")
    yield exact + [argument for name in names for argument in ("--requirement", str(LOCK / name))]
    yield ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]


def newest(build: Build, *, dev: bool, compiler: bool) -> typing.Iterator[list[str]]:
    """Arguments of pip install: whatever pip finds today within pyproject.toml's ranges."""
    step = ["--upgrade", "--upgrade-strategy", "eager", "--editable", f"{ROOT}[dev,browser]" if dev else str(ROOT)]
    if compiler:
        step.append("ziglang")
    # Of two builds of one version pip takes the one with a local label, "+cpu".
    yield step + (["--extra-index-url", build.index] if build.index else [])


def remove_earlier_name(python: Path, venv: Path) -> None:
    """Version 0.1 was the distribution ``vignette``; beside today's it would own the same command and modules."""
    if any(venv.glob("lib/python3*/site-packages/vignette-*.dist-info")):
        uninstall = ["uninstall", "--yes", "--disable-pip-version-check", "vignette"]
        subprocess.run([str(python), "-m", "pip", *uninstall], cwd=venv, capture_output=True)


def install(python: Path, venv: Path, steps: typing.Iterator[list[str]], build: Build) -> None:
    """Each step is one pip install. Of pip's talk only the large downloads are passed on; the rest is logged."""
    # Compiling 30,000 modules takes longer than unpacking them; Python compiles the few that are used.
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    pip.append("--no-compile")
    log = venv / "install.log"
    print("Installing Vignette and what it needs; the first time this takes minutes.", file=sys.stderr)
    with log.open("w", encoding="utf-8") as out:
        for step in steps:
            said = run_pip([*pip, *step], venv, out)
            if said is not None:
                raise Missing(f"{explain(said, build)} (pip's words are in {log})")


def run_pip(command: list[str], folder: Path, log: typing.TextIO) -> str | None:
    """What pip said where it failed, None where it did not."""
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            said.append(line)
            download = re.match(r"\s*Downloading \S*?([^/\s]+\.whl)\S* \(([\d.]+) MB\)", line)
            if download is not None and float(download.group(2)) >= SHOWN_MB:
                print(f"  {download.group(1).split('-')[0]}: {download.group(2)} MB", file=sys.stderr)
            elif line.startswith("Installing collected packages") and line.count(",") > 1:
                print("  unpacking", file=sys.stderr)
    return "".join(said) if process.returncode != 0 else None


def explain(log: str, build: Build) -> str:
    """What stopped pip, from its log."""
    if "No space left on device" in log or "Disk quota exceeded" in log:
        whole_gb = build.installed_gb + build.wheels_gb
        return f"the disk is full; installing takes {whole_gb:.0f} GB for a while. Free some space"
    wrong = re.search(r"^ERROR: THESE PACKAGES DO NOT MATCH THE HASHES.*\n\s*(\S+)", log, flags=re.MULTILINE)
    if wrong is not None:
        return f"what the package index sent for {wrong.group(1)} is not the file that requirements/ names by its hash"
    errors = re.findall(r"^ERROR: (.+)$", log, flags=re.MULTILINE)
    if "Retrying (" in log and (not errors or "No matching distribution" in errors[-1] or "HTTPS" in errors[-1]):
        return "the package index cannot be reached; check the network connection and pip's settings (pip config list)"
    return f"pip could not install Vignette: {errors[-1] if errors else (log.strip() or 'no message').splitlines()[-1]}"


if __name__ == "__main__":
    sys.exit(main())
