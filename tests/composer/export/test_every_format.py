"""What holds for Word, PDF and EPUB alike, and for any text at all."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from composer.article.model import Article, Section
from composer.errors import ExportError, UsageError
from composer.export.document_tree import Heading, Paragraph, to_document
from composer.export.export import download, export
from composer.export.pdf import to_pdf
from composer.export.picture_export import Pictures, in_library
from tests.composer.article_samples import farm_article, picture, placed
from tests.composer.document_samples import DOCUMENTS, MADE, READERS, made, rich_article
from tests.composer.export_reading import (
    ReadDocx,
    check_epub,
    squashed,
)


@pytest.mark.parametrize("format_", ["md", "html", *DOCUMENTS])
def test_the_same_article_gives_the_same_bytes(format_: str, tmp_path: Path) -> None:
    article = rich_article(tmp_path)
    first, again = (export(article, format_, Pictures(article, in_library), made=MADE).files for _ in range(2))
    assert first == again


@pytest.mark.parametrize("format_", DOCUMENTS)
def test_an_article_without_pictures_or_title_line_is_whole(format_: str) -> None:
    article = Article("Named", "en", (Section("Only words."),), title_in_text=True)
    read = READERS[format_](made(article, format_))
    assert " ".join(read.text.split()) == "Only words."
    if format_ == "epub":
        check_epub(read.data)


@pytest.mark.parametrize("format_", DOCUMENTS)
def test_an_empty_article_still_opens(format_: str) -> None:
    read = READERS[format_](made(Article("", "en", ()), format_))
    assert read.text.strip() == ""


def test_heading_levels_become_depths_that_skip_none() -> None:
    sections = tuple(Section(f"{'#' * level} H{level}") for level in (2, 4, 4, 3, 2, 6, 1, 2))
    document = to_document(Article("T", "en", sections))
    assert [block.level for block in document.blocks if isinstance(block, Heading)] == [1, 2, 2, 2, 1, 2, 1, 2]


def test_a_picture_on_the_web_is_named_and_linked_never_loaded(tmp_path: Path) -> None:
    article = Article(
        "T", "en", (Section("See ![the *old* barn](https://example.org/barn.png) and ![](x/../../y.png)"),)
    )
    html = export(article, "html", Pictures(article, in_library)).files["article.html"].decode()
    assert '<a href="https://example.org/barn.png">the old barn</a>' in html
    assert "<img" not in html
    assert "the old barn" in ReadDocx(made(article, "docx")).text


def test_several_formats_come_as_one_zip_and_one_as_itself(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    pictures = Pictures(article, in_library)
    both = download(article, ("md", "pdf"), pictures, made=MADE)
    assert (both.name, both.media_type) == ("a-day-on-the-farm.zip", "application/zip")
    with zipfile.ZipFile(io.BytesIO(both.data)) as archive:
        names = archive.namelist()
    assert names[0] == "a-day-on-the-farm/article.md"
    assert names[-1] == "a-day-on-the-farm/article.pdf"
    assert len(names) == 4
    one = download(article, ("docx",), pictures, made=MADE)
    assert one.name == "a-day-on-the-farm.docx"
    assert one.data == made(article, "docx")
    assert (
        download(replace(article, title="如何/养好:一只..宠物"), ("html",), pictures).name == "如何-养好-一只-宠物.html"
    )
    assert download(replace(article, title="…"), ("html",), pictures).name == "article.html"


def test_pictures_are_made_ready_once_for_all_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from composer.export import picture_export as pictures

    calls = []
    real = pictures.prepare
    monkeypatch.setattr(pictures, "prepare", lambda *args: calls.append(args) or real(*args))
    article = farm_article(tmp_path)
    ready = pictures.Pictures(article, in_library)
    assert len([export(article, one, ready) for one in ("md", "html", *DOCUMENTS)]) == 5
    assert len(calls) == 2


def test_an_unknown_format_is_refused_with_those_that_exist() -> None:
    article = Article("T", "en", ())
    with pytest.raises(UsageError, match=r"^format_unknown: formats=.'odt'.*'docx'"):
        export(article, "odt", Pictures(article, in_library))


@pytest.mark.parametrize(("format_", "module", "package"), [("docx", "docx", "python-docx"), ("pdf", "typst", "typst")])
def test_a_missing_library_is_named(
    format_: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    for name in [
        name for name in sys.modules if name == module or name.startswith((f"{module}.", "composer.export.docx"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExportError, match=f"^export_needs_package: format={format_}, package={package}$"):
        made(Article("T", "en", ()), format_)


# --- any text at all


WORDS = st.text(
    st.one_of(
        st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]),
        st.sampled_from("如何养好一只宠物，狗和猫。“”……《》éüñßœŁαβγдж–—’½€"),
    ),
    min_size=1,
    max_size=40,
)
PROSE = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
SECTIONS = st.one_of(
    PROSE,
    st.builds(lambda heading, text: f"## {heading}\n\n{text}", WORDS, PROSE),
    st.lists(PROSE, min_size=1, max_size=4).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.builds("> {}".format, PROSE),
    st.builds("**{}** and *{}*".format, WORDS, WORDS),
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(SECTIONS, min_size=1, max_size=8), language=st.sampled_from(["en", "zh"]), data=st.data())
def test_any_article_keeps_its_text_and_the_order_of_sections_and_pictures(
    texts: list[str], language: str, data: st.DataObject, tmp_path: Path, with_fonts: None
) -> None:
    """Numbered markers around every section and in every caption must come back in reading order, with all between."""
    after = sorted(data.draw(st.sets(st.integers(0, len(texts) - 1), max_size=3)))
    image = picture(tmp_path, "hens.jpg", size=(90, 60))
    sections = tuple(Section(piece) for i, text in enumerate(texts) for piece in (f"Mark{i:03d}", text))
    placements = tuple(placed(image, 2 * i + 1, f"Figure{i:03d}", language) for i in after)
    article = Article("Title000", language, sections, placements)
    marks = ["Title000"]
    for index in range(len(texts)):
        marks += [f"Mark{index:03d}"] + ([f"Figure{index:03d}"] if index in after else [])
    document = to_document(article)
    expected = squashed(_words(document.blocks))
    for format_ in DOCUMENTS:
        text = squashed(READERS[format_](made(article, format_)).text)
        places = [text.index(mark) for mark in marks]
        assert places == sorted(places), format_
        assert len(places) == text.count("Mark") + text.count("Figure") + 1 or re.search("Mark|Figure", "".join(texts))
        body = text[places[1] :]
        for piece in _pieces(document.blocks):
            assert squashed(piece) in body, (format_, piece)
    assert expected


def _pieces(blocks: Any) -> list[str]:
    """The words of every paragraph, heading, item and caption of a tree."""
    found: list[str] = []
    for block in blocks:
        if hasattr(block, "runs"):
            found.append("".join(run.text for run in block.runs))
        elif hasattr(block, "items"):
            found += [piece for item in block.items for piece in _pieces(item)]
        elif hasattr(block, "blocks"):
            found += _pieces(block.blocks)
        elif hasattr(block, "caption"):
            found += [block.caption, block.credit]
        elif hasattr(block, "rows"):
            found += ["".join(run.text for run in cell) for row in block.rows for cell in row]
        elif hasattr(block, "text"):
            found.append(block.text)
    return found


def _words(blocks: Any) -> str:
    return "".join(_pieces(blocks))


def test_lines_of_a_text_file_join_with_a_space_only_where_words_have_spaces() -> None:
    article = Article("T", "zh", (Section("一行\n又一行，\n**粗**\nand English\nwords\n中文"),))
    (paragraph,) = to_document(article).blocks
    assert isinstance(paragraph, Paragraph)
    assert "".join(run.text for run in paragraph.runs) == "一行又一行， 粗 and English words 中文"


def test_a_document_tree_alone_makes_a_pdf(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    data, notes = to_pdf(to_document(article), Pictures(article, in_library), MADE)
    assert notes == ()
    assert data.startswith(b"%PDF-1.")
