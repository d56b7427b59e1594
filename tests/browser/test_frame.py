"""What stands around an article: the form that steps back, tools behind a menu, errors in the reader's language, and
two windows that show one draft."""

from __future__ import annotations

import re
from pathlib import Path

from tests.browser.conftest import Open
from tests.browser.hands import exported, figure, open_menu, section, settled, texts, tool, write, written
from tests.browser.site import Server, paint
from tests.reverse_proxy import ReverseProxy


def test_the_form_is_one_line_while_an_article_stands(open_page: Open) -> None:
    page = open_page.farm()
    title, tabs = page.locator(".sheet h1").bounding_box(), page.locator("#tabs [role=tablist]").bounding_box()
    assert title is not None
    assert tabs is not None
    assert title["y"] - (tabs["y"] + tabs["height"]) < 140
    asked = page.get_by_role("button", name="New article")
    field = page.locator("#instruction textarea")
    assert page.locator(".above .name").inner_text() == "A day on the farm"
    assert not field.is_visible()
    asked.click()
    assert field.evaluate("e => e === document.activeElement")
    assert asked.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    field.wait_for(state="hidden")
    assert asked.evaluate("e => e === document.activeElement")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.type("Another day")
    page.keyboard.press("Enter")
    written(page, "Another day")
    assert not field.is_visible(), "the new article folds the form again"
    page.reload()
    page.locator(".sheet .section").first.wait_for()
    assert not field.is_visible()


def test_an_article_that_fails_leaves_the_form_open(open_page: Open) -> None:
    page = open_page()
    write(page, "fail")
    page.locator(".status .message.error").wait_for()
    assert page.locator("#instruction textarea").is_visible()
    write(page, "A day on the farm")
    written(page, "A day on the farm")


def test_an_open_article_leads_back_to_the_others(open_page: Open) -> None:
    page = open_page.farm()
    page.get_by_role("button", name="Your articles").click()
    page.locator(".drafts li").first.wait_for()
    assert "draft=" not in page.url
    assert page.locator("#instruction textarea").is_visible()


def test_few_tools_are_shown_and_the_rest_opens_by_mouse_and_keys(open_page: Open) -> None:
    page = open_page.farm()
    for block, fewest in ((section(page, 1), 4), (figure(page, 0), 2)):
        block.hover()
        shown = block.locator(".tools .tool:visible")
        assert shown.count() == fewest + 1, "and the word that opens the rest"
        open_menu(block)
        assert shown.count() > fewest + 5
        page.keyboard.press("Escape")
        assert shown.count() == fewest + 1
    section(page, 1).focus()
    for _ in range(5):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText.trim()") == "More"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.name") == "tone"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.innerText.trim()") == "More"


def test_a_paragraph_moved_from_the_menu_can_be_moved_on(open_page: Open) -> None:
    page = open_page.farm()
    first = texts(page)[0]
    tool(page, section(page, 0), "Down")
    settled(page)
    block = page.locator(".sheet .section", has_text="This is about")
    block.get_by_role("button", name="Down").click()
    settled(page)
    assert texts(page)[2] == first
    assert block.get_by_role("button", name="Down").is_disabled(), "it is the last by now"
    assert block.get_by_role("button", name="Merge").is_disabled()


def test_errors_are_chinese_on_a_chinese_page(open_page: Open) -> None:
    page = open_page(locale="zh-CN")
    page.locator("#write:not([disabled])").click()
    page.locator("#status", has_text="请先写明文章的主题。").wait_for()
    page.get_by_role("textbox", name="想写一篇关于什么的文章？").fill("fail")
    page.get_by_role("button", name="开始写").click()
    page.locator(".status", has_text="模型没有写出合用的内容").wait_for()
    page.get_by_role("textbox", name="想写一篇关于什么的文章？").fill("一天")
    page.get_by_role("button", name="开始写").click()
    page.locator(".bar .export").wait_for()
    act = "([name, values]) => window.vignette.session.paper.act(name, values)"
    for name, values, words in (
        ("merge_sections", {"at": 2}, "这是最后一段，后面没有可合并的。"),
        ("set_title", {"text": " "}, "标题是空的，请为文章取个名字。"),
        ("refit", {"count": "99"}, None),
        ("ask", {"question": ""}, "请写下问题。"),
        ("undo", {}, "没有可撤销的了。"),
    ):
        page.evaluate(act, [name, values])
        told = page.locator(".toast .message").inner_text()
        assert not re.search("[a-z]{3}", told), told
        assert words is None or told == words


