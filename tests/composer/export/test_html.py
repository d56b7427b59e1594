"""The article as HTML: semantic, safe, with pictures at sizes that suit them."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from composer.article.credit import credit_line
from composer.article.model import Article, Section
from composer.errors import ComposerError
from composer.export.figure_size import COLUMN_PX, MAX_ENLARGEMENT, MAX_HEIGHT_PX, shown_width_px
from composer.export.html import summary, to_html
from composer.export.links import safe_link
from composer.export.markdown import to_markdown
from composer.export.picture_export import Pictures, in_library
from composer.export.picture_urls import beside, embedded
from tests.composer.article_samples import farm_article, picture, placed
from tests.composer.export_reading import Page, record, url


def test_the_page_is_semantic_and_complete(tmp_path: Path) -> None:
    page = Page(to_html(farm_article(tmp_path), url))
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    described = next(m["content"] for m in page.all("meta") if m.get("name") == "description")
    assert described == "The morning begins early, long before the sun clears the poplars at the end of the lane."
    names = [tag for tag, _ in page.tags]
    assert (names.count("article"), names.count("h1"), names.count("h2")) == (1, 1, 2)
    assert (names.count("figure"), names.count("figcaption"), names.count("img")) == (2, 2, 2)
    assert [i["alt"] for i in page.all("img")] == ["Hens leave the barn", "Two cows at the fence"]
    assert page.all("a") == [{"href": "https://example.org/hens"}]
    assert "Image: A. Author, CC BY-SA 3.0" in page.text


def test_html_comes_in_reading_order(tmp_path: Path) -> None:
    html = to_html(farm_article(tmp_path), url).partition("<body")[2]
    marks = [
        "<h1>",
        "begins early",
        "Morning</h2>",
        "hens.jpg",
        "mend the fence",
        "cows.jpg",
        "Evening</h2>",
        "nightfall",
    ]
    found = [html.index(mark) for mark in marks]
    assert found == sorted(found)


def test_a_text_with_its_own_beginning_gets_no_second_title(tmp_path: Path) -> None:
    article = replace(farm_article(tmp_path), title_in_text=True)
    html = to_html(article, url)
    assert "<h1" not in html
    assert "<title>A day on the farm</title>" in html


ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "![x](javascript:alert(1))",
    "[x](data:text/html;base64,PHN2Zz4=)",
    "<svg/onload=alert(1)>",
    "[x](vbscript:msgbox(1))",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "</title><script>x</script>",
    "</style><script>x</script>",
    "[x]: javascript:alert(1)\n\n[x]",
    "<iframe src=//evil></iframe>",
    "```html\n<script>x</script>\n```",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](file:///etc/passwd)",
    "<javascript:alert(1)>",
    "--><script>x</script>",
    "[x](<javascript:alert(1)>)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[x](javascript&colon;alert(1))",
    '![" onerror=alert(1) x="](x.png)',
    "<<script>script>alert(1)</script>",
)
RENDERED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "article",
    "header",
    "h1",
    "p",
    "pre",
    "code",
    "figure",
    "img",
    "figcaption",
    "span",
    "a",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_script_survives_from_title_text_caption_credit_or_metadata(attack: str, tmp_path: Path) -> None:
    hens = replace(picture(tmp_path, "hens.jpg"), source_url=attack)
    placement = replace(placed(hens, 0, attack), alt=attack, credit=attack)
    article = Article(attack, attack, (Section(attack),), (placement,))
    html = to_html(article, url)
    page = Page(html)
    assert {tag for tag, _ in page.tags} <= RENDERED
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")], tag
        for name in ("href", "src"):
            assert safe_link(attrs.get(name) or "x"), attrs
    assert html.count("</style>") == 1
    assert " ".join(attack.split()) in " ".join(page.text.split()), "the caption must stay readable"


@pytest.mark.parametrize(
    "good", ["https://a.org/b?c#d", "mailto:a@b.c", "#part", "other.html", "dir/a:b.png", "tel:+4912", "../up"]
)
def test_ordinary_links_are_allowed(good: str) -> None:
    assert safe_link(good)


@pytest.mark.parametrize(
    "bad",
    [
        "javascript:1",
        "\x01javascript:1",
        "ja\nvascript:1",
        "file:///x",
        "data:text/html,x",
        "blob:x",
        "//evil.org",
        "a:b",
    ],
)
def test_links_that_can_run_code_or_leave_the_web_are_refused(bad: str) -> None:
    assert not safe_link(bad)


def test_a_link_defined_in_one_section_works_in_another() -> None:
    article = Article("T", "en", (Section("See [the farm][1]."), Section("[1]: https://example.org/farm", gap="\n")))
    assert '<a href="https://example.org/farm">the farm</a>' in to_html(article, url)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((4000, 3000), COLUMN_PX),
        ((COLUMN_PX, 400), COLUMN_PX),
        ((560, 300), COLUMN_PX),
        ((500, 300), 500),
        ((40, 30), 40),
        ((3000, 6000), MAX_HEIGHT_PX // 2),
        ((0, 0), 0),
    ],
)
def test_a_picture_fills_the_column_only_if_that_hardly_enlarges_it(size: tuple[int, int], shown: int) -> None:
    assert shown_width_px(*size) == shown


def test_no_picture_is_ever_enlarged_beyond_the_limit_or_taller_than_the_page() -> None:
    for width_px in range(1, 1200, 7):
        for height_px in (1, 50, 400, 900, 5000):
            shown_px = shown_width_px(width_px, height_px)
            assert 1 <= shown_px <= COLUMN_PX
            assert shown_px <= width_px * MAX_ENLARGEMENT
            assert shown_px * height_px / width_px <= MAX_HEIGHT_PX or shown_px == 1


def test_a_small_picture_is_marked_narrow_and_keeps_its_size(tmp_path: Path) -> None:
    html = to_html(farm_article(tmp_path), url)
    assert '<figure class="narrow">\n<img src="images/cows.jpg"' in html
    assert 'width="500" height="400" style="width:500px"' in html


def test_a_single_file_page_carries_the_very_bytes_of_its_pictures(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    page = Page(to_html(article, embedded(Pictures(article, in_library))))
    sources = [i["src"] or "" for i in page.all("img")]
    assert [base64.b64decode(s.removeprefix("data:image/jpeg;base64,")) for s in sources] == [
        p.path.read_bytes() for p in article.pictures
    ]


def test_an_unsaved_article_has_no_relative_addresses(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    with pytest.raises(ComposerError, match=r"^picture_without_file: "):
        to_html(article, beside(article))


def test_a_chinese_article_is_marked_worded_and_set_as_chinese(tmp_path: Path) -> None:
    cat = picture(tmp_path, "cat.jpg", author="王小明", license="CC BY 4.0")
    article = Article(
        "如何养好一只宠物",
        "zh",
        (Section("养宠物之前，先想一想自己有没有时间。"),),
        (placed(cat, 0, "一只猫。", "zh"),),
    )
    html = to_html(article, url)
    assert '<html lang="zh">' in html
    assert "图片：王小明，CC BY 4.0" in html
    assert "图片：王小明，CC BY 4.0" in to_markdown(article, url)
    assert ":lang(zh)" in html


def test_a_credit_names_what_is_known_and_nothing_else() -> None:
    both = replace(record(9, 9), author=" A.\nAuthor ", license="CC0")
    assert credit_line(both, "en") == "Image: A. Author, CC0"
    assert credit_line(both, "zh") == "图片：A. Author，CC0"
    assert credit_line(replace(both, license=""), "en") == "Image: A. Author"
    assert credit_line(replace(both, author=""), "en") == "Image: CC0"
    assert credit_line(record(9, 9), "en") == ""


def test_the_description_is_whole_words_of_the_first_paragraph() -> None:
    long = Article("T", "en", (Section("## Only a heading"), Section("## H\n\n" + "A *fine* [word](x) " * 40)))
    text = summary(long)
    assert text.startswith("A fine word A fine")
    assert text.endswith("word…") or text.endswith("A…") or text.endswith("fine…")
    assert len(text) <= 160
    assert summary(Article("T", "en", (Section("Short."),))) == "Short."
    assert summary(Article("T", "zh", (Section("长" * 400),))) == "长" * 159 + "…"
