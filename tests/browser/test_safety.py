"""Nothing hostile runs on the page and all of it can be read; nothing is served that a session was not given."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from composer.web.page_service import PageService
from tests.browser.conftest import Open
from tests.browser.hands import exported, figure, let_pictures_fail, section, settled, tool, write, written
from tests.browser.site import Server, paint
from tests.hostile import HOSTILE, as_read, hostile_article

if TYPE_CHECKING:
    from playwright.sync_api import Page


def show(page: Page, server: Server, article: Any) -> None:
    """Open an article as a draft of the page's person."""
    owner = page.evaluate("window.vignette.session.owner")
    draft = server.drafts.drafts_of(owner).new(article, {"library": str(server.folder / "walls"), "words": 600})
    page.goto(f"{server.url}/?draft={draft.id}")
    page.locator(".sheet .section").first.wait_for()


def squeezed(text: str) -> str:
    """What a reader gets of a text whatever the spaces: browsers drop or fold some of them."""
    return re.sub(r"[\s\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+", "", text)


def test_the_hostile_corpus_is_shown_in_every_field_and_nothing_runs(
    open_page: Open, server: Server, tmp_path: Path
) -> None:
    assert len(HOSTILE) >= 200
    page = open_page()
    show(page, server, hostile_article(tmp_path))
    let_pictures_fail(page)
    assert page.evaluate("window.pwned") is None
    assert (
        page.evaluate("document.querySelectorAll('.sheet script, .sheet iframe, .sheet object, .sheet form').length")
        == 0
    )
    handlers = (
        "[...document.querySelectorAll('.sheet *')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    )
    assert page.evaluate(handlers) == []
    targets = "[...document.querySelectorAll('.sheet a')].map(a => a.protocol)"
    assert set(page.evaluate(targets)) <= {"http:", "https:", "mailto:", "tel:"}
    shown = page.locator(".sheet .figure").evaluate_all(
        "all => all.map(e => [e.querySelector('.caption')?.textContent, e.querySelector('.credit')?.textContent,"
        " e.querySelector('figure img').alt, e.querySelector('.tip')?.textContent])"
    )
    assert len(shown) == len(HOSTILE)
    for text, fields in zip(HOSTILE, shown, strict=True):
        wanted = squeezed(as_read(text))
        for field in fields[:3]:
            assert wanted == squeezed(field or ""), text
    source = page.locator(".sheet .section").evaluate_all("all => all.map(e => e.dataset.source)")
    readable = [squeezed(as_read(text)) for text in HOSTILE]
    assert [squeezed(as_read(text)) for text in source] == readable, "all of it stands in the editor as it was written"
    assert page.evaluate("window.pwned") is None


def test_hostile_text_typed_by_a_person_stays_text(open_page: Open, server: Server) -> None:
    page = open_page()
    evil = '<img src=x onerror="window.pwned=1"> ${window.pwned=1} {{7}} <script>window.pwned=1</script>'
    write(page, evil)
    written(page)
    assert page.locator(".sheet h1").inner_text() == evil
    section(page, 0).locator(".text").click()
    page.get_by_role("textbox", name="Paragraph").fill(evil)
    page.keyboard.press("Control+Enter")
    page.get_by_role("textbox", name="Paragraph").wait_for(state="detached")
    settled(page)
    page.locator(".sheet p", has_text="onerror").first.wait_for()
    tool(page, figure(page, 0), "Caption")
    page.get_by_role("textbox", name="Caption").fill(evil)
    page.keyboard.press("Enter")
    page.locator(".sheet .caption", has_text="onerror").wait_for()
    page.get_by_role("tab", name="Chat").click()
    page.get_by_role("textbox", name="Ask about the article or a picture").fill(evil)
    page.keyboard.press("Enter")
    page.locator(".chat .question", has_text="onerror").wait_for()
    assert page.evaluate("window.pwned") is None
    page.get_by_role("tab", name="Write").click()
    assert b"<script>window" not in exported(page, "One HTML file")


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=window.pwned=1>.png", "..%2f..%2fetc%2fpasswd.png", "a'\"b;c$(d).png"]
)
def test_hostile_file_names_stay_names(open_page: Open, server: Server, tmp_path: Path, name: str) -> None:
    page = open_page.farm()
    own = tmp_path / name
    paint(tmp_path / "plain.png", "cyan").rename(own)
    tool(page, figure(page, 0), "Other pictures")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Use a picture of your own").click()
    chooser.value.set_files(own)
    page.get_by_role("button", name="Undo: chosen picture").wait_for()
    assert page.evaluate("window.pwned") is None
    assert sorted(path.name for path in server.folder.iterdir() if path.name == "etc") == []


def answer(url: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=10) as told:
            return int(told.status), told.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_only_what_a_page_was_told_of_is_served(open_page: Open, server: Server, tmp_path: Path) -> None:
    page = open_page.farm()
    source = page.locator(".sheet figure img").first.get_attribute("src") or ""
    status, picture = answer(f"{server.url}{source}")
    assert (status, len(picture) > 1000) == (200, True)
    draft = next(server.drafts.folder.rglob("*.draft"))
    for path in (
        server.folder / "pictures/red.jpg",
        server.folder / "walls/catalog.sqlite",
        server.work_dir / "pictures",
        draft,
        Path(__file__),
        Path("/etc/passwd"),
    ):
        for prefix in ("/gradio_api/file=", "/file=", "/vignette-files/", "/gradio_api/file=../../../../"):
            assert answer(f"{server.url}{prefix}{path}")[0] in (400, 403, 404, 405), (prefix, path)
    for token in ("../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "x", source.rpartition("/")[2][:-1]):
        assert answer(f"{server.url}/vignette-files/{token}")[0] in (400, 403, 404), token


def test_a_page_cannot_name_files_of_this_machine_as_its_uploads(open_page: Open, server: Server) -> None:
    page = open_page.farm()
    for path in (server.folder / "pictures/red.jpg", Path("/etc/passwd"), Path("../../etc/passwd")):
        for call, values in (("take", {"path": str(path)}), ("find", {"example": str(path), "section": 0})):
            told = page.evaluate("([c, v]) => window.vignette.session.paper.call(c, v)", [call, values])
            assert "was not uploaded here" in str(told), path
    told = page.evaluate("window.vignette.session.paper.call('act', {do: 'ask', question: 'x', upload: '/etc/passwd'})")
    assert "was not uploaded here" in told["error"]


def test_a_page_cannot_open_a_library_that_is_not_offered(server: Server) -> None:
    service = PageService(server.studio)
    for library in ("/etc", str(server.folder), str(server.folder / "walls"), "../walls"):
        assert set(service.browse({"library": library, "ui": "en"})) == {"error"}, library
        assert set(service.form({"library": library, "id": "0" * 64})) == {"error"}, library
    assert service.browse({"ui": "en"})["library"] == "walls"
