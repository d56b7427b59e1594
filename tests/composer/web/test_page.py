"""The page's HTML: blocks that carry what is exported, tools that say what they do, and nothing hostile."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from composer.article.model import Article, Section
from composer.errors import ComposerError, DraftError
from composer.export.html import blocks
from composer.i18n import UI_LANGUAGES, fill, localize, strings
from composer.studio.draft_store import DraftInfo
from composer.studio.libraries import IndexingRun, OfferedLibrary, RecordPage
from composer.studio.session import PendingProposal
from composer.web.error_words import error_words
from composer.web.html.article_view import article_blocks, compared
from composer.web.html.context import ViewContext, message
from composer.web.html.library_view import indexing_progress, library_parts, record_form
from composer.web.html.page_shell import article_shell, brand, chat_shell, draft_list, found_pictures
from image_db.errors import LibraryError
from image_db.files import Failure
from image_db.indexing import IndexReport
from image_db.metadata.generate import DescribeReport
from image_db.metadata.record import ImageRecord
from tests.composer.article_samples import farm_article, picture, said
from vision.errors import Phrase

EN = strings("en")
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


def url(record: ImageRecord) -> str:
    return f"p/{record.path.name}"


def context(language: str = "en", *, hide_paths: bool = False) -> ViewContext:
    say = partial(error_words, language=language, hide_paths=hide_paths)
    return ViewContext(strings(language), say, url, url)


def shown(article: Article, *, language: str = "en", **going_on: Any) -> str:
    return "".join(block.html for block in article_blocks(article, context(language), **going_on))


class Tags(HTMLParser):
    """Names of elements and attributes, for asking what a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_harmless(html: str) -> None:
    for tag, attributes in Tags(html).found:
        assert tag != "script"
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src") != "x"


