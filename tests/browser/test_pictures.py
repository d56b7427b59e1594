"""Pictures on the page: replaced, searched, inserted, moved, described, uploaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import Open
from tests.browser.hands import article_json, captions, exported, figure, open_menu, section, settled, tool
from tests.browser.site import CAPTIONS, paint


def test_an_alternative_is_shown_with_its_reason_and_chosen(open_page: Open) -> None:
    page = open_page.farm()
    before = captions(page)
    figure(page, 0).hover()
    wanted = figure(page, 0).get_by_role("button", name="Use this picture instead: A red wall in the old town")
    wanted.hover()
    assert "matches “A red wall" in wanted.locator(".tip").inner_text()
    wanted.click()
    page.locator(".sheet .caption", has_text=CAPTIONS[0]).wait_for()
    assert captions(page) == [CAPTIONS[0], before[1]]
    assert "you chose it" in figure(page, 0).locator(".why").inner_text()


def test_a_picture_is_removed_put_back_and_its_place_deleted(open_page: Open) -> None:
    page = open_page.farm()
    tool(page, figure(page, 0), "Remove")
    page.locator(".sheet .empty", has_text="you removed it").wait_for()
    page.locator(".sheet .empty").first.locator(".strip button").first.click()
    page.locator(".sheet .figure").nth(1).wait_for()
    tool(page, figure(page, 1), "Delete place")
    page.locator(".sheet .figure").nth(1).wait_for(state="detached")
    assert len(article_json(page)["placements"]) == 2


def test_an_empty_place_says_why_and_is_filled_by_searching(open_page: Open) -> None:
    page = open_page.farm()
    page.locator(".sheet .empty").get_by_role("button", name="Search").click()
    finder = page.get_by_role("dialog", name="Find a picture")
    assert finder.get_by_role("textbox").input_value() == "A thing unseen"
    finder.get_by_role("textbox").fill("a purple wall")
    finder.get_by_role("textbox").press("Enter")
    finder.get_by_role("button", name="Use this picture: A purple wall in the old town").click()
    page.locator(".sheet .caption", has_text="A purple wall").wait_for()
    assert page.locator(".sheet .empty").count() == 0


def test_a_picture_is_inserted_after_a_paragraph(open_page: Open) -> None:
    page = open_page.farm()
    tool(page, section(page, 2), "+ Picture")
    finder = page.get_by_role("dialog", name="Find a picture")
    finder.get_by_role("textbox").fill("orange wall")
    finder.get_by_role("button", name="Search", exact=True).click()
    finder.get_by_role("button", name="Use this picture: A orange wall in the old town").click()
    page.locator(".sheet .caption", has_text="A orange wall").wait_for()
    assert any(p["after_section"] == 2 and p["chosen"] for p in article_json(page)["placements"])


def test_pictures_like_an_example_are_found(open_page: Open, tmp_path: Path) -> None:
    page = open_page.farm()
    tool(page, figure(page, 0), "Other pictures")
    finder = page.get_by_role("dialog", name="Find a picture")
    with page.expect_file_chooser() as chooser:
        finder.get_by_role("button", name="Search by an example").click()
    chooser.value.set_files(paint(tmp_path / "like this.png", "yellow"))
    finder.locator(".card").first.wait_for()
    page.wait_for_function("document.querySelector('dialog .card .name')?.innerText.includes('yellow')")


def test_a_picture_of_ones_own_is_shown_and_kept(open_page: Open, tmp_path: Path) -> None:
    page = open_page.farm()
    tool(page, figure(page, 0), "Other pictures")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Use a picture of your own").click()
    chooser.value.set_files(paint(tmp_path / "our harbour.png", "cyan"))
    page.get_by_role("button", name="Undo: chosen picture").wait_for()
    page.wait_for_function("[...document.querySelectorAll('.sheet figure img')].every(i => i.naturalWidth > 0)")
    article = article_json(page)
    chosen = article["placements"][0]["chosen"]
    assert "drafts" in article["images"][chosen]["path"], "it outlives the folder of uploads"


def test_a_file_that_is_no_picture_is_refused(open_page: Open, tmp_path: Path) -> None:
    page = open_page.farm()
    (tmp_path / "evil.png").write_text("<svg onload=alert(1)>")
    tool(page, figure(page, 0), "Other pictures")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Use a picture of your own").click()
    chooser.value.set_files(tmp_path / "evil.png")
    page.get_by_role("alert").filter(has_text="is not a picture of a known format").wait_for()


def test_caption_and_alternative_text_are_edited(open_page: Open) -> None:
    page = open_page.farm()
    figure(page, 0).locator(".caption").click()
    page.get_by_role("textbox", name="Caption").fill("The wall behind the barn")
    page.keyboard.press("Enter")
    page.locator(".sheet .caption", has_text="The wall behind the barn").wait_for()
    tool(page, figure(page, 0), "Alt text")
    page.get_by_role("textbox", name="Alternative text").fill("A wall of blue stones")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Undo: alt text").wait_for()
    assert figure(page, 0).locator("figure img").get_attribute("alt") == "A wall of blue stones"


def test_a_suggested_caption_is_taken_or_dismissed(open_page: Open) -> None:
    page = open_page.farm()
    before = captions(page)[0]
    tool(page, figure(page, 0), "Suggest caption")
    offer = page.get_by_role("region", name="Suggested caption")
    offer.wait_for()
    assert captions(page)[0] == before, "it is proposed, not put in place"
    offer.get_by_role("button", name="Accept").click()
    page.get_by_role("button", name="Undo: suggested caption").wait_for()
    offer.wait_for(state="detached")
    assert captions(page)[0] != before
    second = captions(page)[1]
    tool(page, figure(page, 1), "Suggest caption")
    offer.get_by_role("button", name="Reject").click()
    offer.wait_for(state="detached")
    assert captions(page)[1] == second
    page.get_by_role("button", name="Undo: suggested caption").click()
    settled(page)
    assert captions(page)[0] == before


def test_a_picture_is_moved_down_a_paragraph(open_page: Open) -> None:
    page = open_page.farm()
    first, second = captions(page)
    tool(page, figure(page, 0), "Down")
    page.get_by_role("button", name="Undo: moved picture").wait_for()
    assert captions(page) == [second, first]


def test_small_pictures_are_not_enlarged(open_page: Open) -> None:
    page = open_page.farm()
    for size in page.locator(".sheet figure img").evaluate_all(
        "all => all.map(i => [i.clientWidth, +i.getAttribute('width')])"
    ):
        assert size[0] <= size[1] * 1.3


def test_width_and_side_are_chosen_undone_and_exported(open_page: Open) -> None:
    page = open_page.farm()
    whole = figure(page, 1).locator("img").first.bounding_box()
    assert whole is not None
    open_menu(figure(page, 1))
    figure(page, 1).get_by_label("Side").select_option("right")
    page.locator(".piece.beside.right").wait_for()
    beside, text = figure(page, 1).bounding_box(), section(page, 1).locator("p").bounding_box()
    assert beside is not None
    assert text is not None
    assert beside["width"] == pytest.approx(360, abs=1), "half of the column"
    assert text["y"] < beside["y"] + beside["height"], "the section's text runs beside it"
    saved = article_json(page)["placements"][1]
    assert (saved["width_share"], saved["side"]) == (0.5, "right")
    assert b'class="beside right"' in exported(page, "One HTML file")
    open_menu(figure(page, 1))
    figure(page, 1).get_by_label("Width").select_option("Three quarters")
    page.locator(".piece.beside").wait_for(state="detached")
    page.get_by_role("button", name="Undo: picture size").click()
    page.locator(".piece.beside.right").wait_for()
    page.get_by_role("button", name="Undo: picture size").click()
    page.locator(".piece.beside").wait_for(state="detached")
    again = figure(page, 1).locator("img").first.bounding_box()
    assert again is not None
    assert again["width"] == whole["width"]


def test_a_picture_is_seen_large_with_the_one_before_and_after_it(open_page: Open) -> None:
    page = open_page.farm()
    shown = captions(page)
    figure(page, 0).locator("figure img").click()
    large = page.get_by_role("dialog")
    assert shown[0] in large.inner_text()
    assert large.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 640
    assert large.get_by_role("button", name="Previous picture").is_disabled()
    page.keyboard.press("ArrowRight")
    assert shown[1] in large.inner_text()
    assert "2 of 2" in large.inner_text()
    assert large.get_by_role("button", name="Next picture").is_disabled()
    large.get_by_role("button", name="Previous picture").click()
    assert shown[0] in large.inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    large.wait_for(state="detached")
    assert page.evaluate("document.activeElement.dataset.source") == shown[1], "the focus is on what was seen last"
    tool(page, figure(page, 0), "Large view")
    page.get_by_role("button", name="Close").click()
    large.wait_for(state="detached")


def test_a_caption_stays_open_while_the_answer_to_an_edit_before_it_comes(open_page: Open) -> None:
    page = open_page.farm()
    page.evaluate(
        """() => {
            const done = window.vignette.session.paper.act('edit_text', { at: 0, text: 'Quick as that.' });
            document.querySelector('.figure [data-client=caption]').click();
            return done;
        }"""
    )
    page.locator(".sheet p", has_text="Quick as that.").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Caption"
    page.keyboard.press("Control+a")
    page.keyboard.type("Typed through it")
    page.keyboard.press("Enter")
    settled(page)
    assert captions(page)[0] == "Typed through it"
