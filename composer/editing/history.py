"""Undo and redo: a value that holds the article and the steps to both sides of it.

Articles share what an edit did not touch, so a step costs little more than what it changed. Knows no edits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from composer.article.model import Article
from composer.editing.wording import ACTIONS
from composer.errors import EditError

MAX_STEPS = 200


@dataclass(frozen=True, slots=True)
class Step:
    """``article`` is what stood before the step when it is to be undone, and after it when it is to be redone."""

    action: str
    article: Article


@dataclass(frozen=True, slots=True)
class History:
    """``past`` ends with the latest step, ``future`` begins with the next one to redo."""

    article: Article
    past: tuple[Step, ...] = ()
    future: tuple[Step, ...] = ()

    @classmethod
    def begin(cls, article: Article) -> History:
        return cls(article)

    def do(self, action: str, article: Article) -> History:
        """One step further; what had been undone is forgotten. Nothing happens where nothing changed.

        Beyond MAX_STEPS the oldest is forgotten. Raises ValueError for an action that has no name.
        """
        if action not in ACTIONS:
            raise ValueError(f"action {action!r} has no name; known: {', '.join(ACTIONS)}")
        if article is self.article or article == self.article:
            return self
        return History(article, (*self.past, Step(action, self.article))[-MAX_STEPS:])

    def undo(self) -> History:
        """Raises EditError where there is nothing to undo."""
        if not self.past:
            raise EditError("there is nothing to undo", "nothing_to_undo")
        step = self.past[-1]
        return History(step.article, self.past[:-1], (Step(step.action, self.article), *self.future))

    def redo(self) -> History:
        """Raises EditError where there is nothing to redo."""
        if not self.future:
            raise EditError("there is nothing to redo", "nothing_to_redo")
        step = self.future[0]
        return History(step.article, (*self.past, Step(step.action, self.article)), self.future[1:])

    def replaced(self, article: Article) -> History:
        """Another article in place of this one, without a step: what a running stage has done so far."""
        return replace(self, article=article)

    @property
    def undoable(self) -> str:
        """The action that ``undo`` takes back, or an empty string."""
        return self.past[-1].action if self.past else ""

    @property
    def redoable(self) -> str:
        return self.future[0].action if self.future else ""
