"""The page's own pieces of HTML that hold no article: brand, shells of the tabs, drafts, messages, scripts and style.

Everything that comes from outside is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from composer.export.markdown_html import attribute
from composer.i18n import fill
from composer.studio.reasons import in_words
from composer.web.html.context import ViewContext, Words, picture_name
from image_db.sample import SAMPLE

if TYPE_CHECKING:
    from composer.studio.draft_store import DraftInfo
    from retrieval.candidates import Candidate

_SCRIPTS = (
    *("core.js", "viewer.js", "format_bar.js", "rich_text.js", "rich_editor.js", "text_editor.js", "outline.js"),
    *("drag.js", "article.js", "chat.js", "library.js"),
)
_STYLES = ("page.css", "article.css", "library.css")
_SHOWN_DRAFTS = 12
WISHES = ("wish_farm", "wish_monuments", "wish_music")
VIEWER = ("previous", "next", "close", "of", "picture")
OUTLINE = ("outline", "hint", "title", "heading", "drag", "up", "down", "remove", "add", "write")
MARKS = ("bold", "italic", "link", "heading", "list", "quote", "source", "done", "formats", "address")


@lru_cache(maxsize=1)
def page_style() -> str:
    return "".join(files("composer.web").joinpath("static", name).read_text(encoding="utf-8") for name in _STYLES)


@lru_cache(maxsize=1)
def page_scripts() -> str:
    """Everything the page runs, as elements of its head."""
    scripts = "".join(files("composer.web").joinpath("static", name).read_text(encoding="utf-8") for name in _SCRIPTS)
    assert "</script" not in scripts
    # A link in an article must not take the page away from under it, nor tell others where it stood.
    return f'<base target="_blank"><meta name="referrer" content="no-referrer"><script>{scripts}</script>'


def _for_script(prefix: str, names: Sequence[str], words: Words) -> str:
    """Words that a script shows, as attributes of an element."""
    return "".join(f' data-{name}="{attribute(words[prefix + name])}"' for name in names)


def brand(words: Words) -> str:
    viewer = f'<div class="viewer-words" hidden{_for_script("view_", VIEWER, words)}></div>'
    return (
        f'<div class="top"><h1 class="brand">Vignette</h1><p class="tagline">{escape(words["tagline"])}</p>'
        f'<button type="button" class="tool icon" data-page="theme" aria-label="{attribute(words["theme"])}" '
        f'title="{attribute(words["theme"])}">◐</button>{viewer}</div>'
    )


def article_shell(words: Words, language: str) -> str:
    """The article's frame: bar, status, sheet, and the dialogue that finds pictures."""
    marks = _for_script("mark_", MARKS, words)
    outline = _for_script("outline_", OUTLINE, words)
    return (
        f'<section class="paper" lang="{attribute(language)}" aria-label="{attribute(words["article"])}">'
        f'<div class="words" hidden data-new-paragraph="{attribute(words["new_paragraph"])}"{marks}></div>'
        '<div class="above"><span class="name"></span>'
        f'<button type="button" class="tool" data-page="open">{escape(words["drafts"])}</button>'
        f'<button type="button" class="tool" data-page="ask" aria-expanded="false" aria-controls="ask">'
        f"{escape(words['new_article'])}</button></div>"
        f'<div class="status"></div><div class="toast"></div><p class="gone message note"></p>'
        f'<p class="away message error" role="status">{escape(words["reconnecting"])}</p>'
        f'<button type="button" class="tool leave" data-client="read">{escape(words["read_leave"])}</button>'
        f'<div class="bar"></div><div class="outline" hidden{outline}></div><div class="sheet"></div>'
        f'<dialog class="finder" aria-label="{attribute(words["search_title"])}"><form method="dialog">'
        f'<div class="row"><input maxlength="500" aria-label="{attribute(words["search_words"])}" '
        f'placeholder="{attribute(words["search_words"])}">'
        f'<button type="submit" class="tool primary">{escape(words["search"])}</button>'
        f'<button type="button" class="tool" data-client="close">{escape(words["close"])}</button></div>'
        f'<div class="row"><button type="button" class="tool" data-client="example">{escape(words["search_example"])}'
        f'</button><button type="button" class="tool" data-client="own">{escape(words["search_upload"])}</button>'
        f'<span class="notice">{escape(words["search_drop"])}</span></div></form>'
        '<div class="found" role="region" aria-live="polite"></div></dialog></section>'
    )


