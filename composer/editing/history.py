"""Undo and redo: a value that holds the article and the steps to both sides of it, in memory and as JSON.

Articles share what an edit did not touch, so a step costs little more than what it changed, on disk as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from composer.article.model import Article, Placement, Section
from composer.article.serialization import from_json, to_json
from composer.errors import ComposerError, EditError

MAX_STEPS = 200
KEPT_STEPS = 40  # in JSON, to either side
# What a step did; ``composer.i18n`` has a label for each in its table of steps.
ACTIONS = (
    *("edit_text", "set_title", "add_section", "delete_section", "move_section", "split_section", "merge_sections"),
    *("lock_section", "replace_picture", "show_picture", "remove_picture", "delete_picture", "move_picture"),
    *("insert_picture", "add_place", "set_caption", "set_alt", "confirm_words", "lock_placement", "set_size"),
    "check_claim",
    *("rewrite", "expand", "shorten", "translate", "revise", "suggest", "refit", "retry", "write_rest", "compose"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """``article`` is what stood before the step when it is to be undone, and after it when it is to be redone."""

    action: str
    article: Article


@dataclass(frozen=True, slots=True)
class EditHistory:
    """``past`` ends with the latest step, ``future`` begins with the next one to redo."""

    article: Article
    past: tuple[Step, ...] = ()
    future: tuple[Step, ...] = ()

    def do(self, action: str, article: Article) -> EditHistory:
        """One step further; what had been undone is forgotten. Nothing happens where nothing changed.

        Beyond MAX_STEPS the oldest is forgotten. ``action`` is one of ACTIONS.
        """
        assert action in ACTIONS, action
        if article is self.article or article == self.article:
            return self
        return EditHistory(article, (*self.past, Step(action, self.article))[-MAX_STEPS:])

    def undo(self) -> EditHistory:
        """Raises EditError where there is nothing to undo."""
        if not self.past:
            raise EditError("nothing_to_undo")
        step = self.past[-1]
        return EditHistory(step.article, self.past[:-1], (Step(step.action, self.article), *self.future))

    def redo(self) -> EditHistory:
        """Raises EditError where there is nothing to redo."""
        if not self.future:
            raise EditError("nothing_to_redo")
        step = self.future[0]
        return EditHistory(step.article, (*self.past, Step(step.action, self.article)), self.future[1:])

    @property
    def undoable(self) -> str:
        """The action that ``undo`` takes back, or an empty string."""
        return self.past[-1].action if self.past else ""

    @property
    def redoable(self) -> str:
        return self.future[0].action if self.future else ""


def history_to_json(history: EditHistory) -> dict[str, Any]:
    """The article and up to KEPT_STEPS steps to either side, each section and picture once."""
    past, future = history.past[-KEPT_STEPS:], history.future[:KEPT_STEPS]
    articles = [*(step.article for step in past), history.article, *(step.article for step in future)]
    sections, placements = _Distinct[Section](), _Distinct[Placement]()
    rows = [
        {
            "title": article.title,
            "title_in_text": article.title_in_text,
            "preamble": article.preamble,
            "language": article.language,
            "sections": [sections.index(section) for section in article.sections],
            "placements": [placements.index(placement) for placement in article.placements],
        }
        for article in articles
    ]
    held = replace(history.article, sections=tuple(sections.items), placements=tuple(placements.items))
    return {
        "held": to_json(held),
        "articles": rows,
        "present": len(past),
        "actions": [step.action for step in (*past, *future)],
    }


def history_from_json(data: Mapping[str, Any]) -> EditHistory:
    """Read what ``history_to_json`` wrote. Raises ComposerError where it was not that."""
    try:
        held = from_json(data["held"])
        articles = [_article(held, row) for row in data["articles"]]
        actions, present = data["actions"], data["present"]
        if len(actions) != len(articles) - 1 or not 0 <= present < len(articles) or not set(actions) <= set(ACTIONS):
            raise ComposerError("steps_unreadable")
    except (KeyError, IndexError, TypeError) as error:
        raise ComposerError("steps_unreadable") from error
    return EditHistory(
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


T = TypeVar("T")


class _Distinct(Generic[T]):
    """Values by the order of their first appearance. Steps share objects, so identity tells them apart quickly."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._positions: dict[int, int] = {}

    def index(self, item: T) -> int:
        found = self._positions.setdefault(id(item), len(self.items))
        if found == len(self.items):
            self.items.append(item)
        return found
