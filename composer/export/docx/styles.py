"""The look of a Word document: page, styles, languages and properties.

Every paragraph takes its look from a named style, so that a reader restyles the whole by changing one. Fonts are those
that Word for Windows and for the Mac bring; other programs replace them by their own. Knows no article.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from docx.enum.style import WD_STYLE_TYPE
from docx.enum.text import WD_ALIGN_PARAGRAPH, WD_LINE_SPACING
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Mm, Pt, RGBColor

from composer.export.document_tree import Document

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.styles.style import ParagraphStyle

COLUMN_WIDTH = Mm(150)  # a page of 210 mm less two margins of 30
AFTER_LIST = Pt(9)
_SERIF, _SANS, _MONO = ("Georgia", "SimSun"), ("Georgia", "Microsoft YaHei"), ("Consolas", "SimSun")
_INK, _SOFT, _FAINT = RGBColor(0x1D, 0x1D, 0x1B), RGBColor(0x55, 0x55, 0x4F), RGBColor(0x6F, 0x6F, 0x68)
_TINT = "F4F3EE"
_ACCENT = RGBColor(0x8A, 0x3B, 0x12)
_HEADING_SIZES_PT = (16, 13.5, 12, 11, 11, 11)


def apply_styles(word: WordDocument, language: str) -> None:
    """Page size, styles and the languages of spelling and of East Asian text."""
    section = word.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.left_margin = section.right_margin = Mm(30)
    section.top_margin, section.bottom_margin = Mm(26), Mm(26)
    _default_language(word, language)
    chinese = language.partition("-")[0].lower() == "zh"

    body = _style(word, "Normal", None, _SERIF, 10.5 if chinese else 11, _INK)
    body.paragraph_format.space_after = Pt(0)
    _paragraph(_style(word, "Body Text", "Normal"), after_pt=9, line=1.5 if chinese else 1.35)
    _paragraph(_style(word, "Title", "Normal", _SANS, 26, _INK, bold=True), after_pt=20, line=1.15, keep_with_next=True)
    for level, size_pt in enumerate(_HEADING_SIZES_PT, start=1):
        heading = _style(word, f"Heading {level}", "Normal", _SANS, size_pt, _INK, bold=True)
        heading.font.italic = False
        _paragraph(heading, before_pt=20 if level < 3 else 14, after_pt=6, line=1.2, keep_with_next=True)
    _paragraph(_style(word, "List Paragraph", "Body Text"), after_pt=4)
    quote = _style(word, "Quote", "Body Text", None, None, _SOFT)
    quote.font.italic = False
    quote.paragraph_format.left_indent = Mm(8)
    code = _style(word, "Code", "Normal", _MONO, 9.5, _INK)
    _paragraph(code, before_pt=4, after_pt=10, line=1.25)
    # A border of the ground's own colour is the space around the code.
    edges = (
        parse_xml(f'<w:{side} {nsdecls("w")} w:val="single" w:sz="4" w:space="6" w:color="{_TINT}"/>')
        for side in ("top", "left", "bottom", "right")
    )
    add_paragraph_property(code.element.get_or_add_pPr(), "w:pBdr", *edges)
    add_paragraph_property(code.element.get_or_add_pPr(), "w:shd", val="clear", color="auto", fill=_TINT)
    code.paragraph_format.left_indent = code.paragraph_format.right_indent = Mm(2.5)
    divider = _style(word, "Divider", "Normal", None, None, _FAINT)
    _paragraph(divider, before_pt=12, after_pt=18, align=WD_ALIGN_PARAGRAPH.CENTER)
    _paragraph(_style(word, "Figure", "Normal"), before_pt=10, after_pt=4, align=WD_ALIGN_PARAGRAPH.CENTER)
    caption = _style(word, "Caption", "Normal", _SANS, 9.5, _SOFT)
    caption.font.bold = False
    _paragraph(caption, after_pt=2, line=1.25, align=WD_ALIGN_PARAGRAPH.CENTER)
    _paragraph(_style(word, "Credit", "Caption", None, 8.5, _FAINT), after_pt=14, align=WD_ALIGN_PARAGRAPH.CENTER)
    _paragraph(_style(word, "Table Text", "Normal", None, 10, None), before_pt=2, after_pt=2)
    _character(word, "Code Text", _MONO, 9.5)
    link = _character(word, "Hyperlink")
    link.font.color.rgb, link.font.underline = _ACCENT, True
    _table_style(word)


# Word reads the properties of a paragraph in this order only (ECMA-376 part 1, 17.3.1.26); what it may meet here.
_AFTER = {
    "w:pBdr": (
        "w:shd",
        "w:tabs",
        "w:bidi",
        "w:spacing",
        "w:ind",
        "w:contextualSpacing",
        "w:jc",
        "w:outlineLvl",
        "w:rPr",
    ),
    "w:shd": ("w:tabs", "w:bidi", "w:spacing", "w:ind", "w:contextualSpacing", "w:jc", "w:outlineLvl", "w:rPr"),
    "w:bidi": ("w:spacing", "w:ind", "w:contextualSpacing", "w:jc", "w:outlineLvl", "w:rPr"),
    "w:outlineLvl": ("w:rPr",),
}


def add_paragraph_property(properties: Any, name: str, *children: Any, **attributes: str) -> None:
    """Put one of ``w:pBdr``, ``w:shd``, ``w:bidi``, ``w:outlineLvl`` into a ``w:pPr``, where the schema wants it."""
    element = OxmlElement(name)
    element.extend(children)
    for key, value in attributes.items():
        element.set(qn(f"w:{key}"), value)
    properties.insert_element_before(element, *_AFTER[name])


def set_properties(word: WordDocument, document: Document, made: datetime, summary: str) -> None:
    """Title, language and dates. The template's author and thumbnail say nothing true and go."""
    properties = word.core_properties
    when = made.astimezone(UTC).replace(microsecond=0)
    properties.title, properties.language = document.title[:255], document.language
    properties.author = properties.last_modified_by = ""
    properties.comments, properties.keywords, properties.revision = summary[:255], "", 1
    properties.created = properties.modified = when
    package = word.part.package
    for key, relation in list(package.rels.items()):
        if relation.reltype.endswith("/thumbnail"):
            package.rels.pop(key)
    settings: Any = word.settings.element
    compat = settings.find(qn("w:compat"))
    if compat is None:
        compat = OxmlElement("w:compat")
        settings.append(compat)
    for old in compat.findall(qn("w:compatSetting")):
        compat.remove(old)
    # Without it Word opens the file in compatibility mode, with the layout of 2007.
    compat.append(
        parse_xml(
            f'<w:compatSetting {nsdecls("w")} w:name="compatibilityMode" '
            'w:uri="http://schemas.microsoft.com/office/word" w:val="15"/>'
        )
    )


