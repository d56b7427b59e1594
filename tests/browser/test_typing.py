"""Typing without knowing Markdown: text is formatted while it is typed, and nothing of its Markdown is lost by that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from composer.export.markdown_html import sections_html
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


def as_markdown(page: Page, index: int, text: str) -> Locator:
    """Edit a paragraph with its marks to be seen."""
    section(page, index).locator(".text p").first.click()
    page.get_by_role("button", name="Markdown").click()
    body(page).fill(text)
    return body(page)


def written(page: Page, index: int) -> str:
    """What a paragraph holds once its editing is over."""
    page.keyboard.press("Control+Enter")
    settled(page)
    return str(article_json(page)["sections"][index]["text"])


def choose(page: Page, text: str) -> None:
    """Choose words in the field, as a double click or a drag does."""
    page.evaluate(
        """(text) => {
            const field = document.activeElement, walker = document.createTreeWalker(field, NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                const at = node.data.indexOf(text);
                if (at < 0) continue;
                getSelection().setBaseAndExtent(node, at, node, at + text.length);
                return;
            }
        }""",
        text,
    )


def test_nothing_jumps_and_no_mark_is_seen_while_a_section_is_edited(open_page: Open) -> None:
    page = open_page.farm()
    shown = section(page, 1).locator("h2").evaluate(LOOK)
    tops = [section(page, 1).locator(tag).first.evaluate(TOP) for tag in ("h2", "p")]
    section(page, 1).locator("h2").click()
    field = body(page)
    assert field.locator("h2").evaluate(LOOK) == shown
    assert [field.locator(tag).evaluate(TOP) for tag in ("h2", "p")] == pytest.approx(tops, abs=2)
    assert not set("#*_") & set(field.inner_text())
    field.locator("h2").evaluate("e => getSelection().selectAllChildren(e)")
    page.keyboard.type("At midnight")
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    page.keyboard.type("The end.")
    text = written(page, 1)
    assert text.startswith("## At midnight\n\nWork goes on until the bell, and *nobody* looks")
    assert text.endswith("\n\nThe end.")


def test_the_heading_button_makes_changes_and_takes_away_a_heading(open_page: Open) -> None:
    page = open_page.farm()
    begin(page, 0, "Dawn")
    button = page.get_by_role("toolbar", name="Formatting").get_by_role("button", name="Heading")
    for tag, pressed in (("h2", "true"), ("h3", "true"), ("p", "false")):
        button.click()
        assert body(page).locator(tag, has_text="Dawn").count() == 1
        assert button.get_attribute("aria-pressed") == pressed
    button.click()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.type("The sun comes up.")
    assert written(page, 0) == "## Dawn\n\nThe sun comes up."


@pytest.mark.parametrize(
    ("keys", "marked", "tag"),
    [("Control+b", "Hens **lay** eggs.", "b"), ("Control+i", "Hens *lay* eggs.", "i"),
     ("Control+Shift+L", "- Hens lay eggs.", "li"), ("Control+Shift+H", "## Hens lay eggs.", "h2")],
)  # fmt: skip
def test_keys_format_what_is_chosen_and_take_it_back(open_page: Open, keys: str, marked: str, tag: str) -> None:
    page = open_page.farm()
    box = begin(page, 0, "Hens lay eggs.")
    choose(page, "lay")
    page.keyboard.press(keys)
    assert box.locator(tag).count() == 1
    page.keyboard.press("Control+z")
    assert box.locator(tag).count() == 0, "the browser's own undo takes it back"
    page.keyboard.press(keys)
    assert written(page, 0) == marked


def test_a_link_is_asked_for_beside_the_text_changed_and_taken_away(open_page: Open) -> None:
    page = open_page.farm()
    begin(page, 0, "Hens lay eggs.")
    choose(page, "lay")
    page.keyboard.press("Control+k")
    page.get_by_role("textbox", name="Address of the link").fill("example.org/eggs (all)")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Paragraph"
    assert written(page, 0) == "Hens [lay](https://example.org/eggs%20%28all%29) eggs."
    section(page, 0).locator(".text p").click(position={"x": 200, "y": 8})
    choose(page, "lay")
    page.keyboard.press("Control+k")
    page.get_by_role("textbox", name="Address of the link").fill("")
    page.keyboard.press("Enter")
    assert written(page, 0) == "Hens lay eggs."


def test_the_marks_are_reached_with_keys_alone(open_page: Open) -> None:
    page = open_page.farm()
    begin(page, 0, "Hens lay eggs.")
    choose(page, "Hens")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Bold"
    page.keyboard.press("Enter")
    assert written(page, 0) == "**Hens** lay eggs."
    assert page.locator(".sheet strong", has_text="Hens").is_visible()


def test_what_is_typed_is_what_is_shown_signs_of_markdown_too(open_page: Open) -> None:
    page = open_page.farm()
    typed = "2 * 3 * 4, a_b_c, [x](y), # no, $5 or $6, ~so~ <b>not</b> &amp; 1. first"
    begin(page, 0, typed)
    written(page, 0)
    assert texts(page)[0] == typed
    section(page, 0).locator(".text p").click()
    assert body(page).inner_text() == typed


SHOWN = (
    "One *two* **three** `code` ~~gone~~ and ***both***, *a **b** c*.",
    "Soft\nline, hard  \nbreak and\\\nanother.",
    'See [this](https://example.org/a_b "Title") and https://example.org/x_y here.',
    "Escaped \\* and 2 \\* 3, snake_case, AT&amp;T, 5 * 3.",
    "## Head\nText right below.\n\n\n  \nAnother, far below.",
    "### Three\n\n- a\n- b\n  - c\n\n3. x\n4. y",
    "* one\n* two\n\n+ loose\n\n+ list",
    "> quoted\n>\n> twice",
    "第一**步**，*“引用”*。H~2~O, x^2^, ==marked==.",
)
NOT_SHOWN = (
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "With a note[^1].\n\n[^1]: the note",
    "A remark <!-- hidden --> here.",
    "## Head {#place}\n\nText.",
    "```\ncode\n```",
    "A picture ![alt](beside.jpg) inside.",
    "- [ ] to do",
)
AS_FIELD = """([html, source]) => {
    const shown = document.createElement('div');
    shown.innerHTML = html;
    const field = window.vignette.richText.field(shown, source);
    if (!field) return null;
    const untouched = field.value();
    field.root.append(Object.assign(document.createElement('p'), { textContent: 'End.' }));
    return [untouched, field.value(), window.vignette.richText.markdownOf(field.root)];
}"""


def test_markdown_is_kept_to_the_letter_and_what_is_written_anew_reads_the_same(open_page: Open) -> None:
    page = open_page()
    for source in SHOWN:
        html = sections_html([source], source)[0]
        untouched, added, anew = page.evaluate(AS_FIELD, [html, source])
        assert untouched == source
        assert added == f"{source}\n\nEnd."
        assert as_read(anew) == as_read(f"{source}\n\nEnd."), source
    for source in NOT_SHOWN:
        assert page.evaluate(AS_FIELD, [sections_html([source], source)[0], source]) is None, source


def as_read(markdown: str) -> str:
    """The HTML of a text, whatever its white space; whether the items of a list stand apart is no difference."""
    html = sections_html([markdown], markdown)[0]
    return re.sub(r"\s+", " ", re.sub(r"\s*(</?(?:li|ul|ol|p|br|blockquote|h\d)[^>]*>)\s*", r"\1", html))


def test_a_section_that_cannot_be_shown_whole_is_edited_as_markdown(open_page: Open) -> None:
    page = open_page.farm()
    as_markdown(page, 0, "| a | b |\n|---|---|\n| 1 | 2 |")
    written(page, 0)
    section(page, 0).locator("td").first.click()
    assert body(page).input_value() == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_markdown_is_marked_by_the_same_keys_and_buttons(open_page: Open) -> None:
    page = open_page.farm()
    box = as_markdown(page, 0, "Hens lay eggs.")
    box.evaluate("e => e.setSelectionRange(5, 8)")
    page.keyboard.press("Control+b")
    assert box.input_value() == "Hens **lay** eggs."
    page.get_by_role("toolbar", name="Formatting").get_by_role("button", name="Italic").click()
    assert box.input_value() == "Hens ***lay*** eggs."
    assert written(page, 0) == "Hens ***lay*** eggs."


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
def test_rich_text_is_pasted_with_its_formatting_and_nothing_else(open_page: Open, html: str, markdown: str) -> None:
    page = open_page.farm()
    box = as_markdown(page, 0, "")
    assert box.evaluate(PASTE, html) is False
    assert box.input_value() == markdown
    page.keyboard.press("Escape")
    section(page, 0).locator(".text p").click()
    page.keyboard.press("Control+a")
    assert body(page).evaluate(PASTE, html) is False
    assert as_read(written(page, 0)) == as_read(markdown)
    let_pictures_fail(page)
    assert page.evaluate("window.hacked") is None


def test_plain_text_is_pasted_as_it_is(open_page: Open) -> None:
    page = open_page.farm()
    box = begin(page, 0, "x")
    page.keyboard.press("Control+a")
    box.evaluate(PASTE, "<meta charset=utf-8><span style='color: red'>a_b</span>")
    assert box.inner_html() == "<p>plain</p>"
