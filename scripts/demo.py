"""What ``make demo`` does once Vignette is installed: models, sample library, one article, and what it cost.

Only calls the command line, as a user would, and reports wall time and the peak memory of each step.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTRUCTION = "Animals of the savanna"


@dataclass(frozen=True)
class CommandCost:
    name: str
    seconds: float
    peak_gb: float
    output: str


class StepFailed(Exception):
    """A step's exit code; the step itself has said what was wrong."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instruction", default=INSTRUCTION, help=f"what to write about (default: {INSTRUCTION})")
    parser.add_argument("--started", type=float, default=time.time(), help="when make started, in seconds since 1970")
    args = parser.parse_args()
    out = fresh_folder(ROOT / "out" / "demo")
    try:
        # Not what this machine could run at best: the demo is to take what the README says it takes.
        profile = ("--profile", "embedded")
        steps = [run("models", "models", "pull", *profile), run("sample library", "library", "sample", *profile)]
        library = run("path", "library", "path", "sample").output.strip()
        compose = ["compose", args.instruction, "--library", library, "--out", str(out), *profile]
        steps.append(run("article", *compose, echo=True))
    except StepFailed as failure:
        return failure.code
    article = out / "article.html"
    print()
    for step in steps:
        print(f"{step.name:<16}{step.seconds:6.0f} s   peak memory {step.peak_gb:.2f} GB")
    print(f"{'total':<16}{time.time() - args.started:6.0f} s, installing included")
    print(f"The article: {article}")
    return 0


def fresh_folder(wanted: Path) -> Path:
    """``wanted``, or with the first free number behind it: an earlier article is never overwritten."""
    number = 1
    folder = wanted
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder


def run(name: str, *arguments: str, echo: bool = False) -> CommandCost:
    """One ``vignette`` command. Raises StepFailed; on POSIX measures the largest resident set of the process."""
    started = time.monotonic()
    command = [sys.executable, "-m", "composer.cli", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=None if echo else subprocess.PIPE, text=True) as process:
        try:
            output = process.stdout.read() if process.stdout is not None else ""
            # Not process.wait(): only wait4 tells the memory of this one child.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except KeyboardInterrupt:
            process.wait()
            raise StepFailed(130) from None
    if process.returncode != 0:
        raise StepFailed(process.returncode if process.returncode > 0 else 1)
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return CommandCost(name, time.monotonic() - started, usage.ru_maxrss * unit_bytes / 1e9, output)


if __name__ == "__main__":
    sys.exit(main())
