"""Pages look set by someone: full, figures with their sections, wide tables turned, contents, faces that match."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import pypdfium2.raw
import pytest
from docx.oxml.ns import qn
from docx.shared import Mm, Pt

from composer.article.citation import Citation, Passage, Source
from composer.article.model import Article, Section
from composer.export.page_fitting import PlacedFigure, SetPages, fitted_scales
from tests.composer.cited_samples import cited_article
from tests.composer.document_samples import MIXED, MONUMENTS, chinese_article, made, monuments_article
from tests.composer.export_reading import ReadDocx, ReadPdf, check_docx

PT = 72 / 25.4
TOP, BOTTOM, NATURAL = 28 * PT, 30 * PT, 146 * PT
SHAPES = {"mixed": MIXED, "wide": ((1200, 800),), "tall": ((900, 1200),)}


@dataclass
class Page:
    """What stands where, as (points from the top, words): text above the foot of the page, and pictures."""

    text: list[tuple[float, str]]
    pictures: list[tuple[float, float, float]]  # top, foot, width
    room: float

    @property
    def filled(self) -> float:
        return (max([y for y, _ in self.text] + [foot for _, foot, _ in self.pictures]) - TOP) / self.room


def pages_of(pdf: bytes) -> list[Page]:
    document = pypdfium2.PdfDocument(pdf)
    pages = []
    for index in range(len(document)):
        page = document[index]
        height = page.get_height()
        words = page.get_textpage()
        boxes = [words.get_rect(i) for i in range(words.count_rects())]
        text = [(height - box[1], words.get_text_bounded(*box)) for box in boxes if box[1] > BOTTOM - 8]
        bounds = [found.get_bounds() for found in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE])]
        pictures = [(height - top, height - bottom, right - left) for left, bottom, right, top in bounds]
        pages.append(Page(text, pictures, height - TOP - BOTTOM))
        words.close()
        page.close()
    document.close()
    return pages


@pytest.fixture(scope="module")
def monuments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("monuments")
    return {shape: made(monuments_article(folder / shape, sizes), "pdf") for shape, sizes in SHAPES.items()}


def test_the_monuments_have_the_length_of_an_article_that_was_half_empty_pages(tmp_path: Path) -> None:
    article = monuments_article(tmp_path)
    assert 420 < sum(len(section.text.split()) for section in article.sections) < 460


@pytest.mark.parametrize("shape", SHAPES)
def test_the_monuments_fill_three_pages_and_no_picture_is_tiny(monuments: dict[str, bytes], shape: str) -> None:
    pages = pages_of(monuments[shape])
    assert len(pages) <= 3
    assert min(page.filled for page in pages[:-1]) > 2 / 3
    assert max(page.filled for page in pages) < 1.01
    widths = [width for page in pages for *_, width in page.pictures]
    assert len(widths) == 5
    for width, (width_px, height_px) in zip(widths, [*SHAPES[shape]] * 5, strict=False):
        assert width > 0.49 * min(1, 0.85 * width_px / height_px) * NATURAL


@pytest.mark.parametrize("shape", ["mixed", "wide"])
def test_the_captions_of_one_article_stand_alike(monuments: dict[str, bytes], shape: str) -> None:
    starts, middles = set(), set()
    document = pypdfium2.PdfDocument(monuments[shape])
    for page in document:
        words = page.get_textpage()
        for left, bottom, right, top in (words.get_rect(i) for i in range(words.count_rects())):
            if words.get_text_bounded(left, bottom, right, top).startswith("Picture of"):
                starts.add(round(left / 5))
                middles.add(round((left + right) / 5))
        words.close()
        page.close()
    document.close()
    assert min(len(starts), len(middles)) == 1


def test_a_figure_stays_with_its_section_and_its_caption(monuments: dict[str, bytes]) -> None:
    pages = pages_of(monuments["mixed"])
    order: list[tuple[int, float, str]] = []
    for number, page in enumerate(pages):
        order += [(number, y, words.strip()) for y, words in page.text]
        order += [(number, foot, "picture") for _, foot, _ in page.pictures]
    order.sort()
    marks = [(number, words) for number, _, words in order if words in (*MONUMENTS, "picture") or "Picture of" in words]
    assert [re.sub(r"Picture of (\w+).*", r"words of \1", words) for _, words in marks] == [
        mark for name in MONUMENTS for mark in (name, "picture", f"words of {name}")
    ]
    for heading, figure, caption in zip(*[iter(marks)] * 3, strict=True):
        assert figure[0] == caption[0]
        assert figure[0] - heading[0] <= 1


def test_a_figure_shrinks_beside_footnotes_without_touching_them(tmp_path: Path) -> None:
    cited = cited_article()
    monuments = monuments_article(tmp_path)
    (shown,) = monuments.placements[:1]
    padded = tuple(Section(f"{text}") for text in MONUMENTS.values())
    placement = replace(shown, slot=replace(shown.slot, after_section=len(cited.sections) + 3))
    article = replace(cited, sections=(*cited.sections, *padded), placements=(placement,))
    for page in pages_of(made(article, "pdf")):
        for top, foot, _ in page.pictures:
            assert not [words for y, words in page.text if top < y < foot]
            assert foot < TOP + page.room


@pytest.mark.parametrize("words", [10, 70, 130])
def test_no_line_of_a_cited_paragraph_stands_alone_on_the_next_page(words: int, tmp_path: Path) -> None:
    source = Source("b" * 64, "birds.pdf", "Birds")
    sections = [Section(("word " * words).strip() + ".")]
    for number, text in enumerate([*MONUMENTS.values()] * 2):
        sentences = re.split(r"(?<=\.) ", text)
        cited = (Citation(each, (Passage(source.id, f"{number}.{n}", each),), 0.9) for n, each in enumerate(sentences))
        sections.append(Section(f"## Part {number}\n\n{text}", citations=tuple(cited)))
    tall = monuments_article(tmp_path, ((800, 1200),)).placements[0]
    placements = tuple(replace(tall, slot=replace(tall.slot, after_section=after)) for after in (3, 6))
    pages = pages_of(made(Article("Cited", "en", tuple(sections), placements, sources=(source,)), "pdf"))
    assert len(pages) > 3
    for page in pages[1:]:
        (first, began), (second, _) = sorted((y, told) for y, told in page.text if not told.strip().isdigit())[:2]
        assert began.startswith(("Part", "Picture")) or second - first < 18, "two lines, or a beginning"


def set_on_pages(heights: Sequence[float], room: float) -> Any:
    """A typesetter of figures alone, on pages of that room, which notes what it is asked for."""

    def set_with(scales: Sequence[float]) -> SetPages:
        page, y, figures = 1, 0.0, []
        for height, scale in zip(heights, scales, strict=True):
            if y + height * scale > room:
                page, y = page + 1, 0.0
            figures.append(PlacedFigure(page, y, height * scale, height * scale))
            y += height * scale
        set_with.asked.append(list(scales))  # type: ignore[attr-defined]
        return SetPages(figures, [], 0.0, [room] * page, 0.0)

    set_with.asked = []  # type: ignore[attr-defined]
    return set_with


def test_figures_that_fit_are_not_touched_and_those_that_cannot_fit_keep_their_size() -> None:
    fits = set_on_pages([400], 1000)
    assert fitted_scales(1, fits) == [1.0]
    assert len(fits.asked) == 1, "one page is set once"
    assert fitted_scales(3, set_on_pages([1000, 1000, 1000], 1000)) == [1.0, 1.0, 1.0]


def test_two_figures_that_nearly_fit_share_the_page_by_one_factor() -> None:
    first, second = fitted_scales(2, set_on_pages([600, 600], 1000))
    assert first == pytest.approx(second)
    assert 0.8 < first < 1000 / 1200


CHAPTERS = 24


def long_article(levels: Sequence[str] = ("##", "##", "###")) -> Article:
    texts = list(MONUMENTS.values())
    sections = [Section(texts[0])]
    for number in range(CHAPTERS):
        sections.append(Section(f"{levels[number % len(levels)]} Chapter {number}\n\n{texts[number % 5]}"))
    return Article("A long way", "en", tuple(sections))


def test_a_long_article_has_its_contents_with_pages_and_a_short_one_has_none(
    monuments: dict[str, bytes],
) -> None:
    pages = pages_of(made(long_article(), "pdf"))
    first = "".join(words for _, words in pages[0].text)
    assert "Contents" in first
    for number in range(CHAPTERS):
        at = max(n for n, page in enumerate(pages, 1) if f"Chapter {number}" in [w.strip() for _, w in page.text])
        assert re.search(rf"Chapter {number}[ .]+{at}(?!\d)", first), f"Chapter {number} is on page {at}"
    assert "Contents" not in ReadPdf(monuments["mixed"]).text


def test_word_lists_the_headings_of_a_long_article_in_a_field(tmp_path: Path) -> None:
    data = made(long_article(), "docx")
    check_docx(data)
    read = ReadDocx(data)
    assert [node.text.split() for node in read.body.iter(qn("w:instrText"))] == [["TOC", "\\o", '"1-2"', "\\h", "\\z"]]
    listed = [(style, words) for style, words in read.paragraphs if style in ("toc 1", "toc 2", "TOC Heading")]
    assert listed[0] == ("TOC Heading", "Contents")
    assert listed[3] == ("toc 2", "Chapter 2")
    assert len(listed) == CHAPTERS + 1
    kinds = [node.get(qn("w:fldCharType")) for node in read.body.iter(qn("w:fldChar"))]
    assert kinds == ["begin", "separate", "end"]
    names = {mark.get(qn("w:name")) for mark in read.body.iter(qn("w:bookmarkStart"))}
    led_to = [link.get(qn("w:anchor")) for link in read.body.iter(qn("w:hyperlink"))]
    assert set(led_to) <= names
    assert len(set(led_to)) == CHAPTERS
    short = ReadDocx(made(monuments_article(tmp_path), "docx"))
    assert not list(short.body.iter(qn("w:instrText")))


def test_the_title_of_ones_own_text_is_not_among_its_contents() -> None:
    article = long_article(("##",))
    own = (Section("# A long way"), *article.sections)
    read = ReadDocx(made(replace(article, sections=own, title_in_text=True), "docx"))
    assert read.paragraphs[0] == ("Heading 1", "A long way")
    assert read.paragraphs[1] == ("TOC Heading", "Contents")
    assert {style for style, words in read.paragraphs if "Chapter" in words} == {"toc 1", "Heading 2"}


def test_word_numbers_its_pages_and_no_figure_takes_more_than_a_third_of_one(tmp_path: Path) -> None:
    data = made(monuments_article(tmp_path), "docx")
    word: Any = docx.Document(io.BytesIO(data))
    (section,) = word.sections
    (number,) = section.footer.paragraphs[0]._p.iter(qn("w:fldSimple"))
    assert number.get(qn("w:instr")).split() == ["PAGE"]
    room = section.page_height - section.top_margin - section.bottom_margin
    words = Mm(5 * 3)  # two lines of caption and one of credit
    assert len(word.inline_shapes) == 5
    for shape in word.inline_shapes:
        assert 0.2 * room < shape.height <= room / 3 - words


def wide_table(columns: int) -> str:
    row = "| " + " | ".join(f"consideration{n}" for n in range(columns)) + " |"
    return "\n".join([row, "|---" * columns + "|", row, row])


def test_word_turns_the_page_for_a_table_that_does_not_fit_across_and_turns_it_back() -> None:
    sections = (
        Section("Before."),
        Section("## Wide"),
        Section(wide_table(7)),
        Section("After."),
        Section("| a | b |\n|---|---|\n| 1 | 2 |"),
    )
    data = made(Article("Tables", "en", sections), "docx")
    check_docx(data)
    word: Any = docx.Document(io.BytesIO(data))
    assert [section.page_width > section.page_height for section in word.sections] == [False, True, False]
    for table, turned in zip(word.tables, (True, False), strict=True):
        width = sum(column.width for column in table.columns)
        assert width <= Mm(237 if turned else 150)
    assert sum(column.width for column in word.tables[1].columns) < Mm(20), "as wide as its words"
    marks = [node.tag for node in word.element.body.iter(qn("w:sectPr"), qn("w:tbl"))]
    assert marks == [qn(f"w:{tag}") for tag in ("sectPr", "tbl", "sectPr", "tbl", "sectPr")]
    before_first = [paragraph.text for paragraph in word.paragraphs]
    assert before_first.index("Before.") + 2 == before_first.index("Wide"), "the page turns above the heading"
    quoted = Article("Quoted", "en", (Section("> " + wide_table(7).replace("\n", "\n> ")),))
    assert len(docx.Document(io.BytesIO(made(quoted, "docx"))).sections) == 1


def sections_of(article: Article) -> list[tuple[bool, list[str]]]:
    """Of each section of the Word document whether it is turned, and its paragraphs and tables in their order."""
    data = made(article, "docx")
    check_docx(data)
    word: Any = docx.Document(io.BytesIO(data))
    found: list[tuple[bool, list[str]]] = []
    held: list[str] = []
    turned = iter(section.page_width > section.page_height for section in word.sections)
    for node in word.element.body:
        if node.tag == qn("w:tbl"):
            held.append("table")
        elif words := "".join(text.text or "" for text in node.iter(qn("w:t"))):
            held.append(words)
        if node.tag == qn("w:sectPr") or list(node.iter(qn("w:sectPr"))):
            found.append((next(turned), held))
            held = []
    return found


def turned_pages(article: Article) -> list[tuple[bool, str]]:
    document = pypdfium2.PdfDocument(made(article, "pdf"))
    found = [(page.get_width() > page.get_height(), page.get_textpage().get_text_bounded()) for page in document]
    document.close()
    return found


ENOUGH = " ".join(MONUMENTS.values())


def test_a_few_words_around_a_wide_table_turn_with_it_and_leave_no_empty_page() -> None:
    table = Section(wide_table(12))
    alone = Article("Counts", "en", (Section("## All of them"), Section("Counted twice."), table, Section("The end.")))
    assert sections_of(alone) == [(True, ["Counts", "All of them", "Counted twice.", "table", "The end."])]
    assert [turned for turned, _ in turned_pages(alone)] == [True]
    within = replace(
        alone,
        sections=(Section(ENOUGH), *alone.sections, Section("## After"), Section(ENOUGH), Section("## Last"), table),
    )
    shown = sections_of(within)
    assert [turned for turned, _ in shown] == [False, True, False, True]
    assert shown[1][1] == ["All of them", "Counted twice.", "table", "The end."]
    assert shown[3][1] == ["Last", "table"]
    pages = turned_pages(within)
    assert [turned for turned, _ in pages] == [False, True, False, True]
    assert re.search(r"All of them\s+Counted twice\.\s.*\sThe end\.", pages[1][1], re.DOTALL)


def test_many_words_around_a_wide_table_stand_on_upright_pages() -> None:
    table = Section(wide_table(12))
    article = Article("Counts", "en", (Section("## All of them"), Section(ENOUGH), table, Section(ENOUGH)))
    assert [(turned, words[0]) for turned, words in sections_of(article)] == [
        (False, "Counts"),
        (True, "table"),
        (False, ENOUGH),
    ]
    assert [turned for turned, _ in turned_pages(article)] == [False, True, False]


@pytest.mark.parametrize("header", ["Month", "Commonwealth", "WWW MMM", "Lighthouses"])
def test_a_column_of_a_word_table_is_as_wide_as_its_bold_header(header: str) -> None:
    table = f"| {header} | n |\n|---|---|\n| a | 1 |"
    word: Any = docx.Document(io.BytesIO(made(Article("Narrow", "en", (Section(table),)), "docx")))
    room = word.tables[0].columns[0].width - Mm(4)
    longest = max(header.split(), key=len)
    assert room > sum(BOLD_GEORGIA[letter] for letter in longest) * Pt(10)


# Widths of letters in em: of Gelasio, bold, which has the widths of Georgia.
BOLD_GEORGIA = {
    **{"M": 1.02, "C": 0.72, "W": 1.13, "L": 0.69, "o": 0.64, "n": 0.69, "t": 0.4, "h": 0.68, "m": 1.02, "w": 0.86},
    **{"e": 0.57, "a": 0.6, "l": 0.34, "i": 0.35, "g": 0.58, "u": 0.68, "s": 0.51},
}


def test_a_word_table_too_wide_for_a_turned_page_has_smaller_type_and_no_less_than_the_smallest() -> None:
    def sizes(columns: int) -> set[Any]:
        word: Any = docx.Document(io.BytesIO(made(Article("Wide", "en", (Section(wide_table(columns)),)), "docx")))
        (table,) = word.tables
        assert sum(column.width for column in table.columns) < Mm(238)
        return {run.font.size for row in table.rows for cell in row.cells for run in cell.paragraphs[0].runs}

    assert sizes(4) == {None}
    (smaller,) = sizes(10)
    (smallest,) = sizes(40)
    assert Pt(5.5) == smallest < smaller < Pt(10)


def test_latin_words_within_chinese_have_faces_that_match(tmp_path: Path, with_fonts: None) -> None:
    article = chinese_article(tmp_path)
    article = replace(article, sections=(*article.sections, Section("## 护理 Care\n\n兔子（rabbit）也一样。")))
    fonts = {
        str(font.get_object()["/BaseFont"]).partition("+")[2].removesuffix("-Identity-H")
        for page in ReadPdf(made(article, "pdf")).reader.pages
        for font in page["/Resources"]["/Font"].values()
    }
    assert {"NotoSerifSC-Regular", "NotoSansSC-Regular", "LibertinusSerif-Regular"} <= fonts
    assert [name for name in fonts if re.match(r"NotoSans(-|$)", name)], fonts
    assert not [name for name in fonts if "Bold" in name], "the Chinese faces have no bold beside which it could stand"
    data = made(article, "docx")
    check_docx(data)
    styles = docx.Document(io.BytesIO(data)).styles
    for name, latin, chinese in (
        ("Normal", "Times New Roman", "SimSun"),
        ("Heading 1", "Microsoft YaHei", "Microsoft YaHei"),
    ):
        faces = styles[name].element.find(f"{qn('w:rPr')}/{qn('w:rFonts')}")
        assert (faces.get(qn("w:ascii")), faces.get(qn("w:eastAsia"))) == (latin, chinese)
