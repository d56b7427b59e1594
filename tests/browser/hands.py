"""What a person does on the page, in words of tests."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def write(page: Page, instruction: str) -> None:
    """Ask for an article; see ``written`` for its end."""
    asked = page.get_by_role("button", name="New article")
    if asked.is_visible() and asked.get_attribute("aria-expanded") == "false":
        asked.click()
    page.get_by_role("textbox", name="What should the article be about?").fill(instruction)
    page.get_by_role("button", name="Write", exact=True).click()


def written(page: Page, title: str = "") -> Page:
    """Wait until the article stands, and can be edited."""
    page.locator("#article .sheet .title h1", has_text=title).wait_for()
    page.locator(".bar .export").wait_for()
    page.wait_for_function("!document.querySelector('.paper').parentElement.closest('.busy')")
    page.locator(".busy").wait_for(state="detached")
    return page


def farm(page: Page) -> Page:
    """An article of three paragraphs, two pictures and an empty place."""
    write(page, "A day on the farm")
    return written(page, "A day on the farm")


def section(page: Page, index: int) -> Locator:
    return page.locator(".sheet .section").nth(index)


def figure(page: Page, index: int) -> Locator:
    return page.locator(".sheet .figure").nth(index)


def tool(page: Page, block: Locator, name: str) -> None:
    """Press a tool beside a block; less common ones are behind a menu."""
    block.hover()
    wanted = block.locator("> .tools, > .row").locator("button", has_text=re.compile(f"^{re.escape(name)}$")).first
    if wanted.locator("xpath=ancestor::details[not(@open)]").count():
        open_menu(block)
    wanted.click()


def open_menu(block: Locator) -> None:
    """Show all tools of a block."""
    block.hover()
    if block.locator("details.more[open]").count() == 0:
        block.locator("details.more summary").click()


def texts(page: Page) -> list[str]:
    return page.locator(".sheet .section .text").all_inner_texts()


def captions(page: Page) -> list[str]:
    return page.locator(".sheet .figure .caption").all_inner_texts()


def settled(page: Page) -> None:
    """Wait until every action sent has been answered."""
    page.evaluate("() => window.vignette.session.paper.act('look')")


def still(page: Page) -> None:
    """Wait until what fades or slides has come to rest; what never ends is not waited for."""
    page.evaluate(
        """() => Promise.allSettled(document.getAnimations()
            .filter((each) => each.effect.getComputedTiming().endTime !== Infinity).map((each) => each.finished))"""
    )


def let_pictures_fail(page: Page) -> None:
    """Wait until a picture that is not there has failed: those of the page before it have had their ``onerror`` too."""
    page.evaluate(
        """() => new Promise((failed) => {
            const picture = new Image();
            picture.onerror = failed;
            picture.src = "not-there.png";
        })"""
    )


def exported(page: Page, kind: str) -> bytes:
    with page.expect_download() as download:
        page.locator(".bar .export summary").click()
        page.get_by_role("menuitem", name=kind).click()
    return Path(download.value.path()).read_bytes()


def article_json(page: Page) -> dict[str, Any]:
    """The article as it stands, by exporting it."""
    archive = zipfile.ZipFile(io.BytesIO(exported(page, "Folder as .zip")))
    name = next(name for name in archive.namelist() if name.endswith("article.json"))
    loaded: dict[str, Any] = json.loads(archive.read(name))
    return loaded


def dropped(page: Page, selector: str, name: str, data: bytes) -> None:
    """Let a file fall on an element."""
    page.evaluate(
        """([selector, name, data]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name));
            for (const kind of ["dragover", "drop"]) {
                const event = new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true });
                document.querySelector(selector).dispatchEvent(event);
            }
        }""",
        [selector, name, base64.b64encode(data).decode()],
    )
