"""E-books (EPUB 2 and 3): the chapters of the spine in their order, with the labels of the printed pages where the book
has them. Standard: https://www.w3.org/TR/epub-33/.
"""

from __future__ import annotations

import io
import posixpath
from typing import Any
from urllib.parse import unquote
from zipfile import BadZipFile, ZipFile

from composer.errors import SourceError
from composer.sources.archives import checked_zip, member
from composer.sources.document import BlockCollector, SourceDocument
from composer.sources.html import parse_html, walk

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
# Fonts may be obfuscated in a book that is free to read.
_OBFUSCATED = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def read_epub(data: bytes) -> SourceDocument:
    """Raises SourceError for a book that is damaged or locked."""
    from lxml import etree

    try:
        with checked_zip(data) as book:
            _refuse_locked(book)
            opf_path = _xml(member(book, _CONTAINER)).xpath("string(//*[local-name()='rootfile']/@full-path)")
            package = _xml(member(book, opf_path))
            folder = posixpath.dirname(opf_path)
            files = {
                item.get("id"): _inside(folder, item.get("href", ""))
                for item in package.xpath("//*[local-name()='manifest']/*[local-name()='item']")
            }
            collector = BlockCollector()
            held = set(book.namelist())
            for entry in package.xpath("//*[local-name()='spine']/*[local-name()='itemref']"):
                path = files.get(entry.get("idref"), "")
                if path not in held or entry.get("linear") == "no":
                    continue

                def picture(address: str, base: str = posixpath.dirname(path)) -> bytes:
                    name = _inside(base, address)
                    return book.read(name) if name in held else b""

                walk(parse_html(book.read(path)), collector, picture)
            title = package.xpath("string(//*[local-name()='metadata']/*[local-name()='title'])")
            author = package.xpath("string(//*[local-name()='metadata']/*[local-name()='creator'])")
    except (BadZipFile, KeyError, etree.XMLSyntaxError, io.UnsupportedOperation, ValueError) as error:
        raise SourceError("source_damaged", reason=str(error)) from error
    return collector.document(title, author)


def _refuse_locked(book: ZipFile) -> None:
    if _ENCRYPTION not in book.namelist():
        return
    methods = _xml(member(book, _ENCRYPTION)).xpath("//*[local-name()='EncryptionMethod']/@Algorithm")
    if any(method not in _OBFUSCATED for method in methods):
        raise SourceError("source_locked")


def _xml(data: bytes) -> Any:
    from lxml import etree

    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def _inside(folder: str, address: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(address.partition("#")[0])))
