"""What happens while an article is made, in order: the terminal, the app and batches all listen to these values.

Every request ends with ``Done`` or an exception.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from composer.article.model import Article
from vision.errors import Phrase
from vision.interfaces import Usage, VisionLanguageModel

Stage: TypeAlias = Literal["load", "write", "place", "caption", "find", "choose", "finish"]
MOST_NAMES = 8  # of files that a notice tells
STAGES: tuple[Stage, ...] = ("load", "write", "place", "caption", "find", "choose", "finish")


@dataclass(frozen=True, slots=True)
class StageStarted:
    stage: Stage


@dataclass(frozen=True, slots=True)
class StageFinished:
    """``tokens`` were read or written by the model in this stage; ``cache_hits`` of those read came from its cache."""

    stage: Stage
    seconds: float
    tokens: int = 0
    cache_hits: int = 0

    def as_json(self) -> dict[str, Any]:
        """A line of ``trace.jsonl``."""
        return {
            "name": self.stage,
            "seconds": round(self.seconds, 3),
            "tokens": self.tokens,
            "cache_hits": self.cache_hits,
        }


@dataclass(frozen=True, slots=True)
class Planned:
    """The outline of what is about to be written; no headings for a text without sections."""

    title: str
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Markdown as it is written, title line included; the concatenation is the running text."""

    text: str


@dataclass(frozen=True, slots=True)
class ArticleSoFar:
    """After writing (no placements), after placing, and after each later stage."""

    article: Article


@dataclass(frozen=True, slots=True)
class Notice(Phrase):
    """Something the user should know: a degraded result and its reason."""


def lost_notice(lost: Iterable[Path]) -> Iterator[Notice]:
    """A notice of the files that finding pictures missed, if there are any, with the names of the first."""
    names = sorted(path.name for path in lost)
    if names:
        yield Notice("pictures_lost", {"count": len(names), "files": names[:MOST_NAMES]})


@dataclass(frozen=True, slots=True)
class Done:
    article: Article


Event: TypeAlias = StageStarted | StageFinished | Planned | TextDelta | ArticleSoFar | Notice | Done


class StageTimer:
    """Seconds and tokens since the last stage ended. The writer and the judge may be one model."""

    def __init__(self, writer: VisionLanguageModel, judge: VisionLanguageModel) -> None:
        self._models = (writer,) if judge is writer else (writer, judge)
        self._began_s = time.perf_counter()
        self._usage = self._used()

    def _used(self) -> Usage:
        used = Usage()
        for model in self._models:
            used.add(model.usage)
        return used

    def finished(self, stage: Stage) -> StageFinished:
        now_s, usage = time.perf_counter(), self._used()
        used = usage.since(self._usage)
        tokens = used.prompt_tokens + used.generated_tokens
        event = StageFinished(stage, now_s - self._began_s, tokens, used.cached_tokens)
        self._began_s, self._usage = now_s, usage
        return event
