"""Measures the engine and the article against a reference, interleaved, and gives medians.

Ours and the reference take turns, each in a process of its own, so that whatever else the machine does weighs on both
alike.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from composer.errors import ComposerError, UsageError
from composer.evaluation.report import Measure

Progress: TypeAlias = Callable[[str], None]

PREFILL_TOKENS = 1000
DECODE_TOKENS = 64
ARTICLE_TOKENS = 400  # the context captions are written in
CAPTION_TOKENS = 40
CAPTIONS = 5


class BenchFailed(ComposerError):
    """An engine under measurement stopped."""


def pick_reference(name: str) -> str | None:
    """The engine to compare with: llama.cpp where it is installed, for ``auto``. Raises UsageError."""
    installed = importlib.util.find_spec("llama_cpp") is not None
    if name == "auto":
        return "llama.cpp" if installed else None
    if name == "llama.cpp" and not installed:
        raise UsageError("reference_missing")
    return None if name == "none" else name


def in_own_process(module: str, *command: str, engine: str) -> str:
    """The last line that a module of this package prints. Raises BenchFailed, naming ``engine``, where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", f"composer.benchmarks.{module}", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise _stopped(engine, done.stderr)
    return done.stdout.splitlines()[-1]


def _stopped(engine: str, stderr: str) -> BenchFailed:
    said = stderr.strip().splitlines()
    return BenchFailed("engine_stopped", engine=engine, reason=said[-1] if said else "")


class Worker:
    """A process of ``composer.benchmarks.worker``."""

    def __init__(self, engine: str, model: Path, threads: int) -> None:
        self.engine = engine
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "composer.benchmarks.worker", engine, str(model), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise _stopped(self.engine, self._process.communicate()[1])
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        self._process.wait()


@contextmanager
def workers(engines: Sequence[str], model: Path, threads: int) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        started = []
        for engine in engines:
            worker = Worker(engine, model, threads)
            stack.callback(worker.close)
            started.append(worker)
        yield started


def bench_writer(
    model: Path, *, threads: int, rounds: int, reference: str | None, progress: Progress
) -> dict[str, Measure]:
    """Decoding alone, five captions as a batch, and reading a prompt of 1,000 tokens."""
    engines = ["vignette", *([reference] if reference else [])]
    ids = sample_ids(model)
    prefix = ids[:ARTICLE_TOKENS]
    captions = [[*prefix, *ids[start : start + 20]] for start in range(500, 500 + 30 * CAPTIONS, 30)]
    rates: dict[tuple[str, str], list[float]] = {}

    def note(measure: str, worker: Worker, tokens: int, seconds: float) -> None:
        rates.setdefault((measure, worker.engine), []).append(tokens / seconds)

    with workers(engines, model, threads) as started:
        for number in range(rounds + 1):  # the first round warms caches and is not counted
            progress(f"round {number} of {rounds}" if number else "warming up")
            for worker in started:
                read = worker.do(do="read", ids=_unseen(ids, number)[:PREFILL_TOKENS])
                alone = worker.do(do="write", prompts=[prefix], tokens=DECODE_TOKENS)
                batch = captions[:1] if worker.engine == "transformers" else captions
                five = worker.do(do="write", prompts=batch, tokens=CAPTION_TOKENS)
                if number:
                    note("prefill", worker, PREFILL_TOKENS, read["seconds"])
                    note("decode", worker, alone["tokens"], alone["seconds"])
                    note("batch5", worker, five["tokens"], five["seconds"])

    def measure(name: str) -> Measure:
        ours, theirs = (statistics.median(rates.get((name, e), [0])) for e in ("vignette", reference or ""))
        return Measure(ours, "tokens/s", theirs or None)

    return {f"{name}_tokens_per_s": measure(name) for name in ("decode", "batch5", "prefill")}


def bench_load(
    model: Path, *, threads: int, rounds: int, reference: str | None, progress: Progress
) -> dict[str, Measure]:
    """Start of a process to its first token, files cached; peak memory after 1,000 tokens read and 64 written."""
    engines = ["vignette", *([reference] if reference else [])]
    ids = sample_ids(model)
    seconds: dict[str, list[float]] = {engine: [] for engine in engines}
    peaks: dict[str, list[float]] = {engine: [] for engine in engines}
    for number in range(rounds + 1):
        progress(f"round {number} of {rounds}" if number else "warming up")
        for engine in engines:
            start = time.perf_counter()
            with workers([engine], model, threads) as (worker,):
                worker.do(do="read", ids=ids[:32])
                took = time.perf_counter() - start
                worker.do(do="write", prompts=[ids[:PREFILL_TOKENS]], tokens=DECODE_TOKENS)
                peak = worker.do(do="peak")["peak_rss_gb"]
            if number:
                seconds[engine].append(took)
                peaks[engine].append(peak)

    def measure(values: dict[str, list[float]], unit: str) -> Measure:
        theirs = statistics.median(values[reference]) if reference else None
        return Measure(statistics.median(values["vignette"]), unit, theirs)

    return {"first_token_s": measure(seconds, "s"), "peak_rss_gb": measure(peaks, "GB")}


def sample_ids(model: Path) -> list[int]:
    """A few thousand ids of English prose in the model's own vocabulary."""
    from vision.downloads.store import home
    from vision.llm.chat_tokenizer import ChatTokenizer
    from vision.llm.model_cache import open_cached

    opened = open_cached(model, home() / "converted")
    tokenizer = ChatTokenizer(opened.folder / "tokenizer.json", opened.chat_template, opened.special, opened.name)
    text = Path(__file__).with_name("sample_text.txt").read_text(encoding="utf-8")
    ids = tokenizer.encode(text)
    while len(ids) < PREFILL_TOKENS + 100:
        ids += ids
    return ids


def _unseen(ids: list[int], round_number: int) -> list[int]:
    """Another beginning every round, so that no engine finds the prompt in its cache."""
    cut = 1 + 7 * round_number % len(ids)
    return ids[cut:] + ids[:cut]