def test_an_error_stays_until_the_next_action(open_page: Open) -> None:
    page = open_page.farm()
    page.evaluate("window.vignette.session.paper.act('set_title', { text: ' ' })")
    settled(page)
    assert page.locator(".toast .message").inner_text() == "the title is empty; give the article a name"


def test_a_window_that_is_behind_acts_on_the_paragraph_it_shows(open_page: Open, server: Server) -> None:
    page = open_page.farm()
    second = open_page()
    second.goto(page.url)
    second.locator(".sheet .section").nth(2).wait_for()
    tool(second, section(second, 0), "Delete")
    settled(second)
    tool(page, section(page, 1), "Lock")
    page.locator(".section.locked").wait_for()
    assert "At noon" in page.locator(".section.locked").inner_text()
    assert len(texts(page)) == 2
    second.evaluate("window.dispatchEvent(new Event('focus'))")
    second.locator(".section.locked").wait_for()


def test_what_two_windows_type_into_one_paragraph_is_all_kept(open_page: Open) -> None:
    page = open_page.farm()
    second = open_page()
    second.goto(page.url)
    second.locator(".sheet .section").nth(2).wait_for()
    for window, words in ((page, "From the first window."), (second, "From the second window.")):
        section(window, 0).locator(".text p").click()
        window.get_by_role("textbox", name="Paragraph").fill(words)
    for window in (page, second):
        window.get_by_role("textbox", name="Paragraph").press("Control+Enter")
        settled(window)
    assert texts(second)[:2] == ["From the first window.", "From the second window."]
    assert "stands below it" in second.locator(".toast .message").inner_text()


def test_behind_a_proxy_under_a_path_the_page_does_what_it_does_elsewhere(open_page: Open, tmp_path: Path) -> None:
    server = Server(tmp_path / "site", root="/vignette")
    forwarded = {"X-Forwarded-Host": "{host}", "X-Forwarded-Proto": "http"}
    try:
        with ReverseProxy(server.url, headers=forwarded) as proxy:
            page = open_page(url=proxy.url, address="/", alone=True)
            write(page, "A day on the farm")
            written(page, "A day on the farm")
            loaded = "() => [...document.querySelectorAll('.sheet figure img')].every(e => e.naturalWidth > 0)"
            page.wait_for_function(loaded)
            tool(page, figure(page, 0), "Other pictures")
            with page.expect_file_chooser() as chooser:
                page.get_by_role("button", name="Use a picture of your own").click()
            chooser.value.set_files(paint(tmp_path / "own.png", "pink"))
            page.get_by_role("button", name="Undo: chosen picture").wait_for()
            page.wait_for_function(loaded)
            assert exported(page, "One HTML file").startswith(b"<!DOCTYPE html>")
            page.close()
    finally:
        server.close()


def test_the_reading_view_shows_the_article_and_nothing_else(open_page: Open) -> None:
    page = open_page.farm()
    shown = texts(page)
    page.get_by_role("button", name="Read", exact=True).press("Enter")
    page.get_by_role("button", name="Back to editing").wait_for()
    for hidden in ("#top", ".bar", ".piece.empty", ".above", "#tabs > .tab-wrapper"):
        assert page.locator(hidden).first.is_hidden(), hidden
    section(page, 0).hover()
    assert page.locator(".tools:visible, .grip:visible").count() == 0
    section(page, 0).locator(".text").click()
    assert page.get_by_role("textbox", name="Paragraph").count() == 0, "nothing is edited while it is read"
    assert texts(page) == shown
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Read", exact=True).wait_for()
    assert page.evaluate("document.activeElement.dataset.client") == "read"
