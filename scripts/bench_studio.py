#!/usr/bin/env python3
"""Measures the page in Chromium: opening a long article, edits and replacements from click to visible, ten sessions.

    python scripts/bench_studio.py [--json] [--chromium PATH]

The article has 40 sections and 25 pictures with 8 alternatives each, painted for the purpose; no model is needed. What
"visible" means: the change is in the document, its picture is decoded, and the browser has drawn a frame.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from served import served

SECTIONS, PICTURES, ALTERNATIVES, SESSIONS, REPEATS = 40, 25, 8, 10, 9
GOALS = {
    "open_40_25_s": (2.0, "s"),
    "edit_ms": (300.0, "ms"),
    "replace_ms": (300.0, "ms"),
    "sessions10_edit_ms": (300.0, "ms"),
}
ARGS = ("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PARAGRAPH = "The lane runs past the mill and the pond, and whoever walks it early meets the milk before the cows. " * 5

# Both wait for a frame after the change: what the person sees, not what the server said.
EDIT = """async ([index, text]) => {
  const block = () => document.querySelectorAll('.sheet .section')[index];
  block().querySelector('[data-client=edit]').click();
  const box = block().querySelector('textarea');
  box.value = text;
  const begun = performance.now();
  box.blur();
  while (!block().querySelector('.text')?.innerText.includes(text) || block().querySelector('textarea'))
    await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - begun;
}"""
REPLACE = """async (index) => {
  const figure = () => document.querySelectorAll('.sheet .figure')[index];
  const wanted = figure().querySelector('.strip [aria-pressed=false]');
  const id = wanted.dataset.id;
  const begun = performance.now();
  wanted.click();
  for (;;) {
    const image = figure()?.querySelector('figure img');
    const now = figure()?.querySelector('.strip [aria-pressed=true]')?.dataset.id;
    if (now === id && image.complete && image.naturalWidth) break;
    await new Promise(requestAnimationFrame);
  }
  await new Promise(requestAnimationFrame);
  return performance.now() - begun;
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "/usr/bin/chromium")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vignette-bench-") as temporary:
        measured = measure(Path(temporary).resolve(), args.chromium)
    told = {
        name: {"value": round(value, 3), "unit": GOALS[name][1], "reference": GOALS[name][0],
               "ratio": round(value / GOALS[name][0], 3)}
        for name, value in measured.items()
    }  # fmt: skip
    if args.json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            print(f"{name:20} {value['value']:8.3f} {value['unit']:3} (goal {value['reference']:g})")
    return 0


def measure(folder: Path, chromium: str) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    with served(folder) as (site, url), sync_playwright() as driver:
        article = long_article(folder / "library")
        browser = driver.chromium.launch(executable_path=chromium, args=list(ARGS))
        try:
            return {**one(browser, site, article, url), **ten(browser, site, article, url)}
        finally:
            browser.close()


def opened(context: Any, site: Any, article: Any, url: str) -> Any:
    """A page that shows the article, and the address it is opened by."""
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    page.wait_for_function("window.vignette?.session")
    owner = page.evaluate("window.vignette.session.owner")
    room = site.service.rooms.adopt(owner, article, Path("/"))
    show(page, f"{url}?draft={room.draft.id}")
    return page


def show(page: Any, address: str) -> None:
    page.goto(address, wait_until="commit")
    page.wait_for_function(f"document.querySelectorAll('.sheet .section').length === {SECTIONS}", polling="raf")


def one(browser: Any, site: Any, article: Any, url: str) -> dict[str, float]:
    import time

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = opened(context, site, article, url)
    address, seconds = page.url, []
    for _ in range(5):
        begun = time.perf_counter()
        show(page, address)
        seconds.append(time.perf_counter() - begun)
    print(f"opened in {', '.join(f'{s:.2f}' for s in seconds)} s", file=sys.stderr)
    edits = [page.evaluate(EDIT, [n % SECTIONS, f"Edit number {n}, and some more words."]) for n in range(REPEATS)]
    print(f"edits: {', '.join(f'{t:.0f}' for t in edits)} ms", file=sys.stderr)
    replaced = [page.evaluate(REPLACE, n % PICTURES) for n in range(REPEATS)]
    context.close()
    return {
        "open_40_25_s": statistics.median(seconds),
        "edit_ms": statistics.median(edits),
        "replace_ms": statistics.median(replaced),
    }


def ten(browser: Any, site: Any, article: Any, url: str) -> dict[str, float]:
    """Ten sessions edit their own long articles in the same moments, again and again."""
    contexts = [browser.new_context(viewport={"width": 1280, "height": 900}) for _ in range(SESSIONS)]
    pages = [opened(context, site, article, url) for context in contexts]
    for page in pages:
        page.evaluate(
            f"window.measured = (async () => {{ const edit = {EDIT}; const all = [];"
            " for (let n = 0; n < 5; n++) { all.push(await edit([n, `Edit ${n} of many.`]));"
            " await new Promise((r) => setTimeout(r, 700)); } return all; })(); null"
        )
    times = [time for page in pages for time in page.evaluate("window.measured")]
    for context in contexts:
        context.close()
    return {"sessions10_edit_ms": statistics.median(times)}


def long_article(folder: Path) -> Any:
    """Pictures with a grain of their own, as large as a library's are."""
    import numpy as np
    from PIL import Image

    from composer.article import Article, Placement, Section, Slot
    from image_db.records import ImageRecord
    from retrieval.candidates import Candidate

    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    records = []
    for number in range(PICTURES + ALTERNATIVES):
        path = folder / f"{number}.jpg"
        coarse = random.integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(coarse).resize((1280, 960), Image.Resampling.BICUBIC).save(path, quality=85)
        id_ = hashlib.sha256(path.read_bytes()).hexdigest()
        records.append(ImageRecord(id_, path, 1280, 960, caption=f"Picture {number} of the lane", author="A. Author"))
    placements = []
    for number in range(PICTURES):
        near = records[number : number + ALTERNATIVES]
        found = tuple(Candidate(r, 0.5, 0.5, 0.9 - i / 20, -1.0, f"matches “{r.caption}”") for i, r in enumerate(near))
        caption = near[0].caption
        placements.append(
            Placement(Slot(number * SECTIONS // PICTURES, caption), found, near[0], "best of 8", caption, caption, "")
        )
    sections = tuple(
        Section(f"## Part {n}\n\n{PARAGRAPH}" if n % 4 == 0 else PARAGRAPH + str(n)) for n in range(SECTIONS)
    )
    return Article("The long lane", "en", sections, tuple(placements))


if __name__ == "__main__":
    sys.exit(main())
