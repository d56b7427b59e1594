"""Compiles the C kernels on first use and keeps the library in a cache folder.

Compiled for the very CPU it runs on, so the file's name carries a hash of sources, flags, compiler and CPU. Knows
nothing of what the kernels compute.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent
FLAGS = (
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fopenmp-simd",
    "-std=gnu11",
    "-shared",
    "-fPIC",
    "-pthread",
)
TIMEOUT_S = 300


class KernelsUnavailable(Exception):
    """The kernels cannot be built here; the message says why and what to install."""


def load_kernels(cache_dir: Path, *, native: bool = True) -> ctypes.CDLL:
    """The compiled library, built if ``cache_dir`` does not have it yet. Raises KernelsUnavailable.

    Without ``native`` it uses what every CPU of the kind has: the plain C of ``simd_portable.h``.
    """
    flags = (*FLAGS, "-march=native") if native else FLAGS
    compiler = _compiler()
    sources = sorted(SOURCES.glob("*.c"))
    digest = hashlib.sha256()
    for path in [*sources, *sorted(SOURCES.glob("*.h"))]:
        digest.update(path.name.encode() + path.read_bytes())
    digest.update(repr((flags, _cpu())).encode())
    target = cache_dir / f"kernels-{digest.hexdigest()[:16]}.so"
    if not target.exists():
        if compiler is None:
            raise KernelsUnavailable(
                "no C compiler (cc, gcc or clang) was found; install one: apt-get install gcc libc6-dev, "
                "or pip install ziglang"
            )
        _compile(compiler, flags, sources, target)
    try:
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise KernelsUnavailable(f"{target} cannot be loaded: {error}; delete it to have it built again") from error


def _compiler() -> str | None:
    """$CC, the system's compiler, or that of the package ziglang, which a machine without root can have."""
    found = os.environ.get("CC") or next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if found is None and importlib.util.find_spec("ziglang") is not None:
        found = f"{sys.executable} -m ziglang cc"
    return found


def _cpu() -> tuple[str, ...]:
    """What the machine code depends on: a home folder may be shared by unlike machines."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return (platform.machine(), platform.processor())
    lines = {line for line in info.splitlines() if line.startswith(("flags", "Features", "model name"))}
    return (platform.machine(), *sorted(lines))


def _compile(compiler: str, flags: tuple[str, ...], sources: list[Path], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=".so")
    os.close(handle)
    command = [*compiler.split(), *flags, "-o", name, *map(str, sources), "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:300])
            raise KernelsUnavailable(f"{compiler} could not compile the kernels: {first}")
        Path(name).replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailable(f"{compiler} could not be run: {error}") from error
    finally:
        Path(name).unlink(missing_ok=True)
