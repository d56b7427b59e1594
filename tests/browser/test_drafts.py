"""What survives: a reload, a server started again, a kill in the middle of an article, a lost connection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from composer.export.article_folder import save_article
from tests.browser.conftest import Open
from tests.browser.hands import captions, dropped, farm, section, settled, texts, write, written
from tests.browser.site import Server
from tests.composer.article_samples import farm_article
from tests.live_server import free_port

ROOT = Path(__file__).resolve().parents[2]
# A process that has read all it needs, and begins a server at each line it is told: a copy of itself, to be killed.
# Its writer is slow after so many words: what stands is saved while words come, now and then.
SERVERS = """
import os, signal, sys
from pathlib import Path
import gradio
from tests.browser.site import Server
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    folder, port, words = line.split()
    child = os.fork()
    if not child:
        server = Server(Path(folder), port=int(port))
        server.hold_after(int(words), 0.8)
        print(os.getpid(), flush=True)
        signal.pause()
"""


class Servers:
    """Servers in processes of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @contextmanager
    def running(self, folder: Path, port: int, words: int = 1_000) -> Iterator[Callable[[], None]]:
        """A server until it is killed, by what is yielded or at the end of the block."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder} {port} {words}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())

        def kill() -> None:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

        try:
            yield kill
        finally:
            kill()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    home = str(tmp_path_factory.mktemp("home"))  # without the dictionaries of this machine
    environment = {**os.environ, "GRADIO_TEMP_DIR": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment["VIGNETTE_HOME"] = home
    command = [sys.executable, "-W", "ignore", "-c", SERVERS]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as process:
        yield Servers(process)
        process.kill()


def saved_with(folder: Path, words: str) -> None:
    """Wait until a draft on disk holds these words."""
    deadline_s = time.monotonic() + 60
    while not any(words in draft.read_text(encoding="utf-8") for draft in folder.rglob("*.draft")):
        assert time.monotonic() < deadline_s, "the draft was not saved"
        time.sleep(0.02)


def test_a_reload_shows_the_article_with_its_steps(open_page: Open) -> None:
    page = open_page.farm()
    before = texts(page)
    section(page, 0).locator(".text").click()
    page.get_by_role("textbox", name="Paragraph").fill("Changed.")
    page.keyboard.press("Control+Enter")
    page.locator(".sheet p", has_text="Changed.").wait_for()
    page.reload()
    page.locator(".sheet p", has_text="Changed.").wait_for()
    page.get_by_role("button", name="Undo: text edit").click()
    page.get_by_role("button", name="Redo: text edit").wait_for()
    assert texts(page) == before


def test_a_reload_while_writing_goes_on_showing_it(open_page: Open, server: Server) -> None:
    page = open_page()
    server.hold_after(40)
    write(page, "A slow story")
    page.locator(".sheet p", has_text="The morning begins").wait_for()
    page.reload()
    page.locator(".status .now", has_text="Writing").wait_for()
    page.locator(".sheet p", has_text="The morning begins").wait_for()
    server.pace.set()
    written(page, "A slow story")
    assert len(captions(page)) == 2


def test_articles_are_listed_opened_and_deleted(open_page: Open) -> None:
    page = open_page(alone=True)
    farm(page)
    page.goto(page.url.split("?")[0])
    page.get_by_role("heading", name="Your articles").wait_for()
    page.get_by_role("button", name="A day on the farm", exact=True).click()
    page.locator(".sheet h1", has_text="A day on the farm").wait_for()
    page.goto(page.url.split("?")[0])
    page.get_by_role("button", name="Delete “A day on the farm”").click()
    page.get_by_role("button", name="A day on the farm", exact=True).wait_for(state="detached")
    assert page.locator(".drafts .link").count() == 0


def test_articles_have_dates_are_searched_and_renamed_with_keys_alone(open_page: Open) -> None:
    page = open_page.farm(alone=True)
    section(page, 0).locator(".text").click()
    page.get_by_role("textbox", name="Paragraph").fill("A quokka crossed the yard.")
    page.keyboard.press("Control+Enter")
    settled(page)
    page.goto(page.url.split("?")[0])
    write(page, "Boats in the harbour")
    written(page, "Boats in the harbour")
    page.get_by_role("button", name="Your articles").click()
    rows = page.locator(".drafts li")
    rows.nth(1).wait_for()
    assert all(str(time.localtime().tm_year) in shown for shown in page.locator(".drafts time").all_inner_texts())
    search = page.get_by_role("searchbox", name="Search your articles")
    search.fill("QUOKKA yard")
    rows.nth(1).wait_for(state="detached")
    assert "A day on the farm" in rows.first.inner_text()
    search.fill("nowhere")
    page.get_by_text("None of your articles holds these words.").wait_for()
    search.fill("")
    rows.nth(1).wait_for()
    page.get_by_role("button", name="Rename “A day on the farm”").press("Enter")
    page.keyboard.type("Farm, second version")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Farm, second version", exact=True).wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Rename “Farm, second version”"
    page.get_by_role("button", name="Farm, second version", exact=True).click()
    page.locator(".sheet h1", has_text="A day on the farm").wait_for()


def test_a_saved_article_is_opened_by_its_address_and_by_dropping_it(
    open_page: Open, server: Server, tmp_path: Path
) -> None:
    save_article(farm_article(tmp_path / "pictures"), tmp_path / "farm")
    page = open_page(f"/?article={server.studio.saved.offer(tmp_path / 'farm')}", alone=True)
    title = farm_article(tmp_path / "again").title
    written(page, title)
    assert "article=" not in page.url
    page.get_by_role("button", name="Your articles").click()
    page.locator(".drafts").wait_for()
    dropped(page, "#ask", "article.json", (tmp_path / "farm" / "article.json").read_bytes())
    written(page, title)
    page.wait_for_function("[...document.querySelectorAll('.sheet figure img')].every(i => i.naturalWidth > 0)")


def test_a_draft_is_its_owners_alone(open_page: Open) -> None:
    page = open_page.farm()
    other = open_page("/" + page.url.rpartition("/")[2], alone=True)
    other.locator(".gone", has_text="this draft is gone").wait_for()
    assert other.locator(".sheet .piece").count() == 0


def test_a_server_killed_in_the_middle_of_an_article_lost_nothing_that_was_shown(
    open_page: Open, servers: Servers, tmp_path: Path
) -> None:
    port = free_port()
    with servers.running(tmp_path, port, words=70) as kill:
        page = open_page(url=f"http://127.0.0.1:{port}")
        write(page, "A long story")
        section(page, 1).locator("p", has_text="Work goes on").wait_for()
        first = texts(page)[0]
        saved_with(tmp_path, "Work goes on")
        kill()
        page.locator(".away", has_text="The connection is lost").wait_for()
    with servers.running(tmp_path, port):
        page.locator(".status", has_text="The making of this article was interrupted.").wait_for()
        assert texts(page)[0] == first
        assert "Work goes on" in texts(page)[1]
        page.get_by_role("button", name="Add pictures now").click()
        page.locator(".sheet .figure").first.wait_for()


def test_what_is_typed_while_the_server_is_away_is_there_when_it_is_back(
    open_page: Open, servers: Servers, tmp_path: Path
) -> None:
    from playwright.sync_api import Error

    port = free_port()
    with servers.running(tmp_path, port) as kill:
        page = farm(open_page(url=f"http://127.0.0.1:{port}"))
        section(page, 0).locator(".text").click()
        kill()
        page.get_by_role("textbox", name="Paragraph").fill("Typed into the void.")
        page.locator(".away", has_text="The connection is lost").wait_for()
    with servers.running(tmp_path, port):
        page.locator(".sheet p", has_text="Typed into the void.").wait_for()
        with suppress(Error):  # the page may be about to load itself anew, from another server than it knew
            settled(page)
        page.locator(".sheet p", has_text="Typed into the void.").wait_for()
        assert urllib.request.urlopen(page.url.split("?")[0], timeout=10).status == 200
