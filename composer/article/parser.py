"""The one Markdown parser: what cuts a text into sections, counts its words and prints it in every format.

CommonMark by markdown-it-py, and what people write beyond it. Every extension ends in tokens of a small set, so that a
format has to know few: those of CommonMark, tables, ``s``, ``mark``, ``sub``, ``sup``, ``dl`` with ``dt`` and ``dd``,
``footnote_ref`` and ``footnote_reference``, ``group`` (blocks that belong together) and ``remark`` (shown to nobody).
Formulas are code; their ``info`` is ``math``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from composer.article.addresses import safe_link
from composer.article.front_matter import front_matter

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

# Beyond this depth markdown-it drops the text, so lines of more marks than half of it are taken for plain text.
_MAX_NESTING = 100
_BLANK_LINE = re.compile(r"[\r\n][ \t]*[\r\n]")
_TOO_DEEP = re.compile(
    rf"^(?=[ \t]*(?:(?:>|[-+*]|\d{{1,9}}[.)]|\[\^[^\]\s]{{1,99}}\]:)[ \t]*){{{_MAX_NESTING // 2}}})", re.MULTILINE
)


def make_parser() -> MarkdownIt:
    """A parser of its own, for who adds rules of rendering. A link of a scheme that can run code stays literal."""
    from markdown_it import MarkdownIt

    from composer.article.chinese import chinese_plugin
    from composer.article.dialects import dialects_plugin
    from composer.article.html_tags import html_plugin
    from composer.article.remarks import remarks_plugin

    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": _MAX_NESTING})
    parser.validateLink = safe_link  # type: ignore[method-assign]
    for plugin in (remarks_plugin, dialects_plugin, html_plugin, chinese_plugin):
        parser.use(plugin)
    parser.core.ruler.push("tidy", _tidy)
    parser.parse("*a*")  # compiles the rules: two threads compiling them at once would lose some
    return parser


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    return make_parser()


def parse(text: str, environment: dict[str, Any] | None = None) -> list[Token]:
    """The tokens of a text; ``environment`` is that of the document it belongs to."""
    return _parser().parse(shallow(text), {} if environment is None else environment)


def environment_of(whole: str) -> dict[str, Any]:
    """What the parts of a document know of each other: links and notes that are defined anywhere in it, and whether
    each of its lines is a paragraph. Parts parsed one after another with it number their notes on."""
    references, labels, one_line = _known(whole)
    return {
        "references": dict(references),
        "footnotes": {"refs": _Numbers((label, -1) for label in labels), "list": {}},
        "one_line": one_line,
    }


@lru_cache(maxsize=4)
def _known(whole: str) -> tuple[dict[str, Any], tuple[str, ...], bool]:
    front = front_matter(whole)
    found: dict[str, Any] = {}
    parse(whole[front.end :] if front else whole.removeprefix("\ufeff"), found)
    labels = found.get("footnotes", {}).get("refs", {})
    return found.get("references", {}), tuple(labels), found.get("one_line", False)


def parts_depend(whole: str) -> bool:
    """Whether a part has to know of the others: where links or notes are defined, or nothing but lines part them."""
    return "]:" in whole or "^[" in whole or not _BLANK_LINE.search(whole.strip())


class _Numbers(dict[str, int]):
    """Numbers of notes by their labels; one that was given stays when the note's own text is read after it."""

    def __setitem__(self, label: str, number: int) -> None:
        if number >= 0 or label not in self:
            super().__setitem__(label, number)


def shallow(text: str) -> str:
    """The text with lines of more marks than the parser nests, which it would drop, taken for words."""
    return _TOO_DEEP.sub("\\\\", text)


def _tidy(state: StateCore) -> None:
    """Paragraphs that nothing is left of are remarks; what is left of raw HTML is text."""
    tokens: list[Token] = []
    index = 0
    while index < len(state.tokens):
        token = state.tokens[index]
        inner = state.tokens[index + 1] if index + 1 < len(state.tokens) else token
        if token.type == "paragraph_open" and inner.type == "inline" and not _is_seen(inner):
            token.type, token.tag, token.nesting = "remark", "", 0
            tokens.append(token)
            index += 3
            continue
        if token.type in ("math_block", "amsmath"):
            token.type, token.tag, token.info = "code_block", "code", "math"
        for child in token.children or ():
            if child.type == "html_inline":
                child.type = "text"
            elif child.type.startswith("math_inline"):
                child.type, child.tag, child.info = "code_inline", "code", "math"
        tokens.append(token)
        index += 1
    state.tokens = tokens


def _is_seen(inline: Token) -> bool:
    return any(c.type in ("image", "footnote_ref") or c.content.strip() for c in inline.children or ())
