"""The article as one clean page of HTML: header, sections, figures with captions and credits, style inside.

The app shows the same blocks this page is made of, so what is previewed is what is exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from importlib.resources import files
from typing import Literal

from composer.article.citation import Notes
from composer.article.language import is_foreign, writing_language
from composer.article.markdown import plain_text
from composer.article.model import Article, Placement
from composer.export.document_tree import FigureBlock, note_words, source_words, to_figure
from composer.export.figure_size import COLUMN_PX, shown_width_px
from composer.export.markdown_html import (
    DocumentReader,
    TextPictureUrl,
    attribute,
    dir_attribute,
    inline_html,
    whole_text,
)
from composer.export.picture_urls import PictureUrl
from composer.export.sanitizing import printable_article
from composer.i18n import tables

_DESCRIPTION_CHARS = 160

# No script, frame, form or foreign style may load, should anything hostile ever survive the escaping.
_POLICY = (
    "default-src 'none'; img-src 'self' data: file:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-src 'none'"
)


@dataclass(frozen=True, slots=True)
class HtmlBlock:
    """One piece of the page in reading order; ``index`` is that of the section or placement, else 0."""

    kind: Literal["title", "section", "figure", "notes"]
    index: int
    html: str


def blocks(
    article: Article, picture_url: PictureUrl, text_picture_url: TextPictureUrl | None = None
) -> Iterator[HtmlBlock]:
    """The title, each section, each picture that was chosen after its section, and at last notes and sources."""
    article = printable_article(article)
    notes = article.notes
    if not article.title_in_text:
        yield HtmlBlock(
            "title", 0, f"<header>\n<h1{dir_attribute(article.title)}>{inline_html(article.title)}</h1>\n</header>\n"
        )
    references = NoteReferences(article.language)
    reader = DocumentReader(whole_text(article), text_picture_url, len(notes.notes), references)

    def shown(index: int, *, beside: bool = False) -> HtmlBlock:
        html = figure(article.placements[index], picture_url, article.language, beside=beside)
        return HtmlBlock("figure", index, html)

    for section, text in enumerate(section.text for section in article.sections):
        if (beside := article.beside(section)) is not None:
            yield shown(beside, beside=True)
        yield HtmlBlock("section", section, reader.html(notes.marked(section, text)))
        for index in article.below(section):
            if article.placements[index].chosen is not None:
                yield shown(index)
    if printed := notes_html(notes, reader, article.language):
        yield HtmlBlock("notes", 0, printed)


class NoteReferences:
    """The raised numbers in the text, each a link to its note, which leads back to the first of them."""

    def __init__(self, language: str) -> None:
        self._label = tables(language.partition("-")[0])["document"]["note"]
        self._seen: set[int] = set()

    def __call__(self, number: int) -> str:
        anchor = "" if number in self._seen else f' id="cite-{number}"'
        self._seen.add(number)
        label = attribute(self._label.format(number=number))
        link = f'<a href="#note-{number}"{anchor} role="doc-noteref" aria-label="{label}">{number}</a>'
        return f'<sup class="cite">{link}</sup>'


def notes_html(notes: Notes, reader: DocumentReader, language: str) -> str:
    """What the article cites and the text's own notes by their numbers, and the list of sources; empty without any.

    Well-formed XML too.
    """
    words = tables(language.partition("-")[0])["document"]
    cited = [(note.number, f"{escape(note_words(note, language))} ") for note in notes.notes]
    entries = [
        f'<li id="note-{number}">{html}'
        f'<a href="#cite-{number}" role="doc-backlink" aria-label="{attribute(words["back"])}">↩</a></li>\n'
        if number
        else f"<li>{html}</li>\n"
        for number, html in (*cited, *reader.notes_html())
    ]
    if not entries:
        return ""
    printed = (
        f'<section class="notes" role="doc-endnotes">\n<h2>{escape(words["notes"])}</h2>\n'
        f"<ol>\n{''.join(entries)}</ol>\n</section>\n"
    )
    listed = "".join(
        f"<li>{_source_html(source_words(source, pages, language))}</li>\n" for source, pages in notes.sources.items()
    )
    if not listed:
        return printed
    return (
        f'{printed}<section class="sources" role="doc-bibliography">\n<h2>{escape(words["sources"])}</h2>\n'
        f"<ul>\n{listed}</ul>\n</section>\n"
    )


def _source_html(pieces: Sequence[tuple[str, bool]]) -> str:
    return "".join(f"<cite>{escape(text)}</cite>" if title else escape(text) for text, title in pieces)


def to_html(article: Article, picture_url: PictureUrl, text_picture_url: TextPictureUrl | None = None) -> str:
    """The whole document: one file with ``urls.inside``, one that lives next to ``images/`` with ``urls.beside``."""
    article = printable_article(article)
    title = plain_text(article.title) or "Vignette"
    body = "".join(block.html for block in blocks(article, picture_url, text_picture_url))
    description = summary(article)
    described = f'<meta name="description" content="{attribute(description)}">\n' if description else ""
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="{attribute(article.language)}">\n'
        "<head>\n"
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="generator" content="Vignette">\n'
        f"{described}"
        f"<title>{escape(title)}</title>\n"
        f"<style>\n{stylesheet()}</style>\n"
        "</head>\n"
        '<body class="vignette-page">\n'
        f'<article class="vignette">\n{body}</article>\n'
        "</body>\n"
        "</html>\n"
    )


def figure(placement: Placement, picture_url: PictureUrl, language: str = "en", *, beside: bool = False) -> str:
    """A picture with its caption and credit; with ``beside`` it stands at its side of the text that follows."""
    shown = to_figure(placement, language)
    record = placement.chosen
    assert record is not None
    width_px = shown_width_px(record.width_px, record.height_px, most_share=placement.width_share)
    size = f' width="{record.width_px}" height="{record.height_px}" style="width:{width_px}px"' if width_px else ""
    image = f'<img src="{attribute(picture_url(record))}" alt="{attribute(shown.alt)}"{size} decoding="async">'
    caption = figcaption(shown)
    own = f' lang="{writing_language(language)}"' if is_foreign(language) else ""
    narrow = ' class="narrow"' if width_px and width_px < COLUMN_PX else ""
    if beside:
        narrow = f' class="beside {placement.side}" style="width:{beside_share(placement):.2%}"'
    return f"<figure{narrow}{own}>\n{image}\n{caption + chr(10) if caption else ''}</figure>\n"


def beside_share(placement: Placement) -> float:
    """The share of the column's width that a picture at a side takes."""
    assert placement.chosen is not None
    record = placement.chosen
    shown_px = shown_width_px(record.width_px, record.height_px, most_share=placement.width_share)
    return (shown_px or COLUMN_PX * placement.width_share) / COLUMN_PX


