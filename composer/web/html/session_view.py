"""What a page that shows a room is told: blocks it does not have yet, their order, the bar and the state of the work.

Plain JSON values, made under the room's lock. Knows no widgets and no transport.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from html import escape
from typing import Any

from composer.article.language import count_words
from composer.article.markdown import plain_text
from composer.article.model import Article
from composer.export import FORMATS
from composer.export.markdown_html import attribute
from composer.export.picture_urls import PictureUrl
from composer.i18n import localize, tables
from composer.pipeline.events import STAGES
from composer.studio.session import Room, Work
from composer.web.html.article_view import Look, button, paper
from composer.web.html.page_chat import talk
from composer.web.html.page_shell import message

Words = Mapping[str, str]


def sheet(
    room: Room, known: Collection[str], words: Words, language: str, picture_url: PictureUrl, thumbnail_url: PictureUrl
) -> dict[str, Any]:
    """``known`` are the keys of blocks that the page holds; ``language`` is the page's own."""
    with room.lock:
        article, growing = shown_article(room)
        look = Look(
            words,
            picture_url,
            thumbnail_url,
            offers=tuple(room.offers),
            suggesting=frozenset(room.suggesting),
            growing=growing,
        )
        blocks = list(paper(article, look)) if article is not None else []
        held = set(known)
        return {
            "version": room.version,
            "draft": room.draft.id,
            "order": [block.place for block in blocks],
            "html": {block.key: block.html for block in blocks if block.key not in held},
            "sections": len(article.sections) if article is not None else 0,
            "title": plain_text(article.title) if article is not None else "",
            "about": str(room.draft.info.get("instruction", ""))[:200],
            "busy": room.busy,
            "status": status(room, words),
            "bar": bar(room, article, words, language),
            "talk": talk(room, words, thumbnail_url),
            "pictures": _pictures(article),
        }


def shown_article(room: Room) -> tuple[Article | None, bool]:
    """The article as far as it is, and whether its last paragraph is still growing."""
    work = room.work
    if work is None:
        return room.article, False
    standing = work.progress.standing(str(room.draft.info.get("language", "auto")))
    if standing is None:
        return room.article, False
    return standing, work.progress.article is None


def status(room: Room, words: Words) -> str:
    """The stages with the time, or what became of them."""
    work = room.work
    parts = []
    if work is not None:
        before = room.studio.before(work.job) if work.job is not None else 0
        if before:
            text = words["queue"].format(before=before)
            stop = button(words, "stop", do="stop", kind="stop")
            parts.append(f'<div class="stages" role="status"><p class="queue">{escape(text)}</p>{stop}</div>')
        else:
            parts.append(_stages(room, work, words))
    notices = work.progress.notices if work is not None else room.notices
    parts += [f'<p class="notice">{escape(localize(notice, words["code"]))}</p>' for notice in notices]
    if room.trouble is not None:
        parts.append(message(localize(room.trouble, words["code"])))
    if room.note:
        line = message(words[room.note], "note")
        offer = room.article is not None and work is None and room.note in ("stopped", "interrupted")
        more = button(words, "go_on", do="retry", stage="rest") if offer else ""
        parts.append(f'<div class="noted">{line}{more}</div>')
    if work is None and room.article is not None and room.trace:
        parts.append(_finished(room, words))
    return "".join(parts)


def _stages(room: Room, work: Work, words: Words) -> str:
    progress = work.progress
    over = {finished.stage for finished in progress.trace}
    items = []
    for stage in STAGES:
        state = "now" if stage == progress.stage else "over" if stage in over else "ahead"
        current = ' aria-current="step"' if state == "now" else ""
        items.append(f'<li class="{state}"{current}>{escape(words["stage_" + stage])}</li>')
    now = time.monotonic()
    began = work.job.started_s if work.job is not None and work.job.started_s else work.began_s
    left = room.studio.pace.left_s(progress, work.words, now - work.stage_s)
    told = "" if left is None else f' data-left="{left:.0f}"'
    share = ""
    if progress.stage == "write" and progress.text:
        share = words["words_so_far"].format(words=count_words(progress.text), of=work.words)
    return (
        f'<div class="stages"><ol aria-label="{attribute(words["progress"])}">{"".join(items)}</ol>'
        f'<span class="share">{escape(share)}</span>'
        f'<span class="time" data-seconds="{now - began:.1f}"{told} data-elapsed="{attribute(words["seconds"])}" '
        f'data-remaining="{attribute(words["left"])}"></span>{button(words, "stop", do="stop", kind="stop")}</div>'
    )


def _finished(room: Room, words: Words) -> str:
    """What each stage took, and a way to run one again."""
    rows = "".join(
        f"<li><span>{escape(words['stage_' + stage.stage])}</span> "
        f"<span>{escape(words['seconds'].format(seconds=f'{stage.seconds:.1f}'))}</span> "
        + (button(words, "run_again", do="retry", stage=stage.stage) if stage.stage != "load" else "")
        + "</li>"
        for stage in room.trace
    )
    return f'<details class="trace"><summary>{escape(words["stages_done"])}</summary><ul>{rows}</ul></details>'


def bar(room: Room, article: Article | None, words: Words, language: str) -> str:
    """Undo, redo, number of pictures, export."""
    if article is None or room.history is None:
        return ""
    history, busy = room.history, room.busy

    def step(word: str, action: str, sign: str) -> str:
        label = words[word] + (words["colon"] + tables(language)["steps"][action] if action else "")
        off = "" if action and not busy else " disabled"
        return (
            f'<button type="button" class="tool icon" data-do="{word}" aria-label="{attribute(label)}" '
            f'title="{attribute(label)}"{off}>{sign}</button>'
        )

    count = len(article.pictures)
    off = " disabled" if busy else ""
    formats = "".join(
        f'<button type="button" role="menuitem" data-client="export" data-format="{name}">'
        f"{escape(words['format_' + name])}</button>"
        for name in ("zip", *(name for name in FORMATS if name != "md"))
    )
    return (
        step("undo", history.undoable, "↶")
        + step("redo", history.redoable, "↷")
        + f'<span class="saved">{escape(words["saved"])}</span>'
        + f'<label class="refit">{escape(words["pictures"])} '
        f'<input type="number" min="0" max="50" value="{count}" data-client="refit"{off} '
        f'aria-label="{attribute(words["refit"])}"></label>'
        + f'<details class="menu export"><summary class="tool">{escape(words["export"])}</summary>'
        f'<div role="menu" aria-label="{attribute(words["export"])}">{formats}</div></details>'
    )


def _pictures(article: Article | None) -> list[list[str]]:
    """(id, caption) of the pictures shown, for a choice of what to talk about."""
    if article is None:
        return []
    return [[p.chosen.id, p.caption or p.alt or p.chosen.path.stem] for p in article.placements if p.chosen is not None]
