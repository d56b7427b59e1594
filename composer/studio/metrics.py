"""What the page has done since it started, in numbers, in the text format of Prometheus; nothing that was written.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from composer.pipeline.events import StageFinished

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SEARCH_BOUNDS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class StudioMetrics:
    """Counters. Threads may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._articles: Counter[str] = Counter({"made": 0, "stopped": 0, "failed": 0})
        self._stage_seconds: defaultdict[str, float] = defaultdict(float)
        self._stages: Counter[str] = Counter()
        self._tokens = 0
        self._searches: Counter[float] = Counter()
        self._search_seconds = 0.0

    def stage(self, finished: StageFinished) -> None:
        with self._lock:
            self._stage_seconds[finished.stage] += finished.seconds
            self._stages[finished.stage] += 1
            self._tokens += finished.tokens

    def article(self, state: str) -> None:
        """One has ended: "made", "stopped" or "failed"."""
        with self._lock:
            self._articles[state] += 1

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Measures a search, unless it fails."""
        began_s = time.perf_counter()
        yield
        took_s = time.perf_counter() - began_s
        with self._lock:
            self._searches[next((bound for bound in SEARCH_BOUNDS_S if took_s <= bound), float("inf"))] += 1
            self._search_seconds += took_s

    def exposition(self, *, waiting: int, running: int) -> str:
        """All of it, with the articles that wait and run at this moment."""
        with self._lock:
            lines = [*_family("vignette_articles_total", "counter", "Articles that have ended, by how.")]
            lines += [f'vignette_articles_total{{state="{state}"}} {n}' for state, n in self._articles.items()]
            lines += [*_family("vignette_articles", "gauge", "Articles that wait, and that are being made.")]
            lines += [f'vignette_articles{{state="{s}"}} {n}' for s, n in (("waiting", waiting), ("running", running))]
            lines += [*_family("vignette_stage_seconds", "summary", "Seconds of the stages of articles.")]
            for stage, count in self._stages.items():
                lines.append(f'vignette_stage_seconds_sum{{stage="{stage}"}} {self._stage_seconds[stage]:.6f}')
                lines.append(f'vignette_stage_seconds_count{{stage="{stage}"}} {count}')
            lines += [*_family("vignette_tokens_total", "counter", "Tokens that models have read and written.")]
            lines += [f"vignette_tokens_total {self._tokens}"]
            lines += [*_family("vignette_search_seconds", "histogram", "Seconds of searches.")]
            total = 0
            for bound in (*SEARCH_BOUNDS_S, float("inf")):
                total += self._searches[bound]
                named = "+Inf" if bound == float("inf") else f"{bound:g}"
                lines.append(f'vignette_search_seconds_bucket{{le="{named}"}} {total}')
            lines += [
                f"vignette_search_seconds_sum {self._search_seconds:.6f}",
                f"vignette_search_seconds_count {total}",
            ]
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"
