"""The article as Markdown (CommonMark): the sections as they are, a picture as one block after its section.

A picture's block is an image, a line with its caption and a line with its credit. Taking the blocks away again gives
the user's own text back to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from composer.article.citation import Notes
from composer.article.model import Article, Placement
from composer.export.document_tree import note_words, source_words, to_figure
from composer.export.markdown_html import open_fence
from composer.export.picture_urls import PictureUrl
from composer.export.sanitizing import encodable, one_line
from composer.i18n import tables

_BLANK_LINE = re.compile(r"\n[ \t]*\r?\n")
_ACTIVE = re.compile(r"[\\`*_\[\]<>~$|]|&(?=#|\w+;)|!(?=\[)")


def to_markdown(article: Article, picture_url: PictureUrl) -> str:
    """The whole document. It starts with the user's own preamble where there is one, or else with a title line."""
    return "".join(text for _, text in parts(article, picture_url))


def parts(article: Article, picture_url: PictureUrl) -> Iterator[tuple[bool, str]]:
    """The document in pieces, each marked as the article's own words (True) or added for a picture (False)."""
    if article.preamble:
        yield True, encodable(article.preamble)
    elif not article.title_in_text:
        yield True, f"# {one_line(article.title)}\n\n"
    last = len(article.sections) - 1
    notes = article.notes
    for index, section in enumerate(article.sections):
        yield True, encodable(notes.marked(index, section.text))
        blocks = [
            picture_block(p, picture_url, article.language)
            for p in article.placements_after(index)
            if p.chosen is not None
        ]
        # Left open, a block of code would swallow every picture and section after it.
        if (blocks or index < last) and (fence := open_fence(section.text)):
            yield False, ("" if section.text.endswith("\n") else "\n") + fence
        if blocks:
            added = "\n\n" + "\n\n".join(blocks)
            # Without a blank line the next paragraph would run on inside the block.
            if index < last and not _BLANK_LINE.search(section.gap):
                added += "\n\n"
            yield False, added
        yield True, encodable(section.gap)
    if notes.notes:
        yield False, notes_block(notes, article.language)


def notes_block(notes: Notes, language: str) -> str:
    """The list of sources, and the notes as footnotes of Markdown (pandoc's, which GitHub and most others read)."""
    heading = tables(language.partition("-")[0])["document"]["sources"]
    listed = [_source_line(source_words(source, pages, language)) for source, pages in notes.sources.items()]
    printed = [f"[^{note.number}]: {escape(note_words(note, language))}" for note in notes.notes]
    return "\n".join(["", f"## {heading}", "", *listed, "", *printed, ""])


def _source_line(pieces: Sequence[tuple[str, bool]]) -> str:
    return "- " + "".join(f"*{escape(text)}*" if title else _ACTIVE.sub(r"\\\g<0>", text) for text, title in pieces)


def picture_block(placement: Placement, picture_url: PictureUrl, language: str = "en") -> str:
    """Image, caption and credit as one paragraph of up to three lines, joined by hard breaks."""
    shown = to_figure(placement, language)
    assert placement.chosen is not None
    lines = [f"![{escape(shown.alt)}]({picture_url(placement.chosen)})"]
    if caption := escape(shown.caption):
        lines.append(f"*{caption}*")
    if credit := escape(shown.credit):
        lines.append(f"[{credit}]({shown.source_url})" if shown.source_url else credit)
    return "\\\n".join(lines)


def escape(text: str) -> str:
    """Text from anywhere as one line of plain Markdown: shown as written, never as markup.

    A line of a picture's block never starts a block of its own, except for the few signs handled here.
    """
    line = _ACTIVE.sub(lambda match: "\\" + match[0], one_line(text))
    # At the start of a line these would open a heading, list or quote, or turn the line above into one.
    return re.sub(r"^(?:(\d+)([.)])|([#+=-]))", lambda m: f"{m[1]}\\{m[2]}" if m[1] else f"\\{m[3]}", line)
