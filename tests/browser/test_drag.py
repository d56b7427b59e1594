"""Sections and pictures are dragged to another place, and moved by their handles with keys alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.conftest import Open
from tests.browser.hands import article_json, captions, figure, section, settled, texts

if TYPE_CHECKING:
    from playwright.sync_api import Page

TALL = {"width": 1280, "height": 2600}  # nothing has to be scrolled to while something is held


def begins(page: Page) -> list[str]:
    return [text.split()[0] for text in texts(page)]


def test_a_section_is_dragged_with_its_picture_and_put_back_by_undo(open_page: Open) -> None:
    page = open_page.farm(viewport=TALL)
    shown = captions(page)
    assert begins(page) == ["This", "At", "That"]
    section(page, 0).hover()
    section(page, 0).locator(".grip").drag_to(section(page, 2), target_position={"x": 60, "y": 44})
    page.get_by_role("button", name="Undo: moved paragraph").wait_for()
    assert begins(page) == ["At", "That", "This"]
    assert captions(page) == shown[::-1], "pictures stay with their sections"
    section(page, 2).locator(".grip").drag_to(section(page, 0), target_position={"x": 60, "y": 4})
    page.wait_for_function("document.querySelector('.sheet .section .text').innerText.startsWith('This')")
    assert begins(page) == ["This", "At", "That"]
    for _ in range(2):
        page.locator(".bar [data-do=undo]").click()
    settled(page)
    assert begins(page) == ["This", "At", "That"]
    assert page.locator(".bar [data-do=undo]").is_disabled()


def test_a_picture_is_dragged_by_itself_to_another_paragraph(open_page: Open) -> None:
    page = open_page.farm(viewport=TALL)
    shown = captions(page)
    figure(page, 0).locator("figure img").drag_to(section(page, 2), target_position={"x": 60, "y": 44})
    page.get_by_role("button", name="Undo: moved picture").wait_for()
    assert captions(page) == shown[::-1]
    assert [p["after_section"] for p in article_json(page)["placements"] if p["chosen"]] == [1, 2]


def test_handles_move_with_arrow_keys_and_keep_the_focus(open_page: Open) -> None:
    page = open_page.farm()
    section(page, 0).locator(".grip").focus()
    for wanted in (["At", "This", "That"], ["At", "That", "This"]):
        page.keyboard.press("ArrowDown")
        settled(page)
        assert begins(page) == wanted
    assert page.evaluate("document.activeElement.closest('.piece').innerText").startswith("This")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    settled(page)
    assert begins(page) == ["At", "This", "That"]
    figure(page, 1).locator(".grip").focus()
    page.keyboard.press("ArrowUp")
    settled(page)
    assert [p["after_section"] for p in article_json(page)["placements"] if p["chosen"]] == [0, 0]


def test_what_is_locked_has_no_handle(open_page: Open) -> None:
    page = open_page.farm()
    page.evaluate("window.vignette.session.paper.act('lock_section', { at: 0, locked: true })")
    page.locator(".section.locked").wait_for()
    assert section(page, 0).locator(".grip").count() == 0
    assert section(page, 1).locator(".grip").count() == 1
