"""Text on the page: typed in place, moved about, proposed, undone, with keys alone."""

from __future__ import annotations

import re

from tests.browser.conftest import Open
from tests.browser.hands import article_json, exported, open_menu, section, settled, texts, tool, write, written
from tests.browser.site import Server


def test_text_is_edited_in_place_and_undone(open_page: Open) -> None:
    page = open_page.farm()
    before = texts(page)
    section(page, 2).locator(".text").click()
    box = page.get_by_role("textbox", name="Paragraph")
    assert box.inner_text().startswith("That was A day on the farm.")
    box.fill("It was ")
    page.keyboard.press("Control+b")
    page.keyboard.type("over")
    page.keyboard.press("Control+b")
    page.keyboard.type(".")
    page.locator(".sheet .title").hover()
    page.mouse.click(5, 500)
    page.locator(".sheet strong", has_text="over").wait_for()
    assert texts(page) == [*before[:2], "It was over."]
    page.get_by_role("button", name="Undo: text edit").click()
    page.get_by_role("button", name="Redo: text edit").wait_for()
    assert texts(page) == before
    page.keyboard.press("Control+Shift+z")
    page.locator(".sheet strong", has_text="over").wait_for()


def test_the_caret_lands_where_the_person_clicked(open_page: Open) -> None:
    page = open_page.farm()
    paragraph = section(page, 0).locator("p")
    box = paragraph.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 2, box["y"] + 10)
    page.keyboard.type("Listen: ")
    page.keyboard.press("Control+Enter")
    page.locator(".sheet p", has_text="Listen: This is about").wait_for()


def test_what_is_typed_is_saved_before_the_field_is_left(open_page: Open, server: Server) -> None:
    page = open_page.farm()
    section(page, 0).locator(".text").click()
    with page.expect_request(lambda request: "Half a tho" in (request.post_data or "")):
        page.get_by_role("textbox", name="Paragraph").fill("Half a tho")
    settled(page)
    address = page.url
    again = open_page()
    again.goto(address)
    again.locator(".sheet p", has_text="Half a tho").wait_for()
    page.keyboard.type("ught")
    page.keyboard.press("Control+Enter")
    page.locator(".sheet p", has_text="Half a thought").wait_for()
    page.get_by_role("button", name="Undo: text edit").click()
    page.locator(".sheet p", has_text="This is about A day on the farm.").wait_for()


def test_escape_takes_back_what_was_typed(open_page: Open) -> None:
    page = open_page.farm()
    before = texts(page)
    section(page, 0).locator(".text").click()
    page.get_by_role("textbox", name="Paragraph").fill("Nonsense")
    page.keyboard.press("Escape")
    settled(page)
    assert texts(page) == before


def test_the_title_is_edited(open_page: Open) -> None:
    page = open_page.farm()
    page.locator(".sheet h1").click()
    page.get_by_role("textbox", name="Title").fill("Hens and cows")
    page.keyboard.press("Enter")
    page.locator(".sheet h1", has_text="Hens and cows").wait_for()
    assert page.title() == "Hens and cows · Vignette"
    assert article_json(page)["title"] == "Hens and cows"


def test_sections_are_added_moved_split_merged_and_deleted(open_page: Open) -> None:
    page = open_page.farm()
    tool(page, section(page, 0), "+ Paragraph")
    page.get_by_role("textbox", name="New paragraph").fill("A new one. It has two sentences.")
    page.keyboard.press("Control+Enter")
    page.locator(".sheet .section").nth(3).wait_for()
    assert texts(page)[1] == "A new one. It has two sentences."
    tool(page, section(page, 1), "Down")
    page.get_by_role("button", name="Undo: moved paragraph").wait_for()
    assert texts(page)[2] == "A new one. It has two sentences."
    tool(page, section(page, 2), "Split")
    page.locator(".sheet .section").nth(4).wait_for()
    assert texts(page)[2:4] == ["A new one.", "It has two sentences."]
    tool(page, section(page, 2), "Merge")
    page.locator(".sheet .section").nth(4).wait_for(state="detached")
    tool(page, section(page, 2), "Delete")
    page.locator(".sheet .section").nth(3).wait_for(state="detached")
    for _ in range(5):
        page.locator(".bar [data-do=undo]").click()
    settled(page)
    assert len(texts(page)) == 3
    assert page.locator(".bar [data-do=undo]").is_disabled()


def test_a_locked_paragraph_cannot_be_changed(open_page: Open) -> None:
    page = open_page.farm()
    tool(page, section(page, 0), "Lock")
    page.locator(".section.locked").wait_for()
    section(page, 0).locator(".text").click()
    assert page.get_by_role("textbox", name="Paragraph").count() == 0
    assert article_json(page)["sections"][0]["locked"] is True
    tool(page, section(page, 0), "Unlock")
    page.locator(".section.locked").wait_for(state="detached")


