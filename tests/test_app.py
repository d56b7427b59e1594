"""The page as a person uses it: Chromium against the real server, with a composer that needs no model."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from composer.cli import main as vignette
from composer.commands.app import check_loopback, offered_libraries
from composer.errors import UsageError
from composer.studio import Studio
from image_db.errors import LibraryMissing
from tests.composer.article_samples import picture
from tests.composer.fake_composer import FakeComposer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)
CAPTIONS = ("Hens leave the barn", "Two cows at the fence", "A red barn", "The mill pond")
EVIL = '<img src=x onerror="window.evil=1"> ${window.evil=1} {{7}} <script>window.evil=1</script>'


class Server:
    """The app in this process, on a free port. ``pace`` is set to let the composer write on."""

    def __init__(self, folder: Path, *, libraries: bool = True) -> None:
        # Gradio warns of its own and of starlette's deprecations while it is imported and started.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import app

            self.folder = folder
            self.pace = threading.Event()
            self.pace.set()
            colours = ("goldenrod", "seagreen", "indianred", "steelblue")
            sizes = ((1600, 1000), (500, 400), (640, 480), (900, 700))
            pictures = [
                picture(
                    folder / "lib",
                    f"{colour}.jpg",
                    colour,
                    size,
                    caption=caption,
                    author="A. Author",
                    license="CC BY 4.0",
                    captions=(("zh", f"图：{caption}"),),
                )
                for colour, size, caption in zip(colours, sizes, CAPTIONS, strict=True)
            ]
            self.composer = FakeComposer(pictures, step=self._step)
            offered = [("farm (4)", folder / "lib")] if libraries else []
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            self.page = app.build(Studio([f for _, f in offered], lambda _: self.composer), offered, folder / "work")
            app.launch(self.page, folder / "work", host="127.0.0.1", port=port, block=False)
        self.url = f"http://127.0.0.1:{port}"

    def _step(self) -> None:
        self.pace.wait(30)
        time.sleep(0.002)

    def close(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.page.close(verbose=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed, the page is NOT tested: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_ARGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("app")
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "work" / "uploads")
    running = Server(folder)
    yield running
    running.close()
    del os.environ["GRADIO_TEMP_DIR"]


Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def contexts(browser: Browser) -> Iterator[dict[str, Any]]:
    """Browser contexts by their options: pages of one share the cache of files, never a session."""
    made: dict[str, Any] = {}
    yield made
    for context in made.values():
        context.close()


@pytest.fixture
def open_page(browser: Browser, contexts: dict[str, Any], server: Server) -> Iterator[Open]:
    """Opens the page as a session of its own; at the end no script failed and no other host was asked."""
    pages: list[Page] = []
    wrong: list[str] = []

    def visit(url: str = server.url, **options: Any) -> Page:
        options = {"locale": "en-US", "viewport": {"width": 1180, "height": 900}, **options}
        key = json.dumps(options, sort_keys=True)
        if key not in contexts:
            contexts[key] = browser.new_context(**options)
        page = contexts[key].new_page()
        pages.append(page)
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
        page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else wrong.append(r.url))
        page.goto(url)
        return page

    yield visit
    for page in pages:
        page.close()
    server.pace.set()
    assert wrong == []


def write(page: Page, instruction: str) -> None:
    box = page.get_by_role("textbox", name="What should the article be about?")
    box.fill(instruction)
    page.get_by_role("button", name="Write", exact=True).click()


def written(page: Page) -> None:
    page.locator("#article .tools").last.wait_for()


# Gradio sums up its queue now and then by ways that pandas 3 has given up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.queueing")


def test_the_ways_of_pandas_that_gradio_uses_only_warn() -> None:
    from gradio.queueing import Queue

    assert list(Queue._get_df([{"a": 1, "b": None}]).columns) == ["a", "b"]


@pytest.mark.browser
def test_text_streams_pictures_come_one_is_replaced_and_the_zip_holds_what_is_shown(
    open_page: Open, server: Server
) -> None:
    page = open_page()
    server.pace.clear()
    write(page, "A day on the farm")
    page.locator("#status .now", has_text="Writing").wait_for()
    server.pace.set()
    page.locator("#live h1", has_text="A day on the farm").wait_for()
    written(page)
    assert page.locator("#article h1").inner_text() == "A day on the farm"
    assert page.locator("#article figure").count() == 2
    assert page.locator("#article figcaption .caption").all_inner_texts() == list(CAPTIONS[:2])
    assert page.locator("#article figcaption .credit").first.inner_text() == "Image: A. Author, CC BY 4.0"
    assert (
        page.locator("#article .tools.empty").inner_text().startswith("No picture here “A thing unseen” nothing fits")
    )
    assert page.locator("#article").evaluate("e => [...e.querySelectorAll('img')].every(i => i.naturalWidth > 0)")

    first = page.locator(".placement").first
    first.get_by_role("button", name="Use this picture instead: A red barn").click()
    page.locator("#article figcaption .caption", has_text="A red barn").wait_for()
    assert page.locator("#article figcaption .caption").all_inner_texts() == ["A red barn", CAPTIONS[1]]
    assert "you chose it" in first.locator(".why").inner_text()

    page.locator(".placement").nth(1).get_by_role("button", name="Remove picture").click()
    page.locator(".placement .why", has_text="you removed it").wait_for()
    assert page.locator("#article figure").count() == 1

    with page.expect_download() as download:
        page.get_by_role("button", name="Download .zip").click()
    assert download.value.suggested_filename == "a-day-on-the-farm.zip"
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    names = archive.namelist()
    assert [n for n in names if "/images/" in n] == [
        n for n in names if n.startswith("a-day-on-the-farm/images/a-red-barn-")
    ]
    article = json.loads(archive.read("a-day-on-the-farm/article.json"))
    assert [bool(p["chosen"]) for p in article["placements"]] == [True, False, False]
    assert article["placements"][0]["reason"] == "you chose it"
    assert archive.read("a-day-on-the-farm/trace.jsonl").count(b"\n") == 7
    exported = archive.read("a-day-on-the-farm/article.html").decode()
    shown = page.locator("#article .section p").first.inner_html()
    assert shown in exported, "what is previewed is what is exported"


@pytest.mark.browser
def test_stop_keeps_what_was_written_and_frees_the_model(open_page: Open, server: Server) -> None:
    page = open_page()
    closed = server.composer.closed
    server.composer.step, step = lambda: time.sleep(0.05), server.composer.step
    try:
        write(page, "A long story")
        page.locator("#live p", has_text="The morning begins").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.locator("#article p").first.wait_for()
        assert page.locator("#status").inner_text() == "Stopped. What was there stays."
        assert page.locator("#article p").first.inner_text().startswith("This is about A long story. The morning")
        assert "That was" not in page.locator("#article").inner_text()
        page.get_by_role("button", name="Write", exact=True).wait_for()
    finally:
        server.composer.step = step
    assert server.composer.closed == closed + 1
    assert server.composer.running == 0
    write(page, "The next one")
    page.locator("#article h1", has_text="The next one").wait_for()
    written(page)


@pytest.mark.browser
def test_two_sessions_do_not_mix_and_take_turns(open_page: Open, server: Server) -> None:
    one, two = open_page(), open_page()
    server.composer.most_running = 0
    write(one, "Topic one")
    write(two, "Topic two")
    written(one)
    written(two)
    one.locator(".placement").first.get_by_role("button", name="Use this picture instead: The mill pond").click()
    one.locator("#article figcaption .caption", has_text="The mill pond").wait_for()
    assert one.locator("#article h1").inner_text() == "Topic one"
    assert two.locator("#article h1").inner_text() == "Topic two"
    assert two.locator("#article figcaption .caption").all_inner_texts() == list(CAPTIONS[:2])
    assert server.composer.most_running == 1


@pytest.mark.browser
def test_a_text_is_illustrated_with_pictures_that_must_appear(open_page: Open, server: Server, tmp_path: Path) -> None:
    own = picture(tmp_path, "my boat.png", "navy", (800, 600)).path
    page = open_page()
    page.get_by_text("Illustrate my text").click()
    page.get_by_role("button", name="Illustrate", exact=True).click()
    page.get_by_role("alert").filter(has_text="Paste the text that pictures should be added to.").wait_for()
    page.get_by_role("textbox", name="Your text").fill("# My trip\n\nWe went *by boat*.\n\nIt rained.")
    page.get_by_role("button", name="More").click()
    page.locator("#more input[type=file]").set_input_files(own)
    page.get_by_text("my boat.png").first.wait_for()
    page.get_by_role("button", name="Illustrate", exact=True).click()
    written(page)
    assert page.locator("#article h1").inner_text() == "My trip"
    assert page.locator("#article p em").inner_text() == "by boat"
    assert page.locator("#article figcaption .caption").first.inner_text() == "my boat"
    assert server.composer.requests[-1].text == "# My trip\n\nWe went *by boat*.\n\nIt rained."


@pytest.mark.browser
def test_nothing_written_runs_as_a_script_or_a_template_and_all_of_it_is_shown(open_page: Open) -> None:
    page = open_page()
    write(page, EVIL)
    written(page)
    assert page.locator("#article h1").inner_text() == EVIL
    assert page.evaluate("window.evil") is None


@pytest.mark.browser
def test_a_chinese_browser_gets_a_chinese_page_and_the_choice_can_be_changed(open_page: Open) -> None:
    page = open_page(locale="zh-CN")
    page.get_by_role("button", name="开始写").wait_for()
    page.get_by_role("textbox", name="想写一篇关于什么的文章？").fill("如何养好一只宠物")
    page.get_by_role("button", name="开始写").click()
    written(page)
    assert page.locator("#article .vignette").first.get_attribute("lang") == "zh"
    assert page.locator("#article figcaption .credit").first.inner_text() == "图片：A. Author，CC BY 4.0"
    page.locator("#ui-language").get_by_text("EN").click()
    page.get_by_role("button", name="Download .zip").wait_for()
    page.get_by_role("button", name="Write", exact=True).wait_for()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_one_column_without_sideways_scrolling(open_page: Open, scheme: str) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    write(page, "A day on the farm")
    written(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ink = page.locator("#article p").first.evaluate("e => getComputedStyle(e).color")
    paper = page.evaluate("getComputedStyle(document.querySelector('gradio-app')).backgroundColor")
    light = [sum(map(int, c.removeprefix("rgb(").removesuffix(")").split(","))) for c in (ink, paper)]
    assert (light[0] < light[1]) == (scheme == "light")


@pytest.mark.browser
def test_a_failure_is_told_and_leaves_the_page_usable(open_page: Open) -> None:
    page = open_page()
    write(page, "please fail")
    page.get_by_role("alert").filter(has_text="the model gave nothing usable; try another --seed").wait_for()
    write(page, "Better")
    written(page)


@pytest.mark.browser
def test_only_copies_for_the_screen_are_served(open_page: Open, server: Server) -> None:
    page = open_page()
    write(page, "A day on the farm")
    written(page)
    source = page.locator("#article figure img").first.get_attribute("src") or ""
    assert fetch(f"{server.url}/{source}") == 200
    for path in (server.folder / "lib/goldenrod.jpg", Path(__file__), Path("/etc/passwd"), server.folder / "work"):
        assert fetch(f"{server.url}/gradio_api/file={path}") in (403, 404), path


def fetch(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.browser
def test_without_a_library_the_page_teaches_what_to_run(open_page: Open, tmp_path: Path) -> None:
    empty = Server(tmp_path, libraries=False)
    try:
        page = open_page(empty.url)
        page.get_by_role("heading", name="No picture library yet").wait_for()
        assert "vignette library sample" in page.locator("#lesson").inner_text()
        assert page.get_by_role("button", name="Write", exact=True).count() == 0
    finally:
        empty.close()


# The command


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_an_address_of_this_machine_is_accepted(host: str) -> None:
    check_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::", ""])
def test_any_other_address_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match=r"is not an address of this machine alone; use 127\.0\.0\.1$"):
        check_loopback(host)


def test_a_library_that_was_named_must_exist_and_the_sample_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path))
    assert offered_libraries(None) == []
    with pytest.raises(LibraryMissing):
        offered_libraries([tmp_path / "none"])


def test_the_command_goes_on_as_the_page_with_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def execv(path: str, command: list[str]) -> None:
        raise SystemExit(command[1:])  # execv never returns

    monkeypatch.setattr("composer.cli.COMMANDS", ("app",))
    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(SystemExit) as started:
        vignette(["app", "--library", "a", "--library", "b", "--port", "8000"])
    assert started.value.code == [
        "-m",
        "app",
        "--profile",
        "embedded",
        "--host",
        "127.0.0.1",
        "--port",
        "8000",
        "--library",
        "a",
        "--library",
        "b",
    ]
