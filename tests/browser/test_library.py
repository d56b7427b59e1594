"""The Library tab: many pictures at once are described, hidden and deleted; similar ones are found and seen large."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Open
from tests.browser.hands import still
from tests.browser.site import Server, paint
from tests.browser.test_look import findings
from tests.composer.studio.test_libraries import joined

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server whose only library holds four pictures in its own folder."""
    server = Server(tmp_path / "site", library=False)
    libraries = server.studio.libraries
    for colour in ("red", "green", "blue", "brown"):
        libraries.add_file("mine", paint(tmp_path / f"{colour}.jpg", colour, (640, 480)), f"{colour}.jpg")
    joined(libraries.index_added("mine"))
    yield server
    server.close()


def library(page: Page) -> Locator:
    page.get_by_role("tab", name="Library").click()
    page.locator(".library .card").first.wait_for()
    return page.locator(".library .card")


def names(page: Page) -> list[str]:
    return sorted(name.split(" ")[-1] for name in page.locator(".library .card .name").all_inner_texts())


def counted(page: Page, count: int) -> None:
    page.wait_for_function(f"document.querySelectorAll('.library .card').length === {count}")


def test_many_pictures_are_described_hidden_shown_again_and_deleted_at_once(open_page: Open, own: Server) -> None:
    page = open_page(url=own.url)
    cards = library(page)
    page.get_by_role("button", name="Choose several").press("Enter")
    assert page.get_by_role("button", name="Hide", exact=True).is_disabled(), "nothing is chosen yet"
    cards.nth(0).press("Enter")
    cards.nth(1).click()
    cards.nth(2).click()
    cards.nth(2).click()
    assert [cards.nth(n).get_attribute("aria-pressed") for n in range(4)] == ["true", "true", "false", "false"]
    assert "2 chosen" in page.locator(".many").inner_text()
    assert findings(page) == []
    page.get_by_role("button", name="Change words…").click()
    page.get_by_role("dialog").get_by_label("Licence").fill("CC BY-SA 4.0")
    page.get_by_role("dialog").get_by_label("Author").fill("Anna")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_text("2 pictures saved and searchable.").wait_for()
    assert page.locator(".card .credit", has_text="Anna, CC BY-SA 4.0").count() == 2

    page.get_by_role("button", name="Choose several").click()
    page.get_by_role("button", name="All on this page").click()
    cards.nth(3).click()
    page.get_by_role("button", name="Hide", exact=True).click()
    counted(page, 1)
    page.get_by_role("button", name="3 hidden pictures").click()
    counted(page, 3)
    cards.nth(0).click()
    page.get_by_role("button", name="Show again").click()
    page.get_by_text("1 picture shown again.").wait_for()
    page.get_by_role("button", name="Show all pictures").click()
    counted(page, 2)

    page.get_by_role("button", name="Choose several").click()
    cards.nth(0).click()
    page.get_by_role("button", name="Delete", exact=True).click()
    assert len(list((own.folder / "home/mine/pictures").glob("*.jpg"))) == 4, "it is asked once more"
    page.get_by_role("button", name="Delete 1 for good, files too?").click()
    page.get_by_text("1 picture deleted.").wait_for()
    counted(page, 1)
    assert len(list((own.folder / "home/mine/pictures").glob("*.jpg"))) == 3


def test_similar_pictures_are_found_and_seen_large(open_page: Open, own: Server) -> None:
    page = open_page(url=own.url)
    cards = library(page)
    total = cards.count()
    shown = cards.nth(0).get_attribute("data-id")
    cards.nth(0).click()
    page.get_by_role("dialog").get_by_role("button", name="Similar pictures").click()
    page.get_by_text("Similar to “").wait_for()
    counted(page, total - 1)
    assert shown not in [card.get_attribute("data-id") for card in cards.all()]
    cards.nth(0).click()
    page.get_by_role("dialog").get_by_role("button", name="Large view").click()
    large = page.locator(".viewer")
    assert f"1 of {total - 1}" in large.inner_text()
    page.keyboard.press("End")
    assert f"{total - 1} of {total - 1}" in large.inner_text()
    page.keyboard.press("Escape")
    last = cards.nth(total - 2).get_attribute("data-id")
    page.wait_for_function("(last) => document.activeElement.dataset.id === last", arg=last)
    page.get_by_role("button", name="Show all pictures").click()
    counted(page, total)


def test_an_answer_that_comes_late_does_not_replace_what_was_searched_since(open_page: Open) -> None:
    page = open_page()
    library(page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "a green wall" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/component_server/**", hold)
    search = page.get_by_role("textbox", name="Search pictures")
    for words in ("a green wall", "a purple wall"):
        search.fill(words)
        search.press("Enter")
    first = page.locator(".library .card .name").first
    first.filter(has_text="purple").wait_for()
    with page.expect_response("**/component_server/**"):
        held[0].continue_()
    still(page)
    assert "purple" in first.inner_text()
