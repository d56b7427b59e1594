"""The values that come with an action of the page, read strictly, and what they were meant for.

A page names sections and pictures by where it shows them. It may know less than the room does, if another window was
quicker: then the text or the picture that it showed tells what was meant. Knows no room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from composer.article.model import Article
from composer.errors import UsageError
from composer.export.sanitizing import encodable
from retrieval.candidates import Candidate

MAX_TEXT_CHARS = 60_000
Word = TypeVar("Word", bound=str)
_ABOUT_SECTIONS = frozenset(
    {
        "edit_text", "add_section", "delete_section", "move_section", "split_section", "merge_sections",
        "lock_section", "insert_picture", "add_place", "propose", "accept", "reject",
    }
)  # fmt: skip
_ABOUT_PLACES = frozenset(
    {
        "replace_picture", "show_picture", "remove_picture", "delete_picture", "move_picture", "set_caption",
        "set_alt", "lock_placement", "suggest",
    }
)  # fmt: skip


class Asked:
    """The values that came with an action, read strictly."""

    def __init__(self, values: Mapping[str, Any], found: Mapping[str, Candidate] | None = None) -> None:
        self._values = values
        self.found = found or {}  # pictures that a search or an upload brought up

    def text(self, name: str, most_chars: int = MAX_TEXT_CHARS) -> str:
        value = self._values.get(name, "")
        if not isinstance(value, str):
            raise UsageError(f"{name} is not a text", "malformed")
        if len(value) > most_chars:
            raise UsageError(
                f"{name} has {len(value):,} characters; at most {most_chars:,} are taken",
                "text_long",
                chars=f"{len(value):,}",
                most=f"{most_chars:,}",
            )
        return encodable(value)

    def number(self, name: str) -> int:
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise UsageError(f"{name} is not a number", "not_a_number")
        try:
            return int(value)
        except ValueError as error:
            raise UsageError(f"{name} is not a number", "not_a_number") from error

    def one_of(self, name: str, known: Sequence[Word]) -> Word:
        value = self.text(name, 100)
        for word in known:
            if word == value:
                return word
        raise UsageError(f"{name} is {value!r}; use one of: {', '.join(filter(None, known))}", "malformed")

    def flag(self, name: str) -> bool:
        return self._values.get(name) in (True, "true", "1", 1)

    @property
    def at(self) -> int:
        return self.number("at")

    def meet(self, name: str, article: Article | None) -> bool:
        """Whether what the page meant has been lost: a page may know less than the room, if another one was quicker.

        ``was`` is the text or the picture that the page showed at ``at``. Where it stands elsewhere by now, that
        becomes ``at``.
        """
        if "was" not in self._values or article is None or name not in _ABOUT_SECTIONS | _ABOUT_PLACES:
            return False
        was, at = _plain(self.text("was")), self.at
        standing = [_plain(section.text) for section in article.sections]
        if name in _ABOUT_PLACES:
            standing = [p.chosen.id if p.chosen is not None else _plain(p.slot.caption) for p in article.placements]
        if 0 <= at < len(standing) and standing[at] == was:
            return False
        places = [index for index, other in enumerate(standing) if other == was]
        if len(places) != 1:
            return True
        moved = {"at": places[0]}
        if "to" in self._values and name == "move_section":
            moved["to"] = self.number("to") + places[0] - at
        self._values = {**self._values, **moved}
        return False


def _plain(text: str) -> str:
    """Without what a browser's field does to white space."""
    return " ".join(text.split())
