"""What an illustrated article costs over its text alone: the same request with pictures and without, in turns.

Articles differ in length, so the figure is the time for a token of text, loading apart: all stages of the illustrated
article, with what asking the library does for its plan, over all of the plain one.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

from composer.article.model import Article
from composer.benchmarks.runner import Progress
from composer.evaluation.report import Measure
from composer.pipeline import events
from composer.pipeline.pipeline import Pipeline
from composer.request import ComposeRequest
from composer.settings import Settings
from vision.interfaces import Message, VisionLanguageModel

TOPIC = "A day on the farm"
WORDS = 780  # about 600 tokens: the writer stays below what it is asked for
IMAGES = 4


def bench_article(settings: Settings, library_dir: Path, *, rounds: int, progress: Progress) -> dict[str, Measure]:
    """Raises what composing raises; the library is only read."""
    from composer.benchmarks.worker import peak_rss_gb
    from composer.pipeline.loading import load_pipeline

    pipeline = load_pipeline(settings, library_dir)
    request = ComposeRequest(instruction=TOPIC, language="en", images=IMAGES, words=WORDS)
    _timed(pipeline, replace(request, words=100))  # the first article pays for opening the library and the encoder
    ratios, tokens = [], []
    for number in range(rounds):
        progress(f"article {number + 1} of {rounds}")
        seeded = replace(request, seed=number)
        plain, plain_tokens = _timed(pipeline, replace(seeded, images=0))
        illustrated, text_tokens = _timed(pipeline, seeded)
        spent, alone = sum(illustrated.values()), sum(plain.values())
        ratios.append((spent / text_tokens) / (alone / plain_tokens))
        tokens.append(text_tokens)
        told = ", ".join(f"{stage} {part:.1f} s" for stage, part in illustrated.items())
        progress(f"{text_tokens} tokens: {told}; without pictures {plain_tokens} tokens: {alone:.1f} s")
    return {
        "article_over_text": Measure(statistics.median(ratios), "times the text's time"),
        "article_tokens": Measure(statistics.median(tokens), "tokens"),
        "peak_rss_gb": Measure(peak_rss_gb(), "GB"),
    }


def _timed(pipeline: Pipeline, request: ComposeRequest) -> tuple[dict[str, float], int]:
    """Seconds of each stage after loading, and the tokens of the finished text."""
    seconds: dict[str, float] = {}
    tokens = 0
    for event in pipeline.events(request):
        if isinstance(event, events.StageFinished) and event.stage != "load":
            seconds[event.stage] = seconds.get(event.stage, 0.0) + event.seconds
        if isinstance(event, events.Done):
            tokens = text_tokens(pipeline.model, event.article)
    return seconds, tokens


def text_tokens(model: VisionLanguageModel, article: Article) -> int:
    """Tokens of the finished text, whatever was drawn and dropped on the way."""
    text = "\n\n".join(section.text for section in article.sections)
    return model.count_tokens((Message.of("user", text),))
