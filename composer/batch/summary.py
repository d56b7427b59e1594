"""A batch as a whole: which lines are done, and ``summary.json`` that says so after every article.

``summary.json`` is for programs: its keys stay, new ones may come.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from composer.batch.article_job import BatchConfig, Outcome
from composer.batch.report import report_html
from composer.batch.requests import BatchJob
from composer.errors import ComposerError
from vision.downloads.files import write_atomic
from vision.interfaces import Usage

SUMMARY = "summary.json"
REPORT = "report.html"
FORMAT_VERSION = 1
STATUSES = ("made", "kept", "failed", "pending")


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

    def add(self, outcomes: Mapping[int, Outcome]) -> None:
        """Take over outcomes by line, and write ``summary.json`` where one of them is news."""
        fresh = {line: o for line, o in dict(outcomes).items() if self._outcomes.get(line) is not o}
        if fresh:
            self._outcomes |= fresh
            self._write(SUMMARY, json.dumps(self.as_json(), ensure_ascii=False, indent=2) + "\n")

    def left(self) -> list[BatchJob]:
        return [job for job in self._jobs if job.line not in self._outcomes]

    def all(self) -> list[Outcome]:
        """An outcome a line, in the order of the file; what was not reached is pending."""
        return [self._outcomes.get(job.line) or Outcome(job.line, job.folder, "pending") for job in self._jobs]

    @property
    def failed(self) -> bool:
        return any(outcome.status == "failed" for outcome in self._outcomes.values())

    @property
    def succeeded(self) -> bool:
        return all(outcome.status in ("made", "kept") for outcome in self.all())

    def as_json(self) -> dict[str, Any]:
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
            "items": [outcome.as_json() for outcome in outcomes],
        }

    def close(self) -> None:
        """Write the summary and the report."""
        summary = self.as_json()
        self._write(SUMMARY, json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
        requests = {job.line: job.request for job in self._jobs}
        self._write(REPORT, report_html(summary, requests, self.config.out_dir))

    def _write(self, name: str, text: str) -> None:
        path = self.config.out_dir / name
        try:
            write_atomic(path, text)
        except OSError as error:
            raise ComposerError("not_written", path=str(path), reason=error.strerror) from error


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {status: sum(o.status == status for o in outcomes) for status in STATUSES}
