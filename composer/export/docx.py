"""The article as a Word document: named styles, real lists, pictures with alternative text, working links.

Made with python-docx (https://python-docx.readthedocs.io). Page, styles and the two kinds of lists stand in
``styles/template.docx``, which Word or LibreOffice edits: every paragraph takes its look from a named style. Fonts are
those that Word for Windows and for the Mac bring. Nothing in a document leads anywhere but to web, mail and telephone
links.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from docx import Document as open_document
from docx.enum.section import WD_ORIENT
from docx.enum.table import WD_TABLE_ALIGNMENT, WD_TABLE_DIRECTION
from docx.enum.text import WD_ALIGN_PARAGRAPH, WD_COLOR_INDEX
from docx.opc.constants import CONTENT_TYPE, RELATIONSHIP_TYPE
from docx.opc.oxml import serialize_part_xml
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Length, Mm, Pt
from docx.text.run import Run

from composer.export import document_tree as tree
from composer.export.figure_size import shown_share
from composer.export.picture_export import Pictures
from composer.export.sanitizing import direction, is_right_to_left
from composer.export.zipping import repacked

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.text.paragraph import Paragraph as WordParagraph

_COLUMN_WIDTH = Mm(150)  # a page of 210 mm less two margins of 30
_TURNED_WIDTH = Mm(237)
_AFTER_LIST = Pt(9)
# Word sets the pages, unseen from here. A figure of no more than a third of a page, its caption included, leaves no
# page under two thirds full, wherever it falls.
_TALLEST = 64 / 150
_DEEPEST_LIST = 8
_AFTER_CONTENTS = Pt(20)
_FIRST_HEADING_MARK = 1_000_000  # marks of notes have the smaller numbers
_INDENT = Mm(7)
_BULLET_DEFINITION, _NUMBER_DEFINITION = 900, 901  # the template's
# Word reads the properties of a paragraph in this order only (ECMA-376 part 1, 17.3.1.26); what it may meet here.
_AFTER_BIDI = ("w:spacing", "w:ind", "w:contextualSpacing", "w:jc", "w:outlineLvl", "w:rPr")
_AFTER_FRAME = ("w:widowControl", "w:numPr", "w:bidi", *_AFTER_BIDI)
_CHINESE_FACES = ("SimSun", "Microsoft YaHei")  # of the template
# What goes with them for Latin words within Chinese text; the template's Georgia has figures of its own kind.
_LATIN_BESIDE = {"SimSun": "Times New Roman", "Microsoft YaHei": "Microsoft YaHei"}
# Widths of the letters of the template's Georgia, bold, in its size; other letters of Latin script have the last.
_LETTERS = (("fijltrI.,;:'!|()[]/-1", 0.45), ("mwMW@%", 1.05), ("ABCDEFGHJKLNOPQRSTUVXYZ", 0.8), ("", 0.66))
_REGULAR = 0.88  # of bold letters' widths
_TABLE_TYPE = Pt(10)
_CELL_MARGINS = Mm(4)
# Where a table's type would be smaller than the first share, the page turns; the second is the smallest there is.
_TURNED_BELOW, _SMALLEST_TYPE = 0.8, 0.55
_EASTERN = {"ja": ("MS Mincho", "Yu Gothic"), "ko": ("Batang", "Malgun Gothic")}
_RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"})
_ALIGNMENTS = {"left": WD_ALIGN_PARAGRAPH.LEFT, "center": WD_ALIGN_PARAGRAPH.CENTER, "right": WD_ALIGN_PARAGRAPH.RIGHT}


def to_docx(document: tree.Document, pictures: Pictures, made: datetime, summary: str = "") -> bytes:
    """The file; the same article and time give the same bytes. Raises ImageError for a missing picture."""
    word = _new_document(document, made, summary)
    if document.notes:
        _add_footnotes(word, document.notes)
    _Writer(word, pictures, document.language).write(document)
    buffer = io.BytesIO()
    word.save(buffer)
    return repacked(buffer.getvalue())


def _new_document(document: tree.Document, made: datetime, summary: str) -> WordDocument:
    """An empty document with the template's styles, in the article's language, with its title and dates."""
    word = open_document(io.BytesIO(files("composer.export").joinpath("styles/template.docx").read_bytes()))
    _set_language(word, document.language)
    properties = word.core_properties
    properties.title, properties.language = document.title[:255], document.language
    properties.author = properties.last_modified_by = ""
    properties.comments, properties.keywords, properties.revision = summary[:255], "", 1
    properties.created = properties.modified = made.astimezone(UTC).replace(microsecond=0)
    return word


def _set_language(word: WordDocument, language: str) -> None:
    """The languages of spelling, and what Chinese text needs: smaller letters with more space between the lines."""
    tag: Any = word.styles.element.find(f"{qn('w:docDefaults')}/{qn('w:rPrDefault')}/{qn('w:rPr')}/{qn('w:lang')}")
    chinese = language.partition("-")[0].lower() == "zh"
    known = {"en": "en-US", "und": "x-none"}
    primary = language.partition("-")[0].lower()
    eastern = _EASTERN.get(primary, ())
    # The western language is for Latin words within Chinese text.
    tag.set(qn("w:val"), "en-US" if chinese or eastern else known.get(language, language))
    tag.set(qn("w:eastAsia"), language if eastern or (chinese and "-" in language) else "zh-CN")
    if primary in _RIGHT_TO_LEFT:
        tag.set(qn("w:bidi"), language)
    for fonts in word.styles.element.iter(qn("w:rFonts")) if eastern else ():
        if (face := fonts.get(qn("w:eastAsia"))) in _CHINESE_FACES:
            fonts.set(qn("w:eastAsia"), eastern[_CHINESE_FACES.index(face)])
    for fonts in word.styles.element.iter(qn("w:rFonts")) if chinese else ():
        latin = _LATIN_BESIDE.get(fonts.get(qn("w:eastAsia")))
        if latin and fonts.get(qn("w:ascii")) == "Georgia":
            for script in ("w:ascii", "w:hAnsi"):
                fonts.set(qn(script), latin)
    if chinese:
        word.styles["Normal"].font.size = Pt(10.5)
        word.styles["Body Text"].paragraph_format.line_spacing = 1.5


def _add_footnotes(word: WordDocument, notes: Sequence[str]) -> None:
    """The part that holds the footnotes, by their numbers (ECMA-376 part 1, 17.11); python-docx has none."""
    root = parse_xml(f"<w:footnotes {nsdecls('w')}/>")
    for number, kind in ((-1, "separator"), (0, "continuationSeparator")):
        line = f"<w:p><w:r><w:{kind}/></w:r></w:p>"
        root.append(parse_xml(f'<w:footnote {nsdecls("w")} w:type="{kind}" w:id="{number}">{line}</w:footnote>'))
    for number, words in enumerate(notes, start=1):
        note = parse_xml(
            f'<w:footnote {nsdecls("w")} w:id="{number}"><w:p><w:pPr><w:pStyle w:val="FootnoteText"/></w:pPr>'
            '<w:r><w:rPr><w:rStyle w:val="FootnoteReference"/></w:rPr><w:footnoteRef/></w:r>'
            '<w:r><w:t xml:space="preserve"/></w:r></w:p></w:footnote>'
        )
        next(note.iter(qn("w:t"))).text = f" {words}"
        root.append(note)
    part = Part(PackURI("/word/footnotes.xml"), CONTENT_TYPE.WML_FOOTNOTES, serialize_part_xml(root), word.part.package)
    word.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)


class _Numbering:
    """Numbered and bulleted lists, each counting for itself.

    Word counts by numbering definitions, not by paragraphs: lists that share one go on counting where the last ended.
    Each list gets a number of its own over one of the template's two definitions (ECMA-376 part 1, 17.9).
    """

    def __init__(self, word: WordDocument) -> None:
        self._root: Any = word.part.numbering_part.element
        self._last = max((int(num.get(qn("w:numId"))) for num in self._root.findall(qn("w:num"))), default=0)

    def start(self, ordered: bool, first: int, depth: int) -> int:
        """A new list's number; ``first`` is what an ordered one begins with at that depth."""
        self._last += 1
        override = f'<w:lvlOverride w:ilvl="{depth}"><w:startOverride w:val="{first}"/></w:lvlOverride>'
        definition = _NUMBER_DEFINITION if ordered else _BULLET_DEFINITION
        self._root.append(
            parse_xml(
                f'<w:num {nsdecls("w")} w:numId="{self._last}"><w:abstractNumId w:val="{definition}"/>'
                f"{override if ordered else ''}</w:num>"
            )
        )
        return self._last

    def number(self, paragraph: WordParagraph, list_number: int, depth: int) -> None:
        """Make the paragraph an item of that list."""
        properties = paragraph._p.get_or_add_pPr()
        numbers = properties.get_or_add_numPr()
        numbers.get_or_add_ilvl().val = depth
        numbers.get_or_add_numId().val = list_number

    def indent(self, paragraph: WordParagraph, depth: int) -> None:
        """Set a further paragraph of an item under its first."""
        paragraph.paragraph_format.left_indent = Length(int(_INDENT) * (depth + 1))


