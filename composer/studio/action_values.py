"""The values that come with an action of the page, read strictly, and what they were meant for.

A page names sections and pictures by where it shows them. It may know less than the session does, if another window
was quicker: then the text or the picture that it showed says what was meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from composer.article.model import Article
from composer.errors import EditError, UsageError
from composer.export.sanitizing import encodable
from composer.fields import typed
from retrieval.candidates import Candidate

MAX_TEXT_CHARS = 60_000
MAX_NUMBER = 2**31 - 1
Word = TypeVar("Word", bound=str)
_ABOUT_SECTIONS = frozenset(
    {
        "edit_text", "add_section", "delete_section", "move_section", "split_section", "merge_sections",
        "lock_section", "insert_picture", "add_place", "propose", "accept", "reject",
        "check_claim",
    }
)  # fmt: skip
_ABOUT_PLACES = frozenset(
    {
        "replace_picture", "show_picture", "remove_picture", "delete_picture", "move_picture", "set_caption",
        "set_alt", "confirm_words", "lock_placement", "set_size", "suggest", "take_suggestion", "drop_suggestion",
    }
)  # fmt: skip


class ActionValues:
    """The values by name. ``found`` are pictures that a search or an upload brought up. Every method raises UsageError
    for a value of another kind."""

    def __init__(self, values: Mapping[str, Any], found: Mapping[str, Candidate] | None = None) -> None:
        self._values = values
        self._found = found or {}

    def text(self, name: str, most_chars: int = MAX_TEXT_CHARS) -> str:
        value: str = typed(name, self._values.get(name, ""), str)
        if len(value) > most_chars:
            raise UsageError("text_long", chars=len(value), most=most_chars)
        return encodable(value)

    def texts(self, name: str, most_chars: int) -> list[str]:
        """A list of short texts; those without a word are left out."""
        given = typed(name, self._values.get(name, []), list)
        for text in given:
            if len(typed(name, text, str)) > most_chars:
                raise UsageError("text_long", chars=len(text), most=most_chars)
        return [encodable(text) for text in given if text.strip()]

    def number(self, name: str) -> int:
        value = self._values.get(name)
        try:
            # A text of many digits would take long to read.
            if (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and len(value) < 20):
                number = int(value)
                if abs(number) <= MAX_NUMBER:
                    return number
        except ValueError:
            pass
        raise UsageError("not_a_number")

    def share(self, name: str) -> float:
        """A part of a whole, up to 1."""
        value = self._values.get(name)
        try:
            if isinstance(value, (int, float)) or (isinstance(value, str) and len(value) < 20):
                share = float(value)
                if 0 < share <= 1 and not isinstance(value, bool):
                    return share
        except ValueError:
            pass
        raise UsageError("not_a_number")

    def one_of(self, name: str, known: Sequence[Word]) -> Word:
        value = self.text(name, 100)
        for word in known:
            if word == value:
                return word
        raise UsageError("field_choice", field=name, given=value, known=[word for word in known if word])

    def flag(self, name: str) -> bool:
        return self._values.get(name) in (True, "true", "1", 1)

    def candidate(self) -> Candidate:
        """The picture of the given id. Raises EditError where it is not among those found."""
        candidate = self._found.get(self.text("id", 100))
        if candidate is None:
            raise EditError("not_found")
        return candidate

    @property
    def at(self) -> int:
        return self.number("at")

    def resolve_target(self, action: str, article: Article | None) -> bool:
        """False where what the page meant is gone.

        ``was`` is the text or the picture that the page showed at ``at``. Where it stands elsewhere by now, that
        becomes ``at``.
        """
        if "was" not in self._values or article is None or action not in _ABOUT_SECTIONS | _ABOUT_PLACES:
            return True
        was, at = _plain(self.text("was")), self.at
        present = [_plain(section.text) for section in article.sections]
        if action in _ABOUT_PLACES:
            present = [p.chosen.id if p.chosen is not None else _plain(p.slot.caption) for p in article.placements]
        if 0 <= at < len(present) and present[at] == was:
            return True
        places = [index for index, other in enumerate(present) if other == was]
        if len(places) != 1:
            return False
        moved = {"at": places[0]}
        if "to" in self._values and action == "move_section":
            moved["to"] = self.number("to") + places[0] - at
        self._values = {**self._values, **moved}
        return True


def _plain(text: str) -> str:
    """Without what a browser's field does to white space."""
    return " ".join(text.split())
