"""A batch as a whole: which lines are done, and ``summary.json`` that says so after every article.

``summary.json`` is for programs: its keys stay, new ones may come. Knows no threads and makes no article.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from composer.batch.article_job import BatchConfig, Outcome
from composer.batch.report import report_html
from composer.batch.requests import BatchJob
from composer.errors import ComposerError
from vision.interfaces import Usage

SUMMARY = "summary.json"
REPORT = "report.html"
FORMAT_VERSION = 1
STATUSES = ("made", "kept", "failed", "pending")

T = TypeVar("T")


class BatchSummary:
    """Outcomes by line, and what the run took. For one thread."""

    def __init__(self, jobs: Sequence[BatchJob], config: BatchConfig) -> None:
        self.config = config
        self.workers = 0
        self.usage = Usage()
        self.load_seconds = 0.0
        self._jobs = tuple(jobs)
        self._outcomes: dict[int, Outcome] = {}
        self._started = time.perf_counter()

    def add(self, outcome: Outcome) -> None:
        self._outcomes[outcome.line] = outcome

    def note(self, outcomes: Mapping[int, Outcome]) -> None:
        """Take over what has ended, and write the summary where that is news."""
        fresh = {line: o for line, o in dict(outcomes).items() if self._outcomes.get(line) is not o}
        if fresh:
            self._outcomes |= fresh
            self._write_summary()

    def load(self, loading: Callable[[], T]) -> T:
        started = time.perf_counter()
        loaded = loading()
        self.load_seconds = time.perf_counter() - started
        return loaded

    def left(self) -> list[BatchJob]:
        return [job for job in self._jobs if job.line not in self._outcomes]

    def all(self) -> list[Outcome]:
        """An outcome a line, in the config of the file; what was not reached is pending."""
        return [self._outcomes.get(job.line) or Outcome(job.line, job.folder, "pending") for job in self._jobs]

    @property
    def failed(self) -> bool:
        return any(outcome.status == "failed" for outcome in self._outcomes.values())

    @property
    def succeeded(self) -> bool:
        return all(outcome.status in ("made", "kept") for outcome in self.all())

    def summary(self) -> dict[str, Any]:
        """Counts, totals and every outcome as plain JSON values. ``seconds`` is the time by the clock."""
        outcomes = self.all()
        return {
            "format": FORMAT_VERSION,
            **counts(outcomes),
            "profile": self.config.profile.name,
            "workers": self.workers,
            "seconds": round(time.perf_counter() - self._started, 3),
            "load_seconds": round(self.load_seconds, 3),
            "prompt_tokens": self.usage.prompt_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "generated_tokens": self.usage.generated_tokens,
            "items": [asdict(outcome) for outcome in outcomes],
        }

    def close(self) -> Path:
        """Write the summary and the report; returns the report's path."""
        self._write_summary()
        path = self.config.out_dir / REPORT
        requests = {job.line: job.request for job in self._jobs}
        write_whole(path, report_html(self.summary(), requests, self.config.out_dir))
        return path

    def _write_summary(self) -> None:
        text = json.dumps(self.summary(), ensure_ascii=False, indent=2) + "\n"
        write_whole(self.config.out_dir / SUMMARY, text)


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {status: sum(o.status == status for o in outcomes) for status in STATUSES}


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step, so that a reader never sees half of it. Raises ComposerError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ComposerError(f"{path} cannot be written: {error.strerror}; free space or name another --out") from error
    finally:
        partial.unlink(missing_ok=True)
