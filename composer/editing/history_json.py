"""A history as JSON values, each section and picture once however many steps it stood through.

Knows no files.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from composer.article.model import Article, Placement, Section, from_json, to_json
from composer.editing.history import History, Step
from composer.editing.wording import ACTIONS
from composer.errors import ComposerError

KEPT_STEPS = 40  # to either side


def history_to_json(history: History, steps: int = KEPT_STEPS) -> dict[str, Any]:
    """The article and up to ``steps`` steps back and as many forward."""
    past, future = history.past[-steps:] if steps else (), history.future[:steps]
    articles = [*(step.article for step in past), history.article, *(step.article for step in future)]
    sections, placements = _Table[Section](), _Table[Placement]()
    rows = []
    for article in articles:
        rows.append(
            {
                "title": article.title,
                "title_in_text": article.title_in_text,
                "preamble": article.preamble,
                "language": article.language,
                "sections": [sections.index(section) for section in article.sections],
                "placements": [placements.index(placement) for placement in article.placements],
            }
        )
    held = replace(history.article, sections=tuple(sections.items), placements=tuple(placements.items))
    return {
        "held": to_json(held),
        "articles": rows,
        "present": len(past),
        "actions": [step.action for step in (*past, *future)],
    }


def history_from_json(data: Mapping[str, Any]) -> History:
    """Read what ``history_to_json`` wrote. Raises ComposerError where it was not that."""
    try:
        held = from_json(data["held"])
        articles = [_article(held, row) for row in data["articles"]]
        actions, present = data["actions"], data["present"]
        if len(actions) != len(articles) - 1 or not 0 <= present < len(articles) or not set(actions) <= set(ACTIONS):
            raise ComposerError("the draft's steps do not fit its articles", "draft_unreadable")
    except (KeyError, IndexError, TypeError) as error:
        raise ComposerError(
            f"the draft was not written by this version of Vignette: {error!r}", "draft_unreadable"
        ) from error
    return History(
        article=articles[present],
        past=_steps(actions[:present], articles[:present]),
        future=_steps(actions[present:], articles[present + 1 :]),
    )


def _article(held: Article, row: Mapping[str, Any]) -> Article:
    return replace(
        held,
        title=row["title"],
        title_in_text=row["title_in_text"],
        preamble=row["preamble"],
        language=row["language"],
        sections=tuple(held.sections[i] for i in row["sections"]),
        placements=tuple(held.placements[i] for i in row["placements"]),
    )


def _steps(actions: Sequence[str], articles: Sequence[Article]) -> tuple[Step, ...]:
    return tuple(Step(action, article) for action, article in zip(actions, articles, strict=True))


T = TypeVar("T", bound=Hashable)


class _Table(Generic[T]):
    """Values by the order of their first appearance. Steps share objects, so identity tells them apart quickly."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._known: dict[int, int] = {}

    def index(self, item: T) -> int:
        found = self._known.get(id(item))
        if found is None:
            found = self._known[id(item)] = len(self.items)
            self.items.append(item)
        return found
