"""What an illustrated article costs over its text: one request, timed stage by stage.

The figure is the time of all stages after loading, divided by that of writing alone.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

from composer import events
from composer.bench import Measure, Progress
from composer.request import ComposeRequest
from composer.settings import Settings

TOPIC = "A day on the farm"
WORDS = 450  # about 600 tokens
IMAGES = 4


def bench_article(settings: Settings, library_dir: Path, *, rounds: int, progress: Progress) -> dict[str, Measure]:
    """Raises what composing raises; the library is only read."""
    from composer.bench_worker import peak_rss_gb
    from composer.parts import load_composer

    composer = load_composer(settings, library_dir)
    request = ComposeRequest(instruction=TOPIC, language="en", images=IMAGES, words=WORDS)
    ratios = []
    for number in range(rounds):
        progress(f"article {number + 1} of {rounds}")
        seconds: dict[str, float] = {}
        for event in composer.events(replace(request, seed=number)):
            if isinstance(event, events.StageFinished):
                seconds[event.stage] = seconds.get(event.stage, 0.0) + event.seconds
        seconds.pop("load", None)
        ratios.append(sum(seconds.values()) / seconds["write"])
        progress(", ".join(f"{stage} {spent:.1f} s" for stage, spent in seconds.items()))
    return {
        "article_over_text": Measure(statistics.median(ratios), "times the text's time"),
        "peak_rss_gb": Measure(peak_rss_gb(), "GB"),
    }
