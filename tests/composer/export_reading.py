"""Reads exports back with other programs' eyes: what a person sees, what a screen reader is told, what could run."""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import docx
import pypdf
import pypdfium2
from docx.oxml.ns import qn
from lxml import etree
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject

from image_db.metadata.record import ImageRecord

XHTML = "{http://www.w3.org/1999/xhtml}"


def squashed(text: str) -> str:
    """Text without white space and invisible characters, in compatibility form: what survives any typesetting."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(c for c in plain if not c.isspace() and unicodedata.category(c) not in ("Cf", "Cc"))


@dataclass
class ReadPdf:
    """A PDF's text in reading order, and the elements of its structure tree as (role, alternative text)."""

    data: bytes
    reader: pypdf.PdfReader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = pypdf.PdfReader(io.BytesIO(self.data))

    @property
    def text(self) -> str:
        document = pypdfium2.PdfDocument(self.data)
        try:
            return "\n".join(self._page_text(document[index]) for index in range(len(document)))
        finally:
            document.close()

    @staticmethod
    def _page_text(page: Any) -> str:
        text_page = page.get_textpage()
        text = str(text_page.get_text_range())
        text_page.close()
        page.close()
        return text

    @property
    def structure(self) -> list[tuple[str, str]]:
        return list(self._elements(self.reader.root_object["/StructTreeRoot"]["/K"]))

    def _elements(self, node: Any) -> Iterator[tuple[str, str]]:
        if isinstance(node, IndirectObject):
            node = node.get_object()
        if isinstance(node, ArrayObject):
            for child in node:
                yield from self._elements(child)
        elif isinstance(node, DictionaryObject):
            if "/S" in node:
                yield str(node["/S"]).removeprefix("/"), str(node.get("/Alt", ""))
            if "/K" in node:
                yield from self._elements(node.raw_get("/K"))

    @property
    def outline(self) -> list[tuple[int, str]]:
        def walk(items: list[Any], depth: int) -> Iterator[tuple[int, str]]:
            for item in items:
                if isinstance(item, list):
                    yield from walk(item, depth + 1)
                else:
                    yield depth, str(item.title)

        return list(walk(self.reader.outline, 1))

    @property
    def actions(self) -> list[tuple[str, str]]:
        """Every action anywhere in the file: its kind and, for a link, its address."""
        found = []
        for number in range(1, int(self.reader.trailer["/Size"])):
            value = self.reader.get_object(IndirectObject(number, 0, self.reader))
            found += list(_actions(value))
        return found

    @property
    def keys(self) -> set[str]:
        """Every dictionary key anywhere in the file."""
        return {
            key
            for number in range(1, int(self.reader.trailer["/Size"]))
            for key in _keys(self.reader.get_object(IndirectObject(number, 0, self.reader)))
        }


def _actions(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, DictionaryObject):
        kind = value.get("/S")
        if isinstance(kind, str) and ("/URI" in value or kind in ("/JavaScript", "/Launch", "/GoToR", "/SubmitForm")):
            yield str(kind), str(value.get("/URI", ""))
        for key in value:
            inner = value.raw_get(key)
            if not isinstance(inner, IndirectObject):
                yield from _actions(inner)
    elif isinstance(value, ArrayObject):
        for inner in value:
            if not isinstance(inner, IndirectObject):
                yield from _actions(inner)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, DictionaryObject):
        for key in value:
            yield str(key)
            inner = value.raw_get(key)
            if not isinstance(inner, IndirectObject):
                yield from _keys(inner)
    elif isinstance(value, ArrayObject):
        for inner in value:
            if not isinstance(inner, IndirectObject):
                yield from _keys(inner)


@dataclass
class ReadDocx:
    data: bytes

    @property
    def word(self) -> Any:
        return docx.Document(io.BytesIO(self.data))

    @property
    def parts(self) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    @property
    def body(self) -> Any:
        return strict_xml(self.parts["word/document.xml"])

    @property
    def paragraphs(self) -> list[tuple[str, str]]:
        """Every paragraph, those of tables too, as (name of its style, text with that of its links)."""
        names = {style.style_id: style.name for style in self.word.styles}
        found = []
        for paragraph in self.body.iter(qn("w:p")):
            style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
            text = "".join(
                "\n" if node.tag == qn("w:br") else "\t" if node.tag == qn("w:tab") else node.text or ""
                for node in paragraph.iter(qn("w:t"), qn("w:br"), qn("w:tab"))
            )
            found.append((names[style.get(qn("w:val"))] if style is not None else "Normal", text))
        return found

    @property
    def text(self) -> str:
        return "\n".join(text for _, text in self.paragraphs)

    @property
    def alternatives(self) -> list[str]:
        return [node.get("descr") for node in self.body.iter(qn("wp:docPr"))]

    @property
    def relations(self) -> list[tuple[str, str, str]]:
        """(kind, target, mode) of every relation of every part."""
        return [
            (node.get("Type").rpartition("/")[2], node.get("Target"), node.get("TargetMode", "Internal"))
            for name, data in self.parts.items()
            if name.endswith(".rels")
            for node in strict_xml(data)
        ]


@dataclass
class ReadEpub:
    data: bytes

    @property
    def parts(self) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    @property
    def chapter(self) -> Any:
        return strict_xml(self.parts["EPUB/article.xhtml"])

    @property
    def text(self) -> str:
        return "\n".join(self.chapter.find(f"{XHTML}body").itertext())

    @property
    def alternatives(self) -> list[str]:
        return [node.get("alt") for node in self.chapter.iter(f"{XHTML}img")]


def strict_xml(data: bytes) -> Any:
    """Parse XML that declares no entity and asks for nothing outside; anything else raises."""
    assert b"<!ENTITY" not in re.sub(rb"&lt;!ENTITY", b"", data)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=False)
    root = etree.fromstring(data, parser)
    assert not [node for node in root.iter() if node.tag is etree.Entity], "an entity reference"
    return root


