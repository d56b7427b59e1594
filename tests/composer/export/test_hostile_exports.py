"""Nothing of the hostile corpus runs, loads or leaves its place in any export, and all of it can still be read."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from composer.article.model import Article, Section
from composer.article.serialization import from_json, to_json
from composer.errors import ComposerError
from composer.export.article_folder import load_article, save_article
from composer.export.export import export
from composer.export.picture_export import Pictures, in_library
from composer.export.picture_files import slug
from tests.composer.export_reading import (
    XHTML,
    ReadDocx,
    ReadEpub,
    ReadPdf,
    check_docx,
    check_epub,
    squashed,
)
from tests.hostile import ADDRESSES, HOSTILE, PATHS, as_markdown, as_read, hostile_article

TITLES = (*HOSTILE[::20], "\ufeffa\ufeff")
BLOCK_TAGS = {
    "p",
    "hr",
    "ul",
    "ol",
    "li",
    "blockquote",
    "pre",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "dl",
    "dt",
    "dd",
}
WORD_TAGS = {"a", "img", "br", "code", "em", "strong", "sup", "sub", "mark"}
MARKDOWN_TAGS = BLOCK_TAGS | WORD_TAGS | {*(f"h{level}" for level in range(1, 7)), "section"}
BOOK_TAGS = MARKDOWN_TAGS | {"html", "head", "title", "link", "body", "header", "figure", "figcaption", "span", "s"}


def test_the_corpus_is_large_and_has_no_string_twice() -> None:
    assert len(HOSTILE) == len(set(HOSTILE)) >= 200


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory) -> Article:
    return hostile_article(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def exports(article: Article, fonts_home: Path) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIGNETTE_HOME", str(fonts_home))
        return {
            name: export(article, name, Pictures(article, in_library)).files[f"article.{name}"]
            for name in ("md", "html", "docx", "pdf", "epub")
        }


def unreadable(text: str, wanted: Iterator[str]) -> list[str]:
    """Strings whose letters do not stand in the text. Right-to-left words may stand in the order they are drawn."""
    plain = squashed(text)
    return [one for one in wanted if squashed(one) not in plain and not _stands_turned(plain, one)]


def _stands_turned(plain: str, text: str) -> bool:
    if not any("\u0590" <= char <= "\u08ff" or char == "\u202e" for char in text):
        return False
    for word in map(squashed, text.split()):
        # The Arabic font draws dots as glyphs of their own, which readers put in various places: letters are compared.
        arabic = any("\u0600" <= char <= "\u08ff" for char in word)
        if not (word in plain or word[::-1] in plain or (arabic and set(word) <= set(plain))):
            return False
    return True


def captions_and_texts() -> Iterator[str]:
    for text in HOSTILE:
        yield as_read(text)
        # A note stands at the page's foot or the document's end, and a number in its place.
        yield from ("text", "a footnote") if "[^1]" in text else (as_markdown(text),)


@pytest.mark.parametrize("format_", ["docx", "pdf", "epub"])
def test_every_string_can_still_be_read(format_: str, exports: dict[str, bytes]) -> None:
    read = {"docx": ReadDocx, "pdf": ReadPdf, "epub": ReadEpub}[format_](exports[format_])
    # Korean and the rarest Chinese stand in a PDF as codes where this machine has no font for them.
    text = re.sub(r"\[U\+([0-9A-F]{4,6})\]", lambda code: chr(int(code[1], 16)), read.text)
    assert unreadable(text, captions_and_texts()) == []


def test_word_finds_nothing_active_or_damaged(exports: dict[str, bytes]) -> None:
    check_docx(exports["docx"])
    read = ReadDocx(exports["docx"])
    assert read.alternatives == [as_read(text) for text in HOSTILE]
    assert [text for style, text in read.paragraphs if style == "Caption"] == [as_read(text) for text in HOSTILE]
    assert [text for style, text in read.paragraphs if style == "Credit"] == [as_read(text) for text in HOSTILE]


def test_a_pdf_holds_no_action_but_links_to_the_web(exports: dict[str, bytes]) -> None:
    read = ReadPdf(exports["pdf"])
    assert {kind for kind, _ in read.actions} == {"/URI"}
    assert all(address.startswith(("http://", "https://", "mailto:", "tel:")) for _, address in read.actions)
    assert (
        read.keys & {"/JS", "/JavaScript", "/OpenAction", "/AA", "/EmbeddedFiles", "/AcroForm", "/RichMedia"} == set()
    )
    figures = [alt for role, alt in read.structure if role == "Figure"]
    assert [squashed(alt) for alt in figures] == [squashed(as_read(text)) for text in HOSTILE]


def test_a_book_is_sound_and_asks_for_nothing(exports: dict[str, bytes]) -> None:
    check_epub(exports["epub"])
    read = ReadEpub(exports["epub"])
    assert read.alternatives == [as_read(text) for text in HOSTILE]
    for node in read.chapter.iter():
        assert node.tag.removeprefix(XHTML) in BOOK_TAGS
        assert not [name for name in node.attrib if name.lower().startswith("on")]
        for name in ("href", "src"):
            value = node.get(name, "images/")
            inside = value == "epub.css" or value.startswith(("#note-", "#cite-"))
            assert inside or value.startswith(("http://", "https://", "mailto:", "tel:", "images/"))


def test_markdown_shown_by_another_program_gives_no_script(exports: dict[str, bytes]) -> None:
    """As hosts show Markdown: without raw HTML, and with the renderer's own check of links."""
    parser = MarkdownIt("js-default", {"html": False})
    page = Tags(parser.render(exports["md"].decode()))
    assert page.names <= MARKDOWN_TAGS | {"s"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    addresses = [value.lower() for name, value in page.attributes if name in ("href", "src")]
    assert len(addresses) > len(HOSTILE)
    assert not [value for value in addresses if value.startswith(("javascript:", "vbscript:", "data:text"))]


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_a_pictures_words_stay_words_even_where_raw_html_is_shown(article: Article) -> None:
    """Captions, credits and alternative texts are escaped; only an article's own text is Markdown."""
    words_only = replace(article, sections=tuple(Section("plain") for _ in article.sections))
    text = export(words_only, "md", Pictures(words_only, in_library)).files["article.md"].decode()
    page = Tags(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))
    assert page.names == {"h1", "p", "img", "br", "em", "a"}
    assert {name for name, _ in page.attributes} == {"src", "alt", "href"}
    alternatives = [value for name, value in page.attributes if name == "alt"]
    assert [squashed(value) for value in alternatives] == [squashed(as_read(text)) for text in HOSTILE]


