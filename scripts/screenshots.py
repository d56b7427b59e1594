#!/usr/bin/env python3
"""Takes the README's pictures of the page: docs/screenshots/*.png, from articles that were composed before.

    python scripts/screenshots.py ARTICLE_DIR CHINESE_ARTICLE_DIR --library DIR

Each ARTICLE_DIR is an output folder of ``vignette compose``. No model is loaded.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from composer.benchmarks.studio import served
from composer.export.article_folder import load_article
from composer.studio.draft_store import DraftStore

OUT = Path(__file__).resolve().parents[1] / "docs" / "screenshots"
MAX_BYTES = 300_000
ARGS = ("--no-sandbox", "--headless", "--disable-gpu", "--hide-scrollbars")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("articles", nargs=2, type=Path, metavar="ARTICLE_DIR")
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--chromium", default=shutil.which("chromium") or "/usr/bin/chromium")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    OUT.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="vignette-shots-") as temporary,
        sync_playwright() as driver,
        served(Path(temporary).resolve(), [args.library]) as url,
    ):
        drafts = DraftStore(Path(temporary).resolve() / "drafts")
        browser = driver.chromium.launch(executable_path=args.chromium, args=list(ARGS))
        take(browser, drafts, url, args.articles, args.library)
        browser.close()
    for path in sorted(OUT.glob("*.png")):
        slim(path)
        print(f"{path.relative_to(OUT.parents[1])}: {path.stat().st_size:,} bytes")
    return 0


def take(browser: Any, drafts: DraftStore, url: str, articles: list[Path], library: Path) -> None:
    page = person(browser, url, viewport={"width": 1280, "height": 860}, color_scheme="light")
    show(page, drafts, url, articles[0], library)
    page.locator(".sheet .figure").first.scroll_into_view_if_needed()
    page.mouse.wheel(0, 260)
    page.wait_for_timeout(700)
    page.locator(".sheet .figure").first.hover()
    shot(page, "editor.png")
    page.get_by_role("tab", name="Library").click()
    page.locator(".library .card").nth(5).wait_for()
    shot(page, "library.png")

    dark = person(browser, url, viewport={"width": 1280, "height": 860}, color_scheme="dark", locale="zh-CN")
    show(dark, drafts, url, articles[1], library)
    dark.locator(".sheet .section").nth(1).hover()
    shot(dark, "dark-chinese.png")

    phone = person(
        browser,
        url,
        viewport={"width": 390, "height": 844},
        color_scheme="light",
        has_touch=True,
        device_scale_factor=1.5,
    )
    show(phone, drafts, url, articles[0], library)
    phone.locator(".sheet .figure figcaption").first.tap()
    shot(phone, "phone.png")


def person(browser: Any, url: str, **options: Any) -> Any:
    page = browser.new_context(**{"locale": "en-US", **options}).new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    page.wait_for_function("window.vignette?.session")
    return page


def show(page: Any, drafts: DraftStore, url: str, folder: Path, library: Path) -> None:
    owner = page.evaluate("window.vignette.session.owner")
    draft = drafts.drafts_of(owner).new(load_article(folder), {"library": str(library), "words": 600})
    page.goto(f"{url}/?draft={draft.id}")
    page.locator(".sheet .figure").first.wait_for()


def shot(page: Any, name: str) -> None:
    page.wait_for_timeout(900)
    page.wait_for_function(
        "[...document.images].filter(i => i.getBoundingClientRect().top < innerHeight && i.offsetParent)"
        ".every(i => i.complete)"
    )
    page.screenshot(path=OUT / name)


def slim(path: Path) -> None:
    """256 colours are enough for a page, and a photograph in it stays a photograph."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    small.save(path, optimize=True)
    while path.stat().st_size > MAX_BYTES:
        with Image.open(path) as image:
            size = (image.width * 9 // 10, image.height * 9 // 10)
            small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(256)
        small.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