def figcaption(shown: FigureBlock) -> str:
    """Caption and credit of a picture; the credit links to where the picture came from. Empty where there is neither.

    Well-formed XML too.
    """
    lines = []
    if shown.caption:
        lines.append(f'<span class="caption"{dir_attribute(shown.caption)}>{escape(shown.caption)}</span>')
    if shown.credit:
        credit = escape(shown.credit)
        if shown.source_url:
            credit = f'<a href="{attribute(shown.source_url)}">{credit}</a>'
        lines.append(f'<span class="credit"{dir_attribute(shown.credit)}>{credit}</span>')
    return f"<figcaption>{' '.join(lines)}</figcaption>" if lines else ""


def summary(article: Article) -> str:
    """The first words of the article's first paragraph, whole words, for search engines and link previews."""
    for section in article.sections:
        text = plain_text(section.body)
        if not text:
            continue
        if len(text) <= _DESCRIPTION_CHARS:
            return text
        cut = text.rfind(" ", _DESCRIPTION_CHARS // 2, _DESCRIPTION_CHARS)
        return text[: cut if cut > 0 else _DESCRIPTION_CHARS - 1].rstrip(" ,;:，；：、") + "…"
    return ""


@lru_cache(maxsize=1)
def stylesheet() -> str:
    return files("composer.export").joinpath("styles/article.css").read_text(encoding="utf-8")
