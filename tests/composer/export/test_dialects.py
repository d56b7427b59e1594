"""Blocks are printed the way they were cut, in every format, and what a text tells its author alone in none."""

from __future__ import annotations

import pytest

from composer.article.markdown import parse_markdown
from composer.article.model import Article
from composer.export.export import export
from composer.export.picture_export import Pictures, in_library
from tests.composer.document_samples import READERS, made
from tests.composer.export_reading import check_docx, check_epub, squashed

TEXT = """\
---
title: The baker's day
---

<!-- PRIVATE: ask the baker -->

The dough rises[^rise] ==all night==, see [[Ovens|the ovens]] at https://example.org/a_b. %%PRIVATE%%

Water is H~2~O and $a^*_b = c^*_d$.

> [!warning] Hot
> Mind the oven.

- [ ] flour
- [x] salt

Dough
: what rises

::: note
Fold it.
:::

<div align="center"><b>Centred</b><br>words</div>

Open <!-- PRIVATE

PRIVATE --> shut.

[^rise]: *Slowly*, says [a book](https://example.org/book).
"""
WORDS = (
    "The baker's day",
    "all night",
    "the ovens",
    "https://example.org/a_b",
    "H2O",
    "a^*_b = c^*_d",
    "Hot",
    "Mind the oven.",
    "☐ flour",
    "☑ salt",
    "Dough",
    "what rises",
    "note",
    "Fold it.",
    "Centred",
    "words",
    "Open",
    "shut.",
    "Slowly, says a book",
)


def article_of(text: str) -> Article:
    parsed = parse_markdown(text)
    return Article(
        parsed.title or "Named", "en", parsed.sections, title_in_text=parsed.title_in_text, preamble=parsed.preamble
    )


@pytest.mark.parametrize("format_", ["html", "docx", "pdf", "epub"])
def test_every_format_prints_the_words_and_no_remark(format_: str, with_fonts: None) -> None:
    article = article_of(TEXT)
    if format_ == "html":
        text = export(article, "html", Pictures(article, in_library)).files["article.html"].decode()
        assert "PRIVATE" not in text
        return
    data = made(article, format_)
    read = READERS[format_](data)
    text = squashed(read.text)
    if format_ == "docx":
        check_docx(data)
        assert b"Slowly, says a book (https://example.org/book)" in read.parts["word/footnotes.xml"]
        text += squashed("Slowly, says a book")
    if format_ == "epub":
        check_epub(data)
    assert [word for word in WORDS if squashed(word) not in text] == []
    assert "PRIVATE" not in text
    assert b"PRIVATE" not in data


def test_markdown_keeps_every_byte() -> None:
    article = article_of(TEXT)
    files = export(article, "md", Pictures(article, in_library)).files
    assert files["article.md"].decode() == TEXT
