"""Several articles at once, and one article's sections at once, against writing one thing after the other.

The references for a batch are another engine that writes as many tokens one by one, its prompts read before the clock
starts, and the same engine charged with the whole work: as many rows of prompts read and tokens drawn as the batch had,
at the rates it reads and writes at. Fast writing is compared with plain writing of the same requests: speed, what is
said twice, and how well each section follows from what stands before it.
"""

from __future__ import annotations

import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from composer.article.model import Article
from composer.benchmarks.article import text_tokens
from composer.benchmarks.runner import DECODE_TOKENS, Progress, sample_ids, workers
from composer.evaluation.report import Measure
from composer.pipeline.model_pool import ModelPool
from composer.request import ComposeRequest
from composer.settings import Settings
from vision.interfaces import Message, VisionLanguageModel

TOPICS = (
    "A day on the farm",
    "Great monuments of the world",
    "A guide to tropical birds",
    "How bread is baked",
    "Fruit and vegetables through the seasons",
    "A walk through an old harbour town",
    "Animals of the savanna",
    "How musical instruments are made",
)
WORDS = 400
IMAGES = 4
REPEATED_WORDS = 4  # in a row, counted as said twice


@dataclass(frozen=True, slots=True)
class BatchWork:
    """What eight articles took: tokens of their finished text, rows of prompts that were not in the cache, and tokens
    drawn, those of plans and captions and of sentences that were dropped among them.
    """

    finished: int
    read: int
    drawn: int

    def finished_per_s(self, reading: float, writing: float) -> float:
        """For an engine that reads and draws so many tokens a second, one after the other."""
        return self.finished / (self.read / reading + self.drawn / writing)


def bench_batch(
    settings: Settings,
    library_dir: Path,
    model: Path,
    *,
    threads: int,
    rounds: int,
    reference: str | None,
    progress: Progress,
) -> dict[str, Measure]:
    """Tokens of finished text a second: eight articles at once, without pictures and illustrated.

    ``…_same_work`` has the same value beside what the reference would make of the batch's rows and drawn tokens.
    """
    workshop = ModelPool.load(settings)
    ids = sample_ids(model)[:400]
    counter = workshop.pipeline(library_dir).model
    rates: dict[str, list[float]] = {"text": [], "illustrated": [], "reference": [], "reading": []}
    work: dict[str, list[BatchWork]] = {"text": [], "illustrated": []}
    try:
        for number in range(rounds):
            for name, images in (("text", 0), ("illustrated", IMAGES)):
                requests = [
                    ComposeRequest(topic, language="en", images=images, words=WORDS, seed=number) for topic in TOPICS
                ]
                before, start = workshop.usage, time.perf_counter()
                articles = _together(workshop, library_dir, requests)
                seconds = time.perf_counter() - start
                tokens = sum(text_tokens(counter, article) for article in articles)
                rates[name].append(tokens / seconds)
                used = workshop.usage.since(before)
                work[name].append(BatchWork(tokens, used.prompt_tokens - used.cached_tokens, used.generated_tokens))
                progress(f"round {number + 1} of {rounds}, {name}: {tokens} tokens, {rates[name][-1]:.1f} a second")
            if reference:
                with workers([reference], model, threads) as (worker,):
                    worker.do(do="read", ids=ids[:32])
                    rates["reading"].append(len(ids) / worker.do(do="read", ids=ids)["seconds"])
                    done = worker.do(do="write", prompts=[ids], tokens=2 * DECODE_TOKENS)
                rates["reference"].append(done["tokens"] / done["seconds"])
    finally:
        workshop.close()
    measures: dict[str, Measure] = {}
    for name, measured in (("text", "batch8_text_tokens_per_s"), ("illustrated", "batch8_tokens_per_s")):
        value = statistics.median(rates[name])
        if not rates["reference"]:
            measures[measured] = Measure(value, "tokens/s", None)
            continue
        writing, reading = statistics.median(rates["reference"]), statistics.median(rates["reading"])
        measures[measured] = Measure(value, "tokens/s", writing)
        alone = statistics.median(done.finished_per_s(reading, writing) for done in work[name])
        measures[measured.replace("_tokens_per_s", "_same_work")] = Measure(value, "tokens/s", alone)
    return measures


def bench_fast(settings: Settings, library_dir: Path, *, rounds: int, progress: Progress) -> dict[str, Measure]:
    """``--fast`` against plain writing; the reference of each measure is plain writing's."""
    workshop = ModelPool.load(settings)
    found: dict[tuple[str, bool], list[float]] = {}
    try:
        for number in range(rounds):
            for fast in (False, True):
                pipeline = workshop.pipeline(library_dir)
                topic = TOPICS[number % len(TOPICS)]
                request = ComposeRequest(topic, language="en", images=0, words=WORDS, seed=number, fast=fast)
                start = time.perf_counter()
                article = pipeline.compose(request)
                seconds = time.perf_counter() - start
                values = {
                    "seconds_per_token": seconds / text_tokens(pipeline.model, article),
                    "said_twice": said_twice([section.text for section in article.sections]),
                    "nats_per_token": _nats_per_token(pipeline.model, article),
                }
                for name, value in values.items():
                    found.setdefault((name, fast), []).append(value)
                told = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
                progress(f"article {number + 1} of {rounds}, {'fast' if fast else 'plain'}: {told}")
    finally:
        workshop.close()

    def measure(name: str, unit: str) -> Measure:
        return Measure(statistics.mean(found[name, True]), unit, statistics.mean(found[name, False]))

    return {
        "fast_seconds_per_token": measure("seconds_per_token", "s"),
        "fast_said_twice": measure("said_twice", "share of four-word runs"),
        "fast_nats_per_token": measure("nats_per_token", "nats, given what stands before"),
    }


def said_twice(sections: Sequence[str]) -> float:
    """The share of runs of four words, within a section, that the article has more than once; 0 for none."""
    runs: Counter[tuple[str, ...]] = Counter()
    for section in sections:
        words = re.findall(r"\w+", section.casefold())
        runs.update(tuple(words[i : i + REPEATED_WORDS]) for i in range(len(words) - REPEATED_WORDS + 1))
    again = sum(count - 1 for count in runs.values())
    return again / max(1, runs.total())


def _nats_per_token(model: VisionLanguageModel, article: Article) -> float:
    """Mean surprise of a section's tokens to the model that has read the sections before it; the first apart."""
    spent = tokens = 0.0
    told = f"# {article.title}\n\n"
    for number, section in enumerate(article.sections):
        if number:
            prompt = (Message.of("user", article.title), Message.of("assistant", told.strip()))
            spent -= model.score(prompt, [f"\n\n{section.text}"])[0]
            tokens += model.count_tokens((Message.of("user", section.text),))
        told += section.text + "\n\n"
    return spent / max(1.0, tokens)


def _together(workshop: ModelPool, library_dir: Path, requests: Sequence[ComposeRequest]) -> list[Article]:
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda request: workshop.pipeline(library_dir).compose(request), requests))