def _frame(paragraph: WordParagraph, side: str, width_emu: int) -> None:
    """Let the paragraph stand at one side of the text that follows; neighbours with the same frame share it."""
    frame = OxmlElement("w:framePr")
    values = {
        "w": str(width_emu // 635),  # twentieths of a point
        "hSpace": "227",
        "vSpace": "57",
        "wrap": "around",
        "vAnchor": "text",
        "hAnchor": "margin",
        "xAlign": side,
        "y": "1",
    }
    for name, value in values.items():
        frame.set(qn(f"w:{name}"), value)
    paragraph._p.get_or_add_pPr().insert_element_before(frame, *_AFTER_FRAME)


class _Writer:
    def __init__(self, word: WordDocument, pictures: Pictures, language: str) -> None:
        self._word = word
        self._pictures = pictures
        self._numbering = _Numbering(word)
        self._figures = 0
        self._orientation = WD_ORIENT.PORTRAIT
        self._headings: list[tuple[int, str]] = []
        self._marked = 0
        self._cited: set[int] = set()
        self._chinese = language.partition("-")[0].lower() == "zh"
        # Naming a style by its id: python-docx's way by name searches all styles for every paragraph.
        self._style_ids = {style.name: style.style_id for style in word.styles}

    def _new(self, style: str) -> WordParagraph:
        self._last = self._word.add_paragraph()
        self._last._p.style = self._style_ids[style]
        return self._last

    def write(self, document: tree.Document) -> None:
        if document.heading:
            if 0 in _turned(document.blocks):
                self._turn(WD_ORIENT.LANDSCAPE)
            self._fill(self._new("Title"), document.heading)
        self._headings = [(b.level, tree.plain(b.runs)) for b in document.blocks if isinstance(b, tree.Heading)]
        self._blocks(document.blocks)

    def _blocks(self, blocks: Sequence[tree.Block], *, quoted: bool = False, depth: int = 0) -> None:
        turned = _turned(blocks) if depth == 0 else set()
        for number, (block, following) in enumerate(zip_longest(blocks, blocks[1:])):
            if depth == 0:
                self._turn(WD_ORIENT.LANDSCAPE if number in turned else WD_ORIENT.PORTRAIT)
            self._block(block, quoted, depth)
            turns = following is not None and (number in turned) != (number + 1 in turned)
            if isinstance(block, tree.Table) and not turns:
                # Two tables without a paragraph between them would become one; the end of a section is one.
                self._new("Table Text")

    def _block(self, block: tree.Block, quoted: bool, depth: int) -> None:
        match block:
            case tree.Heading():
                heading = self._new(f"Heading {min(block.level, 6)}")
                self._fill(heading, block.runs)
                self._mark(heading)
            case tree.Paragraph():
                self._fill(self._new("Quote" if quoted else "Body Text"), block.runs)
            case tree.ItemList():
                self._list(block, quoted, depth)
            case tree.Quote():
                self._blocks(block.blocks, quoted=True, depth=depth + 1)
            case tree.Code():
                paragraph = self._new("Code")
                _add_lines(paragraph, block.text)
            case tree.Table():
                self._table(block, nested=depth > 0)
            case tree.Contents():
                self._contents(block)
            case tree.Rule():
                self._new("Divider").add_run("⁂")
            case tree.FigureBlock():
                self._figure(block)

    def _list(self, block: tree.ItemList, quoted: bool, depth: int) -> None:
        depth = min(depth, _DEEPEST_LIST)
        number = self._numbering.start(block.ordered, block.start, depth)
        for item in block.items:
            first, *rest = item if item else (tree.Paragraph(()),)
            if not isinstance(first, tree.Paragraph):
                first, rest = tree.Paragraph(()), [first, *rest]
            paragraph = self._new("List Paragraph")
            self._numbering.number(paragraph, number, depth)
            self._fill(paragraph, first.runs)
            for inner in rest:
                if isinstance(inner, tree.Paragraph):
                    follow = self._new("List Paragraph")
                    self._numbering.indent(follow, depth)
                    self._fill(follow, inner.runs)
                else:
                    self._block(inner, quoted, depth + 1)
        if depth == 0:
            self._last.paragraph_format.space_after = _AFTER_LIST

    def _mark(self, heading: WordParagraph) -> None:
        """A bookmark around a heading, which the contents lead to."""
        self._marked += 1
        number = _FIRST_HEADING_MARK + self._marked
        start = parse_xml(f'<w:bookmarkStart {nsdecls("w")} w:id="{number}" w:name="_Toc{self._marked}"/>')
        heading._p.insert_element_before(start, "w:r", "w:hyperlink", "w:bookmarkStart", "w:fldSimple")
        heading._p.append(parse_xml(f'<w:bookmarkEnd {nsdecls("w")} w:id="{number}"/>'))

    def _contents(self, block: tree.Contents) -> None:
        """A field of contents, as Word makes it, showing linked headings. Their pages only Word knows: it puts them in
        when the field is updated, and would ask every reader if it were told to do so by itself."""
        if block.title:
            self._new("TOC Heading").add_run(block.title)
        outer, inner = block.levels
        listed = [(n, level, words) for n, (level, words) in enumerate(self._headings, 1) if level in block.levels]
        for place, (number, level, words) in enumerate(listed):
            entry = self._new(f"toc {level - outer + 1}")
            if place == 0:
                for xml in (
                    '<w:fldChar w:fldCharType="begin"/>',
                    f'<w:instrText xml:space="preserve"> TOC \\o "{outer}-{inner}" \\h \\z </w:instrText>',
                    '<w:fldChar w:fldCharType="separate"/>',
                ):
                    entry._p.append(parse_xml(f"<w:r {nsdecls('w')}>{xml}</w:r>"))
            link = parse_xml(f'<w:hyperlink {nsdecls("w")} w:anchor="_Toc{number}" w:history="1"/>')
            entry.add_run(words)
            link.append(entry.runs[-1]._r)
            entry._p.append(link)
        self._last._p.append(parse_xml(f'<w:r {nsdecls("w")}><w:fldChar w:fldCharType="end"/></w:r>'))
        self._last.paragraph_format.space_after = _AFTER_CONTENTS

    def _table(self, block: tree.Table, *, nested: bool) -> None:
        """A table as wide as its words, or as the page; in smaller type where its words do not fit across."""
        least, natural = _column_widths(block)
        width = _TURNED_WIDTH if not nested and _is_wide(block) else _COLUMN_WIDTH
        scale = min(1.0, width / sum(least))
        least, shown = [low * scale for low in least], max(scale, _SMALLEST_TYPE)
        spare = min(1.0, (width - sum(least)) / max(1, sum(natural) - sum(least)))
        widths = [Length(int(low + max(0, high - low) * spare)) for low, high in zip(least, natural, strict=True)]
        table = self._word.add_table(rows=0, cols=len(block.aligns), style="Article Table")
        table.alignment = WD_TABLE_ALIGNMENT.LEFT
        if shown < 1:
            _set_cell_margins(table, Length(int(_CELL_MARGINS * shown / 2)))
        if block.right_to_left:
            table.table_direction = WD_TABLE_DIRECTION.RTL
        for column, column_width in zip(table.columns, widths, strict=True):
            column.width = column_width
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
                paragraph.paragraph_format.keep_with_next = index == 0 or None
                self._fill(paragraph, tuple(replace(run, strong=True) for run in runs) if index == 0 else runs)
                if shown < 1:
                    for run in paragraph._p.iter(qn("w:r")):
                        Run(run, paragraph).font.size = Length(int(_TABLE_TYPE * shown))

    def _turn(self, orientation: WD_ORIENT) -> None:
        if orientation == self._orientation:
            return
        stands = len(self._word.element.body) > 1
        section = self._word.add_section() if stands else self._word.sections[-1]
        section.orientation = self._orientation = orientation
        section.page_width, section.page_height = section.page_height, section.page_width

    def _figure(self, block: tree.FigureBlock) -> None:
        picture = self._pictures.ready(block.picture)
        share = shown_share(picture.width_px, picture.height_px, _TALLEST, block.width_share)
        lines = [text for text in (block.caption, block.credit) if text]
        paragraph = self._new("Figure")
        paragraph.paragraph_format.keep_with_next = bool(lines)
        shape = paragraph.add_run().add_picture(io.BytesIO(picture.data), width=Length(int(_COLUMN_WIDTH * share)))
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
        shown = [paragraph]
        if block.caption:
            caption = self._new("Caption")
            shown.append(caption)
            caption.paragraph_format.keep_with_next = bool(block.credit)
            self._fill(caption, (tree.Run(block.caption),))
        if block.credit:
            credit = self._new("Credit")
            shown.append(credit)
            self._fill(credit, (tree.Run(block.credit, link=block.source_url),), quiet_link=True)
        if block.side:
            for line in shown:
                _frame(line, block.side, int(_COLUMN_WIDTH * share))

    def _fill(self, paragraph: WordParagraph, runs: tuple[tree.Run, ...], *, quiet_link: bool = False) -> None:
        turned = is_right_to_left("".join(run.text for run in runs))
        if turned:
            paragraph._p.get_or_add_pPr().insert_element_before(OxmlElement("w:bidi"), *_AFTER_BIDI)
        for run in runs:
            if run.note:
                self._cite(paragraph, run.note)
                continue
            self._add_run(paragraph, run, quiet_link, turned and direction(run.text) != "ltr")

    def _cite(self, paragraph: WordParagraph, number: int) -> None:
        """The note's raised number; where it was cited before, a reference to that number."""
        look = '<w:rPr><w:rStyle w:val="FootnoteReference"/></w:rPr>'
        name = f"_Note{number}"
        if number in self._cited:
            field = (
                f'<w:fldSimple {nsdecls("w")} w:instr=" NOTEREF {name} \\f \\h "><w:r>{look}<w:t>{number}</w:t></w:r>'
                "</w:fldSimple>"
            )
            paragraph._p.append(parse_xml(field))
            return
        self._cited.add(number)
        for xml in (
            f'<w:bookmarkStart {nsdecls("w")} w:id="{number}" w:name="{name}"/>',
            f'<w:r {nsdecls("w")}>{look}<w:footnoteReference w:id="{number}"/></w:r>',
            f'<w:bookmarkEnd {nsdecls("w")} w:id="{number}"/>',
        ):
            paragraph._p.append(parse_xml(xml))

    def _add_run(self, paragraph: WordParagraph, run: tree.Run, quiet_link: bool, turned: bool) -> None:
        added = paragraph.add_run()
        if run.text == "\n":
            added.add_break()
            return
        added.text = run.text
        added.font.rtl = turned or None
        added.bold = run.strong or None
        if run.emphasis and self._chinese:
            # Chinese has no slanted letters: a dot under each is its emphasis.
            marks = OxmlElement("w:em")
            marks.set(qn("w:val"), "underDot")
            added._r.get_or_add_rPr().append(marks)
        else:
            added.italic = run.emphasis or None
        added.font.strike = run.strike or None
        added.font.subscript, added.font.superscript = run.script == "sub" or None, run.script == "sup" or None
        added.font.highlight_color = WD_COLOR_INDEX.YELLOW if run.mark else None
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


def _turned(blocks: Sequence[tree.Block]) -> set[int]:
    """The numbers of the blocks that stand on turned pages."""
    wide = [number for number, block in enumerate(blocks) if isinstance(block, tree.Table) and _is_wide(block)]
    return {inner for number in wide for inner in tree.around_table(blocks, number)}


def _is_wide(table: tree.Table) -> bool:
    """Whether its words do not fit across a page."""
    return sum(_column_widths(table)[0]) * _TURNED_BELOW > _COLUMN_WIDTH


def _column_widths(block: tree.Table) -> tuple[list[float], list[float]]:
    """How wide each column has to be for its longest word, and how wide it is with each cell on one line, in EMU."""
    least: list[float] = []
    natural: list[float] = []
    for column in zip(*block.rows, strict=True):
        words: list[float] = [0]
        lines: list[float] = [0]
        for index, runs in enumerate(column):
            cell, bold = tree.plain(runs), index == 0 or any(run.strong for run in runs)
            words += [_width(word, bold) for word in re.split(r"\s|(?<=[\u2e80-\u9fff])", cell)]
            lines.append(_width(cell, bold))
        least.append(max(words) + _CELL_MARGINS)
        natural.append(max(lines) + _CELL_MARGINS)
    return least, natural


def _width(text: str, bold: bool) -> float:
    """How wide a line of a table is, in EMU."""

    def share(letter: str) -> float:
        if unicodedata.east_asian_width(letter) in "WF":
            return 1.05
        return next(width for letters, width in _LETTERS if letter in letters or not letters)

    return sum(map(share, text)) * (1 if bold else _REGULAR) * _TABLE_TYPE


def _set_cell_margins(table: Any, margin: Length) -> None:
    sides = "".join(f'<w:{side} w:w="{margin.twips}" w:type="dxa"/>' for side in ("left", "right"))
    margins = parse_xml(f"<w:tblCellMar {nsdecls('w')}>{sides}</w:tblCellMar>")
    table._tbl.tblPr.insert_element_before(margins, "w:tblLook")


def _add_lines(paragraph: WordParagraph, text: str) -> None:
    for index, line in enumerate(text.split("\n")):
        added = paragraph.add_run()
        if index:
            added.add_break()
        added.add_text(line)
