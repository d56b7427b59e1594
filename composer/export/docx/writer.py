"""The article as a Word document: named styles, real lists, pictures with alternative text, working links.

Made with python-docx (https://python-docx.readthedocs.io). A reader can restyle it in Word by changing a style, the
navigation pane shows the headings, and nothing in it leads anywhere but to web, mail and telephone links. Knows no
article.json and no command.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from docx import Document as new_document
from docx.enum.table import WD_TABLE_ALIGNMENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Length

from composer.export.document_tree import (
    Block,
    Code,
    Document,
    FigureBlock,
    Heading,
    ItemList,
    Paragraph,
    Quote,
    Rule,
    Run,
    Table,
)
from composer.export.docx.numbering import Numbering
from composer.export.docx.styles import AFTER_LIST, COLUMN_WIDTH, add_paragraph_property, apply_styles, set_properties
from composer.export.figure_size import shown_share
from composer.export.picture_export import Pictures
from composer.export.sanitizing import is_right_to_left
from composer.export.zipping import repacked

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.text.paragraph import Paragraph as WordParagraph

_TALLEST = 1.0
_DEEPEST_LIST = 8
_ALIGNMENTS = {"left": WD_ALIGN_PARAGRAPH.LEFT, "center": WD_ALIGN_PARAGRAPH.CENTER, "right": WD_ALIGN_PARAGRAPH.RIGHT}


def to_docx(document: Document, pictures: Pictures, made: datetime, summary: str = "") -> bytes:
    """The file; the same article and time give the same bytes. Raises ImageError for a missing picture."""
    word = new_document()
    apply_styles(word, document.language)
    set_properties(word, document, made, summary)
    _Writer(word, pictures, document.language).write(document)
    buffer = io.BytesIO()
    word.save(buffer)
    return repacked(buffer.getvalue(), drop=("docProps/thumbnail.jpeg",))


class _Writer:
    def __init__(self, word: WordDocument, pictures: Pictures, language: str) -> None:
        self._word = word
        self._pictures = pictures
        self._numbering = Numbering(word)
        self._figures = 0
        self._chinese = language.partition("-")[0].lower() == "zh"
        # Naming a style by its id: python-docx's way by name searches all styles for every paragraph.
        self._style_ids = {style.name: style.style_id for style in word.styles}

    def _new(self, style: str) -> WordParagraph:
        self._last = self._word.add_paragraph()
        self._last._p.style = self._style_ids[style]
        return self._last

    def write(self, document: Document) -> None:
        if document.heading:
            self._fill(self._new("Title"), document.heading)
        self._blocks(document.blocks)

    def _blocks(self, blocks: Sequence[Block], *, quoted: bool = False, depth: int = 0) -> None:
        for block in blocks:
            self._block(block, quoted, depth)

    def _block(self, block: Block, quoted: bool, depth: int) -> None:
        match block:
            case Heading():
                self._fill(self._new(f"Heading {min(block.level, 6)}"), block.runs)
            case Paragraph():
                self._fill(self._new("Quote" if quoted else "Body Text"), block.runs)
            case ItemList():
                self._list(block, quoted, depth)
            case Quote():
                self._blocks(block.blocks, quoted=True, depth=depth + 1)
            case Code():
                paragraph = self._new("Code")
                _add_lines(paragraph, block.text)
            case Table():
                self._table(block)
            case Rule():
                self._new("Divider").add_run("⁂")
            case FigureBlock():
                self._figure(block)

    def _list(self, block: ItemList, quoted: bool, depth: int) -> None:
        depth = min(depth, _DEEPEST_LIST)
        number = self._numbering.start(block.ordered, block.start, depth)
        for item in block.items:
            first, *rest = item if item else (Paragraph(()),)
            if not isinstance(first, Paragraph):
                first, rest = Paragraph(()), [first, *rest]
            paragraph = self._new("List Paragraph")
            self._numbering.number(paragraph, number, depth)
            self._fill(paragraph, first.runs)
            for inner in rest:
                if isinstance(inner, Paragraph):
                    follow = self._new("List Paragraph")
                    self._numbering.indent(follow, depth)
                    self._fill(follow, inner.runs)
                else:
                    self._block(inner, quoted, depth + 1)
        if depth == 0:
            self._last.paragraph_format.space_after = AFTER_LIST

    def _table(self, block: Table) -> None:
        table = self._word.add_table(rows=0, cols=len(block.aligns), style="Article Table")
        table.alignment = WD_TABLE_ALIGNMENT.LEFT
        for index, row in enumerate(block.rows):
            added = table.add_row()
            properties = added._tr.get_or_add_trPr()
            properties.append(OxmlElement("w:cantSplit"))
            if index == 0:
                properties.append(OxmlElement("w:tblHeader"))
            for cell, runs, align in zip(added.cells, row, block.aligns, strict=True):
                paragraph = cell.paragraphs[0]
                paragraph._p.style = self._style_ids["Table Text"]
                paragraph.alignment = _ALIGNMENTS.get(align)
                self._fill(paragraph, tuple(replace(run, strong=True) for run in runs) if index == 0 else runs)
        # Two tables without a paragraph between them would become one.
        self._new("Table Text")

    def _figure(self, block: FigureBlock) -> None:
        picture = self._pictures.ready(block.record)
        share = shown_share(picture.width_px, picture.height_px, _TALLEST)
        lines = [text for text in (block.caption, block.credit) if text]
        paragraph = self._new("Figure")
        paragraph.paragraph_format.keep_with_next = bool(lines)
        shape = paragraph.add_run().add_picture(io.BytesIO(picture.data), width=Length(int(COLUMN_WIDTH * share)))
        self._figures += 1
        inline: Any = shape._inline
        for side in ("distT", "distB", "distL", "distR"):
            inline.set(side, "0")  # left out, some programs take an eighth of an inch, and the picture leaves its line
        properties = inline.docPr
        properties.set("id", str(self._figures))
        properties.set("name", f"Picture {self._figures}")
        properties.set("descr", block.alt)
        inner = inline.graphic.graphicData.pic.nvPicPr.cNvPr
        inner.set("name", f"picture-{self._figures}{picture.kind.suffix}")
        inner.set("descr", block.alt)
        if block.caption:
            caption = self._new("Caption")
            caption.paragraph_format.keep_with_next = bool(block.credit)
            self._fill(caption, (Run(block.caption),))
        if block.credit:
            self._fill(self._new("Credit"), (Run(block.credit, link=block.source_url),), quiet_link=True)

    def _fill(self, paragraph: WordParagraph, runs: tuple[Run, ...], *, quiet_link: bool = False) -> None:
        if is_right_to_left("".join(run.text for run in runs)):
            add_paragraph_property(paragraph._p.get_or_add_pPr(), "w:bidi")
        for run in runs:
            self._add_run(paragraph, run, quiet_link)

    def _add_run(self, paragraph: WordParagraph, run: Run, quiet_link: bool) -> None:
        added = paragraph.add_run()
        if run.text == "\n":
            added.add_break()
            return
        added.text = run.text
        added.bold = run.strong or None
        if run.emphasis and self._chinese:
            # Chinese has no slanted letters: a dot under each is its emphasis.
            marks = OxmlElement("w:em")
            marks.set(qn("w:val"), "underDot")
            added._r.get_or_add_rPr().append(marks)
        else:
            added.italic = run.emphasis or None
        added.font.strike = run.strike or None
        if run.code:
            added._r.style = self._style_ids["Code Text"]
        if run.link:
            link = OxmlElement("w:hyperlink")
            link.set(qn("r:id"), paragraph.part.relate_to(run.link, RELATIONSHIP_TYPE.HYPERLINK, is_external=True))
            if not quiet_link:
                added._r.style = self._style_ids["Hyperlink"]
            paragraph._p.remove(added._r)
            link.append(added._r)
            paragraph._p.append(link)


def _add_lines(paragraph: WordParagraph, text: str) -> None:
    for index, line in enumerate(text.split("\n")):
        added = paragraph.add_run()
        if index:
            added.add_break()
        added.add_text(line)
