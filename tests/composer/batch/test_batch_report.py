"""The report of a batch shows every line, opens from any place without the network, and runs nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from composer.article.model import Section
from composer.batch.article_job import BatchConfig, Outcome, existing_outcome
from composer.batch.requests import BatchJob
from composer.batch.summary import BatchSummary
from composer.errors import UsageError
from composer.export.article_folder import save_article
from composer.request import ComposeRequest
from composer.settings import Settings
from tests.composer.article_samples import farm_article, said
from vision.errors import Phrase

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)> ${7*7} </style> javascript:alert(1)'


def verbatim(text: str) -> Phrase:
    return Phrase("verbatim", {"text": text})


class Reader(HTMLParser):
    """Tags with their attributes, and the text a person reads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def report(tmp_path: Path, *jobs: BatchJob, outcomes: tuple[Outcome, ...] = (), **fields: Any) -> tuple[str, Reader]:
    summary = BatchSummary(jobs, BatchConfig(tmp_path, tmp_path / "lib", Settings("embedded")))
    summary.add({outcome.line: outcome for outcome in outcomes})
    summary.close()
    assert json.loads((tmp_path / "summary.json").read_text())["items"][0]["line"] == 1
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    return html, Reader(html)


def made(job: BatchJob, tmp_path: Path, **fields: Any) -> Outcome:
    trace = [{"name": "write", "seconds": 61.0}, {"name": "place", "seconds": 9.5}]
    save_article(replace(farm_article(tmp_path / "lib"), **fields), tmp_path / job.folder, trace=trace)
    outcome = Outcome(1, job.folder, "made", "A day", "en", 1234, 2, 3, 75.0, 4567, {"write": 61.0, "place": 9.5})
    return replace(outcome, line=job.line)


def test_an_article_stands_there_with_pictures_links_timings_and_why_a_place_is_empty(tmp_path: Path) -> None:
    job = BatchJob(1, "001 farm#1", ComposeRequest("Tell of hens", seed=7))
    _, page = report(tmp_path, job, outcomes=(made(job, tmp_path),))
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 2
    assert all((p["src"] or "").startswith("data:image/jpeg;base64,") and p["alt"] for p in pictures)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links[0] == "001%20farm%231/article.html"
    assert links[1:] == [f"001%20farm%231/article.{kind}" for kind in ("html", "md", "json")]
    assert "1,234 words · en · 2 of 3 places with a picture · 1 min 15 s · 4,567 tokens · seed 7" in page.text
    assert "Writing 61.0 s" in page.text
    assert "Placing 9.5 s" in page.text
    assert "1 place left empty" in page.text
    assert "nothing in this library fits: the best scores 0.12, 0.21 is needed" in page.text
    assert "Tell of hens" in page.text
    assert "1 of 1 article" in page.text


def test_failures_and_what_was_not_reached_say_so(tmp_path: Path) -> None:
    jobs = [
        BatchJob(1, "001-a", ComposeRequest("Apples")),
        BatchJob(2, "002-b", ComposeRequest("Bread")),
        BatchJob(3, "003", None, UsageError("not_an_object")),
    ]
    failed = Outcome(1, "001-a", "failed", error=verbatim("the model gave nothing"), details="Traceback: <here>")
    _, page = report(tmp_path, *jobs, outcomes=(failed,))
    assert "the model gave nothing" in page.text
    assert "Traceback: <here>" in page.text
    assert page.text.count("not made yet") == 3, "once in the counts, twice with their lines"
    assert "0 of 3 articles" in page.text
    assert not any(tag == "a" for tag, _ in page.tags)


def test_the_page_holds_everything_it_shows_and_no_script(tmp_path: Path) -> None:
    job = BatchJob(1, "001-farm", ComposeRequest("x"))
    html, page = report(tmp_path, job, outcomes=(made(job, tmp_path),))
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "form"} == set()
    addresses = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("src", "href")]
    assert all(re.match(r"data:image/jpeg;|001-farm/article\.", address or "") for address in addresses)
    assert "default-src 'none'" in html
    assert "url(" not in html
    assert "prefers-color-scheme: dark" in html


def test_hostile_text_is_shown_and_nothing_of_it_runs(tmp_path: Path) -> None:
    article = farm_article(tmp_path / "lib")
    chosen = replace(article.placements[0], caption=EVIL, alt=EVIL)
    empty = replace(article.placements[2], reason=said(EVIL), slot=replace(article.placements[2].slot, caption=EVIL))
    job = BatchJob(1, "001-farm", ComposeRequest(EVIL))
    hostile = made(
        job, tmp_path, title=EVIL, sections=(Section(EVIL), *article.sections[1:]), placements=(chosen, empty)
    )
    hostile = replace(hostile, language=EVIL, notices=(verbatim(EVIL),), error=verbatim(EVIL), details=EVIL)
    html, page = report(tmp_path, job, outcomes=(hostile,))
    assert "<script" not in html
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "h1", "p", "ul", "li", "b", "main",
               "section", "div", "h2", "a", "img", "details", "summary", "pre", "i", "span"}  # fmt: skip
    assert {tag for tag, _ in page.tags} <= allowed
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all((a.get("src") or "data:").startswith("data:") for _, a in page.tags)
    assert page.text.count("<script>alert(1)</script>") >= 5, "it can be read"


def test_a_picture_that_is_gone_leaves_its_alt_text(tmp_path: Path) -> None:
    job = BatchJob(1, "001-farm", ComposeRequest("x"))
    outcome = made(job, tmp_path)
    for path in (tmp_path / "001-farm/images").iterdir():
        path.unlink()
    for path in (tmp_path / "lib").iterdir():
        path.unlink()
    _, page = report(tmp_path, job, outcomes=(outcome,))
    assert not any(tag == "img" for tag, _ in page.tags)
    assert "Hens leave the barn" in page.text


def test_a_damaged_article_does_not_cost_the_report(tmp_path: Path) -> None:
    job = BatchJob(1, "001-farm", ComposeRequest("x"))
    outcome = made(job, tmp_path)
    (tmp_path / "001-farm/article.json").write_text("{")
    _, page = report(tmp_path, job, outcomes=(outcome,))
    assert "line 1 · made" in page.text
    again = existing_outcome(job, BatchConfig(tmp_path, tmp_path / "lib", Settings("embedded")))
    assert again is not None
    assert again.status == "failed"
    assert again.error is not None
    assert again.error.key == "article_damaged"