def found_pictures(candidates: Sequence[Candidate], context: ViewContext) -> str:
    """What a search found, best first, each with its reason."""
    words = context.words
    if not candidates:
        return f'<p class="notice">{escape(words["nothing_found"])}</p>'
    cards = []
    for candidate in candidates:
        record = candidate.record
        caption = picture_name(record, context.language)
        score = words["score"].format(score=f"{candidate.fused:.2f}")
        why = context.say(in_words(candidate.why, record, context.language))
        cards.append(
            f'<button type="button" class="card" data-client="pick" data-id="{attribute(record.id)}" '
            f'aria-label="{attribute(words["take"].format(caption=caption))}">'
            f'<img src="{attribute(context.thumbnail_url(record))}" alt="" loading="lazy">'
            f'<span class="name">{escape(caption)}</span>'
            f'<span class="credit" title="{attribute(score)}">{escape(why)}</span></button>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def chat_shell(words: Words) -> str:
    return (
        f'<div class="chat"><p class="none notice">{escape(words["chat_none"])}</p>'
        f'<div class="log" role="log" tabindex="0" aria-label="{attribute(words["tab_chat"])}"></div>'
        f'<form hidden><div class="row"><label>{escape(words["chat_about"])} '
        f'<select data-article="{attribute(words["article"])}" data-pictures="{attribute(words["pictures"])}" '
        f'data-paragraphs="{attribute(words["chat_paragraphs"])}"></select></label>'
        f'<button type="button" class="tool" data-client="chat-file">{escape(words["chat_upload"])}</button>'
        '<span class="file"></span></div>'
        f'<div class="row"><textarea rows="2" maxlength="4000" aria-label="{attribute(words["chat_question"])}" '
        f'placeholder="{attribute(words["chat_question"])}"></textarea>'
        f'<button type="button" class="tool" data-client="chat-stop" hidden>{escape(words["stop"])}</button>'
        f'<button type="button" class="tool" data-client="chat-change" title="{attribute(words["chat_change_hint"])}" '
        f"hidden>{escape(words['chat_change'])}</button>"
        f'<button type="submit" class="tool primary">{escape(words["chat_ask"])}</button></div></form></div>'
    )


def beginnings(libraries: Sequence[str], words: Words) -> str:
    """What somebody new can begin with: wishes that the sample has pictures for, or the way to a library."""
    if not libraries:
        go = f'<button type="button" class="tool primary" data-page="library">{escape(words["to_library"])}</button>'
        return (
            f'<section class="beginnings"><h2>{escape(words["no_library"])}</h2><p>{escape(words["teach"])}</p>{go}'
            "</section>"
        )
    if SAMPLE not in libraries:
        return ""
    wishes = "".join(
        f'<li><button type="button" class="tool" data-page="wish">{escape(words[wish])}</button></li>'
        for wish in WISHES
    )
    return f'<section class="beginnings"><h2>{escape(words["wishes"])}</h2><ul>{wishes}</ul></section>'


def draft_list(drafts: Sequence[DraftInfo], words: Words) -> str:
    """What the person wrote before, the latest first, to be searched, opened, renamed and deleted."""
    if not drafts:
        return ""
    label = attribute(words["drafts_search"])
    return (
        f'<section class="drafts"><div class="head"><h2>{escape(words["drafts"])}</h2>'
        f'<input type="search" maxlength="200" aria-label="{label}" placeholder="{label}"></div>'
        f'<div class="listed" aria-live="polite">{draft_rows(drafts, words)}</div></section>'
    )


def draft_rows(drafts: Sequence[DraftInfo], words: Words, *, every: bool = False) -> str:
    """The latest of the drafts, or every one."""
    if not drafts:
        return f'<p class="notice">{escape(words["drafts_none"])}</p>'
    shown = drafts if every else drafts[:_SHOWN_DRAFTS]
    more = ""
    if len(shown) < len(drafts):
        label = escape(fill(words["drafts_every"], count=len(drafts)))
        more = f'<button type="button" class="tool" data-every>{label}</button>'
    return f"<ul>{''.join(_draft(info, words) for info in shown)}</ul>{more}"


def _draft(info: DraftInfo, words: Words) -> str:
    title = info.title or words["draft_untitled"]
    size = fill(words["draft_line"], words=info.words, pictures=info.pictures)
    saved = datetime.fromtimestamp(info.saved_s, UTC).isoformat(timespec="seconds")

    def tool(kind: str, data: str, word: str, sign: str) -> str:
        label = attribute(words[word].format(title=title))
        return (
            f'<button type="button" class="tool {kind}" data-{data}="{attribute(info.id)}" aria-label="{label}" '
            f'title="{label}">{sign}</button>'
        )

    return (
        f'<li><button type="button" class="link" data-page="open" data-draft="{attribute(info.id)}">'
        f'{escape(title)}</button><span class="about"><time datetime="{saved}"></time>'
        f"<span>{escape(size)}</span></span>"
        f"{tool('', 'rename', 'draft_rename', '✎')}{tool('danger', 'drop', 'draft_delete', '✕')}</li>"
    )