def test_every_block_that_is_exported_stands_on_the_page_as_it_is(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    page = shown(article)
    for block in blocks(article, url):
        assert block.html in page


def test_a_block_keeps_its_key_while_others_change(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    before = [block.key for block in article_blocks(article, context())]
    sections = (Section("A new beginning."), *article.sections)
    moved = tuple(replace(p, slot=replace(p.slot, after_section=p.slot.after_section + 1)) for p in article.placements)
    after = [block.key for block in article_blocks(replace(article, sections=sections, placements=moved), context())]
    assert [key for key in after if key not in before] == [after[1]]
    assert [key for key in after if key in before] == before


def test_no_reason_is_said_twice(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    first = article.placements[0]
    own = next(c.why for c in first.candidates if first.chosen is not None and c.record.id == first.chosen.id)
    reasoned = replace(first, reason=(*first.reason, *own))
    html = shown(replace(article, placements=(reasoned, *article.placements[1:])))
    assert "Why this one: matches “Hens leave the barn”; chosen 2.3× over the next<" in html


def test_alternatives_name_each_picture_and_its_reason_and_figures_on_demand_only(tmp_path: Path) -> None:
    html = shown(farm_article(tmp_path))
    assert 'aria-label="Shown now: Hens leave the barn (matches “Hens leave the barn”)"' in html
    assert 'aria-label="Use this picture instead: A red barn (matches “A red barn”)"' in html
    assert "Why this one: matches “Hens leave the barn”; chosen 2.3× over the next" in html
    figures = re.findall(r'<details class="figures">(.*?)</details>', html)
    assert "A red barn: fit 0.40; matches “A red barn”" in figures[0]
    assert "fit 0." not in re.sub(r'<details class="figures">(.*?)</details>', "", html)
    assert "No picture here “A closed gate”" in html
    assert "nothing in this library fits" in html
    assert "0.12" not in html


def test_a_page_gives_reasons_in_its_own_language_whatever_the_articles(tmp_path: Path) -> None:
    html = shown(farm_article(tmp_path), language="zh")
    assert "图库中没有合适的图片" in html


def test_something_locked_has_one_tool(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    locked = replace(article, sections=(replace(article.sections[0], locked=True), *article.sections[1:]))
    block = next(block for block in article_blocks(locked, context()) if block.kind == "section")
    buttons = [attributes for tag, attributes in Tags(block.html).found if tag == "button"]
    assert [(b["data-do"], b["data-locked"]) for b in buttons] == [("lock_section", "")]


def test_a_proposal_shows_words_that_go_and_come(tmp_path: Path) -> None:
    html = compared("The old barn stands there.", "The red barn still stands there.", "en", EN)
    assert "<del>old</del><ins>red</ins>" in html
    assert "<ins>still" in html or "still</ins>" in html
    sides = compared("The old barn stands there.", "谷仓还在那里。", "en", EN)
    assert "谷仓还在那里。" in sides
    assert "<del>" not in sides


def library_html(parts: dict[str, object]) -> list[str]:
    return [str(parts[name]) for name in ("choice", "cards", "failures", "start")]


def test_nothing_hostile_survives_in_the_pieces_of_the_page(tmp_path: Path) -> None:
    hens = replace(picture(tmp_path, "hens.jpg"), caption=EVIL, alt=EVIL, author=EVIL, license=EVIL, id=EVIL)
    article = farm_article(tmp_path)
    placement = article.placements[0]
    worst = replace(placement.candidates[0], record=hens, why=said(EVIL))
    hostile = replace(
        placement, candidates=(worst,), reason=said(EVIL), chosen=hens, caption=EVIL, alt=EVIL, credit=EVIL
    )
    page = RecordPage((hens,), 0, 1, 1)
    offered = [OfferedLibrary(Path(EVIL), EVIL, 1)]
    pieces = [
        message(EVIL),
        draft_list([DraftInfo(EVIL, EVIL, 0.0, "standing", 1, 1)], EN),
        found_pictures([worst], context()),
        record_form(hens, context()),
        indexing_progress(IndexingRun(Path(EVIL), "fetching", EVIL, 1, 2), context())["html"],
        indexing_progress(IndexingRun(Path(EVIL), "over", error=ComposerError(EVIL)), context())["html"],
        *library_html(
            library_parts(
                offered, page, [Failure(Path(EVIL), EVIL, "picture")], context(), name=EVIL, searched=EVIL, roots=[EVIL]
            )
        ),
        compared(EVIL, f"{EVIL} more", EVIL, EN),
    ]
    for chosen in (hens, None):
        bad = Article(EVIL, EVIL, (Section(EVIL),), (replace(hostile, chosen=chosen),))
        pieces.append(shown(bad, proposals=[PendingProposal(EVIL, "rewrite", text=EVIL, error=ComposerError(EVIL))]))
    for html in pieces:
        assert_harmless(html)
        assert "alert(1)" in html, "all of it can be read"


def test_a_draft_in_the_library_is_called_one_until_somebody_keeps_it(tmp_path: Path) -> None:
    hens = picture(tmp_path, "hens.jpg")
    for origin, marked in (("generated", True), ("given", False)):
        record = replace(hens, caption="A wall.", caption_origin=origin)
        cards = library_parts([], RecordPage((record,), 0, 1, 1), [], context())["cards"]
        assert (EN["lib_drafted"] in cards) is marked
        assert (EN["lib_drafted_hint"] in record_form(record, context())) is marked
    undrafted = replace(hens, caption="", caption_origin="generated")
    assert EN["lib_drafted"] not in library_parts([], RecordPage((undrafted,), 0, 1, 1), [], context())["cards"]


def test_what_came_of_pictures_without_words_is_said_when_indexing_is_over() -> None:
    report = IndexReport(1, 0, 0, 0, 0, (), (), 1.0)
    why = Phrase("drafts_not_unasked", {"count": 2001})
    ends = [(None, "in 1.0 s."), (why, localize(why, "en"))]
    ends.append((DescribeReport(3, 0, ()), fill(EN["lib_described"], count=3)))
    for drafted, end in ends:
        run = IndexingRun(Path("library"), "over", report=report, drafted=drafted)
        html = indexing_progress(run, context())["html"]
        assert html.endswith(f"{escape(end)}</p>")


def test_a_drafted_picture_is_called_that_and_is_kept_by_one_button(tmp_path: Path) -> None:
    told = picture(tmp_path, "hens.jpg")
    drafted = replace(told, caption="Hens in a yard", caption_origin="generated", guessed_tags=("hen", "yard"))
    guessed = replace(told, caption="", alt="", tags=(), captions=(), guessed_tags=("hen", "<yard>"))
    for record, is_draft in ((told, False), (drafted, True), (guessed, True)):
        cards = str(library_parts([], RecordPage((record,), 0, 1, 1), [], context())["cards"])
        assert [dict(a).get("data-id") for t, a in Tags(cards).found if dict(a).get("data-lib") == "keep"] == (
            [record.id] if is_draft else []
        )
        assert (EN["lib_drafted_hint"] in record_form(record, context())) is is_draft
        assert "<yard>" not in cards


def test_half_a_character_does_not_stop_the_page() -> None:
    html = shown(Article("a\ud800b", "en", (Section("x\udfff"),)))
    assert html.encode("utf-8")


@pytest.mark.parametrize("language", UI_LANGUAGES)
def test_every_button_and_field_of_the_shells_has_a_name(language: str) -> None:
    words = strings(language)
    for html in (article_shell(words, language), chat_shell(words), brand(words)):
        for tag, attributes in Tags(html).found:
            if tag in ("input", "textarea", "dialog"):
                assert attributes.get("aria-label"), html


def test_visitors_are_shown_no_paths_of_this_machine() -> None:
    inner = LibraryError("file_unreadable", file="/srv/photos/a.jpg", reason=PermissionError(13, "denied", "/srv/x"))
    error = DraftError("draft_unreadable", path="/home/anna/drafts/1.draft", reason=inner)
    told = error_words(error, "en", hide_paths=True)
    assert "/srv" not in told
    assert "/home" not in told
    assert "1.draft" in told
    assert "/home/anna/drafts" in error_words(error, "en", hide_paths=False)
    failures = [Failure(Path("/srv/photos/broken.jpg"), "not a picture", "picture")]
    offered = [OfferedLibrary(Path("/srv/library"), "photos", 0)]
    parts = library_parts(offered, RecordPage((), 0, 1, 0), failures, context(), name="photos", roots=["photos"])
    assert "/srv" not in str(parts)
    assert "broken.jpg" in parts["failures"]
    assert 'data-lib="sample"' not in parts["start"]