@dataclass
class Watched:
    """What a browser did with a page, beyond showing it."""

    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


def watch(page: Any) -> Watched:
    watched = Watched()
    page.on("request", lambda request: watched.requests.append(request.url))
    page.on("console", lambda message: watched.errors.append(message.text))
    page.on("pageerror", lambda error: watched.errors.append(str(error)))

    def dismiss(dialog: Any) -> None:
        watched.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    return watched


def visit(page: Any, path: Path) -> None:
    """Open the file; make every element believe that it was pointed at, focused and animated."""
    page.goto(path.as_uri())
    page.evaluate(
        """() => { for (const node of document.querySelectorAll('*'))
             for (const name of ['mouseover', 'mouseenter', 'pointerenter', 'focus', 'animationstart', 'toggle'])
               node.dispatchEvent(new Event(name, {bubbles: true})) }"""
    )


@pytest.mark.browser
@pytest.mark.parametrize("policy", ["with its policy", "without its policy"])
def test_the_page_runs_nothing_and_asks_for_nothing(
    policy: str, exports: dict[str, bytes], browser: Any, tmp_path: Path
) -> None:
    """Escaping alone has to hold: the content security policy is a second wall, and left out here."""
    html = exports["html"].decode()
    if policy == "without its policy":
        start = html.index('<meta http-equiv="Content-Security-Policy"')
        html = html[:start] + html[html.index(">", start) + 1 :]
    path = tmp_path / "article.html"
    path.write_text(html, encoding="utf-8")
    page = browser.new_page()
    watched = watch(page)
    visit(page, path)
    # A picture that the text names beside itself is the only thing asked for: a file of this folder.
    asked = [url for url in watched.requests if not url.startswith("data:")]
    assert all(url.startswith(tmp_path.as_uri() + "/") for url in asked), asked
    assert watched.dialogs == []
    assert [error for error in watched.errors if "ERR_FILE_NOT_FOUND" not in error] == []
    assert page.evaluate("window.pwned") is None
    assert (
        page.evaluate("document.querySelectorAll('script, iframe, object, embed, form, base, svg, style').length") == 1
    )
    protocols = page.evaluate("[...new Set([...document.querySelectorAll('a')].map(a => a.protocol))]")
    assert set(protocols) <= {"http:", "https:", "file:"}
    figures = page.evaluate(
        """[...document.querySelectorAll('figure')].map(f =>
             [f.querySelector('img').alt, f.querySelector('.caption').textContent,
              f.querySelector('.credit').textContent])"""
    )
    assert figures == [[as_read(text)] * 3 for text in HOSTILE]
    shown = page.evaluate("document.body.innerText + [...document.images].map(i => i.alt).join('\\n')")
    assert unreadable(shown, captions_and_texts()) == []
    page.close()


