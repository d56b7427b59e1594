"""Writes requirements/: the exact releases that make installs, for Python 3.11 to 3.13 on every system, with hashes.

Takes the newest that pyproject.toml's ranges allow, and pip's own constraint files where it is set to some. PyTorch and
its CUDA libraries have a file of their own, because PyTorch's build without CUDA stands in their place where there is
no GPU. That build comes from PyTorch's own index: its version is locked, its hashes are not.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from install import LOCK, ROOT, Missing, check_python, make_venv

UV = "uv==0.13.9"
HEAD = "# Written by `make lock`; do not edit.\n"
COMPILER = "ziglang>=0.13"  # for machines without a C compiler
OF_TORCH = re.compile(r"torch|torchvision|triton|nvidia-.+|cuda-.+")
CPU_BUILDS = ("torch", "torchvision")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-lock", help="environment for uv, which resolves")
    args = parser.parse_args()
    try:
        check_python()
        python = make_venv(args.venv.absolute())
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV])
        files = lock(python)
    except Missing as missing:
        print(f"make: {missing}", file=sys.stderr)
        return 1
    LOCK.mkdir(exist_ok=True)
    for name, entries in files.items():
        (LOCK / name).write_text(HEAD + "".join(entries), encoding="utf-8")
        print(f"requirements/{name}: {len(entries)} packages", file=sys.stderr)
    return 0


def lock(python: Path) -> dict[str, list[str]]:
    """File name → its entries. Raises Missing where there is no solution or the package index does not answer."""
    project = str(ROOT / "pyproject.toml")
    build = tomllib.loads(Path(project).read_text(encoding="utf-8"))["build-system"]["requires"]
    limits = [Path(path) for path in pip_constraints(python)]
    with tempfile.TemporaryDirectory() as scratch:
        # All at once first: what is needed to run and what is needed to test must agree.
        extras = ["--extra", "dev", "--extra", "browser"]
        everything = resolve(python, [project, *extras], [*build, COMPILER], limits)
        agreed = Path(scratch) / "agreed.txt"
        agreed.write_text("".join(everything), encoding="utf-8")
        runtime = resolve(python, [project], [], [*limits, agreed])
        tools = resolve(python, [], build, [*limits, agreed])
        compiler = resolve(python, [], [COMPILER], [*limits, agreed])
    torch = [entry for entry in everything if OF_TORCH.fullmatch(name_of(entry))]
    runtime = [entry for entry in runtime if entry not in torch]
    return {
        "build.txt": tools,
        "runtime.txt": runtime,
        "dev.txt": [entry for entry in everything if entry not in [*torch, *runtime, *tools, *compiler]],
        "torch.txt": torch,
        "torch-cpu.txt": [f"{pin_of(entry)}+cpu\n" for entry in torch if name_of(entry) in CPU_BUILDS],
        "compiler.txt": compiler,
    }


def resolve(python: Path, sources: list[str], requirements: Iterable[str], limits: Iterable[Path]) -> list[str]:
    """uv's entries: a line with the release and where it holds, then its hashes."""
    command = [str(python), "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate"]
    for limit in limits:
        command += ["--constraint", str(limit)]
    with tempfile.NamedTemporaryFile("w", suffix=".in", encoding="utf-8") as asked:
        asked.write("\n".join(requirements))
        asked.flush()
        text = run([*command, *sources, asked.name])
    return re.findall(r"^\S.*\n(?:[ \t].*\n)*", text, flags=re.MULTILINE)


def pip_constraints(python: Path) -> list[str]:
    settings = run([str(python), "-m", "pip", "config", "list"])
    return [path for line in re.findall(r"^\S*\.constraint='(.+)'$", settings, re.MULTILINE) for path in line.split()]


def name_of(entry: str) -> str:
    return pin_of(entry).partition("==")[0]


def pin_of(entry: str) -> str:
    return entry.split()[0]


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(f"{' '.join(command[2:5])} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