def check_epub(data: bytes) -> None:
    """The rules of EPUB 3.3 that a book of this kind can break; epubcheck (slow, Java) knows the rest."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type, first.extra) == ("mimetype", zipfile.ZIP_STORED, b"")
        assert archive.read("mimetype") == b"application/epub+zip"
        assert archive.testzip() is None
    parts = ReadEpub(data).parts
    container = strict_xml(parts["META-INF/container.xml"])
    (rootfile,) = container.iter("{*}rootfile")
    package = strict_xml(parts[rootfile.get("full-path")])
    assert package.get("version") == "3.0"
    unique = [node for node in package.iter("{*}identifier") if node.get("id") == package.get("unique-identifier")]
    assert len(unique) == 1
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", unique[0].text)
    (modified,) = (n for n in package.iter("{*}meta") if n.get("property") == "dcterms:modified")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", modified.text)
    assert next(n.text for n in package.iter("{*}title")).strip()
    items = {item.get("id"): item for item in package.iter("{*}item")}
    assert {f"EPUB/{item.get('href')}" for item in items.values()} | {
        "mimetype",
        "META-INF/container.xml",
        "EPUB/package.opf",
    } == set(parts), "the manifest lists every file and nothing else"
    assert [i.get("properties") for i in items.values()].count("nav") == 1
    assert all(ref.get("idref") in items for ref in package.iter("{*}itemref"))
    chapter = strict_xml(parts["EPUB/article.xhtml"])
    ids = [node.get("id") for node in chapter.iter() if node.get("id")]
    assert len(ids) == len(set(ids))
    navigation = strict_xml(parts["EPUB/nav.xhtml"])
    (toc,) = (nav for nav in navigation.iter(f"{XHTML}nav"))
    assert toc.get("{http://www.idpf.org/2007/ops}type") == "toc"
    targets = [node.get("href") for node in toc.iter(f"{XHTML}a")]
    assert targets
    assert all(target.partition("#")[0] == "article.xhtml" for target in targets)
    assert {target.partition("#")[2] for target in targets} - {""} <= set(ids)
    for image in chapter.iter(f"{XHTML}img"):
        assert f"EPUB/{image.get('src')}" in parts
        assert image.get("alt", "").strip()
    for root in (chapter, navigation):
        assert root.get("lang") == root.get("{http://www.w3.org/XML/1998/namespace}lang")
        assert root.find(f"{XHTML}head/{XHTML}title").text.strip()


# Properties of a Word paragraph in the order in which Word reads them (ECMA-376 part 1, 17.3.1.26).
_ORDER = """
pStyle keepNext keepLines pageBreakBefore framePr widowControl numPr suppressLineNumbers pBdr shd tabs
suppressAutoHyphens kinsoku wordWrap overflowPunct topLinePunct autoSpaceDE autoSpaceDN bidi adjustRightInd
snapToGrid spacing ind contextualSpacing mirrorIndents suppressOverlap jc textDirection textAlignment
textboxTightWrap outlineLvl divId cnfStyle rPr sectPr pPrChange
"""


def check_docx(data: bytes) -> None:
    """What makes Word say that a file is damaged, as far as this program could cause it; and nothing active."""
    read = ReadDocx(data)
    parts = read.parts
    assert "[Content_Types].xml" in parts
    for name, content in parts.items():
        if name.endswith((".xml", ".rels")):
            root = strict_xml(content)
            for properties in root.iter(qn("w:pPr")):
                order = [_ORDER.split().index(etree.QName(child).localname) for child in properties]
                assert order == sorted(order), f"{name}: {[etree.QName(child).localname for child in properties]}"
    assert not [name for name in parts if "vba" in name.lower() or "activex" in name.lower() or "embeddings" in name]
    for kind, target, mode in read.relations:
        if mode == "External":
            assert kind == "hyperlink"
            assert re.match(r"(?:https?|mailto|tel):[\x21-\x7e]+\Z", target), target
        else:
            assert kind not in ("attachedTemplate", "oleObject", "control", "frame", "subDocument", "vbaProject")
    # The one field there may be: the contents of a long article, from its own headings.
    asked = [node.text for node in read.body.iter(qn("w:instrText"))]
    assert all(re.fullmatch(r' TOC \\o "\d-\d" \\h \\z ', words) for words in asked), asked
    fields = {"fldSimple", "altChunk", "object", "control", "subDoc"}
    assert not [node for node in read.body.iter() if etree.QName(node).localname in fields]
    styles = {node.get(qn("w:styleId")) for node in strict_xml(parts["word/styles.xml"]).iter(qn("w:style"))}
    used = {node.get(qn("w:val")) for node in read.body.iter(qn("w:pStyle"), qn("w:rStyle"), qn("w:tblStyle"))}
    assert used <= styles
    numbers = {node.get(qn("w:numId")) for node in strict_xml(parts["word/numbering.xml"]).iter(qn("w:num"))}
    assert {node.get(qn("w:val")) for node in read.body.iter(qn("w:numId"))} <= numbers
    ids = [node.get("id") for node in read.body.iter(qn("wp:docPr"))]
    assert len(ids) == len(set(ids))


def url(record: ImageRecord) -> str:
    return f"images/{record.path.name}"


def record(width_px: int, height_px: int) -> ImageRecord:
    return ImageRecord("ab" * 32, Path("/nowhere/a.jpg"), width_px, height_px)


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, and the text a person reads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._skipped = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._skipped = tag if tag in ("style", "script") else self._skipped

    def handle_endtag(self, tag: str) -> None:
        self._skipped = "" if tag == self._skipped else self._skipped

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]
