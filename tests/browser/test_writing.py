"""Writing and illustrating on the page: what is filled in, what streams, what a person sees meanwhile."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
    write,
    written,
)
from tests.browser.site import Server, paint
from tests.composer.sources.document_files import word_document

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_text_streams_and_pictures_come(open_page: Open, server: Server) -> None:
    page = open_page()
    server.pace.clear()
    write(page, "A day on the farm")
    page.locator(".status .now", has_text="Writing").wait_for()
    assert page.locator(".bar").inner_text() == ""
    server.pace.set()
    written(page, "A day on the farm")
    assert len(captions(page)) == 2
    assert page.locator(".sheet .credit").first.inner_text() == "Image: A. Author, CC BY 4.0"
    empty = page.locator(".sheet .empty")
    assert empty.inner_text().startswith("No picture here “A thing unseen” nothing in this library fits")
    page.wait_for_function("[...document.querySelectorAll('.sheet figure img')].every(i => i.naturalWidth > 0)")


def test_paragraphs_that_are_written_stay_while_the_next_one_grows(open_page: Open, server: Server) -> None:
    page = open_page()
    server.hold_after(60)
    write(page, "A slow story")
    section(page, 1).wait_for()
    page.evaluate("window.first = document.querySelector('.sheet .section')")
    assert page.locator(".sheet .section.growing").count() == 1
    assert "words" in page.locator(".status .share").inner_text()
    server.pace.set()
    written(page)
    same = page.evaluate("window.first.isConnected && window.first === document.querySelector('.sheet .section')")
    assert not same, "the finished paragraph has tools, the growing one had none"
    assert len(texts(page)) == 3


def stopped(page: Page, server: Server, instruction: str) -> None:
    """Ask for an article and stop it in its first paragraph."""
    server.hold_after(30)
    write(page, instruction)
    page.locator(".sheet p", has_text="The morning begins").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.locator(".status", has_text="Stopping").wait_for()
    server.pace.set()


def test_stop_keeps_what_was_written_and_frees_the_model(open_page: Open, server: Server) -> None:
    page = open_page()
    stopped(page, server, "A long story")
    page.locator(".status", has_text="Stopped. What was there stays.").wait_for()
    assert texts(page)[0].startswith("This is about A long story. The morning")
    assert "That was" not in page.locator(".sheet").inner_text()
    assert server.writer.running == 0
    server.workshop.step = lambda: None
    page.get_by_role("button", name="Add pictures now").click()
    figure(page, 0).wait_for()
    assert texts(page)[0].startswith("This is about A long story.")


def test_after_stop_the_rest_of_the_text_is_written(open_page: Open, server: Server) -> None:
    page = open_page()
    stopped(page, server, "A story with a noon")
    page.locator(".status", has_text="Not written yet: At noon.").wait_for()
    server.workshop.step = lambda: None
    told = "Under the roof swallows feed their young. Cats sleep on warm stones beside the pump."
    server.model._answer = lambda prompt, sampling: told if prompt[-1].text.endswith("## At noon\n\n") else ""
    page.get_by_role("button", name="Write the rest").click()
    page.locator(".sheet h2", has_text="At noon").wait_for()
    written(page, "A story with a noon")
    assert "Cats sleep on warm stones" in texts(page)[1]
    assert "Not written yet" not in page.locator(".status").inner_text()


def test_a_stopped_job_that_wrote_nothing_says_so(open_page: Open, server: Server) -> None:
    one, two = open_page(), open_page()
    server.pace.clear()
    write(one, "The first")
    one.locator(".status .now").wait_for()
    write(two, "The second")
    two.locator(".status", has_text="Waiting for the model: 1 before you").wait_for()
    two.get_by_role("button", name="Stop").click()
    two.locator(".status", has_text="Stopped before anything was written.").wait_for()
    assert texts(two) == []
    server.pace.set()
    written(one, "The first")


def test_a_stage_is_run_again_and_the_step_can_be_undone(open_page: Open) -> None:
    page = open_page.farm()
    page.locator(".trace summary").click()
    before = captions(page)
    page.locator(".trace li", has_text="Placing").get_by_role("button", name="Run again from here").click()
    page.get_by_role("button", name="Undo: stage run again").wait_for()
    assert captions(page) != before
    page.get_by_role("button", name="Undo: stage run again").click()
    page.get_by_role("button", name="Redo: stage run again").wait_for()
    assert captions(page) == before


def test_the_number_of_pictures_is_changed_and_locked_ones_stay(open_page: Open) -> None:
    page = open_page.farm()
    kept = captions(page)[1]
    tool(page, figure(page, 1), "Lock")
    page.locator(".figure.locked").wait_for()
    page.get_by_role("spinbutton", name="Number of pictures in this article").fill("3")
    page.get_by_role("spinbutton", name="Number of pictures in this article").press("Enter")
    page.get_by_role("button", name="Undo: another number of pictures").wait_for()
    assert kept in captions(page)
    page.get_by_role("spinbutton", name="Number of pictures in this article").fill("1")
    page.get_by_role("spinbutton", name="Number of pictures in this article").press("Enter")
    page.locator(".figure").nth(1).wait_for(state="detached")
    assert captions(page) == [kept]


def test_a_text_is_illustrated_with_pictures_that_must_and_may_appear(
    open_page: Open, server: Server, tmp_path: Path
) -> None:
    page = open_page()
    page.get_by_text("Illustrate my text").click()
    page.get_by_role("button", name="Illustrate", exact=True).click()
    page.get_by_role("alert").filter(has_text="Paste the text that pictures should be added to.").wait_for()
    page.get_by_role("textbox", name="Your text").fill("# My trip\n\nWe went *by boat*.\n\nIt rained.")
    page.get_by_role("button", name="More").click()
    page.locator("#must input[type=file]").set_input_files(paint(tmp_path / "my boat.png", "cyan"))
    page.locator("#may input[type=file]").set_input_files(paint(tmp_path / "the rain.png", "grey"))
    page.get_by_text("my boat").first.wait_for()
    page.get_by_text("the rain").first.wait_for()
    page.get_by_role("button", name="Illustrate", exact=True).click()
    written(page, "My trip")
    assert page.locator(".sheet p em").inner_text() == "by boat"
    request = server.writer.requests[-1]
    assert request.text == "# My trip\n\nWe went *by boat*.\n\nIt rained."
    assert [len(request.use_images), len(request.may_use)] == [1, 1]
    assert request.use_images[0].is_relative_to(server.drafts.folder), "an upload is kept beside the draft"


def test_what_a_person_chose_before_the_page_was_ready_stands(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = threading.Event()
    monkeypatch.setattr("app.choose_language", lambda *_: ready.wait(60) and "zh")
    page = open_page(alone=True, ready=False)
    page.get_by_text("Illustrate my text").click()
    page.get_by_role("button", name="Illustrate", exact=True).wait_for()
    ready.set()
    page.get_by_role("tab", name="写作").wait_for()
    assert page.locator("#write").inner_text() == "配图"


def test_a_text_file_is_illustrated(open_page: Open, server: Server, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_text("Illustrate my text").click()
    (tmp_path / "notes.md").write_text("# From a file\n\nWords.", encoding="utf-8")
    page.locator("#text-file input[type=file]").set_input_files(tmp_path / "notes.md")
    page.wait_for_function("document.querySelector('#text textarea').value.startsWith('# From a file')")
    dropped(page, "#text textarea", "boat.docx", word_document())
    page.wait_for_function("document.querySelector('#text textarea').value.startsWith('# Our boat')")
    page.get_by_role("button", name="Illustrate", exact=True).click()
    written(page, "Our boat")
    assert server.writer.requests[-1].text.startswith("# Our boat")


def test_the_empty_page_offers_wishes_and_two_doors_equally_wide(open_page: Open, tmp_path: Path) -> None:
    site = Server(tmp_path / "site", library=False)
    try:
        page = open_page(url=site.url, alone=True)
        page.get_by_role("button", name="Make one from my pictures").click()
        page.get_by_role("heading", name="No picture library yet").last.wait_for()
        (site.folder / "home").mkdir(exist_ok=True)
        shutil.copytree(site._library(), site.folder / "home" / "sample")
        page = open_page(url=site.url, alone=True)
        write_door, text_door = (page.locator("#mode label").nth(i).bounding_box() for i in range(2))
        assert abs(write_door["width"] - text_door["width"]) < 2
        page.get_by_role("button", name="A day on the farm").click()
        page.get_by_role("button", name="Write", exact=True).click()
        written(page, "A day on the farm")
    finally:
        site.close()


def test_what_was_chosen_reaches_the_writer(open_page: Open, server: Server) -> None:
    page = open_page()
    page.get_by_role("button", name="More").click()
    for label, choice in (("Length", "Short"), ("Language", "中文"), ("Tone", "Vivid"), ("Pictures", "3")):
        page.get_by_label(label, exact=True).click()
        page.get_by_role("option", name=choice, exact=True).click()
    page.get_by_label("Seed").fill("7")
    write(page, "An article")
    written(page)
    request = server.writer.requests[-1]
    assert (request.words, request.language, request.tone, request.images, request.seed) == (300, "zh", "vivid", 3, 7)


def test_a_failure_is_told_and_leaves_the_page_usable(open_page: Open) -> None:
    page = open_page()
    write(page, "")
    page.get_by_role("alert").filter(has_text="Say what the article should be about.").wait_for()
    write(page, "please fail")
    page.get_by_role("alert").filter(has_text="the model wrote nothing usable; try another seed").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("alert").filter(has_text="the model wrote nothing usable; try another seed").wait_for()
    write(page, "Better")
    written(page, "Better")
    assert len(texts(page)) == 3


def test_what_is_previewed_is_what_is_exported(open_page: Open) -> None:
    page = open_page.farm()
    tool(page, figure(page, 0), "Remove")
    page.locator(".sheet .empty").nth(1).wait_for()
    html = exported(page, "One HTML file").decode()
    for shown in page.locator(".sheet .section .text p").all():
        assert shown.inner_html() in html
    assert html.count("<figure") == page.locator(".sheet figure").count() == 1
    assert [bool(p["chosen"]) for p in article_json(page)["placements"]] == [False, True, False]


def test_every_format_is_offered_and_opens(open_page: Open) -> None:
    page = open_page.farm()
    for kind, magic in (("Word", b"PK"), ("PDF", b"%PDF"), ("E-book", b"PK"), ("One HTML file", b"<!DOCTYPE")):
        assert exported(page, kind).startswith(magic)


def test_ten_sessions_write_and_edit_at_once_without_mixing(open_page: Open, server: Server) -> None:
    pages = [open_page(alone=True) for _ in range(10)]
    server.writer.most_running = 0
    for number, page in enumerate(pages):
        write(page, f"Topic {number}")
    for number, page in enumerate(pages):
        written(page, f"Topic {number}")
        section(page, 2).locator(".text").click()
        page.get_by_role("textbox", name="Paragraph").fill(f"The end of topic {number}.")
        page.keyboard.press("Control+Enter")
    for number, page in enumerate(pages):
        settled(page)
        assert texts(page)[2] == f"The end of topic {number}."
        assert texts(page)[0].startswith(f"This is about Topic {number}.")
    assert server.writer.most_running == 1
