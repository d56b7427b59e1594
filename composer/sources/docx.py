"""Word documents, through python-docx: paragraphs by their styles, tables row by row, pictures with their captions.

A document has pages only where Word noted them when it saved (``lastRenderedPageBreak``) or its author broke one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zipfile import BadZipFile

from composer.errors import SourceError
from composer.sources.archives import checked_zip
from composer.sources.document import BlockCollector, SourceDocument

_OLE = b"\xd0\xcf\x11\xe0"  # what Word puts an encrypted document into, and what .doc was
HEADING = re.compile(r"(?:heading|überschrift|titre|título|标题)\s*(\d)", re.IGNORECASE)  # and its level


@contextmanager
def opened_docx(data: bytes) -> Iterator[Any]:
    """The document of python-docx. Raises SourceError where it is encrypted, or damaged as far as it is read within."""
    if data.startswith(_OLE):
        raise SourceError("source_locked")
    with checked_zip(data):
        pass
    from docx import Document
    from docx.opc.exceptions import PackageNotFoundError
    from lxml.etree import XMLSyntaxError

    try:
        yield Document(io.BytesIO(data))
    except (BadZipFile, KeyError, ValueError, PackageNotFoundError, XMLSyntaxError) as error:
        raise SourceError("source_damaged", reason=str(error)) from error


def style_of(paragraph: Any) -> str:
    return (paragraph.style.name if paragraph.style is not None else "") or ""


def read_docx(data: bytes) -> SourceDocument:
    """Raises SourceError for a document that is damaged or encrypted."""
    with opened_docx(data) as word:
        return _DocxReader(word).read()


class _DocxReader:
    def __init__(self, word: Any) -> None:
        from docx.oxml.ns import qn

        self._word = word
        self._qn = qn
        self._collector = BlockCollector()
        body = word.element.body
        self._paged = next(body.iter(qn("w:lastRenderedPageBreak")), None) is not None
        self._page = 1
        self._title = ""
        self._pending: list[tuple[bytes, str]] = []  # pictures that wait for a caption

    def read(self) -> SourceDocument:
        from docx.table import Table

        for item in self._word.iter_inner_content():
            self._table(item) if isinstance(item, Table) else self._paragraph(item)
        self._place_pictures("")
        properties = self._word.core_properties
        return self._collector.document(properties.title or self._title, properties.author or "")

    def _paragraph(self, paragraph: Any) -> None:
        style = style_of(paragraph)
        # A page that begins within a paragraph is that of the next one.
        breaks = self._breaks(paragraph._p)
        if breaks and self._begins_page(paragraph._p):
            self._page, breaks = self._page + 1, breaks - 1
        self._collector.page = str(self._page) if self._paged else ""
        text = paragraph.text
        if self._pending and (
            style.lower().startswith(("caption", "beschriftung", "legend", "题注")) or not text.strip()
        ):
            self._place_pictures(text) if text.strip() else None
        elif HEADING.match(style) and text.strip():
            self._collector.heading(text)
        elif style == "Title" and not self._title:
            self._title = text.strip()
        else:
            self._place_pictures("")
            self._collector.paragraph(text)
        self._pending += self._pictures(paragraph._p)
        self._page += breaks

    def _table(self, table: Any) -> None:
        self._place_pictures("")
        for row in table.rows:
            cells = {id(cell._tc): " ".join(cell.text.split()) for cell in row.cells}  # a merged cell comes twice
            self._collector.paragraph("; ".join(filter(None, cells.values())))

    def _breaks(self, element: Any) -> int:
        return sum(1 for _ in element.iter(self._qn("w:lastRenderedPageBreak")))

    def _begins_page(self, element: Any) -> bool:
        """Whether the paragraph's first page break stands before its first word."""
        for node in element.iter():
            if node.tag == self._qn("w:lastRenderedPageBreak"):
                return True
            if node.tag == self._qn("w:t") and (node.text or "").strip():
                return False
        return False

    def _pictures(self, element: Any) -> Iterator[tuple[bytes, str]]:
        for drawing in element.iter(self._qn("w:drawing")):
            described = next(drawing.iter(self._qn("wp:docPr")), None)
            alt = described.get("descr", "") if described is not None else ""
            for blip in drawing.iter(self._qn("a:blip")):
                part = self._word.part.related_parts.get(blip.get(self._qn("r:embed")))
                if part is not None:
                    yield part.blob, alt

    def _place_pictures(self, caption: str) -> None:
        for data, alt in self._pending:
            self._collector.picture(data, caption, alt)
        self._pending.clear()
