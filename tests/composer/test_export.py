"""Exports keep every word and every credit, and let nothing hostile through."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from composer.article import Article, Placement, Section, Slot
from composer.blocks import parse_markdown
from composer.credit import credit_line
from composer.errors import ComposerError, UsageError
from composer.export import parse_formats
from composer.export.addresses import safe_link
from composer.export.files import is_plain_name, picture_bytes, picture_name, slug
from composer.export.html import summary, to_html
from composer.export.layout import COLUMN_PX, MAX_ENLARGEMENT, MAX_HEIGHT_PX, shown_width_px
from composer.export.markdown import escape, parts, picture_block, to_markdown
from composer.export.pictures import Pictures, in_library
from composer.export.rendering import open_fence, shown_text
from composer.export.urls import beside, embedded
from image_db.records import ImageRecord
from tests.composer.article_samples import farm_article, picture, placed


def url(record: ImageRecord) -> str:
    return f"images/{record.path.name}"


def record(width_px: int, height_px: int) -> ImageRecord:
    return ImageRecord("ab" * 32, Path("/nowhere/a.jpg"), width_px, height_px)


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, and the text a person reads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._skipped = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._skipped = tag if tag in ("style", "script") else self._skipped

    def handle_endtag(self, tag: str) -> None:
        self._skipped = "" if tag == self._skipped else self._skipped

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


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
        assert "nothing fits" not in text
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


# HTML


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
    with pytest.raises(ComposerError, match="has no file name yet; save the article before exporting it"):
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


def test_shown_text_drops_marks_and_keeps_words() -> None:
    assert shown_text("A *b* `c` [d](e)\nf ![g](h)\n\n> q <i>") == "A b c d f g q <i>"


# Formats and files


def test_formats_come_in_a_fixed_order_without_repeats() -> None:
    assert parse_formats("html, md,html") == ("md", "html")
    assert parse_formats("MD") == ("md",)


def test_an_unknown_or_empty_format_is_refused_with_those_that_exist() -> None:
    known = "use one or more of: md, html, docx, pdf, epub$"
    with pytest.raises(UsageError, match=f"^--format doc, rtf is not known; {known}"):
        parse_formats("md,rtf,doc,pdf")
    with pytest.raises(UsageError, match=f"^--format is empty; {known}"):
        parse_formats(" , ")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hens leave the barn at sunrise.", "hens-leave-the-barn-at-sunrise"),
        ("../../etc/passwd", "etc-passwd"),
        ("一只猫。", "一只猫"),
        ("a\x00b\u202egpj.exe", "a-b-gpj-exe"),
        ("", ""),
        ("...", ""),
        ("x" * 90, "x" * 40),
        ("Ünïted_STATES", "ünïted-states"),
    ],
)
def test_names_are_readable_and_never_leave_their_folder(text: str, name: str) -> None:
    assert slug(text) == name


def test_picture_names_end_in_hash_and_true_suffix(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "wrong.txt", "PNG")
    kind, data = picture_bytes(tmp_path / "wrong.txt")
    assert data == (tmp_path / "wrong.txt").read_bytes()
    assert picture_name("Hens!", "4f2a9c10" + "0" * 56, kind) == "hens-4f2a9c10.png"
    assert picture_name("", "4f2a9c10" + "0" * 56, kind) == "picture-4f2a9c10.png"


def test_a_format_browsers_cannot_show_becomes_png(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "scan.tif")
    kind, data = picture_bytes(tmp_path / "scan.tif")
    (tmp_path / "again.png").write_bytes(data)
    with Image.open(tmp_path / "again.png") as again:
        assert (kind.suffix, again.format, again.size, again.convert("RGB").getpixel((0, 0))) == (
            ".png",
            "PNG",
            (8, 6),
            (255, 0, 0),
        )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "..\\b", "C:x", "a\0b"])
def test_names_from_outside_must_be_plain(name: str) -> None:
    assert not is_plain_name(name)


def test_a_missing_slot_caption_prints_only_the_credit(tmp_path: Path) -> None:
    hens = picture(tmp_path, "hens.jpg", author="A", license="CC0", alt="Hens")
    bare = Placement(Slot(0, "x"), (), hens, "r", credit="Image: A, CC0", alt="Hens")
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
