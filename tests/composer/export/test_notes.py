"""Notes and sources in every format: its own footnotes where it has them, and what a source is called is text."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace

import pytest
from lxml import etree

from composer.article.model import Article, Section
from composer.export.export import export
from composer.export.picture_export import Pictures, in_library
from tests.composer.cited_samples import BIRDS, cited_article
from tests.composer.document_samples import DOCUMENTS, MADE, READERS, made
from tests.composer.export_reading import ReadPdf, check_epub, squashed

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def text_of(article: Article, format_: str) -> str:
    return export(article, format_, Pictures(article, in_library), made=MADE).files[f"article.{format_}"].decode()


def test_markdown_has_footnotes_and_a_list_of_sources() -> None:
    text = text_of(cited_article(), "md")
    assert "A bee-eater waits on a branch.[^1]" in text
    assert "The pair digs a deep tunnel.[^2][^1] Forty nests were counted in May.[^3]" in text
    assert "\n[^1]: A. Author, Birds of the \\<River\\> & \\*Bank\\*, p. 12\n" in text
    assert "\n[^3]: notes, Field notes\n" in text
    assert (
        "\n- A. Author: *Birds of the \\<River\\> & \\*Bank\\**, birds.pdf, pp. iv, 12\n- *notes*, notes.md\n" in text
    )


def test_html_links_numbers_and_notes_both_ways() -> None:
    page = text_of(cited_article(), "html")
    links = re.findall(r'<a href="#note-(\d)"', page)
    assert links == ["1", "2", "1", "3"]
    assert re.findall(r' id="(cite-\d)"', page) == ["cite-1", "cite-2", "cite-3"]
    assert re.findall(r'<li id="(note-\d)">', page) == ["note-1", "note-2", "note-3"]
    assert "Birds of the &lt;River&gt; &amp; *Bank*, p. 12" in page
    assert page.index("The last word") < page.index('role="doc-endnotes"') < page.index('role="doc-bibliography"')


def test_word_has_real_footnotes_and_refers_to_a_number_again() -> None:
    data = made(cited_article(), "docx")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        document = etree.fromstring(archive.read("word/document.xml"))
        notes = etree.fromstring(archive.read("word/footnotes.xml"))
        assert b"footnotes+xml" in archive.read("[Content_Types].xml")
    cited = [node.get(f"{W}id") for node in document.iter(f"{W}footnoteReference")]
    assert cited == ["1", "2", "3"]
    said = {note.get(f"{W}id"): "".join(note.itertext()).strip() for note in notes}
    assert said["1"] == "A. Author, Birds of the <River> & *Bank*, p. 12"
    (again,) = document.iter(f"{W}fldSimple")
    assert again.get(f"{W}instr").split() == ["NOTEREF", "_Note1", "\\f", "\\h"]
    assert "_Note1" in [mark.get(f"{W}name") for mark in document.iter(f"{W}bookmarkStart")]


def test_a_pdf_has_footnotes_under_the_page() -> None:
    read = ReadPdf(made(cited_article(), "pdf"))
    text = squashed(read.text)
    assert squashed("1 A. Author, Birds of the <River> & *Bank*, p. 12") in text
    assert text.count(squashed("Birds of the <River> & *Bank*")) == 3  # two notes, one source
    assert "Note" in [role for role, _ in read.structure]


def test_an_e_book_has_note_references() -> None:
    data = made(cited_article(), "epub")
    check_epub(data)
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        page = book.read("EPUB/article.xhtml").decode()
    assert page.count('epub:type="noteref"') == 4
    assert len(re.findall(r'<a href="#cite-\d"', page)) == 3


@pytest.mark.parametrize("format_", DOCUMENTS)
def test_every_document_lists_the_sources_with_their_pages(format_: str, with_fonts: None) -> None:
    text = squashed(READERS[format_](made(cited_article(), format_)).text)
    assert squashed("A. Author: Birds of the <River> & *Bank*, birds.pdf, pp. iv, 12") in text
    assert squashed("第iv,12页") in squashed(READERS[format_](made(cited_article("zh"), format_)).text)


@pytest.mark.parametrize("format_", ["md", "html", *DOCUMENTS])
def test_without_citations_nothing_is_added_and_brackets_stay(format_: str) -> None:
    section = Section("A note[^1] of one's own.")
    article = Article("T", "en", (section,), sources=(BIRDS,))
    if format_ in ("md", "html"):
        text = text_of(article, format_)
        assert "Sources" not in text
    else:
        text = READERS[format_](made(article, format_)).text
        assert squashed("A note[^1] of one's own.") in squashed(text)
    assert "[^1]" in text
    assert "birds.pdf" not in text


def test_a_citation_of_a_source_that_is_not_there_prints_nothing() -> None:
    article = replace(cited_article(), sources=())
    assert "[^" not in text_of(article, "md")
