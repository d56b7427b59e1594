"""The article: what is shown and exported is made from this value alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

from composer.article.citation import Citation, Notes, Source, number_notes, standing
from composer.article.language import writing_language
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from vision.errors import Phrase

# The words of a heading, without closing signs and the names that Pandoc and Hugo take in braces.
_HEADING = re.compile(r"#{1,6}[ \t]+(\S(?:.*?\S)?)(?:[ \t]+#+)?(?:[ \t]*\{[#.][^{}]*\})?\s*")
# Where words under a picture are from: the library (and a dictionary), a model, or whoever edits; "" is not known.
WordsOrigin: TypeAlias = Literal["", "metadata", "drafted", "person"]
# Where a picture stands: across the column, or at one side of its section's text.
Side: TypeAlias = Literal["", "left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)
WIDTH_SHARES = (1.0, 0.75, 0.5, 0.33)  # of the column
WIDEST_BESIDE = 0.5


@dataclass(frozen=True, slots=True)
class Section:
    """A block of Markdown that a picture may follow: a paragraph, list, table or quote.

    A heading belongs to the block under it: ``text`` then starts with the heading line. ``gap`` is the white space
    between this block and the next, kept so that a user's own text survives to the byte.
    A ``locked`` section changes only after it was unlocked; ``edited`` tells that a person wrote or approved the text,
    so that no stage run again replaces it. ``citations`` are of sentences that stand in the text: whatever changes the
    text, those of other sentences go.
    """

    text: str
    gap: str = "\n\n"
    locked: bool = False
    edited: bool = False
    citations: tuple[Citation, ...] = ()
    unchecked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.citations:
            object.__setattr__(self, "citations", standing(self.citations, self.text))
        if self.unchecked:
            object.__setattr__(self, "unchecked", tuple(claim for claim in self.unchecked if claim in self.text))

    @property
    def locked_or_edited(self) -> bool:
        """Whether it stays as it is when the text is written anew."""
        return self.locked or self.edited

    @property
    def heading(self) -> str:
        """The heading's words, or an empty string."""
        match = _HEADING.fullmatch(self.text.split("\n", 1)[0])
        return match[1] if match else ""

    @property
    def body(self) -> str:
        """The text without a leading heading line."""
        if not self.heading:
            return self.text
        _, _, rest = self.text.partition("\n")
        return rest.strip("\n")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a picture: after the section with that index (0-based), showing what ``caption`` describes.

    ``caption`` is in the article's language, ``query`` the same in English for an encoder that reads English only.
    ``score`` is the log-odds the model gave the place.
    """

    after_section: int
    caption: str
    query: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Placement:
    """What became of a slot. ``chosen`` is None where nothing fitted; ``reason`` says why either way.

    ``caption`` and ``alt`` are those to print, each with where it is from, ``credit`` the line naming author and
    licence. A ``locked`` placement changes only after it was unlocked; ``edited`` tells that a person chose it, so that
    no stage run again does. ``width_share`` is how much of the column it takes at most, ``side`` where its section's
    text runs beside it.
    """

    slot: Slot
    candidates: tuple[Candidate, ...]
    chosen: ImageRecord | None
    reason: tuple[Phrase, ...]
    caption: str = ""
    alt: str = ""
    credit: str = ""
    locked: bool = False
    edited: bool = False
    caption_origin: WordsOrigin = ""
    alt_origin: WordsOrigin = ""
    width_share: float = 1.0
    side: Side = ""

    @property
    def locked_or_edited(self) -> bool:
        """Whether it stays as it is when pictures are placed or chosen again."""
        return self.locked or self.edited


@dataclass(frozen=True, slots=True)
class Article:
    """A title, sections in reading order, and placements sorted by slot.

    ``title_in_text`` is true where a user's own text had no title: ``title`` then only names the document and is not
    printed above it. ``provenance`` names models, seed, library and versions; it holds no times, so that the same
    request gives the same file. ``sources`` are the documents that the text was written from.
    """

    title: str
    language: str
    sections: tuple[Section, ...]
    placements: tuple[Placement, ...] = ()
    # Mappings take no part in the hash, so that an article has one.
    provenance: Mapping[str, Any] = field(default_factory=dict, hash=False)
    title_in_text: bool = False
    # A user's own text before its first section, to the byte: front matter and title line. Markdown starts with it
    # instead of a title line of our own.
    preamble: str = ""
    # File names inside images/ by record id, given when the article is saved.
    files: Mapping[str, str] = field(default_factory=dict, hash=False)
    sources: tuple[Source, ...] = ()

    @property
    def notes(self) -> Notes:
        """The numbered notes that exports print, and where their numbers stand; none for a text without citations."""
        if not any(section.citations for section in self.sections):
            return Notes()
        texts = [section.text for section in self.sections]
        return number_notes(texts, [section.citations for section in self.sections], self.sources)

    @property
    def pictures(self) -> tuple[ImageRecord, ...]:
        """The chosen pictures in reading order."""
        return tuple(p.chosen for p in self.placements if p.chosen is not None)

    @property
    def writing_language(self) -> str:
        """The language that captions and new paragraphs are written in: the article's own, where it can be."""
        return writing_language(self.language)

    def placements_after(self, section: int) -> tuple[Placement, ...]:
        return tuple(p for p in self.placements if p.slot.after_section == section)

    def beside(self, section: int) -> int | None:
        """The index of the placement whose picture the section's text runs beside: the first one that is to."""
        return next(
            (
                index
                for index, placement in enumerate(self.placements)
                if placement.slot.after_section == section and placement.side and placement.chosen is not None
            ),
            None,
        )

    def below(self, section: int) -> tuple[int, ...]:
        """The indices of the placements that stand after the section, below its text."""
        beside = self.beside(section)
        return tuple(
            index
            for index, placement in enumerate(self.placements)
            if placement.slot.after_section == section and index != beside
        )

    def with_placements(self, placements: tuple[Placement, ...]) -> Article:
        ordered = sorted(placements, key=lambda p: p.slot.after_section)
        return replace(self, placements=tuple(ordered))
