"""Text that reads from right to left stands at the right in every format, and a wide table stays on its page."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from composer.article.markdown import parse_markdown
from composer.article.model import Article
from tests.composer.article_samples import farm_article
from tests.composer.document_samples import made
from tests.composer.export_reading import ReadPdf, check_docx, check_epub

HEBREW = """\
השוק נפתח מוקדם, לפני שהרחוב מתעורר. הדוכנים מלאים.

> ציטוט קצר.

1. ראשון
2. שני

- English first
- אחר כך עברית

| יום | שעה |
|-----|-----|
| שני | 7 |

The market closes at noon: שלום.
"""


def article(text: str, title: str, language: str) -> Article:
    return Article(title, language, parse_markdown(text).sections)


MARGIN_PT = 32 / 25.4 * 72


def rows_of(pdf: bytes) -> list[list[tuple[float, float, float, float, str]]]:
    """On every page each stretch of text as left, bottom, right, top and its words."""
    document = pypdfium2.PdfDocument(pdf)
    pages = []
    for index in range(len(document)):
        page = document[index]
        words = page.get_textpage()
        boxes = [words.get_rect(i) for i in range(words.count_rects())]
        pages.append([(*box, words.get_text_bounded(*box)) for box in boxes])
        words.close()
        page.close()
    document.close()
    return pages


def test_a_page_marks_every_block_that_reads_from_right_to_left_and_no_other() -> None:
    html = made(article(HEBREW, "בוקר בשוק", "he"), "html").decode()
    for tag in ("h1", "p", "blockquote", "ol", "table", "th"):
        assert f'<{tag} dir="rtl">' in html, tag
    assert '<ul>\n<li>English first</li>\n<li dir="rtl">' in html, "a list goes as its first words go"
    assert "<p>The market closes at noon: שלום.</p>" in html
    assert "dir=" not in made(article("Plain *words*.\n\n- one\n\n1. \n", "T", "en"), "html").decode()


def test_a_book_marks_the_same_blocks() -> None:
    data = made(article(HEBREW, "בוקר בשוק", "he"), "epub")
    check_epub(data)
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        chapter = book.read("EPUB/article.xhtml").decode()
        package = book.read("EPUB/package.opf").decode()
    for tag in ("p", "blockquote", "ol", "table"):
        assert f'<{tag} dir="rtl">' in chapter, tag
    assert 'page-progression-direction="rtl"' in package


def test_word_turns_paragraphs_letters_and_tables() -> None:
    import docx
    from docx.enum.table import WD_TABLE_DIRECTION
    from docx.oxml.ns import qn

    data = made(article(HEBREW, "בוקר בשוק", "he"), "docx")
    check_docx(data)
    word: Any = docx.Document(io.BytesIO(data))
    turned = {p.text: p._p.pPr.find(qn("w:bidi")) is not None for p in word.paragraphs if p.text}
    assert turned["בוקר בשוק"]
    assert turned["ראשון"]
    assert not turned["English first"]
    assert not turned["The market closes at noon: שלום."]
    (table,) = word.tables
    assert table.table_direction == WD_TABLE_DIRECTION.RTL
    (cell,) = table.rows[1].cells[0].paragraphs
    assert [run.font.rtl for run in cell.runs] == [True]


def test_a_pdf_sets_them_at_the_right_margin(with_fonts: None) -> None:
    (page,) = rows_of(made(article(HEBREW, "בוקר בשוק", "he"), "pdf"))
    right_margin = 595 - MARGIN_PT
    words_at = {words.strip(): (left, right) for left, _, right, _, words in page}
    for first_word in ("בוקר", "השוק", "ציטוט"):
        assert words_at[first_word][1] > right_margin - 25, first_word
    assert words_at["שעה"][1] < words_at["יום"][0], "the first column stands at the right"
    (english,) = [left for left, _, _, _, words in page if "market" in words]
    assert english == pytest.approx(MARGIN_PT, abs=3), "an English paragraph keeps its direction"


@pytest.mark.parametrize(
    ("columns", "word"), [(9, "consideration"), (13, "departure"), (31, "Wirtschaftswissenschaft")]
)
def test_no_word_of_a_wide_table_is_printed_over_another_or_past_the_page(columns: int, word: str) -> None:
    cells = [[f"{word} {row}{column}" for column in range(columns)] for row in range(1, 7)]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    table = "\n".join([lines[0], "|---" * columns + "|", *lines[1:]])
    text = f"Before the table.\n\n## Below it\n\n{table}\n\n## After\n\nIt."
    data = made(article(text, "Wide", "en"), "pdf")
    pages = rows_of(data)
    widths = [float(page.mediabox.width) for page in ReadPdf(data).reader.pages]
    assert [round(width) for width in widths] == [595, 842, 595], "a page of its own, turned, with its heading"
    assert "Below it" in [words.strip() for *_, words in pages[1]]
    for page, width in zip(pages, widths, strict=True):
        for number, (left, bottom, right, top, words) in enumerate(page):
            assert left >= MARGIN_PT - 1, words
            assert right <= width - MARGIN_PT + 1, words
            for other_left, other_bottom, other_right, other_top, other in page[number + 1 :]:
                apart_x = min(right, other_right) - max(left, other_left)
                apart_y = min(top, other_top) - max(bottom, other_bottom)
                assert apart_x <= 0.5 or apart_y <= 0.5, (words, other)
    read = "".join(words for page in pages for *_, words in page)
    assert "".join(read.split()).count(word) == 6 * columns or columns > 20, "whole words where they fit"


def test_a_table_that_fits_is_set_as_wide_as_its_words(tmp_path: Path) -> None:
    (page,) = rows_of(made(article("| Day | Time |\n|---|---|\n| Monday | 7 |", "T", "en"), "pdf"))
    assert max(right for _, _, right, _, words in page if words.strip() in ("Time", "7")) < 250


@pytest.mark.parametrize("language", ["de", "ja", "he", "pt-BR", "und"])
def test_every_format_names_the_language_of_the_text_and_that_of_its_captions(
    language: str, tmp_path: Path, with_fonts: None
) -> None:
    farm = replace(farm_article(tmp_path), language=language)
    own = ' lang="en"' if language != "und" else ""
    html = made(farm, "html").decode()
    assert f'<html lang="{language}">' in html
    assert f"<figure{own}>" in html
    with zipfile.ZipFile(io.BytesIO(made(farm, "epub"))) as book:
        assert f"<dc:language>{language}</dc:language>" in book.read("EPUB/package.opf").decode()
        chapter = book.read("EPUB/article.xhtml").decode()
    assert f'lang="{language}" xml:lang="{language}"' in chapter
    assert ('<figure lang="en" xml:lang="en">' in chapter) == bool(own)
    assert ReadPdf(made(farm, "pdf")).reader.root_object["/Lang"] == language
    data = made(farm, "docx")
    check_docx(data)
    with zipfile.ZipFile(io.BytesIO(data)) as word:
        styles = word.read("word/styles.xml").decode()
    (spelling,) = re.findall(r"<w:lang [^>]*>", styles)
    key, value = {
        "de": ("val", "de"),
        "ja": ("eastAsia", "ja"),
        "he": ("bidi", "he"),
        "pt-BR": ("val", "pt-BR"),
        "und": ("val", "x-none"),
    }[language]
    assert f'w:{key}="{value}"' in spelling
    assert ("MS Mincho" in styles) == (language == "ja")
    assert ("SimSun" in styles) != (language == "ja")
