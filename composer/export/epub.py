"""The article as an e-book: EPUB 3.3 with navigation, language, alternative texts and accessibility metadata.

The container is a zip of a few files that the standard fixes (https://www.w3.org/TR/epub-33/), written here: the
libraries for it stamp the time of day into every file. XHTML comes from the same renderer as the page, is parsed as
XML before it is packed, and loads nothing from outside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import Any
from uuid import UUID

from composer.article.language import is_foreign, writing_language
from composer.article.markdown import plain_text
from composer.article.model import Article, Placement
from composer.export.document_tree import to_figure
from composer.export.figure_size import COLUMN_PX, shown_width_px
from composer.export.html import NoteReferences, figcaption, notes_html
from composer.export.links import link_address
from composer.export.markdown_html import DocumentReader, attribute, dir_attribute, inline_html, whole_text
from composer.export.picture_export import Pictures, PreparedPicture
from composer.export.sanitizing import is_right_to_left, printable_article
from composer.export.zipping import packed
from composer.i18n import tables
from image_db.metadata.record import ImageRecord

_XHTML = "http://www.w3.org/1999/xhtml"
_OPS = "http://www.idpf.org/2007/ops"
_CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""


def to_epub(article: Article, pictures: Pictures, made: datetime, summary: str = "") -> bytes:
    """The file; the same article and time give the same bytes. Raises ImageError for a missing picture."""
    clean = printable_article(article)
    title = plain_text(clean.title) or "Vignette"
    language = clean.language
    words = tables(language.partition("-")[0])["document"]
    book = _Book(clean, pictures)
    body = "".join(book.body())
    root, headings = _checked(_page(title, language, body, stylesheet=True), title, book.images)
    chapter = _xml(root)
    navigation = _page(words["contents"], language, _navigation(words["contents"], headings))
    identifier = UUID(hashlib.sha256(chapter + title.encode()).hexdigest()[:32], version=5)
    package = _package(
        title=title,
        language=language,
        summary=summary,
        accessibility=words["accessibility"],
        identifier=f"urn:uuid:{identifier}",
        made=made,
        book=book,
    )
    entries = [
        ("mimetype", b"application/epub+zip"),
        ("META-INF/container.xml", _CONTAINER.encode()),
        ("EPUB/package.opf", package.encode()),
        ("EPUB/nav.xhtml", navigation.encode()),
        ("EPUB/article.xhtml", chapter),
        ("EPUB/epub.css", files("composer.export").joinpath("styles/epub.css").read_bytes()),
        *((f"EPUB/images/{name}", data) for name, (_, data) in book.images.items()),
    ]
    return packed(entries, stored=["mimetype"])


class _Book:
    """The body's pieces; ``images`` fills up while they are made: name in the book to media type and bytes."""

    def __init__(self, article: Article, pictures: Pictures) -> None:
        self._article = article
        self._pictures = pictures
        self.images: dict[str, tuple[str, bytes]] = {}

    def body(self) -> Iterator[str]:
        article = self._article
        if not article.title_in_text:
            yield f"<header><h1{dir_attribute(article.title)}>{inline_html(article.title)}</h1></header>\n"
        notes = article.notes
        references = NoteReferences(article.language)
        reader = DocumentReader(whole_text(article), self._text_picture, len(notes.notes), references)
        for index, section in enumerate(article.sections):
            if (beside := article.beside(index)) is not None:
                yield self._figure(article.placements[beside], beside=True)
            yield reader.html(notes.marked(index, section.text))
            for number in article.below(index):
                if article.placements[number].chosen is not None:
                    yield self._figure(article.placements[number])
        if printed := notes_html(notes, reader, article.language):
            yield printed

    def _text_picture(self, address: str) -> str:
        picture = self._pictures.of_text(address)
        return f"images/{self._add(address, picture)}" if picture is not None else ""

    def _add(self, id_: str, picture: PreparedPicture) -> str:
        name = f"picture-{hashlib.sha256(id_.encode()).hexdigest()[:10]}{picture.kind.suffix}"
        self.images[name] = (picture.kind.media_type, picture.data)
        return name

    def _figure(self, placement: Placement, *, beside: bool = False) -> str:
        figure = to_figure(placement, self._article.language)
        assert isinstance(figure.picture, ImageRecord)  # those of the text stand in its HTML
        picture = self._pictures.ready(figure.picture)
        name = self._add(figure.picture.id, picture)
        tag = writing_language(self._article.language)
        own = f' lang="{tag}" xml:lang="{tag}"' if is_foreign(self._article.language) else ""
        shown_px = shown_width_px(picture.width_px, picture.height_px, most_share=placement.width_share)
        share = 100 * shown_px / COLUMN_PX
        if beside:
            own += f' class="{placement.side}" style="width: {share:.0f}%"'
            share = 100
        return (
            f'<figure{own}><img src="images/{name}" alt="{attribute(figure.alt)}" style="width: {share:.0f}%"/>'
            f"{figcaption(figure)}</figure>\n"
        )


