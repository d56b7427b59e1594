"""The page's own pieces of HTML: stages, the article as it grows, alternatives under a picture, messages.

Everything that comes from outside is escaped here. Knows no widgets and no events.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html import escape
from importlib.resources import files

from composer.article import Article, Placement
from composer.events import STAGES
from composer.export.html import blocks
from composer.export.rendering import attribute, sections_html
from composer.export.urls import PictureUrl
from composer.languages import resolve_language
from composer.progress import Progress

Words = Mapping[str, str]


@lru_cache(maxsize=1)
def page_style() -> str:
    return files("composer").joinpath("page.css").read_text(encoding="utf-8")


def stages(progress: Progress, words: Words, seconds: float) -> str:
    """Which stage is at work, which are over, and the time since the start."""
    over = {finished.stage for finished in progress.trace}
    items = []
    for stage in STAGES:
        state = "now" if stage == progress.stage else "over" if stage in over or progress.done else "ahead"
        current = ' aria-current="step"' if state == "now" else ""
        items.append(f'<li class="{state}"{current}>{escape(words["stage_" + stage])}</li>')
    time = escape(words["seconds"].format(seconds=round(seconds)))
    notices = "".join(f'<p class="notice">{escape(notice)}</p>' for notice in progress.notices)
    return f'<div class="stages"><ol>{"".join(items)}</ol><span class="time">{time}</span></div>{notices}'


def growing(progress: Progress, language: str, picture_url: PictureUrl) -> str:
    """The article as far as it is: the running text, then the latest draft with its pictures."""
    if progress.article is not None:
        article = progress.article
        body = "".join(block.html for block in blocks(article, picture_url))
        return framed(body, article.language)
    if not progress.text.strip():
        return ""
    body = sections_html([progress.text], progress.text)[0]
    return framed(body, resolve_language(language, progress.text), "vignette growing")


def framed(body: str, language: str, classes: str = "vignette") -> str:
    """A piece of the article in the style it is exported with."""
    return f'<div class="{classes}" lang="{attribute(language)}">{body}</div>'


def alternatives(article: Article, index: int, thumbnail: PictureUrl, words: Words) -> str:
    """Buttons for the candidates of a placement, best first, the one shown marked, and why it is shown.

    A button carries its picture's id as ``data-picture``; the one that removes, ``data-remove``.
    """
    placement = article.placements[index]
    chosen = placement.chosen
    buttons = "".join(
        _candidate_button(placement, position, thumbnail, words) for position in range(len(placement.candidates))
    )
    if chosen is not None:
        line = f'<p class="why">{escape(words["why"].format(reason=placement.reason))}</p>'
        line += f'<button type="button" class="remove" data-remove="1">{escape(words["remove"])}</button>'
        kind = "filled"
    else:
        wish = f" “{placement.slot.caption}”" if placement.slot.caption else ""
        line = f'<p class="why"><b>{escape(words["empty_slot"])}{escape(wish)}</b> {escape(placement.reason)}</p>'
        kind = "empty"
    strip = f'<div class="strip" role="group" aria-label="{attribute(words["alternatives"])}">{buttons}</div>'
    return f'<div class="tools {kind}"><div class="line">{line}</div>{strip if buttons else ""}</div>'


def _candidate_button(placement: Placement, position: int, thumbnail: PictureUrl, words: Words) -> str:
    candidate = placement.candidates[position]
    record = candidate.record
    shown = placement.chosen is not None and placement.chosen.id == record.id
    caption = record.caption or record.alt or record.path.stem
    label = words["shown_now" if shown else "use_this"].format(caption=caption)
    score = words["score"].format(score=f"{candidate.fused:.2f}")
    why = f"{score}; {candidate.why}" if candidate.why else score
    return (
        f'<button type="button" data-picture="{attribute(record.id)}" aria-pressed="{str(shown).lower()}" '
        f'aria-label="{attribute(label)}"><img src="{attribute(thumbnail(record))}" alt="" loading="lazy">'
        f'<span class="tip"><b>{escape(caption)}</b> {escape(why)}</span></button>'
    )


def message(text: str, kind: str = "error") -> str:
    """A line a screen reader announces."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="message {attribute(kind)}" role="{role}">{escape(text)}</p>'


def brand(words: Words) -> str:
    return f'<h1 class="brand">Vignette</h1><p class="tagline">{escape(words["tagline"])}</p>'


def lesson(words: Words) -> str:
    """What to run where there is no library to take pictures from."""
    steps = (
        (words["teach_sample"], "vignette library sample\nvignette app"),
        (words["teach_own"], "vignette index ~/Pictures --library ~/my-library\nvignette app --library ~/my-library"),
    )
    body = "".join(f"<p>{escape(text)}</p><pre><code>{escape(code)}</code></pre>" for text, code in steps)
    last = f"<p>{escape(words['teach_again'])}</p>"
    return f'<section class="lesson"><h2>{escape(words["no_library"])}</h2>{body}{last}</section>'
