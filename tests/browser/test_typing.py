"""Typing without knowing Markdown: headings as headings, marks by key and button, rich text that is pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Open
from tests.browser.hands import article_json, let_pictures_fail, section, settled, texts

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


LOOK = "e => [getComputedStyle(e).fontSize, getComputedStyle(e).fontWeight]"
TOP = "e => e.getBoundingClientRect().top + scrollY"


def body(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Paragraph")


def begin(page: Page, index: int, text: str) -> Locator:
    """Edit a paragraph, with this as its text."""
    section(page, index).locator(".text p").first.click()
    body(page).fill(text)
    return body(page)


def written(page: Page, index: int) -> str:
    """What a paragraph holds once its editing is over."""
    page.keyboard.press("Control+Enter")
    settled(page)
    return str(article_json(page)["sections"][index]["text"])


def test_a_heading_looks_like_one_while_it_is_edited(open_page: Open) -> None:
    page = open_page.farm()
    shown = section(page, 1).locator("h2").evaluate(LOOK)
    top = section(page, 1).locator("p").evaluate(TOP)
    section(page, 1).locator("h2").click()
    head = page.get_by_role("textbox", name="Heading")
    assert head.input_value() == "At noon"
    assert head.evaluate(LOOK) == shown
    assert body(page).evaluate(TOP) == pytest.approx(top, abs=6), "the text does not jump when it is edited"
    head.fill("At midnight")
    head.press("Enter")
    page.keyboard.type("First. ")
    text = written(page, 1)
    assert text.startswith("## At midnight\n\nFirst. Work goes on")


def test_the_heading_button_makes_changes_and_takes_away_a_heading(open_page: Open) -> None:
    page = open_page.farm()
    begin(page, 0, "Dawn\n\nThe sun comes up.").evaluate("e => e.setSelectionRange(1, 1)")
    button = page.get_by_role("toolbar", name="Formatting").get_by_role("button", name="Heading")
    button.click()
    assert page.get_by_role("textbox", name="Heading").input_value() == "Dawn"
    assert body(page).input_value() == "The sun comes up."
    button.click()
    assert written(page, 0) == "### Dawn\n\nThe sun comes up."
    section(page, 0).locator(".text p").click()
    button.click()
    assert page.get_by_role("textbox", name="Heading").count() == 0
    assert written(page, 0) == "Dawn\n\nThe sun comes up."


@pytest.mark.parametrize(
    ("keys", "marked", "back"),
    [("Control+b", "Hens **lay** eggs.", True), ("Control+i", "Hens *lay* eggs.", True),
     ("Control+k", "Hens [lay](https://) eggs.", False), ("Control+Shift+L", "- Hens lay eggs.", True)],
)  # fmt: skip
def test_keys_mark_what_is_chosen_and_take_the_mark_back(open_page: Open, keys: str, marked: str, back: bool) -> None:
    page = open_page.farm()
    box = begin(page, 0, "Hens lay eggs.")
    box.evaluate("e => e.setSelectionRange(5, 8)")
    page.keyboard.press(keys)
    assert box.input_value() == marked
    if back:
        page.keyboard.press(keys)
        assert box.input_value() == "Hens lay eggs."
        page.keyboard.press("Control+z")
        assert box.input_value() == marked, "the browser's own undo takes it back"


def test_the_marks_are_reached_with_keys_alone(open_page: Open) -> None:
    page = open_page.farm()
    begin(page, 0, "Hens lay eggs.").evaluate("e => e.setSelectionRange(0, 4)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Bold"
    page.keyboard.press("Enter")
    assert body(page).input_value() == "**Hens** lay eggs."
    assert written(page, 0) == "**Hens** lay eggs."
    assert page.locator(".sheet strong", has_text="Hens").is_visible()


PASTE = """(box, html) => {
  const data = new DataTransfer();
  data.setData('text/html', html);
  data.setData('text/plain', 'plain');
  return box.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
}"""


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<h2>Dawn</h2><p>The <b>sun</b> and <em>moon</em>.</p>", "## Dawn\n\nThe **sun** and *moon*."),
        ("<ul><li>hens</li><li>cows<ul><li>red</li></ul></li></ul>", "- hens\n- cows\n  - red"),
        ("<p>one</p><p>see <a href='https://example.org/a b'>this</a></p>", "one\n\nsee [this](https://example.org/a%20b)"),
        ("<b style='font-weight:normal'><p>from</p><p>Docs</p></b>", "from\n\nDocs"),
        ("<ol><li>第一<strong>步</strong></li><li>第二步</li></ol>", "1. 第一**步**\n2. 第二步"),
        ("<blockquote><p>said</p></blockquote><pre>x = 1</pre>", "> said\n\n```\nx = 1\n```"),
        ("<p>a * b</p><p><i>c</i></p>", "a \\* b\n\n*c*"),
        ("<p>x<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'><b>y</b></p>", "x**y**"),
        ("<p><a href='javascript:window.hacked=1'>go</a> <b>on</b></p>", "go **on**"),
    ],
)  # fmt: skip
def test_rich_text_is_pasted_as_markdown(open_page: Open, html: str, markdown: str) -> None:
    page = open_page.farm()
    box = begin(page, 0, "")
    assert box.evaluate(PASTE, html) is False
    assert box.input_value() == markdown
    page.keyboard.press("Escape")
    let_pictures_fail(page)
    assert page.evaluate("window.hacked") is None


def test_plain_text_is_pasted_as_it_is(open_page: Open) -> None:
    page = open_page.farm()
    assert begin(page, 0, "").evaluate(PASTE, "<meta charset=utf-8><span>a_b</span>") is True
    page.keyboard.press("Escape")
    settled(page)
    assert texts(page)[0].startswith("This is about")
