"""A proposal beside the text it would replace: what goes and what comes, with the buttons to settle it.

Everything is escaped. Knows no events; what a button asks for is named in its attributes.
"""

from __future__ import annotations

import difflib
import re
import zlib
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING

from composer.export.markdown_html import attribute
from composer.i18n import localize

if TYPE_CHECKING:
    from composer.studio.session import Offer

# Below this share of kept words a word-by-word comparison is harder to read than both texts.
_ALIKE = 0.35
_WORD = re.compile(r"[\u3400-\u9fff]|\w+|\s+|[^\w\s]")


def offer_html(offer: Offer, language: str, words: Mapping[str, str]) -> str:
    """``language`` is the article's."""
    title = words["offer_" + offer.action]
    if offer.trouble is not None:
        body = f'<p class="trouble" role="alert">{escape(localize(offer.trouble, words["code"]))}</p>'
        buttons = _button(words["reject_all"], "reject") + _button(
            words["again"], "propose", action=offer.action, seed="1"
        )
    elif offer.proposal is None:
        body = (
            f'<div class="after growing" lang="{attribute(language)}">{escape(offer.text)}</div>'
            if offer.text
            else f'<p class="wait">{escape(words["thinking"])}</p>'
        )
        buttons = _button(words["stop"], "reject")
    else:
        body = compared(offer.before, offer.proposal.after, language, words)
        buttons = (
            _button(words["accept"], "accept", "primary")
            + _button(words["reject"], "reject")
            + _button(
                words["again"], "propose", action=offer.action, seed=str(zlib.crc32(offer.text.encode()) % 10_000)
            )
        )
    return (
        f'<section class="offer" aria-label="{attribute(title)}"><h3>{escape(title)}</h3>{body}'
        f'<div class="row">{buttons}</div></section>'
    )


def compared(before: str, after: str, language: str, words: Mapping[str, str]) -> str:
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


def _button(label: str, do: str, kind: str = "", **values: str) -> str:
    data = "".join(f' data-{name}="{attribute(value)}"' for name, value in values.items())
    return f'<button type="button" class="tool {kind}" data-do="{do}"{data}>{escape(label)}</button>'
