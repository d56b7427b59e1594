"""Measures the page in Chromium: opening a long article, edits and replacements from click to visible, ten sessions.

The page is served as anybody's is, by a process of its own, from a home that holds nothing but the drafts: pictures are
painted for the purpose and no model is needed. "Visible" means that the change is in the document, its picture is
decoded, and the browser has drawn a frame.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composer.article.model import Article, Placement, Section, Slot
from composer.benchmarks.runner import BenchFailed, Progress
from composer.errors import UsageError
from composer.evaluation.report import Measure
from composer.studio.draft_store import DraftStore
from composer.web.command_line import page_command
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from vision.errors import Phrase

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGS = ("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PARAGRAPH = "The lane runs past the mill and the pond, and whoever walks it early meets the milk before the cows. " * 5
START_S = 120.0
WAIT_MS = 120_000  # a busy machine is slow, not wrong
BETWEEN_S = 0.7  # a person's pause between two edits


@dataclass(frozen=True, slots=True)
class Load:
    """What is opened and edited, and how often; ``rounds`` openings and twice as many edits are measured."""

    sections: int = 40
    pictures: int = 25
    alternatives: int = 8
    sessions: int = 10
    rounds: int = 5


# Both wait for a frame after the change: what the person sees, not what the server said.
EDIT = """async ([index, text]) => {
  const block = () => document.querySelectorAll('.sheet .section')[index];
  block().querySelector('[data-client=edit]').click();
  const box = block().querySelector('.editor:not(.head)');
  box.focus();
  document.execCommand('selectAll');
  document.execCommand('insertText', false, text);
  const begun = performance.now();
  box.blur();
  while (!block().querySelector('.text')?.innerText.includes(text) || block().querySelector('.editor:not(.head)'))
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


def find_browser(given: str = "") -> str:
    """Path of a Chromium that Playwright can drive. Raises UsageError saying what to install."""
    if importlib.util.find_spec("playwright") is None:
        raise UsageError("playwright_missing")
    found = next(filter(None, map(shutil.which, (given,) if given else BROWSERS)), None)
    if found is None:
        raise UsageError("chromium_not_program", path=given) if given else UsageError("chromium_missing")
    return found


def bench_studio(browser: str, progress: Progress, load: Load | None = None) -> dict[str, Measure]:
    """The issue's goals are the references. Raises BenchFailed where the page or the browser does not start."""
    from playwright.sync_api import Error, sync_playwright

    load = load or Load()
    with tempfile.TemporaryDirectory(prefix="vignette-bench-") as temporary:
        folder = Path(temporary).resolve()
        article = long_article(folder / "pictures", load)
        with served(folder) as url, sync_playwright() as driver:
            try:
                chromium = driver.chromium.launch(executable_path=browser, args=list(ARGS))
                try:
                    person = _Person(chromium, url, DraftStore(folder / "drafts"), article)
                    return {**_one(person, load, progress), **_many(person, load, progress)}
                finally:
                    chromium.close()
            except Error as error:
                raise BenchFailed("browser_failed", reason=error.message.splitlines()[0]) from error


@contextmanager
def served(home: Path, libraries: Sequence[Path] = ()) -> Iterator[str]:
    """Address of the page, served by a process of its own until the block is left. Its home is ``home``."""
    command = [*page_command(), "--port", str(_free_port()), "--profile", "tiny", "--no-browser"]
    for library in libraries:
        command += ["--library", str(library)]
    environment = {**os.environ, "VIGNETTE_HOME": str(home)}
    log = home / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True, env=environment
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url.startswith("http://"):
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise BenchFailed("page_not_started", reason="".join(last))
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _wait_for(url: str, process: subprocess.Popen[str]) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    deadline_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise BenchFailed("page_silent", url=url)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class _Person:
    """Whoever opens the article: each call is somebody else, with a browser's storage of their own."""

    browser: Any
    url: str
    drafts: DraftStore
    article: Article

    def open(self) -> Any:
        owner = self.drafts.new_owner()
        draft = self.drafts.drafts_of(owner).new(self.article, {"library": "/", "words": 600})
        context = self.browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
        context.add_init_script(f"localStorage.setItem('vignette.owner', '{owner}')")
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        self.show(page, f"{self.url}/?draft={draft.id}")
        return page

    def show(self, page: Any, address: str) -> None:
        page.goto(address, wait_until="commit")
        count = len(self.article.sections)
        page.wait_for_function(f"document.querySelectorAll('.sheet .section').length === {count}", polling="raf")


def _one(person: _Person, load: Load, progress: Progress) -> dict[str, Measure]:
    page = person.open()
    address, seconds = page.url, []
    for _ in range(load.rounds):
        begun_s = time.perf_counter()
        person.show(page, address)
        seconds.append(time.perf_counter() - begun_s)
    progress(f"opened in {', '.join(f'{s:.2f}' for s in seconds)} s")
    count = 2 * load.rounds - 1
    edits = [page.evaluate(EDIT, [n % load.sections, f"Edit number {n}, and some more words."]) for n in range(count)]
    progress(f"edits: {', '.join(f'{t:.0f}' for t in edits)} ms")
    replaced = [page.evaluate(REPLACE, n % load.pictures) for n in range(count)]
    progress(f"replacements: {', '.join(f'{t:.0f}' for t in replaced)} ms")
    page.context.close()
    return {
        "open_40_25_s": Measure(statistics.median(seconds), "s", 2.0),
        "edit_ms": Measure(statistics.median(edits), "ms", 300.0),
        "replace_ms": Measure(statistics.median(replaced), "ms", 300.0),
    }


def _many(person: _Person, load: Load, progress: Progress) -> dict[str, Measure]:
    """Sessions that edit their own long articles in the same moments, again and again."""
    pages = [person.open() for _ in range(load.sessions)]
    for page in pages:
        page.evaluate(
            f"window.measured = (async () => {{ const edit = {EDIT}; const all = [];"
            f" for (let n = 0; n < {load.rounds}; n++) {{ all.push(await edit([n, `Edit ${{n}} of many.`]));"
            f" await new Promise((r) => setTimeout(r, {BETWEEN_S * 1000:.0f})); }} return all; }})(); null"
        )
    times = [one for page in pages for one in page.evaluate("window.measured")]
    progress(f"{load.sessions} sessions at once: {', '.join(f'{t:.0f}' for t in sorted(times))} ms")
    for page in pages:
        page.context.close()
    return {"sessions10_edit_ms": Measure(statistics.median(times), "ms", 300.0)}


def long_article(folder: Path, load: Load) -> Article:
    """Pictures with a grain of their own, as large as a library's are."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    records = []
    for number in range(load.pictures + load.alternatives):
        path = folder / f"{number}.jpg"
        coarse = random.integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(coarse).resize((1280, 960), Image.Resampling.BICUBIC).save(path, quality=85)
        id_ = hashlib.sha256(path.read_bytes()).hexdigest()
        records.append(ImageRecord(id_, path, 1280, 960, caption=f"Picture {number} of the lane", author="A. Author"))
    placements = []
    for number in range(load.pictures):
        near = records[number : number + load.alternatives]
        found = tuple(
            Candidate(r, 0.5, 0.5, round(0.9 - i / 20, 2), -1.0, (Phrase("chosen_only"),)) for i, r in enumerate(near)
        )
        caption = near[0].caption
        placements.append(
            Placement(
                Slot(number * load.sections // load.pictures, caption),
                found,
                near[0],
                (Phrase("chosen_only"),),
                caption,
                caption,
                "",
            )
        )
    sections = tuple(
        Section(f"## Part {n}\n\n{PARAGRAPH}" if n % 4 == 0 else PARAGRAPH + str(n)) for n in range(load.sections)
    )
    return Article("The long lane", "en", sections, tuple(placements))
