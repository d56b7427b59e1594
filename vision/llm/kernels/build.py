"""Compiles the C kernels on first use and keeps the library in a cache folder.

Compiled for the very CPU it runs on, so the file's name carries a hash of sources, flags, compiler and CPU. It is
loaded only as it was built, and only from a folder that nobody else can write to: to load it is to run it. The
environment variable VIGNETTE_KERNELS chooses another path than this CPU's fastest: ``vnni512``, ``vnni``, ``avx2`` or
``portable``.
Each rounds in its own way, so the same seed may write another text on another path.
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

from vision.downloads.files import file_sha256, sync, write_atomic
from vision.errors import KernelsUnavailable, ModelError

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
KERNELS_VARIABLE = "VIGNETTE_KERNELS"
# What the C code makes of the compiler's flags, fastest first; "auto" is what -march=native makes of this CPU.
PATHS = ("vnni512", "vnni", "avx2", "portable")
_AVX2 = {"avx2": "-mavx2", "fma": "-mfma", "f16c": "-mf16c"}
_VNNI = ({"avx_vnni"}, {"avx512_vnni", "avx512vl"})
_VNNI_512 = {"avx512_vnni", "avx512vl", "avx512bw"}


def load_kernels(cache_dir: Path, path: str | None = None) -> ctypes.CDLL:
    """The compiled library, built if ``cache_dir`` does not have it yet.

    ``path`` is one of PATHS or ``auto``; by default what $VIGNETTE_KERNELS says, else ``auto``. Raises ModelError for
    another name and for a path that this CPU cannot run, KernelsUnavailable where nothing can be built.
    """
    flags = (*FLAGS, *_path_flags(path or os.environ.get(KERNELS_VARIABLE) or "auto"))
    compiler = _compiler()
    sources = sorted(SOURCES.glob("*.c"))
    digest = hashlib.sha256()
    for source in [*sources, *sorted(SOURCES.glob("*.h"))]:
        digest.update(source.name.encode() + source.read_bytes())
    digest.update(repr((flags, _cpu())).encode())
    name = f"kernels-{digest.hexdigest()[:16]}.so"
    target = next((folder / name for folder in _folders(cache_dir) if _is_sound(folder / name)), None)
    if target is None:
        if compiler is None:
            raise KernelsUnavailable("compiler_missing")
        target = kernels_folder(cache_dir) / name
        _compile(compiler, flags, sources, target)
    try:
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise KernelsUnavailable("kernels_not_loadable", file=str(target), reason=str(error)) from error


def kernels_folder(cache_dir: Path) -> Path:
    """Where this user's libraries are: several users may share ``cache_dir`` and do not load each other's."""
    return cache_dir / f"kernels-{_user()}"


def _folders(cache_dir: Path) -> list[Path]:
    """Where a library may be loaded from: this user's, and what root built for all."""
    return [folder for folder in (kernels_folder(cache_dir), cache_dir / "kernels-0") if _is_own(folder)]


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _is_own(path: Path) -> bool:
    """Whether nobody but this user and root can have written a file, or into a folder."""
    try:
        status = path.stat()
    except OSError:
        return False
    return not hasattr(os, "geteuid") or (status.st_uid in (0, _user()) and not status.st_mode & 0o022)


def _is_sound(target: Path) -> bool:
    """Whether the library is as it was built: loading one that was cut short ends the process."""
    try:
        return _is_own(target) and _hash_file(target).read_text() == file_sha256(target)
    except OSError:
        return False


def _hash_file(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def runnable_paths() -> tuple[str, ...]:
    """Those of PATHS that this CPU can run, as far as the system tells: elsewhere than on Linux ``portable`` only."""
    flags = {flag for line in _cpu() if line.startswith("flags") for flag in line.split()}
    avx2 = flags >= _AVX2.keys()
    can = {
        "vnni512": avx2 and flags >= _VNNI_512,
        "vnni": avx2 and any(flags >= needed for needed in _VNNI),
        "avx2": avx2,
        "portable": True,
    }
    return tuple(path for path in PATHS if can[path])


def _path_flags(path: str) -> tuple[str, ...]:
    if path == "auto":
        return ("-march=native",)
    if path not in PATHS:
        raise ModelError("kernel_path_unknown", variable=KERNELS_VARIABLE, given=path, known=["auto", *PATHS])
    if path not in runnable_paths():
        known = ["auto", *runnable_paths()]
        raise ModelError("kernel_path_not_runnable", variable=KERNELS_VARIABLE, given=path, known=known)
    native = ("-march=native",)
    return {"vnni512": native, "vnni": (*native, "-DNARROW"), "avx2": tuple(_AVX2.values()), "portable": ()}[path]


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
    try:
        target.parent.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(mode=0o755, exist_ok=True)
        if not _is_own(target.parent):
            raise KernelsUnavailable("kernels_not_trusted", folder=str(target.parent))
        handle, name = tempfile.mkstemp(dir=target.parent, suffix=".so")
    except OSError as error:
        raise KernelsUnavailable("kernels_not_compiled", compiler=compiler, reason=str(error)) from error
    os.close(handle)
    command = [*compiler.split(), *flags, "-o", name, *map(str, sources), "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:300])
            raise KernelsUnavailable("kernels_not_compiled", compiler=compiler, reason=first)
        Path(name).chmod(0o755)
        sync([Path(name)])
        write_atomic(_hash_file(target), file_sha256(Path(name)))
        Path(name).replace(target)
        sync([target.parent])
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailable("kernels_not_compiled", compiler=compiler, reason=str(error)) from error
    finally:
        Path(name).unlink(missing_ok=True)
