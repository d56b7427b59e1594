"""Chromium, one server for all tests, and pages that are sessions of their own.

Both end with this package: while Playwright runs, no other test of its thread can run a loop of asyncio.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.hands import written
from tests.browser.site import Server
from tests.composer.conftest import _no_dictionary_of_this_machine  # noqa: F401

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

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
LOOKS: dict[str, Any] = {"locale": "en-US", "viewport": {"width": 1280, "height": 900}}


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


@dataclass(frozen=True)
class Person:
    """A browser with a storage of its own, and the key to the drafts that it makes."""

    context: Any
    owner: str

    @classmethod
    def of(cls, browser: Browser, **options: Any) -> Person:
        context, owner = browser.new_context(**{**LOOKS, **options}), secrets.token_urlsafe(32)
        context.add_init_script(f"try {{ localStorage.setItem('vignette.owner', '{owner}') }} catch {{}}")
        return cls(context, owner)


@pytest.fixture(scope="package")
def one_person(browser: Browser) -> Iterator[Person]:
    """Keeps the page's files from one test to the next, as a person's browser does."""
    person = Person.of(browser)
    yield person
    person.context.close()


class Open:
    """Opens pages and waits until they are ready: of one person with one browser, unless ``options`` ask for another
    browser, or ``alone`` for another person."""

    def __init__(self, browser: Browser, server: Server, one_person: Person) -> None:
        self.wrong: list[str] = []  # scripts that failed, and other hosts that were asked
        self.console: list[str] = []  # errors in it; some tests bring them about
        self._browser, self._server, self._one_person = browser, server, one_person
        self._persons: list[Person] = []
        self._pages: list[Page] = []

    def __call__(
        self, address: str = "", *, url: str = "", alone: bool = False, ready: bool = True, **options: Any
    ) -> Page:
        return self._visit(self._person(alone, options), url or self._server.url, address, ready)

    def farm(self, *, alone: bool = False, **options: Any) -> Page:
        """An article of three paragraphs, two pictures and an empty place, made before the page is opened."""
        person = self._person(alone, options)
        draft = self._server.made(person.owner, "A day on the farm")
        return written(self._visit(person, self._server.url, f"/?draft={draft}"), "A day on the farm")

    def _person(self, alone: bool, options: dict[str, Any]) -> Person:
        if not alone and not options:
            return self._one_person
        self._persons.append(Person.of(self._browser, **options))
        return self._persons[-1]

    def _visit(self, person: Person, base: str, address: str, ready: bool = True) -> Page:
        page: Page = person.context.new_page()
        self._pages.append(page)
        page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
        page.on("pageerror", lambda error: self.wrong.append(f"script error: {error}"))
        page.on("console", self._heard)
        page.on("request", lambda r: None if r.url.startswith((base, "data:", "blob:")) else self.wrong.append(r.url))
        page.goto(base + address)
        # The button can be pressed once the page has been greeted; it is out of sight while an article stands.
        page.locator("#write:not([disabled])" if ready else "#write").wait_for(state="attached")
        return page

    def _heard(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.console.append(f"{said.text} {said.location['url']}")

    def close(self) -> None:
        for page in self._pages:
            page.close()
        for person in self._persons:
            person.context.close()


@pytest.fixture
def open_page(browser: Browser, server: Server, one_person: Person) -> Iterator[Open]:
    """At the end no script failed and no other host was asked."""
    pages = Open(browser, server, one_person)
    yield pages
    pages.close()
    server.pace.set()
    server.workshop.step = server.keep_pace
    assert pages.wrong == []


@pytest.fixture(autouse=True)
def model_answers_by_rule(server: Server) -> Iterator[None]:
    rule = server.model._answer
    yield
    server.model._answer = rule
