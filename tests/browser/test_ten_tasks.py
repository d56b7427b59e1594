"""The ten tasks that a stranger sets out to do, each with what is seen and named on the page, without the manual."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import docx
import pytest

from composer.export.article_folder import save_article
from tests.browser.conftest import Open
from tests.browser.hands import (
    article_json,
    captions,
    dropped,
    exported,
    figure,
    section,
    settled,
    texts,
    tool,
    written,
)
from tests.browser.site import Server, paint
from tests.composer.article_samples import farm_article


def test_task_1_write_an_article(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("textbox", name="What should the article be about?").fill("A day on the farm")
    page.keyboard.press("Enter")
    written(page, "A day on the farm")
    assert len(texts(page)) == 3
    assert len(captions(page)) == 2


def test_task_2_illustrate_a_text_of_ones_own(open_page: Open, server: Server) -> None:
    page = open_page()
    page.get_by_text("Illustrate my text").click()
    page.get_by_role("textbox", name="Your text").fill("# Our walls\n\nThe first is old.\n\nThe second is new.")
    page.get_by_role("button", name="Illustrate", exact=True).click()
    written(page, "Our walls")
    assert texts(page) == ["The first is old.", "The second is new."]
    assert len(captions(page)) == 2


def test_task_3_index_photos_of_a_phone(open_page: Open, server: Server, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("tab", name="Library").click()
    page.get_by_text("Add pictures", exact=True).click()
    for number, colour in enumerate(("cyan", "white")):
        paint(tmp_path / "DCIM" / f"IMG_2026112{number}_101500.jpg", colour)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder…").click()
    chooser.value.set_files(tmp_path / "DCIM")
    page.locator(".library .count", has_text="2 pictures").wait_for()
    page.get_by_role("tab", name="Write").click()
    page.locator("#library-choice input").click()
    page.get_by_role("option", name="DCIM (2)").wait_for()


def test_task_4_find_and_swap_a_picture(open_page: Open) -> None:
    page = open_page.farm()
    before = captions(page)
    tool(page, figure(page, 0), "Other pictures")
    finder = page.get_by_role("dialog")
    finder.get_by_role("textbox").fill("a purple wall")
    finder.get_by_role("textbox").press("Enter")
    finder.get_by_role("button", name="Use this picture: A purple wall in the old town").click()
    page.locator(".sheet .caption", has_text="purple").wait_for()
    assert captions(page) == ["A purple wall in the old town", before[1]]


def test_task_5_stop_and_go_on(open_page: Open, server: Server) -> None:
    page = open_page()
    server.hold_after(30)
    page.get_by_role("textbox", name="What should the article be about?").fill("A long story")
    page.get_by_role("button", name="Write", exact=True).click()
    page.locator(".sheet p", has_text="The morning begins").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.locator(".status", has_text="Stopping").wait_for()
    server.pace.set()
    page.get_by_text("Stopped. What was there stays.").wait_for()
    server.workshop.step = lambda: None
    page.get_by_role("button", name="Add pictures now").click()
    page.locator(".sheet .figure").first.wait_for()
    settled(page)
    assert texts(page)[0].startswith("This is about A long story.")


def test_task_6_edit_a_caption(open_page: Open) -> None:
    page = open_page.farm()
    page.locator(".sheet .caption").first.click()
    page.get_by_role("textbox", name="Caption").fill("The wall behind the barn")
    page.keyboard.press("Enter")
    settled(page)
    assert captions(page)[0] == "The wall behind the barn"
    assert article_json(page)["placements"][0]["caption"] == "The wall behind the barn"


def test_task_7_export_to_word(open_page: Open) -> None:
    page = open_page.farm()
    document = docx.Document(io.BytesIO(exported(page, "Word (.docx)")))
    assert document.paragraphs[0].text == "A day on the farm"
    assert len(document.inline_shapes) == 2


def test_task_8_open_an_article_of_a_batch(open_page: Open, tmp_path: Path) -> None:
    article = farm_article(tmp_path / "pictures")
    save_article(article, tmp_path / "out" / "001-farm")
    page = open_page(alone=True)
    dropped(page, "#ask", "article.json", (tmp_path / "out" / "001-farm" / "article.json").read_bytes())
    page.locator(".sheet h1", has_text=article.title).wait_for()
    assert len(texts(page)) == len(article.sections)


@pytest.fixture
def walls(tmp_path: Path) -> Iterator[Server]:
    """A server on which nobody has indexed another library: the tab shows the one that was indexed last."""
    server = Server(tmp_path / "site")
    yield server
    server.close()


def test_task_9_search_in_chinese(open_page: Open, walls: Server) -> None:
    page = open_page(url=walls.url, locale="zh-CN")
    page.get_by_role("tab", name="图库").click()
    page.locator(".library .card").nth(7).wait_for()
    page.get_by_role("textbox", name="搜索图片").fill("黄色的墙")
    page.keyboard.press("Enter")
    page.locator(".library .count", has_text="找到").wait_for()
    assert page.locator(".library .card .name").first.inner_text() == "黄色的墙"


def test_task_10_undo(open_page: Open) -> None:
    page = open_page.farm()
    before, shown = texts(page), captions(page)
    section(page, 2).locator(".text").click()
    page.get_by_role("textbox", name="Paragraph").fill("A slip of the hand.")
    page.keyboard.press("Control+Enter")
    page.locator(".sheet p", has_text="A slip of the hand.").wait_for()
    tool(page, figure(page, 0), "Remove")
    page.locator(".sheet .figure").nth(1).wait_for(state="detached")
    page.get_by_role("button", name="Undo: removed picture").click()
    page.keyboard.press("Control+z")
    page.get_by_role("button", name="Redo: text edit").wait_for()
    assert (texts(page), captions(page)) == (before, shown)
