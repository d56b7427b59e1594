"""The Library tab and the Chat tab as a person uses them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from image_db.library import Library
from tests.browser.conftest import Open
from tests.browser.hands import dropped, farm, section, settled, texts
from tests.browser.site import CAPTIONS, Server, paint
from vision.interfaces import Chunk, Prompt, Sampling


def test_a_library_is_browsed_searched_and_put_right(open_page: Open, server: Server) -> None:
    page = open_page()
    page.get_by_role("tab", name="Library").click()
    page.locator(".library .card").nth(7).wait_for()
    assert page.locator(".library .count").inner_text() == "8 pictures"
    page.get_by_text("1 file could not be used").click()
    assert "broken.jpg" in page.locator(".failures li").inner_text()

    page.get_by_role("textbox", name="Search pictures").fill("yellow wall")
    page.get_by_role("button", name="Search", exact=True).click()
    page.locator(".library .count", has_text="found, best first").wait_for()
    assert page.locator(".library .card .name").first.inner_text() == CAPTIONS[3]

    page.get_by_role("button", name=f"Edit “{CAPTIONS[3]}”").click()
    page.get_by_label("Caption", exact=True).fill("The sunny side of the market hall")
    page.get_by_label("Licence").fill("CC0")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved and searchable.").wait_for()
    page.get_by_role("textbox", name="Search pictures").fill("market hall")
    page.keyboard.press("Enter")
    page.locator(".library .card").first.filter(has_text="The sunny side of the market hall").wait_for()
    with Library.open(server.folder / "walls", None) as library:
        [record] = [r for r in library.records() if r.caption.startswith("The sunny side")]
        assert record.license == "CC0"
        library.update_text(record, server.encoder.encode_sentences([CAPTIONS[3]])[0])
    page.get_by_role("button", name="Edit “The sunny side of the market hall”").click()
    page.get_by_label("Caption", exact=True).fill(CAPTIONS[3])
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved and searchable.").wait_for()


def test_a_draft_is_kept_by_one_click(open_page: Open, server: Server) -> None:
    with Library.open(server.folder / "walls", None) as library:
        [told] = [r for r in library.records() if r.caption == CAPTIONS[5]]
        library.update_text(
            replace(told, caption_origin="generated"), server.encoder.encode_sentences([CAPTIONS[5]])[0]
        )
    page = open_page()
    page.get_by_role("tab", name="Library").click()
    page.get_by_role("button", name=f"Keep the draft “{CAPTIONS[5]}”").click()
    page.get_by_text("Saved and searchable.").wait_for()
    page.get_by_role("button", name=f"Keep the draft “{CAPTIONS[5]}”").wait_for(state="detached")
    with Library.open(server.folder / "walls", None) as library:
        assert library.record(told.id).caption_origin == "given"


def test_a_folder_is_indexed_and_offered(open_page: Open, tmp_path: Path) -> None:
    for number in range(30):
        paint(tmp_path / "harbour" / f"boat {number}.png", ("cyan", "white", "grey")[number % 3], (64 + number, 48))
    page = open_page()
    page.get_by_role("tab", name="Library").click()
    page.get_by_text("Add pictures", exact=True).click()
    page.get_by_label("Folder with pictures on this machine").fill(str(tmp_path / "missing"))
    page.get_by_role("button", name="Index", exact=True).click()
    page.get_by_role("alert").filter(has_text="is not a folder on this machine").wait_for()
    page.get_by_label("Folder with pictures on this machine").fill(str(tmp_path / "harbour"))
    page.get_by_role("button", name="Index", exact=True).click()
    page.locator(".run", has_text="added").wait_for()
    page.locator(".library .count", has_text="30 pictures").wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Page 2 of 2").wait_for()
    assert page.locator(".library .card").count() == 6
    page.get_by_role("tab", name="Write").click()
    page.locator("#library-choice input").click()
    page.get_by_role("option", name="harbour (30)").wait_for()


def test_a_folder_is_dropped_and_becomes_a_library(open_page: Open, server: Server, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("tab", name="Library").click()
    page.get_by_text("Add pictures", exact=True).click()
    for colour in ("cyan", "white"):
        paint(tmp_path / "quay" / "boats" / f"{colour} boat.png", colour)
    (tmp_path / "quay" / "boats" / "white boat.txt").write_text("A white boat at the quay", encoding="utf-8")
    (tmp_path / "quay" / "notes.docx").write_bytes(b"no picture")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder…").click()
    chooser.value.set_files(tmp_path / "quay")
    page.locator(".library .count", has_text="2 pictures").wait_for()
    page.locator(".library .card", has_text="A white boat at the quay").wait_for()
    kept = server.folder / "home" / "quay" / "pictures"
    assert {path.name for path in kept.rglob("*.*")} == {"cyan boat.png", "white boat.png", "white boat.txt"}
    dropped(page, ".library", "late.png", paint(tmp_path / "late.png", "grey").read_bytes())
    page.locator(".library .count", has_text="1 picture").wait_for()
    assert page.locator("[data-lib=library]").input_value() == "My-pictures"


def test_without_a_library_the_tab_teaches_and_indexes_the_first(open_page: Open, tmp_path: Path) -> None:
    empty = Server(tmp_path / "site", library=False)
    try:
        page = open_page(url=empty.url)
        page.get_by_role("tab", name="Library").click()
        page.get_by_role("heading", name="No picture library yet").wait_for()
        page.get_by_role("button", name="Index the sample library").wait_for()
        for colour in ("red", "green"):
            paint(tmp_path / "mine" / f"{colour}.png", colour)
        page.get_by_label("Folder with pictures on this machine").fill(str(tmp_path / "mine"))
        page.get_by_role("button", name="Index", exact=True).click()
        page.locator(".library .card").nth(1).wait_for()
        assert page.locator(".library .card").count() == 2
        page.get_by_role("tab", name="Write").click()
        farm(page)
    finally:
        empty.close()


def test_the_chat_answers_about_the_article_and_admits_not_to_see(open_page: Open, server: Server) -> None:
    page = open_page()
    page.get_by_role("tab", name="Chat").click()
    page.get_by_text("Write or open an article first").wait_for()
    page.get_by_role("tab", name="Write").click()
    farm(page)
    page.get_by_role("tab", name="Chat").click()
    page.get_by_role("textbox", name="Ask about the article or a picture").fill("What is it about?")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator(".chat .answer strong", has_text="a farm").wait_for()
    assert "does not see pictures" not in page.locator(".chat").inner_text()
    page.locator(".chat select").select_option(index=1)
    page.get_by_role("textbox", name="Ask about the article or a picture").fill("What colour is it?")
    page.keyboard.press("Enter")
    page.get_by_text("What it said beyond the words that are known was left out.").wait_for()
    page.locator(".chat .answer strong", has_text="a wall").wait_for()
    assert "football" not in page.locator(".chat").inner_text(), "nobody has looked at the picture"
    assert page.locator(".chat .said").count() == 2


def test_a_change_asked_for_in_the_chat_is_rejected_or_accepted_and_undone(open_page: Open) -> None:
    page = open_page.farm()
    before = texts(page)
    page.get_by_role("tab", name="Chat").click()
    page.locator(".chat select").select_option(label="At noon")
    for answer in ("Reject", "Accept"):
        page.get_by_role("textbox", name="Ask about the article or a picture").fill("Say that dawn comes early")
        page.get_by_role("button", name="Propose a change").press("Enter")
        offer = page.locator(".chat .proposed")
        offer.get_by_role("button", name="Accept").wait_for()
        assert "“Say that dawn comes early”" in offer.inner_text()
        offer.get_by_role("button", name=answer).click()
        offer.wait_for(state="detached")
    page.get_by_role("tab", name="Write").click()
    assert texts(page)[::2] == before[::2]
    assert texts(page)[1].startswith("At noon\n\nDawn comes early here")
    page.get_by_role("button", name="Undo: change you asked for").click()
    settled(page)
    assert texts(page) == before


def test_an_answer_can_be_stopped_and_the_next_question_is_answered(
    open_page: Open, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, stopped = open_page.farm(), threading.Event()

    def endless(prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        yield from (Chunk("well, "), Chunk("well, "))
        assert stopped.wait(30)

    page.get_by_role("tab", name="Chat").click()
    with monkeypatch.context() as patched:
        patched.setattr(server.model, "stream", endless)
        page.get_by_role("textbox", name="Ask about the article or a picture").fill("Why?")
        page.keyboard.press("Enter")
        page.locator(".chat .answer", has_text="well, well").wait_for()
        page.locator(".chat").get_by_role("button", name="Stop").click()
        page.get_by_text("You stopped this answer.").wait_for()
    stopped.set()
    page.locator(".chat").get_by_role("button", name="Stop").wait_for(state="hidden")
    page.get_by_role("textbox", name="Ask about the article or a picture").fill("What is it about?")
    page.keyboard.press("Enter")
    page.locator(".chat .answer strong", has_text="a farm").wait_for()
    first, second = page.locator(".chat .said").all()
    assert "You stopped this answer." in first.inner_text()
    assert "well, well" in first.inner_text(), "what was said so far stays"
    assert "You stopped" not in second.inner_text()


def test_a_question_about_a_picture_of_ones_own(open_page: Open, tmp_path: Path) -> None:
    page = open_page.farm()
    page.get_by_role("tab", name="Chat").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="A picture of my own").click()
    chooser.value.set_files(paint(tmp_path / "our harbour.png", "cyan"))
    page.get_by_text("our harbour.png").wait_for()
    page.get_by_role("textbox", name="Ask about the article or a picture").fill("What is this?")
    page.keyboard.press("Enter")
    page.locator(".chat .question img").wait_for()
    page.locator(".chat .said .notice", has_text="This model does not see pictures").wait_for()
    assert "football" not in page.locator(".chat").inner_text()
    page.get_by_role("tab", name="Write").click()
    section(page, 0).wait_for()
