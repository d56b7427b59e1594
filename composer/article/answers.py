"""What a language model puts around a text that it was asked for: a fence, a greeting, an offer of more."""

from __future__ import annotations

import re
from collections import deque

_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})[ \t]*(?:markdown|md|mdx|gfm)[ \t]*(?:\r\n|\n|\r)", re.IGNORECASE)
# Words around the fence: a sentence or two.
_AROUND_CHARS = 300
_GREETING = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|here(?:['’]s| is| are)|i(?:['’]ve| have) (?:written|created)"
    r"|below is|当然|好的|没问题|以下是|下面是|这是)",
    re.IGNORECASE,
)
_OFFER = re.compile(
    r"(?:let me know|feel free|would you like|i hope this|hope this|if you(?:['’]d| would) like"
    r"|如果你|如果您|希望这|需要我|请告诉我)",
    re.IGNORECASE,
)


def unwrapped(source: str) -> str:
    """The text without a fence that holds all of it, and without what was said before and after that fence.

    Where there is none, the source itself. Only a fence that says it holds Markdown is one: anything else is code.
    """
    for opening in _FENCE.finditer(source, 0, _AROUND_CHARS * 4):
        line_start = max(source.rfind("\n", 0, opening.start()), source.rfind("\r", 0, opening.start())) + 1
        before = source[:line_start].lstrip("\ufeff")
        if line_start != opening.start() or not _said(before):
            continue
        closing = _closing(source, opening)
        if closing is None:
            return source[opening.end() :] if not before.strip() else source
        inner, after = source[opening.end() : closing.start()], source[closing.end() :]
        if inner.strip() and _said(after) and len(inner) > 2 * len((before + after).strip()):
            return inner
    return source


def _closing(source: str, opening: re.Match[str]) -> re.Match[str] | None:
    """The last line of such marks: fences within the answer have them as well."""
    marks = re.compile(rf"(?<=[\r\n])[ ]{{0,3}}{re.escape(opening[1])}[ \t]*(?:\r\n|\n|\r|\Z)")
    return next(iter(deque(marks.finditer(source, opening.end()), maxlen=1)), None)


def _said(words: str) -> bool:
    """Whether these can be a model's words around its answer: few, and no text of their own."""
    return len(words.strip()) <= _AROUND_CHARS and not re.search(r"^(?:#|```|~~~|[-*+] )", words, re.MULTILINE)


def is_chatter(first: str, last: str) -> bool:
    """Whether a text's first or last paragraph is what a model says of its answer, and no part of it."""
    greets = len(first) <= _AROUND_CHARS and first.endswith((":", "：", "!", "！")) and _GREETING.match(first)
    return bool(greets or (len(last) <= _AROUND_CHARS and _OFFER.match(last)))
