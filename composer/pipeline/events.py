"""What happens while an article is made, in order. The terminal, the app and batches all listen to these values.

Knows no listener. Every job ends with ``Done`` or an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from composer.article.model import Article
from vision.errors import Phrase

Stage: TypeAlias = Literal["load", "write", "place", "caption", "find", "choose", "finish"]
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


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Markdown as it is written, title line included; the concatenation is the running text."""

    text: str


@dataclass(frozen=True, slots=True)
class Draft:
    """The article so far: after writing (no placements), after placing, and after each later stage."""

    article: Article


@dataclass(frozen=True, slots=True)
class Notice(Phrase):
    """Something the user should know: a degraded result and its reason."""


@dataclass(frozen=True, slots=True)
class Done:
    article: Article


Event: TypeAlias = StageStarted | StageFinished | TextDelta | Draft | Notice | Done
