"""A text that a model proposes for a section, and what accepting it does. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from composer.article.model import Article
from composer.editing.sections import edit_text
from composer.errors import EditError

ProposalAction: TypeAlias = Literal["rewrite", "expand", "shorten", "translate"]
PROPOSAL_ACTIONS: tuple[ProposalAction, ...] = ("rewrite", "expand", "shorten", "translate")


@dataclass(frozen=True, slots=True)
class Delta:
    """Markdown as it is written; since the last ``Restarted``, all deltas joined are the text so far."""

    text: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """The text so far was no good, for this reason; another attempt follows."""

    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a section might become: the whole Markdown ``before`` and ``after``."""

    section: int
    before: str
    after: str


ProposalEvent: TypeAlias = Delta | Restarted | Proposal


def accept(article: Article, proposal: Proposal) -> Article:
    """Take the proposal over. Its section is found again where others before it came or went.

    Raises EditError where the section's text has changed since.
    """
    at = [i for i, section in enumerate(article.sections) if section.text == proposal.before]
    if not at:
        raise EditError("the section has changed since the proposal was made; ask for another one", "proposal_old")
    section = min(at, key=lambda i: abs(i - proposal.section))
    return edit_text(article, section, proposal.after)