def test_a_proposal_is_compared_and_accepted(open_page: Open) -> None:
    page = open_page.farm()
    before = texts(page)[0]
    tool(page, section(page, 0), "Rewrite")
    offer = section(page, 0).locator(".offer")
    offer.get_by_role("button", name="Accept").wait_for()
    assert texts(page)[0] == before, "nothing changes before it is accepted"
    assert "Dawn comes early" in offer.inner_text()
    offer.get_by_role("button", name="Accept").click()
    page.locator(".sheet p", has_text="Dawn comes early").wait_for()
    page.get_by_role("button", name="Undo: rewriting").click()
    page.get_by_role("button", name="Redo: rewriting").wait_for()
    assert texts(page)[0] == before


def test_a_proposal_is_rejected_and_tried_again(open_page: Open) -> None:
    page = open_page.farm()
    before = texts(page)
    tool(page, section(page, 2), "Shorten")
    offer = section(page, 2).locator(".offer")
    offer.locator("button", has_text=re.compile("Reject|Leave as it is")).wait_for()
    offer.locator("button", has_text=re.compile("Reject|Leave as it is")).click()
    offer.wait_for(state="detached")
    assert texts(page) == before


def test_a_translation_stands_beside_the_original(open_page: Open) -> None:
    page = open_page.farm()
    block, original = section(page, 0), texts(page)[0]
    open_menu(block)
    block.get_by_label("Translate to").select_option("zh")
    tool(page, block, "Translate")
    block.locator(".sides .after", has_text="清晨来得很早").wait_for()
    assert texts(page)[0] == original
    block.get_by_role("button", name="Accept").click()
    page.locator(".sheet p", has_text="清晨来得很早").wait_for()
    assert texts(page)[0].startswith("清晨来得很早")


def test_what_is_asked_for_a_section_leaves_the_pages_language_alone(open_page: Open) -> None:
    page = open_page.farm()
    block = section(page, 0)
    open_menu(block)
    block.get_by_label("Translate to").select_option("zh")
    tool(page, block, "Lock")
    page.locator(".section.locked").wait_for()
    assert section(page, 0).get_attribute("aria-label") == "Paragraph"


def test_paragraphs_are_reached_and_edited_with_keys_alone(open_page: Open) -> None:
    page = open_page.farm()
    page.locator(".sheet .title").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.kind") == "section"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Edit"
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Paragraph").fill("Typed without a mouse.")
    page.keyboard.press("Control+Enter")
    page.locator(".sheet p", has_text="Typed without a mouse.").wait_for()
    settled(page)
    assert page.evaluate("document.activeElement.dataset.kind + document.activeElement.dataset.at") == "section0"


def test_focus_follows_a_paragraph_that_moves(open_page: Open) -> None:
    page = open_page.farm()
    section(page, 0).focus()
    section(page, 0).locator("details.more summary").press("Enter")
    section(page, 0).get_by_role("button", name="Down").press("Enter")
    page.get_by_role("button", name="Undo: moved paragraph").wait_for()
    settled(page)
    assert page.evaluate("document.activeElement.innerText") == "Down"
    assert page.evaluate("document.activeElement.closest('.piece').dataset.at") == "1"


def test_what_nobody_checked_is_marked_until_it_is_ticked_or_changed(open_page: Open, server: Server) -> None:
    page = open_page()
    write(page, "A mill of Anna Berg built in 1872")
    written(page, "A mill of Anna Berg built in 1872")
    marks = page.locator(".sheet .unchecked")
    texts_of = {mark.inner_text() for mark in marks.all()}
    assert texts_of == {"Anna Berg", "1872"}
    before = marks.count()
    section(page, 0).get_by_role("button", name="Checked: “1872”").click()
    page.get_by_role("button", name="Undo: checked claim").wait_for()
    assert marks.count() == before - 1
    assert "1872" in section(page, 0).inner_text()
    box = page.get_by_role("checkbox", name="Unchecked")
    box.uncheck()
    page.locator(".unmarked").wait_for()
    assert section(page, 0).get_by_role("button", name="Checked: “Anna Berg”").count() == 0, "out of sight"
    page.reload()
    page.locator(".unmarked .unchecked").first.wait_for()
    box.check()
    assert marks.count() == before - 1, "what was ticked stays ticked"
    section(page, 0).locator(".text").click(position={"x": 5, "y": 5})
    text = page.get_by_role("textbox", name="Paragraph")
    text.fill(text.inner_text().replace("Anna Berg", "Anna Borg"))
    page.keyboard.press("Control+Enter")
    page.locator(".sheet p", has_text="Anna Borg").wait_for()
    settled(page)
    assert section(page, 0).locator(".unchecked").count() == 0
    assert b"unchecked" not in exported(page, "One HTML file")
    assert article_json(page)["sections"][0].get("unchecked", []) == []
