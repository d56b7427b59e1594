"""What every reader of a file format gives: a document's paragraphs with their pages, and its pictures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from composer.article.language import count_words

FEWEST_WORDS = 5  # of a document that says anything
_SPACE = re.compile(r"\s+")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\ufeff\ufffe\uffff\ud800-\udfff]")
# What programs write into the title of a file where its author wrote nothing.
_NO_TITLE = re.compile(
    r"(?:microsoft (?:word|powerpoint) - .*|(?:un)?titled(?: document)?|document\d*|无标题.*"
    r"|.*\.(?:docx?|indd|tex|dvi|rtf|pdf))\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DocumentBlock:
    """A paragraph, list item or row: its words on one line, the page they begin on and the heading they stand under."""

    text: str
    page: str = ""
    heading: str = ""


@dataclass(frozen=True, slots=True)
class DocumentPicture:
    """A picture inside a document: the bytes of its file, what the document says of it, and how many of its blocks
    stand before it."""

    data: bytes
    caption: str = ""
    alt: str = ""
    after: int = 0


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """What a file says. ``title`` and ``author`` are empty where it names none; ``unread_pages`` hold no text, only
    pictures of it."""

    blocks: tuple[DocumentBlock, ...]
    title: str = ""
    author: str = ""
    pictures: tuple[DocumentPicture, ...] = ()
    unread_pages: int = 0

    @property
    def says_something(self) -> bool:
        return sum(count_words(block.text) for block in self.blocks) >= FEWEST_WORDS


def clean(text: str) -> str:
    """Words on one line: composed characters, no controls, soft hyphens or runs of white space."""
    return _SPACE.sub(" ", _UNPRINTABLE.sub("", unicodedata.normalize("NFC", text))).strip()


def usable_title(title: str) -> str:
    """A document's own title, empty where a program only filled the field."""
    title = clean(title)
    return "" if _NO_TITLE.match(title) else title[:200]


class BlockCollector:
    """Takes a document's pieces in reading order; keeps the heading and the page that a piece stands under."""

    def __init__(self) -> None:
        self.blocks: list[DocumentBlock] = []
        self.pictures: list[DocumentPicture] = []
        self.main_heading = ""
        self.page = ""
        self._heading = ""

    def heading(self, text: str, *, names_document: bool = False) -> None:
        self._heading = clean(text)[:200]
        if names_document:
            self.main_heading = self.main_heading or self._heading

    def paragraph(self, text: str) -> None:
        if words := clean(text):
            self.blocks.append(DocumentBlock(words, self.page, self._heading))

    def picture(self, data: bytes, caption: str = "", alt: str = "") -> None:
        if data:
            self.pictures.append(DocumentPicture(data, clean(caption), clean(alt), len(self.blocks)))

    def document(self, title: str = "", author: str = "", unread_pages: int = 0) -> SourceDocument:
        named = usable_title(title) or self.main_heading
        return SourceDocument(tuple(self.blocks), named, clean(author)[:200], tuple(self.pictures), unread_pages)


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
