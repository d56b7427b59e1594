"""HTML pages and the chapters of e-books: what a reader reads, without menus, scripts and hidden parts."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from composer.errors import SourceError
from composer.sources.document import BlockCollector, SourceDocument, clean

_DATA_PICTURE = re.compile(r"data:image/[\w.+-]+;base64,(.*)\Z", re.DOTALL)
_SKIPPED_TAGS = "script style noscript template svg math nav header footer aside form button select iframe"
_SKIPPED = frozenset(_SKIPPED_TAGS.split())
_BLOCK_TAGS = "p li dt dd blockquote pre td th caption figcaption address summary"
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_HOLDER_TAGS = "div section article main body ul ol dl table thead tbody tfoot tr figure details hgroup html"
_HOLDERS = frozenset(_HOLDER_TAGS.split())
_HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
_OPS = "{http://www.idpf.org/2007/ops}type"

PictureReader = Callable[[str], bytes]


def parse_html(data: bytes) -> Any:
    """The tree of a page, in the encoding it names itself, else UTF-8 or what it reads like. Raises SourceError."""
    from lxml import etree
    from lxml import html as parser

    from composer.sources.plain_text import decode

    declared = re.search(rb"""<(?:meta[^>]+charset=|\?xml[^>]+encoding=)["']?([\w-]+)""", data[:4096], re.IGNORECASE)
    try:
        text = data.decode(declared[1].decode()) if declared else decode(data)
    except (LookupError, UnicodeDecodeError):
        text = decode(data)
    # An XML declaration with an encoding is refused within a string.
    text = re.sub(r"\A\s*<\?xml[^>]*\?>", "", text.lstrip("\ufeff"))
    try:
        return parser.document_fromstring(text, parser=parser.HTMLParser(no_network=True))
    except (etree.ParserError, ValueError) as error:
        raise SourceError("source_no_text") from error


def read_html(data: bytes, picture: PictureReader) -> SourceDocument:
    """``picture`` gives the bytes of one beside the page by its address, or none."""
    root = parse_html(data)
    collector = BlockCollector()
    walk(root, collector, picture)
    titles = root.xpath("//title/text()")
    authors = root.xpath("//meta[translate(@name, 'AUTHOR', 'author')='author']/@content")
    return collector.document(collector.main_heading or "".join(titles[:1]), "".join(authors[:1]))


def walk(element: Any, collector: BlockCollector, picture: PictureReader) -> None:
    """Give the blocks of an element to the collector, in reading order."""
    loose: list[str] = []  # words that stand in a holder, outside any paragraph

    def flush() -> None:
        collector.paragraph("".join(loose))
        loose.clear()

    loose.append(element.text or "")
    for child in element:
        tag = child.tag.lower().rpartition("}")[2] if isinstance(child.tag, str) else ""
        if page := _page_of(child):
            flush()
            collector.page = page
        if not tag or tag in _SKIPPED or child.get("hidden") is not None or child.get("aria-hidden") == "true":
            pass
        elif tag in _HEADINGS:
            flush()
            for inner in child.iter():
                collector.page = _page_of(inner) or collector.page
            collector.heading(_words(child), names_document=tag == "h1")
        elif tag == "figure":
            flush()
            _figure(child, collector, picture)
        elif tag in _HOLDERS or (tag in _BLOCKS and _holds_blocks(child)):
            flush()
            if tag == "tr" and not _holds_blocks(child, ("table", "p", "ul", "ol")):
                collector.paragraph("; ".join(filter(None, (_words(cell) for cell in child))))
            else:
                walk(child, collector, picture)
        elif tag in _BLOCKS:
            flush()
            for image in child.iter("img"):
                _picture(image, "", collector, picture)
            # A page may begin within a paragraph: what follows is on it.
            collector.paragraph(_words(child))
            for inner in child.iter():
                collector.page = _page_of(inner) or collector.page
        elif tag == "img":
            _picture(child, "", collector, picture)
        elif tag == "br":
            loose.append(" ")
        else:
            loose.append(_words(child))
            for image in child.iter("img"):
                _picture(image, "", collector, picture)
        loose.append(child.tail or "")
    flush()


def _holds_blocks(element: Any, tags: tuple[str, ...] = ()) -> bool:
    wanted = tags or (*_BLOCKS, *_HOLDERS, *_HEADINGS)
    return any(child is not element and child.tag in wanted for child in element.iter())


def _words(element: Any) -> str:
    return clean("".join(_pieces(element)))


def _pieces(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        # The number of a note is no word of the sentence.
        note = tag == "sup" and re.fullmatch(r"[\s\[(]*\d{1,3}[\s\])]*", "".join(child.itertext()))
        if tag == "br":
            yield " "
        elif tag and tag not in _SKIPPED and not note and not _page_of(child):
            yield from _pieces(child)
        yield child.tail or ""


def _page_of(element: Any) -> str:
    """The label of the page that begins here, in e-books made from printed ones (EPUB 3, page-list)."""
    if not isinstance(element.tag, str):
        return ""
    kinds = f"{element.get('epub:type', '')} {element.get(_OPS, '')} {element.get('role', '')}".split()
    if "pagebreak" not in kinds and "doc-pagebreak" not in kinds:
        return ""
    said = element.get("title") or element.get("aria-label") or "".join(element.itertext()) or element.get("id", "")
    return re.sub(r"^(?:page|p|pg|seite)[-_. ]*(?=[\divxlc]+$)", "", clean(said), flags=re.IGNORECASE)[:20]


def _figure(figure: Any, collector: BlockCollector, picture: PictureReader) -> None:
    caption = " ".join(_words(part) for part in figure.iter("figcaption"))
    images = list(figure.iter("img"))
    for image in images:
        _picture(image, caption, collector, picture)
    if not images:  # a table or a listing
        walk(figure, collector, picture)


def _picture(image: Any, caption: str, collector: BlockCollector, picture: PictureReader) -> None:
    address = image.get("src", "")
    if match := _DATA_PICTURE.match(address):
        try:
            data = base64.b64decode(match[1])
        except binascii.Error:
            return
    else:
        data = picture(unquote(address.partition("#")[0].partition("?")[0]))
    collector.picture(data, caption or image.get("title", ""), image.get("alt", ""))
