"""The outline comes first: seen, edited, reordered, and then written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.conftest import Open
from tests.browser.hands import article_json, settled, written
from tests.browser.site import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page


def begin(open_page: Open, instruction: str = "Life on the quay") -> Page:
    page = open_page()
    page.get_by_role("textbox", name="What should the article be about?").fill(instruction)
    page.get_by_role("button", name="Outline first").click()
    page.get_by_role("textbox", name="Heading 3").wait_for()
    return page


def headings(page: Page) -> list[str]:
    return [field.input_value() for field in page.locator(".outline li input").all()]


def test_an_outline_is_changed_with_keys_alone_and_then_written(open_page: Open, server: Server) -> None:
    page = begin(open_page)
    assert headings(page) == ["Morning", "At noon", "Evening"]
    page.get_by_role("textbox", name="Title").fill("The quay and its people")
    page.get_by_role("textbox", name="Heading 1").fill("Nets at dawn")
    page.get_by_role("textbox", name="Heading 3").press("Alt+ArrowUp")
    assert headings(page) == ["Nets at dawn", "Evening", "At noon"]
    page.keyboard.press("Enter")
    page.keyboard.type("The auction")
    assert headings(page) == ["Nets at dawn", "Evening", "The auction", "At noon"]
    page.get_by_role("textbox", name="Heading 2").fill("")
    page.keyboard.press("Backspace")
    page.get_by_role("button", name="Write the article").press("Enter")
    written(page, "The quay and its people")
    assert server.writer.requests[-1].headings == ("Nets at dawn", "The auction", "At noon")
    assert page.locator(".sheet h2").all_inner_texts() == ["Nets at dawn", "The auction", "At noon"]
    assert page.locator(".outline").is_hidden()
    assert article_json(page)["title"] == "The quay and its people"


def test_an_outline_is_dragged_kept_over_a_reload_and_listed_among_the_drafts(open_page: Open) -> None:
    page = begin(open_page, "Boats in the harbour")
    rows = page.locator(".outline li")
    with page.expect_request(lambda request: "set_outline" in (request.post_data or "")):
        rows.nth(2).locator(".grip").drag_to(rows.nth(0), target_position={"x": 40, "y": 3})
    assert headings(page) == ["Evening", "Morning", "At noon"]
    settled(page)
    page.reload()
    page.get_by_role("textbox", name="Heading 3").wait_for()
    assert headings(page) == ["Evening", "Morning", "At noon"]
    page.get_by_role("button", name="Your articles").click()
    page.locator(".drafts").get_by_role("button", name="Boats in the harbour", exact=True).wait_for()


def test_an_outline_that_fails_can_be_asked_for_again_and_one_from_documents_is_refused(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("textbox", name="What should the article be about?").fill("fail")
    page.get_by_role("button", name="Outline first").click()
    page.get_by_role("button", name="Try again").wait_for()
    assert page.locator("[role=alert]").first.inner_text()