@pytest.mark.browser
def test_the_books_page_runs_nothing_and_asks_for_nothing(
    exports: dict[str, bytes], browser: Any, tmp_path: Path
) -> None:
    book = tmp_path / "book.epub"
    book.write_bytes(exports["epub"])
    zipfile.ZipFile(book).extractall(tmp_path / "book")
    page = browser.new_page()
    watched = watch(page)
    visit(page, tmp_path / "book" / "EPUB" / "article.xhtml")
    assert all(url.startswith((tmp_path / "book" / "EPUB").as_uri()) for url in watched.requests)
    assert (watched.dialogs, watched.errors) == ([], [])
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.querySelectorAll('parsererror, script').length") == 0
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    page.close()


@pytest.mark.browser
def test_no_title_reaches_beyond_its_place(browser: Any, article: Article, tmp_path: Path) -> None:
    page = browser.new_page()
    watched = watch(page)
    for number, title in enumerate(TITLES):
        named = replace(article, title=title, sections=article.sections[:1], placements=())
        path = tmp_path / f"{number}.html"
        path.write_bytes(export(named, "html", Pictures(named, in_library)).files["article.html"])
        visit(page, path)
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("document.querySelectorAll('article').length") == 1
        shown = page.evaluate("document.querySelector('h1').innerText + [...document.images].map(i => i.alt).join()")
        assert squashed(as_markdown(title.replace("\n", " "))) in squashed(shown), title
    assert watched.dialogs == []
    assert [url for url in watched.requests if not url.startswith((tmp_path.as_uri(), "data:"))] == []
    page.close()


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("format_", ["docx", "pdf", "epub"])
def test_a_document_takes_any_title(title: str, format_: str, with_fonts: None) -> None:
    named = Article(title, "en", ())
    data = export(named, format_, Pictures(named, in_library)).files[f"article.{format_}"]
    match format_:
        case "docx":
            check_docx(data)
            shown = ReadDocx(data).word.core_properties.title
        case "epub":
            check_epub(data)
            shown = ReadEpub(data).chapter.find(f"{XHTML}head/{XHTML}title").text
        case _:
            shown = ReadPdf(data).reader.metadata.title
    expected = squashed(as_markdown(" ".join(title.split()))) or "Vignette"
    assert expected.startswith(squashed(shown)) or squashed(shown) == expected
    assert len(squashed(shown)) >= min(len(expected), 200)


@pytest.mark.parametrize("text", [*PATHS, *HOSTILE[::17]])
def test_a_file_name_made_of_any_text_stays_in_its_folder(text: str, tmp_path: Path) -> None:
    article = hostile_article(tmp_path / "pictures", (text,))
    saved = save_article(article, tmp_path / "out")
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    (image,) = (name for name in names if name.startswith("images/"))
    assert names == {"article.json", "article.md", "article.html", "trace.jsonl", image}
    stem = image.removeprefix("images/")
    assert slug(stem.removesuffix(".jpg")) or stem
    assert set(stem) & set('/\\:*?"<>|\x00\u202e') == set()
    assert not stem.startswith((".", "-"))
    loaded = load_article(tmp_path / "out")
    assert loaded.files == saved.files
    assert as_read(loaded.placements[0].caption) == as_read(text)


def test_only_web_addresses_are_linked_as_sources(exports: dict[str, bytes]) -> None:
    linked = {node.get("href") for node in ReadEpub(exports["epub"]).chapter.iter(f"{XHTML}a")}
    of_sources = {link for link in linked if link.startswith(("http://ok.test", "https://ok.test"))}
    assert of_sources
    assert all('"' not in link and "<" not in link and "\u202e" not in link for link in of_sources)
    assert not [link for link in linked if "evil.test" in link and "script" in link]
    assert len(ADDRESSES) > len(of_sources)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("images", 0, "width_px"), '"><script>', "width_px is str, not a whole number"),
        (("images", 0, "width_px"), True, "width_px is bool, not a whole number"),
        (("images", 0, "file"), ["x"], "file is list, not a name"),
        (("images", 0, "source_url"), {"a": 1}, "source_url is dict, not text"),
        (("sections", 0, "text"), None, "text is NoneType, not text"),
        (("placements", 0, "after_section"), "0", "after_section is str, not a whole number"),
        (("title",), 7, "title is int, not text"),
    ],
)
def test_a_forged_article_json_is_refused_by_what_is_wrong(
    where: tuple[Any, ...], value: Any, message: str, article: Article
) -> None:
    data = to_json(article)
    node: Any = data
    for key in where[:-1]:
        node = list(node.values())[key] if isinstance(node, dict) and isinstance(key, int) else node[key]
    node[where[-1]] = value
    with pytest.raises(ComposerError, match=message):
        from_json(data)
