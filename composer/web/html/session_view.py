"""What a page that shows a session is told: blocks it does not have yet, their order, the bar, the chat and the state
of the work. Plain JSON values, made under the session's lock.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import asdict
from html import escape
from typing import Any

from composer.article.markdown import plain_text
from composer.article.model import Article
from composer.export import FORMATS
from composer.export.markdown_html import attribute, sections_html
from composer.pipeline.events import STAGES
from composer.studio.session import ChatTurn, DraftSession, RunningJob
from composer.web.html.article_view import article_blocks, proposal_html
from composer.web.html.context import ViewContext, Words, button, message
from vision.errors import Phrase


def session_update(session: DraftSession, known: Collection[str], context: ViewContext) -> dict[str, Any]:
    """``known`` are the keys of blocks that the page holds."""
    with session.lock:
        version = session.changes.version
        running = session.running
        article = (running.article() if running is not None else None) or session.article
        # The last paragraph grows while the running job has text and no article yet.
        growing = running is not None and running.progress.article is None and article is not session.article
        held = set(known)
        blocks = []
        if article is not None:
            blocks = list(
                article_blocks(article, context, session.proposals, session.suggesting, session.suggestions, growing)
            )
        return {
            "version": version,
            "draft": session.draft.id,
            "order": [block.place for block in blocks],
            "html": {block.key: block.html for block in blocks if block.key not in held},
            "sections": len(article.sections) if article is not None else 0,
            "title": _title(session, article),
            "outline": None if (outline := session.outline) is None or session.busy else asdict(outline),
            "about": str(session.draft.info.get("instruction", ""))[:200],
            "busy": session.busy,
            "active": session.active,
            "status": _status(session, context),
            "bar": _bar(session, article, context),
            "talk": "".join(_turn(turn, context) for turn in session.chat) + _offers(session, context),
            "pictures": _pictures(article),
            "paragraphs": _paragraphs(article),
        }


def _title(session: DraftSession, article: Article | None) -> str:
    if article is not None:
        return plain_text(article.title)
    return session.outline.title if session.outline is not None else ""


def _status(session: DraftSession, context: ViewContext) -> str:
    """The stages with the time, or what became of them."""
    running, words = session.running, context.words
    parts = []
    if running is not None:
        before = running.job.before if running.job is not None else 0
        if before:
            text = words["queue"].format(before=before)
            stop = button(words, "stop", do="stop", kind="stop")
            parts.append(f'<div class="stages" role="status"><p class="queue">{escape(text)}</p>{stop}</div>')
        else:
            parts.append(_stages(session, running, words))
    notices = running.progress.notices if running is not None else session.notices
    parts += [f'<p class="notice">{escape(context.say(notice))}</p>' for notice in notices]
    if session.error is not None:
        parts.append(message(context.say(session.error)))
    if session.note:
        parts.append(message(words[session.note], "note"))
    if running is None:
        parts.append(_ways_on(session, context))
    if running is None and session.article is not None and session.trace:
        parts.append(_finished(session, words))
    return "".join(parts)


def _ways_on(session: DraftSession, context: ViewContext) -> str:
    """What can be done about work that was stopped, failed or was cut off."""
    words = context.words
    missing = session.unwritten if session.article is not None else ()
    begun = session.unfinished in ("compose", "write_rest")
    buttons = ""
    if missing:
        buttons += button(words, "write_rest", do="retry", stage="text", kind="primary")
    if begun and session.article is not None:
        buttons += button(words, "go_on", do="retry", stage="rest")
    elif session.unfinished is not None:
        buttons += button(words, "again", do="retry", stage="again")
    if missing:
        buttons += button(words, "leave_unwritten", do="leave_unwritten")
    told = message(context.say(Phrase("unwritten", {"headings": missing})), "note") if missing else ""
    return f'<div class="noted">{told}{buttons}</div>' if buttons else ""


def _stages(session: DraftSession, running: RunningJob, words: Words) -> str:
    progress = running.progress
    over = {finished.stage for finished in progress.trace}
    items = []
    for stage in ("load", "write") if running.kind == "outline" else STAGES:
        state = "now" if stage == progress.stage else "over" if stage in over else "ahead"
        current = ' aria-current="step"' if state == "now" else ""
        items.append(f'<li class="{state}"{current}>{escape(_stage_name(stage, running, words))}</li>')
    now_s = time.monotonic()
    began_s = running.job.started_s if running.job is not None and running.job.started_s else running.began_s
    written = running.words_written()
    left_s = session.models.times.left_s(progress, written, running.words, now_s - running.stage_s)
    left = "" if left_s is None or running.kind == "outline" else f' data-left="{left_s:.0f}"'
    share = ""
    if progress.stage == "write" and progress.text:
        share = words["words_so_far"].format(words=written, of=running.words)
    return (
        f'<div class="stages"><ol aria-label="{attribute(words["progress"])}">{"".join(items)}</ol>'
        f'<span class="share">{escape(share)}</span>'
        f'<span class="time" data-seconds="{now_s - began_s:.1f}"{left} data-elapsed="{attribute(words["seconds"])}" '
        f'data-remaining="{attribute(words["left"])}"></span>{button(words, "stop", do="stop", kind="stop")}</div>'
    )


def _stage_name(stage: str, running: RunningJob, words: Words) -> str:
    return words["stage_outline" if running.kind == "outline" and stage == "write" else "stage_" + stage]


def _finished(session: DraftSession, words: Words) -> str:
    """What each stage took, and a way to run one again."""
    rows = "".join(
        f"<li><span>{escape(words['stage_' + stage.stage])}</span> "
        f"<span>{escape(words['seconds'].format(seconds=f'{stage.seconds:.1f}'))}</span> "
        + (button(words, "run_again", do="retry", stage=stage.stage) if stage.stage != "load" else "")
        + "</li>"
        for stage in session.trace
    )
    return f'<details class="trace"><summary>{escape(words["stages_done"])}</summary><ul>{rows}</ul></details>'


def _bar(session: DraftSession, article: Article | None, context: ViewContext) -> str:
    """Undo, redo, number of pictures, export."""
    if article is None or session.history is None:
        return ""
    history, busy, words = session.history, session.busy, context.words

    def step(word: str, action: str, sign: str) -> str:
        label = words[word] + (words["colon"] + context.say(Phrase(action)) if action else "")
        off = "" if action and not busy else " disabled"
        return (
            f'<button type="button" class="tool icon" data-do="{word}" aria-label="{attribute(label)}" '
            f'title="{attribute(label)}"{off}>{sign}</button>'
        )

    off = " disabled" if busy else ""
    formats = "".join(
        f'<button type="button" role="menuitem" data-client="export" data-format="{name}">'
        f"{escape(words['format_' + name])}</button>"
        for name in ("zip", *(name for name in FORMATS if name != "md"))
    )
    return (
        step("undo", history.undoable, "↶")
        + step("redo", history.redoable, "↷")
        + _marks(article, words)
        + f'<span class="saved">{escape(words["saved"])}</span>'
        + f'<label class="refit">{escape(words["pictures"])} '
        f'<input type="number" min="0" max="50" value="{len(article.pictures)}" data-client="refit"{off} '
        f'aria-label="{attribute(words["refit"])}"></label>'
        + button(words, "read", client="read")
        + f'<details class="menu export"><summary class="tool">{escape(words["export"])}</summary>'
        f'<div role="menu" aria-label="{attribute(words["export"])}">{formats}</div></details>'
    )


def _marks(article: Article, words: Words) -> str:
    """How many names, numbers and dates nobody has checked, and whether they are marked."""
    count = sum(len(section.unchecked) for section in article.sections)
    if not count:
        return ""
    label = words["unchecked_shown"].format(count=count)
    return (
        f'<label class="marks" title="{attribute(words["unchecked_hint"])}">'
        f'<input type="checkbox" data-client="marks" checked> {escape(label)}</label>'
    )


def _turn(turn: ChatTurn, context: ViewContext) -> str:
    """A question and its answer; what the model could not see is said above it."""
    words, picture, note = context.words, "", ""
    if turn.picture is not None:
        name = turn.picture.caption or turn.picture.alt or turn.picture.path.stem
        picture = f'<img src="{attribute(context.thumbnail_url(turn.picture))}" alt="{attribute(name)}">'
    if turn.note:
        note = f'<p class="notice">{escape(words[turn.note])}</p>'
    if turn.error is not None:
        note += f'<p class="notice">{escape(context.say(turn.error))}</p>'
    if turn.answer:
        body = sections_html([turn.answer], turn.answer)[0]
    else:
        body = "" if turn.over else f'<p class="wait">{escape(words["thinking"])}</p>'
    return (
        f'<div class="said"><div class="question">{picture}<p>{escape(turn.question)}</p></div>'
        f'{note}<div class="answer{"" if turn.over else " growing"}">{body}</div></div>'
    )


def _offers(session: DraftSession, context: ViewContext) -> str:
    """What was asked for a paragraph, to be accepted or rejected here as well."""
    if session.article is None:
        return ""
    at = {section.text: index for index, section in enumerate(session.article.sections)}
    return "".join(
        f'<div class="said proposed" data-at="{at[pending.before]}" data-source="{escape(pending.before)}">'
        f"{proposal_html(pending, session.article.language, context)}</div>"
        for pending in session.proposals
        if pending.action == "revise" and pending.before in at
    )


def _paragraphs(article: Article | None) -> list[list[str]]:
    """(text, first words) of the sections that a change may be asked for."""
    if article is None:
        return []
    sections = [section for section in article.sections if not section.locked]
    return [[section.text, section.heading or plain_text(section.body)[:60]] for section in sections]


def _pictures(article: Article | None) -> list[list[str]]:
    """(id, caption) of the pictures shown, for a choice of what to talk about."""
    if article is None:
        return []
    return [[p.chosen.id, p.caption or p.alt or p.chosen.path.stem] for p in article.placements if p.chosen is not None]
