"""Chromium, one server for all tests, and pages that are sessions of their own.

Both end with this package: while Playwright runs, no other test of its thread can run a loop of asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.site import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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
PERSON: dict[str, Any] = {"locale": "en-US", "viewport": {"width": 1280, "height": 900}}
Open = Callable[..., "Page"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            # Gradio sums up its queue now and then by ways that pandas 3 has given up.
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio.queueing"))


@pytest.fixture(scope="package")
def browser(chromium_path: str) -> Iterator[Browser]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=chromium_path, args=list(CHROMIUM_ARGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("site"))
    yield running
    running.close()


@pytest.fixture(scope="package")
def one_person(browser: Browser) -> Iterator[Any]:
    """A browser that keeps the page's files from one test to the next, as a person's does."""
    context = browser.new_context(**PERSON)
    yield context
    context.close()


@pytest.fixture
def open_page(browser: Browser, server: Server, one_person: Any) -> Iterator[Open]:
    """Opens the page; at the end no script failed and no other host was asked.

    Pages belong to one person with one browser unless ``options`` ask for another browser, or ``alone`` for another
    person.
    """
    contexts: list[Any] = []
    pages: list[Page] = []
    wrong: list[str] = []

    def visit(address: str = "", *, url: str = "", alone: bool = False, **options: Any) -> Page:
        base = url or server.url
        context = one_person
        if alone or options:
            context = browser.new_context(**{**PERSON, **options})
            contexts.append(context)
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
        page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
        page.on("request", lambda r: None if r.url.startswith((base, "data:", "blob:")) else wrong.append(r.url))
        page.goto(base + address)
        page.locator("#instruction textarea").wait_for(state="attached")  # out of sight while an article stands
        return page

    yield visit
    for page in pages:
        page.close()
    for context in contexts:
        context.close()
    server.pace.set()
    server.workshop.step = server._step
    assert wrong == []


@pytest.fixture(autouse=True)
def model_answers_by_rule(server: Server) -> Iterator[None]:
    rule = server.model._answer
    yield
    server.model._answer = rule
