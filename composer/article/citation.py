"""Where a sentence comes from: sources, passages of them, citations, and the numbered notes that exports print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# What a sentence ends with, before white space or the next sentence.
_ENDS = re.compile(r"""[.!?…。！？][”’"'」』）)\]]*\s*\Z""")


@dataclass(frozen=True, slots=True)
class Source:
    """A document that an article is written from. ``id`` is the SHA-256 of the file's bytes, ``file`` its name.

    ``title`` and ``author`` are what the document says of itself; the title is the file's name where it says nothing.
    """

    id: str
    file: str
    title: str
    author: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph or so of a source, by its id, as it stands there.

    ``page`` is the label printed on the page ("iv", "12"), empty where the document has no pages; ``heading`` is the
    one that the passage stands under.
    """

    source: str
    page: str
    text: str
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Citation:
    """A sentence as it stands in a section, the passages that support it, and how well, in [0, 1]."""

    sentence: str
    passages: tuple[Passage, ...]
    support: float


@dataclass(frozen=True, slots=True)
class Note:
    """A place in a source that sentences cite, printed once: ``page``, or a heading where there are no pages."""

    number: int
    source: Source
    page: str
    heading: str


@dataclass(frozen=True, slots=True)
class NoteMark:
    """Where a note's number stands: after so many characters of a section's text, for this citation."""

    at: int
    number: int
    citation: Citation


_NOTE = re.compile(r"(?<!\\)\[\^(\d{1,5})\]")


@dataclass(frozen=True, slots=True)
class Notes:
    """All notes of an article in the order of their numbers, and the marks of each section by rising offset."""

    notes: tuple[Note, ...] = ()
    marks: tuple[tuple[NoteMark, ...], ...] = ()
    # Cited sources in the order of their first note, each with the labels of the pages cited.
    sources: Mapping[Source, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def marked(self, section: int, text: str) -> str:
        """The section's Markdown with ``[^n]`` after every cited sentence; what looks like it otherwise is escaped."""
        if not self.notes:
            return text
        out, start = [], 0
        for mark in self.marks[section]:
            out.append(f"{self._unmarked(text[start : mark.at])}[^{mark.number}]")
            start = mark.at
        return "".join([*out, self._unmarked(text[start:])])

    def _unmarked(self, text: str) -> str:
        return _NOTE.sub(lambda m: f"[\\^{m[1]}]" if 1 <= int(m[1]) <= len(self.notes) else m[0], text)


def sentence_end(text: str, sentence: str) -> int | None:
    """Where a whole sentence of a text ends, or None where it does not stand there as one."""
    start = text.find(sentence) if sentence else -1
    while start >= 0:
        before, end = text[:start], start + len(sentence)
        opens = not before.strip() or before.endswith("\n") or _ENDS.search(before) is not None
        if opens and (end == len(text) or text[end].isspace() or not sentence[-1].isascii()):
            return end
        start = text.find(sentence, start + 1)
    return None


def standing(citations: Iterable[Citation], text: str) -> tuple[Citation, ...]:
    """The citations whose sentences stand in the text, each sentence once."""
    kept: dict[str, Citation] = {}
    for citation in citations:
        if citation.passages and sentence_end(text, citation.sentence) is not None:
            kept.setdefault(citation.sentence, citation)
    return tuple(kept.values())


def number_notes(texts: Sequence[str], citations: Sequence[Sequence[Citation]], sources: Sequence[Source]) -> Notes:
    """Numbers for what the sections cite, in reading order; a place that is cited again keeps its number."""
    known = {source.id: source for source in sources}
    notes: dict[tuple[str, str, str], Note] = {}
    marks: list[tuple[NoteMark, ...]] = []
    for text, cited in zip(texts, citations, strict=True):
        ends = [(end, c) for c in cited if (end := sentence_end(text, c.sentence)) is not None]
        found: dict[tuple[int, int], NoteMark] = {}
        for end, citation in sorted(ends, key=lambda entry: entry[0]):
            for passage in citation.passages:
                if passage.source not in known:
                    continue
                heading = "" if passage.page else passage.heading
                place = (passage.source, passage.page, heading)
                if place not in notes:
                    notes[place] = Note(len(notes) + 1, known[passage.source], passage.page, heading)
                number = notes[place].number
                found.setdefault((end, number), NoteMark(end, number, citation))
        marks.append(tuple(found.values()))
    pages: dict[Source, dict[str, None]] = {}
    for note in notes.values():
        pages.setdefault(note.source, {}).update({note.page: None} if note.page else {})
    return Notes(tuple(notes.values()), tuple(marks), {source: _in_order(found) for source, found in pages.items()})


def _in_order(pages: Iterable[str]) -> tuple[str, ...]:
    """Roman and other labels in the order they are cited, then numbers by their size."""
    return tuple(sorted(pages, key=lambda page: int(page) if page.isdecimal() else -1))
