"""Files of requests of which anything may be wrong: each line is read or refused by name, and none is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from composer.batch.requests import KEYS, BatchJob, read_jobs
from composer.errors import UsageError
from composer.i18n import UI_LANGUAGES, localize
from vision.errors import KeyedError

GOOD: dict[str, Any] = {
    "name": "a-day",
    "instruction": "A day on the farm",
    "images": 3,
    "seed": 1,
    "words": 300,
    "filters": {"licenses": ["CC BY"], "min_side_px": 100},
    "settings": {"writing": {"temperature": 0.5}},
}
TEXTS = (
    "",
    " ",
    "\0",
    "\ud800",
    "\u2028",
    "../../etc",
    "/etc/passwd",
    "~root",
    "a" * 40_000,
    "字",
    "NaN",
    "=1+1",
    "{0}",
)


def odd(chance: random.Random, depth: int = 0) -> Any:
    """A JSON value that nobody expects."""
    kind = chance.randrange(6 if depth < 3 else 4)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.choice([0, -1, 7.5, 2**63, 10**300, 1e308, float("nan"), float("inf")])
    if kind in (2, 3):
        return chance.choice(TEXTS)
    if kind == 4:
        return [odd(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice([*KEYS, *TEXTS])[:40]: odd(chance, depth + 1) for _ in range(chance.randrange(4))}


def odd_line(chance: random.Random, number: int) -> tuple[bytes, bool]:
    """One line without its end, and whether it is a request as it should be."""
    line = {**GOOD, "name": f"n-{number}"}
    if chance.random() < 0.2:
        return json.dumps(line).encode(), True
    for _ in range(chance.choice([1, 1, 2, 4])):
        line[chance.choice([*KEYS, "colour", ""])] = odd(chance)
    data = json.dumps(line, ensure_ascii=chance.random() < 0.8).encode("utf-8", "surrogatepass")
    if chance.random() < 0.2:
        at = chance.randrange(len(data))
        data = data[:at] + chance.choice([b"", b"\xff", b"\x00", b"[" * 3000, b'"', b"}"]) + data[at + 1 :]
    return data, False


def jobs_of(path: Path) -> list[BatchJob] | None:
    """The jobs, or None where the whole file is refused; either can be put into words."""
    refused: list[KeyedError | None] = []
    jobs = None
    try:
        jobs = read_jobs(path)
        refused = [job.error for job in jobs]
        assert all((job.request is None) == (job.error is not None) for job in jobs)
    except UsageError as error:
        refused = [error]
    assert all(localize(error, language) for error in refused if error for language in UI_LANGUAGES)
    return jobs


@pytest.mark.parametrize("count", [120, pytest.param(10_000, marks=pytest.mark.slow)])
def test_odd_lines_of_json_are_read_or_refused_by_name(tmp_path: Path, count: int) -> None:
    chance = random.Random(count)
    written = [odd_line(chance, number) for number in range(1, count + 1)]
    for start in range(0, count, 40):
        part = written[start : start + 40]
        path = tmp_path / f"{start}.jsonl"
        path.write_bytes(b"\n".join(line for line, _ in part))
        if (found := jobs_of(path)) is None:
            continue
        jobs = {job.line: job for job in found}
        for line, (data, good) in enumerate(part, 1):
            if good:
                assert line in jobs, f"lost: {data!r}"
                assert jobs[line].request is not None, jobs[line].error
        for job in found:
            assert "\0" not in job.folder
            assert (tmp_path / job.folder).resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize("count", [40, pytest.param(3_000, marks=pytest.mark.slow)])
def test_odd_tables_are_read_or_refused_by_name(tmp_path: Path, count: int) -> None:
    chance = random.Random(count)
    for number in range(count):
        columns = [
            chance.choice([*KEYS, "filters.tags", "settings.writing.temperature", "Unnamed: 0", ""]) for _ in range(4)
        ]
        rows = [columns] + [[str(odd(chance, 3)) for _ in columns] for _ in range(chance.randrange(6))]
        delimiter = chance.choice([",", ";", "\t"])
        data = "\n".join(delimiter.join(row) for row in rows).encode("utf-8", "surrogatepass")
        if chance.random() < 0.3 and data:
            at = chance.randrange(len(data))
            data = data[:at] + chance.choice([b'"', b"\x00", b"\xff\xfe", b"\r", b"\n"]) + data[at:]
        path = tmp_path / f"{number}.csv"
        path.write_bytes(data)
        jobs_of(path)
