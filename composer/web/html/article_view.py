"""The article as the page shows it: what is exported, with tools and proposals beside every paragraph and picture.

Each block is named by a hash of its HTML, so that a page fetches only what it does not show already. Everything that
comes from outside is escaped here. Positions are not part of a block: the page numbers them.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Any, Literal

from composer.article.model import SIDES, WIDTH_SHARES, Article, Placement, Section
from composer.article.parser import parts_depend
from composer.editing.caption_suggestions import Suggestion
from composer.editing.pictures import Alternative, alternatives
from composer.export.html import beside_share, figure
from composer.export.markdown_html import DocumentReader, attribute, inline_html, sections_html, whole_text
from composer.export.sanitizing import encodable, printable_article
from composer.request import LANGUAGES, TONES
from composer.studio.reasons import in_words
from composer.studio.session import PendingProposal
from composer.web.html.context import ViewContext, Words, button, picture_name
from composer.web.html.note_view import NoteButtons, notes_block, passages_html

BlockKind = Literal["title", "section", "figure", "empty", "notes"]
# Below this share of kept words a word-by-word comparison is harder to read than both texts.
_ALIKE = 0.35
_TAG = re.compile(r"(<[^>]*>)")
_WORD = re.compile(r"[\u3400-\u9fff]|\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class ArticleBlock:
    """``index`` is that of the section or placement; ``after`` the section a placement stands after."""

    key: str
    kind: BlockKind
    index: int
    after: int
    html: str

    @property
    def place(self) -> list[Any]:
        return [self.key, self.kind, self.index, self.after]


def article_blocks(
    article: Article,
    context: ViewContext,
    proposals: Sequence[PendingProposal] = (),
    suggesting: Collection[str] = (),
    suggestions: Mapping[str, Suggestion] | None = None,
    growing: bool = False,
) -> Iterator[ArticleBlock]:
    """The title, each section, and after it its pictures and empty places; at last notes and sources.

    ``suggesting`` are ids of pictures whose caption is being written, ``suggestions`` those written, to be taken or
    dismissed; ``growing`` says that the last section is.
    """
    printed = printable_article(article)
    language, words = printed.language, context.words
    if not article.title_in_text:
        yield _block("title", 0, -1, _title(printed, words))
    whole = whole_text(printed)
    sections = [section.text for section in printed.sections]
    notes = printed.notes
    buttons = NoteButtons(len(notes.notes), words["note"])
    # Reads the whole text, which every edit changes: only where its notes are numbered.
    reader = DocumentReader(whole, None, len(notes.notes), buttons) if notes.notes else None
    passages = [""] * len(sections)
    if reader is not None:
        rendered = []
        for index, text in enumerate(sections):
            cited = notes.marked(index, text)
            buttons.begin(cited)
            rendered.append(reader.html(cited))
            passages[index] = passages_html(cited, notes.marks[index], notes, language, words)
    elif sections and parts_depend(whole):
        rendered = _rendered_together(tuple(sections), whole)
    else:
        rendered = [_rendered(text) for text in sections]
    pending = {proposal.before: proposal for proposal in proposals}
    last = len(article.sections) - 1

    def shown(number: int, *, beside: bool = False) -> Iterator[ArticleBlock]:
        placement = article.placements[number]
        index = placement.slot.after_section
        if placement.chosen is not None:
            picture = figure(printed.placements[number], context.picture_url, language, beside=beside)
            busy = placement.chosen.id in suggesting
            offer = (suggestions or {}).get(placement.chosen.id)
            yield _block("figure", number, index, _figure(article, number, picture, busy, offer, context, beside))
        elif placement.reason or placement.candidates:
            yield _block("empty", number, index, _empty(article, number, context))

    for index, section in enumerate(article.sections):
        if (beside := article.beside(index)) is not None:
            yield from shown(beside, beside=True)
        text = marked(rendered[index], section.unchecked, words)
        proposal = pending.get(section.text)
        offered = "" if proposal is None else proposal_html(proposal, language, context)
        yield _block(
            "section",
            index,
            index,
            _section(section, text, language, passages[index] + offered, words, growing and index == last),
        )
        for number in article.below(index):
            yield from shown(number)
    if reader is not None:
        yield _block("notes", 0, last, notes_block(notes, reader, language))


def _block(kind: BlockKind, index: int, after: int, html: str) -> ArticleBlock:
    html = encodable(html)  # half a character, pasted from somewhere, must not stop the page
    return ArticleBlock(hashlib.blake2b(html.encode(), digest_size=9).hexdigest(), kind, index, after, html)


@lru_cache(maxsize=8192)
def _rendered(text: str) -> str:
    return sections_html([text], "")[0]


@lru_cache(maxsize=32)
def _rendered_together(texts: tuple[str, ...], whole: str) -> list[str]:
    return sections_html(texts, whole)


def _title(article: Article, words: Words) -> str:
    title = f"<header>\n<h1>{inline_html(article.title)}</h1>\n</header>\n"
    return (
        f'<div class="piece title" tabindex="0" role="group" aria-label="{attribute(words["title"])}" '
        f'data-source="{escape(article.title)}" data-label="{attribute(words["title"])}">'
        f'<div class="vignette text" lang="{attribute(article.language)}">{title}</div>'
        f'<div class="tools" role="toolbar" aria-label="{attribute(words["title_tools"])}">'
        f"{button(words, 'edit', client='edit')}</div></div>"
    )


@lru_cache(maxsize=8)
def _section_tools(locked: bool, words_key: tuple[tuple[str, str], ...]) -> str:
    words = dict(words_key)
    tones = "".join(
        f'<option value="{tone}">{escape(words["tone_" + (tone or "same")])}</option>' for tone in ("", *TONES)
    )
    targets = "".join(f'<option value="{code}">{escape(words["in_" + code])}</option>' for code in LANGUAGES)
    lock = button(words, "unlock" if locked else "lock", do="lock_section", locked="" if locked else "1")
    if locked:
        return lock
    return _row(
        button(words, "edit", client="edit"),
        button(words, "rewrite", do="propose", action="rewrite"),
        button(words, "add_below", client="add"),
        button(words, "picture_here", client="insert"),
        _menu(
            words,
            f'<label class="row pair"><span>{escape(words["tone"])}</span>'
            f'<select data-name="tone" aria-label="{attribute(words["tone"])}">{tones}</select></label>',
            f'<div class="row pair">{button(words, "translate", do="propose", action="translate")}'
            f'<select data-name="language" aria-label="{attribute(words["translate_to"])}">{targets}</select></div>',
            _row(
                button(words, "expand", do="propose", action="expand"),
                button(words, "shorten", do="propose", action="shorten"),
            ),
            _row(
                button(words, "up", do="move_section", delta="-1"),
                button(words, "down", do="move_section", delta="1"),
                button(words, "split", do="split_section"),
                button(words, "merge", do="merge_sections"),
            ),
            _row(lock, button(words, "delete", do="delete_section", kind="danger")),
        ),
    )


def _row(*buttons: str) -> str:
    return f'<div class="row">{"".join(buttons)}</div>'


def _menu(words: Words, *rows: str) -> str:
    """What is asked for less often, behind one word."""
    return (
        f'<details class="menu more"><summary class="tool">{escape(words["more"])}</summary>'
        f"<div>{''.join(rows)}</div></details>"
    )


def _section(section: Section, text: str, language: str, proposal: str, words: Words, growing: bool) -> str:
    classes = "piece section" + (" locked" if section.locked else "") + (" growing" if growing else "")
    tools = "" if growing else _section_tools(section.locked, tuple(words.items()))
    label = f"{words['paragraph']}: {section.heading}" if section.heading else words["paragraph"]
    return (
        f'<div class="{classes}" tabindex="0" role="group" aria-label="{attribute(label)}" '
        f'data-source="{escape(section.text)}" data-label="{attribute(words["paragraph"])}">'
        f'<div class="vignette text" lang="{attribute(language)}">{text}</div>'
        f"{_lock_mark(section.locked, words)}"
        f"{proposal}"
        f'<div class="tools" role="toolbar" aria-label="{attribute(words["paragraph_tools"])}">{tools}</div>'
        f"{_grip(words) if tools and not section.locked else ''}</div>"
    )


def marked(html: str, claims: Sequence[str], words: Words) -> str:
    """The section's HTML with each claim that nobody has checked marked where it first stands, and a button to tick it.

    Tags stay as they are: a claim within an address is no text.
    """
    for claim in sorted(claims, key=len, reverse=True):
        label = attribute(words["check_claim"].format(claim=claim))
        mark = (
            f'<mark class="unchecked" title="{attribute(words["unchecked"])}">{escape(claim, quote=False)}'
            f'<button type="button" class="tick" data-do="check_claim" data-claim="{attribute(claim)}" '
            f'aria-label="{label}" title="{label}"></button></mark>'
        )
        wanted = re.compile(
            rf"(?<!\w){re.escape(escape(claim, quote=False))}(?!\w)" if claim.isascii() else re.escape(claim)
        )
        parts, open_marks = _TAG.split(html), 0
        for i, part in enumerate(parts):
            if i % 2:  # a tag
                open_marks += part.startswith("<mark") - part.startswith("</mark")
            elif not open_marks and wanted.search(part):
                parts[i] = wanted.sub(lambda _, mark=mark: mark, part, count=1)
                break
        html = "".join(parts)
    return html


def _words_from(article: Article, number: int, offer: Suggestion | None, words: Words) -> str:
    """What the model drafted is called that, until a person edits or confirms it; what it suggests is to be taken."""
    placement, language = article.placements[number], article.language
    parts = []
    if not placement.caption and not placement.alt:
        parts.append(f'<p class="origin">{escape(words["words_missing"])}</p>')
    elif "drafted" in (placement.caption_origin, placement.alt_origin) and not placement.locked:
        confirm = button(words, "confirm_words", do="confirm_words")
        parts.append(f'<p class="origin">{escape(words["words_drafted"])} {confirm}</p>')
    if offer is not None and not placement.locked:
        buttons = button(words, "accept", do="take_suggestion", kind="primary")
        buttons += button(words, "reject", do="drop_suggestion") + button(words, "again", do="suggest")
        parts.append(
            f'<section class="offer" aria-label="{attribute(words["offer_suggest"])}">'
            f"<h3>{escape(words['offer_suggest'])}</h3>"
            f'<div class="after" lang="{attribute(language)}">{escape(offer.caption)}</div>'
            f'<div class="row">{buttons}</div></section>'
        )
    return "".join(parts)


def _figure(
    article: Article,
    number: int,
    picture: str,
    busy: bool,
    offer: Suggestion | None,
    context: ViewContext,
    beside: bool,
) -> str:
    placement, words = article.placements[number], context.words
    record = placement.chosen
    assert record is not None
    locked = placement.locked
    lock = button(words, "unlock" if locked else "lock", do="lock_placement", locked="" if locked else "1")
    suggest = (
        f'<span class="wait" role="status">{escape(words["suggesting"])}</span>'
        if busy
        else button(words, "suggest", do="suggest")
    )
    tools = (
        lock
        if locked
        else "".join(
            (
                _why(article, number, context),
                _strip(article, number, context),
                _row(
                    button(words, "other_pictures", client="search"),
                    button(words, "edit_caption", client="caption"),
                    _menu(
                        words,
                        _row(
                            suggest, button(words, "edit_alt", client="alt"), button(words, "enlarge", client="enlarge")
                        ),
                        _size(placement, words),
                        _row(
                            button(words, "up", do="move_picture", delta="-1"),
                            button(words, "down", do="move_picture", delta="1"),
                            lock,
                        ),
                        _row(
                            button(words, "remove", do="remove_picture", kind="danger"),
                            button(words, "delete_place", do="delete_picture", kind="danger"),
                        ),
                    ),
                ),
            )
        )
    )
    label = words["picture_called"].format(caption=placement.caption or placement.alt or words["picture"])
    classes = " locked" if locked else ""
    style = ""
    if beside:
        classes += f" beside {placement.side}"
        style = f' style="width:{beside_share(placement):.2%}"'
    return (
        f'<div class="piece figure{classes}"{style} tabindex="0" role="group" '
        f'aria-label="{attribute(label)}" data-source="{escape(placement.caption)}" '
        f'data-alt="{escape(placement.alt)}" data-label="{attribute(words["caption"])}" '
        f'data-alt-label="{attribute(words["alt"])}" data-picture="{attribute(record.id)}" '
        f'data-wish="{attribute(placement.slot.caption)}">'
        f'<div class="vignette" lang="{attribute(article.language)}">{picture}</div>'
        f"{_lock_mark(locked, words)}{_words_from(article, number, offer, words)}"
        f'<div class="tools" role="toolbar" aria-label="{attribute(words["picture_tools"])}">{tools}</div>'
        f"{'' if locked else _grip(words)}</div>"
    )


def _size(placement: Placement, words: Words) -> str:
    """How wide the picture stands, and where."""
    shares = "".join(
        f'<option value="{share}"{" selected" if share == placement.width_share else ""}>'
        f"{escape(words[f'width_{share:.0%}'.rstrip('%')])}</option>"
        for share in WIDTH_SHARES
    )
    sides = "".join(
        f'<option value="{side}"{" selected" if side == placement.side else ""}>'
        f"{escape(words['side_' + (side or 'none')])}</option>"
        for side in SIDES
    )
    return "".join(
        f'<label class="row pair"><span>{escape(words[name])}</span>'
        f'<select data-client="{name}" aria-label="{attribute(words[name])}">{options}</select></label>'
        for name, options in (("width", shares), ("side", sides))
    )


def _empty(article: Article, number: int, context: ViewContext) -> str:
    placement, words = article.placements[number], context.words
    wish = f" “{placement.slot.caption}”" if placement.slot.caption else ""
    reason = context.say(in_words(placement.reason, None, context.language))
    buttons = button(words, "search", client="search") + button(
        words, "delete_place", do="delete_picture", kind="danger"
    )
    return (
        f'<div class="piece empty" tabindex="0" role="group" aria-label="{attribute(words["empty_slot"])}" '
        f'data-wish="{attribute(placement.slot.caption)}">'
        f'<p class="why"><b>{escape(words["empty_slot"])}{escape(wish)}</b> {escape(reason)}</p>'
        f'{_strip(article, number, context)}<div class="row">{buttons}</div></div>'
    )


def _why(article: Article, number: int, context: ViewContext) -> str:
    """Why the picture stands there, in words; the figures of all that were considered, when they are asked for."""
    words, placement = context.words, article.placements[number]
    shown = alternatives(article, number)
    own = next((entry.why for entry in shown if entry.shown), ())
    more = [part for part in placement.reason if part not in own]  # a reason ends with the candidate's own
    said = in_words((*own, *more), placement.chosen, article.language)
    rows = "".join(
        f"<li>{escape(picture_name(entry.record, article.language))}: "
        f"{escape(context.say((words['score'].format(score=f'{entry.score:.2f}'), *entry.why)))}</li>"
        for entry in shown
    )
    figures = (
        f'<details class="figures"><summary>{escape(words["figures"])}</summary>'
        f"<p>{escape(context.say(placement.reason))}</p><ul>{rows}</ul></details>"
    )
    return f'<p class="why">{escape(words["why"].format(reason=context.say(said)))}</p>{figures if rows else ""}'


def _strip(article: Article, number: int, context: ViewContext) -> str:
    """Buttons for the candidates of a place, best first, the one shown marked, each with its score and reason."""
    words = context.words
    shown = alternatives(article, number)
    if not shown:
        return ""
    items = "".join(_alternative(entry, article.language, context) for entry in shown)
    return f'<div class="strip" role="group" aria-label="{attribute(words["alternatives"])}">{items}</div>'


def _alternative(entry: Alternative, language: str, context: ViewContext) -> str:
    words, record = context.words, entry.record
    caption = picture_name(record, language)
    label = words["shown_now" if entry.shown else "use_this"].format(caption=caption)
    why = context.say(in_words(entry.why, record, language))
    return (
        f'<button type="button" data-do="replace_picture" data-id="{attribute(record.id)}" '
        f'aria-pressed="{str(entry.shown).lower()}" aria-label="{attribute(f"{label} ({why})")}">'
        f'<img src="{attribute(context.thumbnail_url(record))}" alt="" loading="lazy">'
        f'<span class="tip" aria-hidden="true"><b>{escape(caption)}</b> {escape(why)}</span></button>'
    )


def _grip(words: Words) -> str:
    """What a block is dragged by."""
    label = attribute(words["drag"])
    return (
        f'<button type="button" class="tool icon grip" draggable="true" data-client="grip" aria-label="{label}" '
        f'title="{label}">⠿</button>'
    )


def _lock_mark(locked: bool, words: Words) -> str:
    return f'<span class="mark" title="{attribute(words["locked"])}" aria-hidden="true">🔒</span>' if locked else ""


def proposal_html(pending: PendingProposal, language: str, context: ViewContext) -> str:
    """A proposal beside the text it would replace, with the buttons to take or leave it; ``language`` is the
    article's."""
    words = context.words
    title = words["offer_" + pending.action]
    asked = f'<p class="wish">“{escape(pending.wish)}”</p>' if pending.wish else ""
    if pending.error is not None:
        body = f'<p class="trouble" role="alert">{escape(context.say(pending.error))}</p>'
        buttons = button(words, "reject_all", do="reject")
        buttons += button(words, "again", do="propose", action=pending.action, seed="1", wish=pending.wish)
    elif pending.proposal is None:
        body = f'<p class="wait">{escape(words["thinking"])}</p>'
        if pending.text:
            body = f'<div class="after growing" lang="{attribute(language)}">{escape(pending.text)}</div>'
        buttons = button(words, "stop", do="reject")
    else:
        body = compared(pending.before, pending.proposal.after, language, words)
        seed = str(zlib.crc32(pending.text.encode()) % 10_000)
        buttons = button(words, "accept", do="accept", kind="primary") + button(words, "reject", do="reject")
        buttons += button(words, "again", do="propose", action=pending.action, seed=seed, wish=pending.wish)
    return (
        f'<section class="offer" aria-label="{attribute(title)}"><h3>{escape(title)}</h3>{asked}{body}'
        f'<div class="row">{buttons}</div></section>'
    )


def compared(before: str, after: str, language: str, words: Words) -> str:
    """Word by word where the two are alike, one beside the other where they are not."""
    parts = _changes(before, after)
    if parts is None:
        return (
            f'<div class="sides" lang="{attribute(language)}"><div><h4>{escape(words["before"])}</h4>'
            f'<div class="before">{escape(before)}</div></div><div><h4>{escape(words["after"])}</h4>'
            f'<div class="after">{escape(after)}</div></div></div>'
        )
    return f'<div class="diff" lang="{attribute(language)}">{parts}</div>'


@lru_cache(maxsize=64)
def _changes(before: str, after: str) -> str | None:
    """What goes and what comes within the text; None where little stays."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return None
    parts: list[str] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        gone, come = escape("".join(old[a:b])), escape("".join(new[c:d]))
        if tag == "equal":
            parts.append(gone)
        else:
            parts.append((f"<del>{gone}</del>" if gone else "") + (f"<ins>{come}</ins>" if come else ""))
    return "".join(parts)