def _page(title: str, language: str, body: str, *, stylesheet: bool = False) -> str:
    style = '<link rel="stylesheet" type="text/css" href="epub.css"/>' if stylesheet else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n'
        f'<html xmlns="{_XHTML}" xmlns:epub="{_OPS}" lang="{language}" xml:lang="{language}">\n'
        f"<head><title>{escape(title)}</title>{style}</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _checked(page: str, title: str, images: Container[str]) -> tuple[Any, list[tuple[int, str, str]]]:
    """The page as XML, fit for a book, and its headings as (level, anchor, words).

    A book has no neighbours: links to other files are unwrapped and pictures beside the text named by their words.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    root = etree.fromstring(page.encode(), parser)
    headings: list[tuple[int, str, str]] = []
    for element in list(root.iter(f"{{{_XHTML}}}a", f"{{{_XHTML}}}img")):
        tag = etree.QName(element).localname
        if tag == "a":
            if element.get("href", "").startswith(("#note-", "#cite-")) and element.get("role"):
                if element.get("role") == "doc-noteref":
                    element.set(f"{{{_OPS}}}type", "noteref")
            elif address := link_address(element.get("href", "")):
                element.set("href", address)
            else:
                _unwrap(element)
        elif tag == "img" and element.get("src", "").removeprefix("images/") not in images:
            element.text = element.get("alt", "")
            _unwrap(element)
    for number, element in enumerate(
        root.iter(*(f"{{{_XHTML}}}h{level}" for level in range(1, 7))),
        start=1,
    ):
        element.set("id", f"heading-{number}")
        words = " ".join("".join(element.itertext()).split())
        headings.append((int(element.tag[-1]), f"heading-{number}", words or title))
    return root, headings


def _unwrap(element: Any) -> None:
    """Put an element's content in its place."""
    parent, previous = element.getparent(), element.getprevious()
    pieces = [element.text or "", *element, element.tail or ""]
    at = parent.index(element)
    element.tail = None
    parent.remove(element)
    last: Any = previous
    for piece in pieces:
        if not isinstance(piece, str):
            parent.insert(at, piece)
            at, last = at + 1, piece
        elif last is None:
            parent.text = (parent.text or "") + piece
        else:
            last.tail = (last.tail or "") + piece


def _xml(root: Any) -> bytes:
    from lxml import etree

    data: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True, doctype="<!DOCTYPE html>")
    return data


def _navigation(word: str, headings: list[tuple[int, str, str]]) -> str:
    """The contents, nested by level; a text without headings gets one entry, for the standard wants one."""
    entries = headings or [(1, "", word)]
    parts = [f'<nav epub:type="toc" id="toc" role="doc-toc">\n<h1>{escape(word)}</h1>\n']
    levels: list[int] = []
    for level, anchor, words in entries:
        if levels and level > levels[-1]:
            parts.append("<ol>")
        else:
            while levels and levels[-1] > level and len(levels) > 1:
                levels.pop()
                parts.append("</li></ol>")
            if levels:
                levels.pop()
                parts.append("</li>")
            else:
                parts.append("<ol>")
        levels.append(level)
        target = f"article.xhtml#{anchor}" if anchor else "article.xhtml"
        parts.append(f'<li><a href="{target}">{escape(words)}</a>')
    parts.append("</li></ol>" * len(levels))
    parts.append("\n</nav>\n")
    return "".join(parts)


def _package(
    *, title: str, language: str, summary: str, accessibility: str, identifier: str, made: datetime, book: _Book
) -> str:
    when = made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    direction = ' page-progression-direction="rtl"' if is_right_to_left(title) else ""
    modes = ["textual", "visual"] if book.images else ["textual"]
    features = ["readingOrder", "structuralNavigation", "tableOfContents"]
    features += ["alternativeText"] if book.images else []
    metadata = [
        f'<dc:identifier id="id">{identifier}</dc:identifier>',
        f"<dc:title>{escape(title)}</dc:title>",
        f"<dc:language>{language}</dc:language>",
        f"<dc:description>{escape(summary)}</dc:description>" if summary else "",
        f'<meta property="dcterms:modified">{when}</meta>',
        *(f'<meta property="schema:accessMode">{mode}</meta>' for mode in modes),
        '<meta property="schema:accessModeSufficient">textual</meta>',
        *(f'<meta property="schema:accessibilityFeature">{feature}</meta>' for feature in features),
        '<meta property="schema:accessibilityHazard">none</meta>',
        f'<meta property="schema:accessibilitySummary">{escape(accessibility)}</meta>',
    ]
    items = [
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
        '<item id="article" href="article.xhtml" media-type="application/xhtml+xml"/>',
        '<item id="css" href="epub.css" media-type="text/css"/>',
        *(
            f'<item id="image-{number}" href="images/{name}" media-type="{media_type}"/>'
            for number, (name, (media_type, _)) in enumerate(book.images.items(), start=1)
        ),
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" '
        f'xml:lang="{language}" prefix="schema: http://schema.org/">\n'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">\n' + "\n".join(line for line in metadata if line) + "\n"
        "</metadata>\n<manifest>\n" + "\n".join(items) + "\n</manifest>\n"
        f'<spine{direction}><itemref idref="article"/></spine>\n</package>\n'
    )