def _style(
    word: WordDocument,
    name: str,
    base: str | None,
    fonts: tuple[str, str] | None = None,
    size_pt: float | None = None,
    color: RGBColor | None = None,
    *,
    bold: bool | None = None,
) -> ParagraphStyle:
    """A paragraph style, cleared of what the template said if it was there."""
    if name in word.styles:
        style: Any = word.styles[name]
        for part in ("w:pPr", "w:rPr"):
            if (found := style.element.find(qn(part))) is not None:
                style.element.remove(found)
    else:
        style = word.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.quick_style = True
    style.base_style = word.styles[base] if base else None
    style.hidden = False
    if name.startswith("Heading "):
        add_paragraph_property(style.element.get_or_add_pPr(), "w:outlineLvl", val=str(int(name[-1]) - 1))
    if fonts:
        _fonts(style.element.get_or_add_rPr(), fonts)
    if size_pt:
        style.font.size = Pt(size_pt)
    if color is not None:
        style.font.color.rgb = color
    if bold is not None:
        style.font.bold = bold
    return style


def _character(
    word: WordDocument, name: str, fonts: tuple[str, str] | None = None, size_pt: float | None = None
) -> Any:
    style: Any = word.styles.add_style(name, WD_STYLE_TYPE.CHARACTER)
    if fonts:
        _fonts(style.element.get_or_add_rPr(), fonts)
    if size_pt:
        style.font.size = Pt(size_pt)
    return style


def _fonts(properties: Any, fonts: tuple[str, str]) -> None:
    western, eastern = fonts
    chosen = properties.get_or_add_rFonts()
    for key in list(chosen.attrib):
        del chosen.attrib[key]
    for key in ("ascii", "hAnsi", "cs"):
        chosen.set(qn(f"w:{key}"), western)
    chosen.set(qn("w:eastAsia"), eastern)


def _paragraph(
    style: ParagraphStyle,
    *,
    before_pt: float | None = None,
    after_pt: float | None = None,
    line: float | None = None,
    align: WD_ALIGN_PARAGRAPH | None = None,
    keep_with_next: bool | None = None,
) -> None:
    layout = style.paragraph_format
    layout.space_before = Pt(before_pt) if before_pt is not None else layout.space_before
    layout.space_after = Pt(after_pt) if after_pt is not None else layout.space_after
    if line is not None:
        layout.line_spacing_rule = WD_LINE_SPACING.MULTIPLE
        layout.line_spacing = line
    layout.alignment = align if align is not None else layout.alignment
    layout.keep_with_next = keep_with_next
    layout.widow_control = True


def _default_language(word: WordDocument, language: str) -> None:
    defaults: Any = word.styles.element.find(qn("w:docDefaults"))
    run = defaults.find(qn("w:rPrDefault")).find(qn("w:rPr"))
    for found in run.findall(qn("w:lang")):
        run.remove(found)
    chinese = language.partition("-")[0].lower() == "zh"
    known = {"zh": "zh-CN", "en": "en-US", "und": "x-none"}
    tag = OxmlElement("w:lang")
    # The western language is for Latin words within Chinese text.
    tag.set(qn("w:val"), "en-US" if chinese else known.get(language, language))
    tag.set(qn("w:eastAsia"), "zh-CN" if chinese or language in ("en", "und") else language)
    tag.set(qn("w:bidi"), "ar-SA")
    run.append(tag)


def _table_style(word: WordDocument) -> None:
    style: Any = word.styles.add_style("Article Table", WD_STYLE_TYPE.TABLE)
    style.base_style = word.styles["Normal Table"]
    style.element.append(
        parse_xml(
            f"<w:tblPr {nsdecls('w')}><w:tblBorders>"
            '<w:bottom w:val="single" w:sz="4" w:color="D8D7D2"/><w:insideH w:val="single" w:sz="4" w:color="D8D7D2"/>'
            "</w:tblBorders></w:tblPr>"
        )
    )
