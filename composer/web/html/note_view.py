"""Notes as the page shows them: a raised number opens the passage that its sentence is written from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from html import escape

from composer.article.citation import Note, NoteMark, Notes
from composer.export.document_tree import note_words
from composer.export.html import notes_html
from composer.export.markdown_html import DocumentReader, attribute
from composer.export.sanitizing import encodable
from composer.web.html.context import Words


class NoteButtons:
    """The numbers in a section's text, in its order: each a button that opens its passage (see ``passages_html``)."""

    def __init__(self, cited: int, label: str) -> None:
        """``cited`` is the number of the last note that is of a source; further ones are the text's own."""
        self._cited, self._label = cited, label
        self.begin("")

    def begin(self, text: str) -> None:
        """The section's text as it is parsed next."""
        self._text, self._count = text, 0

    def __call__(self, number: int) -> str:
        if number > self._cited:
            return f"<sup>{number}</sup>"
        target = _passage_id(self._text, self._count)
        self._count += 1
        label = attribute(self._label.format(number=number))
        button = f'<button type="button" popovertarget="{target}" aria-label="{label}">{number}</button>'
        return f'<sup class="cite">{button}</sup>'


def passages_html(text: str, marks: Sequence[NoteMark], notes: Notes, language: str, words: Words) -> str:
    """What the buttons of a section open: the passages of the note's place that the sentence cites."""
    return "".join(
        f'<div class="passage" popover id="{_passage_id(text, count)}" lang="{attribute(language)}">'
        f"<p><b>{escape(note_words(notes.notes[mark.number - 1], language))}</b></p>{_quoted(mark, notes)}"
        f"<p>{escape(words['cited_support'].format(support=mark.citation.support))}</p></div>"
        for count, mark in enumerate(marks)
    )


def notes_block(notes: Notes, reader: DocumentReader, language: str) -> str:
    """All notes and the list of sources, under the article."""
    listed = notes_html(notes, reader, language)
    return f'<div class="notes-block vignette" lang="{attribute(language)}">{listed}</div>'


def _quoted(mark: NoteMark, notes: Notes) -> str:
    note = notes.notes[mark.number - 1]
    return "".join(
        f"<blockquote>{escape(passage.text)}</blockquote>"
        for passage in mark.citation.passages
        if _stands_at(passage.source, passage.page, passage.heading, note)
    )


def _stands_at(source: str, page: str, heading: str, note: Note) -> bool:
    return (source, page) == (note.source.id, note.page) and (bool(page) or heading == note.heading)


def _passage_id(text: str, count: int) -> str:
    return f"passage-{hashlib.blake2b(encodable(text).encode(), digest_size=6).hexdigest()}-{count}"
