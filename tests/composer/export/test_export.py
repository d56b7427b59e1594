"""Exports keep every word and every credit, and let nothing hostile through."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from composer.article.markdown import parse_markdown
from composer.article.model import Article, Placement, Section, Slot
from composer.export.html import to_html
from composer.export.markdown import escape, parts, picture_block, to_markdown
from composer.export.markdown_html import open_fence
from tests.composer.article_samples import farm_article, picture, placed
from tests.composer.export_reading import Page, url

# Markdown


USER_TEXTS = {
    "plain": ["One.", "\n\n", "Two.", "\n\n", "Three.", "\n"],
    "uneven gaps": ["One.", "\n\n\n\n", "Two  \nlines.", "\n", "- a\n- b", " \n\n", "End", ""],
    "windows line ends": ["One.\r\nStill one.", "\r\n\r\n", "Two.", "\r\n"],
    "leading space and title of its own": [
        "\n\n  # Mine #\n\nText with `code`  ",
        "\n \n",
        "| a |\n|---|\n| b |",
        "\n\n\n",
    ],
}


@pytest.mark.parametrize("name", USER_TEXTS)
def test_a_users_text_survives_to_the_byte_when_the_picture_blocks_are_taken_away(name: str, tmp_path: Path) -> None:
    pieces = USER_TEXTS[name]
    text = "".join(pieces)
    sections = tuple(Section(t, g) for t, g in zip(pieces[::2], pieces[1::2], strict=True))
    hens = picture(tmp_path, "hens.jpg", author="A [b](c)", license="CC0")
    article = Article(
        "Mine",
        "en",
        sections,
        tuple(placed(hens, i, "Hens *leave*.") for i in range(len(sections))),
        title_in_text=True,
    )
    exported = to_markdown(article, url)
    assert exported.count("![") == len(sections)
    added = [piece for own, piece in parts(article, url) if not own]
    assert len(added) == len(sections)
    for piece in added:
        assert exported.count(piece) >= 1
        exported = exported.replace(piece, "", 1)
    assert exported == text


def test_front_matter_and_title_line_stay_as_the_user_wrote_them(tmp_path: Path) -> None:
    source = "---\ntitle: Mine\n---\n\nMine\n====\n\nSee [it][1].\n\n- a\n\n\nEnd\n\n[1]: https://example.org"
    parsed = parse_markdown(source)
    assert parsed.preamble.startswith("---")
    article = Article(parsed.title, "en", parsed.sections, preamble=parsed.preamble)
    assert to_markdown(article, url) == source
    hens = picture(tmp_path, "hens.jpg")
    article = replace(article, placements=(placed(hens, 0, "Hens."),))
    assert to_markdown(article, url) == source.replace(
        "[it][1].", "[it][1].\n\n" + picture_block(article.placements[0], url)
    )
    html = to_html(article, url)
    assert html.count("Mine</h1>") == 1
    assert "title:" not in html
    assert '<a href="https://example.org">it</a>' in html


@pytest.mark.parametrize("name", USER_TEXTS)
def test_a_picture_never_swallows_the_text_around_it(name: str, tmp_path: Path) -> None:
    pieces = USER_TEXTS[name]
    sections = tuple(Section(t, g) for t, g in zip(pieces[::2], pieces[1::2], strict=True))
    hens = picture(tmp_path, "hens.jpg", author="A", license="CC0")
    article = Article("Mine", "en", sections, (placed(hens, 0, "Hens."),), title_in_text=True)
    html = MarkdownIt().enable("table").render(to_markdown(article, url))
    block = next(p for p in re.findall(r"<p>.*?</p>", html, re.DOTALL) if "<img" in p)
    assert plain(block) == ["", "Hens.", "Image: A, CC0"]


def plain(block: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", line).strip() for line in block.split("<br />")]


def test_markdown_has_title_text_picture_caption_and_credit_in_reading_order(tmp_path: Path) -> None:
    text = to_markdown(farm_article(tmp_path), url)
    assert text.startswith("# A day on the farm\n\nThe morning begins early")
    assert (
        "come home.\n\n![Hens leave the barn](images/hens.jpg)\\\n*Hens leave the barn at sunrise.*\\\n"
        "[Image: A. Author, CC BY-SA 3.0](https://example.org/hens)\n\n- feed the hens" in text
    )


def test_a_slot_without_a_picture_leaves_no_trace_in_the_exports(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    for text in (to_markdown(article, url), to_html(article, url)):
        assert "fits" not in text
        assert "closed gate" not in text
        assert "barn.png" not in text


HOSTILE = (
    "a*b*c",
    "[x](javascript:alert(1))",
    "]] ![x](y)",
    "<script>alert(1)</script>",
    "`code`",
    "# heading",
    "1. item",
    "- item",
    "&lt;b&gt;",
    "**bold** __bold__",
    "line\nbreak\n\n# new",
    "\\",
    "~~gone~~",
    "+ plus",
    "=====",
    "> quote",
    "a | b",
    "2024) year",
    "$x$",
    "-",
    "_under_",
    "ends with backslash \\",
    "<https://x.org>",
    "!",
    "![",
    "tag <img src=x onerror=alert(1)>",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_reads_as_written_in_every_place_of_a_picture_block(text: str, tmp_path: Path) -> None:
    hens = picture(tmp_path, "hens.jpg")
    placement = replace(placed(hens, 0, text), alt=text, credit=text)
    article = Article("T", "en", (Section("Before."), Section("After.")), (placement,))
    html = MarkdownIt("commonmark").enable("strikethrough").render(to_markdown(article, url))
    page = Page(html)
    assert [tag for tag, _ in page.tags] == ["h1", "p", "p", "img", "br", "em", "br", "p"]
    assert page.all("img") == [{"src": "images/hens.jpg", "alt": " ".join(text.split())}]
    shown = " ".join(text.split())
    assert [line.strip() for line in page.text.split("\n") if line.strip()] == ["T", "Before.", shown, shown, "After."]


def test_escaping_leaves_ordinary_prose_alone() -> None:
    prose = "Fish & chips, 50% off: “fresh” (really) — 如何养好一只宠物。 3.5 kg! A/B"
    assert escape(prose) == prose


def test_a_missing_slot_caption_prints_only_the_credit(tmp_path: Path) -> None:
    hens = picture(tmp_path, "hens.jpg", author="A", license="CC0", alt="Hens")
    bare = Placement(Slot(0, "x"), (), hens, (), credit="Image: A, CC0", alt="Hens")
    article = Article("T", "en", (Section("P."),), (bare,))
    assert "![Hens](images/hens.jpg)\\\nImage: A, CC0\n" in to_markdown(article, url)
    assert '<figcaption><span class="credit">Image: A, CC0</span></figcaption>' in to_html(article, url)


@pytest.mark.parametrize(
    ("text", "closing"),
    [
        ("~~~\nnever closed", "~~~"),
        ("```py\nx = 1\n", "```"),
        ("````\n```\n", "````"),
        ("```", "```"),
        ("```\nclosed\n```", ""),
        ("```\nclosed\n`````  \n", ""),
        ("- item\n  ```\n  in a list", ""),
        ("prose", ""),
        ("", ""),
    ],
)
def test_code_left_open_in_a_section_swallows_nothing_after_it(text: str, closing: str, tmp_path: Path) -> None:
    assert open_fence(text) == closing
    hens = picture(tmp_path, "hens.jpg")
    article = Article("T", "en", (Section(text), Section("After.")), (placed(hens, 0, "Hens."),))
    exported = list(parts(article, url))
    html = MarkdownIt("commonmark").render("".join(piece for _, piece in exported))
    assert 'src="images/hens.jpg"' in html
    assert "<p>After.</p>" in html
    assert "".join(piece for own, piece in exported if own).endswith(f"{text}\n\nAfter.\n\n")
