"""What survives: a reload, a server started again, a kill in the middle of an article, a lost connection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.conftest import Open
from tests.browser.hands import captions, farm, section, settled, texts, write, written
from tests.browser.site import Server
from tests.live_server import free_port

ROOT = Path(__file__).resolve().parents[2]
# A server in a process of its own, to be killed. Its writer takes its time.
SERVE = """
import sys, time
from pathlib import Path
from tests.browser.site import Server
server = Server(Path(sys.argv[1]), port=int(sys.argv[2]))
server.workshop.step = lambda: time.sleep(float(sys.argv[3]))
print("ready", flush=True)
time.sleep(600)
"""


@contextmanager
def running(folder: Path, port: int, step_s: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "ignore", "-c", SERVE, str(folder), str(port), str(step_s)]
    environment = {**os.environ, "GRADIO_TEMP_DIR": "", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def saved_with(folder: Path, words: str) -> None:
    """Wait until a draft on disk holds these words."""
    deadline_s = time.monotonic() + 60
    while not any(words in draft.read_text(encoding="utf-8") for draft in folder.rglob("*.draft")):
        assert time.monotonic() < deadline_s, "the draft was not saved"
        time.sleep(0.02)


def test_a_reload_shows_the_article_with_its_steps(open_page: Open) -> None:
    page = farm(open_page())
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
    server.workshop.step = lambda: server.pace.wait(30) and time.sleep(0.02)
    write(page, "A slow story")
    page.locator(".sheet p", has_text="The morning begins").wait_for()
    server.pace.clear()
    page.reload()
    page.locator(".status .now", has_text="Writing").wait_for()
    page.locator(".sheet p", has_text="The morning begins").wait_for()
    server.pace.set()
    server.workshop.step = lambda: None
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


def test_a_draft_is_its_owners_alone(open_page: Open) -> None:
    page = farm(open_page())
    other = open_page("/" + page.url.rpartition("/")[2], alone=True)
    other.locator(".gone", has_text="this draft is gone").wait_for()
    assert other.locator(".sheet .piece").count() == 0


def test_a_server_killed_in_the_middle_of_an_article_lost_nothing_that_was_shown(
    open_page: Open, tmp_path: Path
) -> None:
    port = free_port()
    with running(tmp_path, port, 0.03) as process:
        page = open_page(url=f"http://127.0.0.1:{port}")
        write(page, "A long story")
        section(page, 1).locator("p", has_text="Work goes on").wait_for()
        first = texts(page)[0]
        saved_with(tmp_path, "Work goes on")
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.locator(".away", has_text="The connection is lost").wait_for()
    with running(tmp_path, port, 0.0):
        page.locator(".status", has_text="The making of this article was interrupted.").wait_for()
        assert texts(page)[0] == first
        assert "Work goes on" in texts(page)[1]
        page.get_by_role("button", name="Add pictures now").click()
        page.locator(".sheet .figure").first.wait_for()


def test_what_is_typed_while_the_server_is_away_is_there_when_it_is_back(open_page: Open, tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, port, 0.0) as process:
        page = farm(open_page(url=f"http://127.0.0.1:{port}"))
        section(page, 0).locator(".text").click()
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.get_by_role("textbox", name="Paragraph").fill("Typed into the void.")
        page.locator(".away", has_text="The connection is lost").wait_for()
    with running(tmp_path, port, 0.0):
        page.locator(".sheet p", has_text="Typed into the void.").wait_for()
        settled(page)
        assert urllib.request.urlopen(page.url.split("?")[0], timeout=10).status == 200
