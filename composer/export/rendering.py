"""Markdown of unknown origin to HTML that is safe to publish.

Raw HTML is shown as text and a link of a scheme that can run code stays literal, so nothing written can execute and
everything written can be read. A picture on another server becomes a link to it: reading an article asks no server
for anything. Knows no article.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode

_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_DATA_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+\Z", re.IGNORECASE)
# Browsers drop these inside an address, so "java\nscript:" would run.
_IGNORED = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]")


def safe_link(url: str) -> bool:
    """Whether an address may become a link or a picture: the web, mail, telephone, or a place in the document."""
    packed = _IGNORED.sub("", url)
    if _DATA_PICTURE.match(packed):
        return True
    try:
        scheme = urlsplit(packed).scheme.lower()
    except ValueError:
        return False
    # "foo:bar" that urlsplit takes for a path may still be a scheme to a browser.
    before_colon = re.split(r"[/?#]", packed, maxsplit=1)[0]
    return scheme in _SCHEMES or (not scheme and ":" not in before_colon and not packed.startswith(("//", "\\")))


def outside_link(url: str) -> str:
    """The address if it leads to the web, a mail address or a telephone; empty for a place in the document or worse."""
    try:
        scheme = urlsplit(_IGNORED.sub("", url)).scheme.lower()
    except ValueError:
        return ""
    return url if scheme in _SCHEMES and safe_link(url) else ""


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.validateLink = safe_link  # type: ignore[method-assign]
    parser.add_render_rule("image", _image)
    parser.parse("*a*")  # compiles the rules: two threads compiling them at once would lose some
    return parser


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """A picture in the text: beside the document it is shown, on the web it is linked."""
    address = outside_link(str(tokens[index].attrs["src"]))
    if not address:
        return self.image(tokens, index, options, env)
    words = escape(shown_text(tokens[index].content) or address)
    in_a_link = sum(t.type == "link_open" for t in tokens[:index]) > sum(t.type == "link_close" for t in tokens[:index])
    return words if in_a_link else f'<a href="{escape(address)}">{words}</a>'


def sections_html(texts: Sequence[str], whole: str) -> list[str]:
    """Each section of the ``whole`` document as HTML. A link defined anywhere in it is known in every section."""
    references: dict[str, Any] = {}
    _parser().parse(whole, references)
    return [_parser().render(text, references) for text in texts]


def document_tokens(texts: Sequence[str], whole: str, *, inline: bool = False) -> list[SyntaxTreeNode]:
    """Each text as a tree of Markdown nodes; a link defined anywhere in ``whole`` is known in every one.

    With ``inline`` each text is one line of Markdown, such as a title, and each tree a single inline node.
    """
    from markdown_it.tree import SyntaxTreeNode

    references: dict[str, Any] = {}
    _parser().parse(whole, references)
    if inline:
        return [SyntaxTreeNode(_parser().parseInline(text, references)).children[0] for text in texts]
    return [SyntaxTreeNode(_parser().parse(text, references)) for text in texts]


def inline_html(text: str) -> str:
    """One line of Markdown, such as a title, as HTML."""
    rendered: str = _parser().renderInline(" ".join(text.split()))
    return rendered


def shown_text(text: str) -> str:
    """What a reader of the rendered Markdown sees, as one line, not escaped."""
    words: list[str] = []
    for token in _parser().parse(text):
        if token.type in ("fence", "code_block"):
            words.append(token.content)
        for child in token.children or ():
            words.append(" " if child.type in ("softbreak", "hardbreak") else child.content)
        if token.type == "inline":
            words.append(" ")
    return " ".join("".join(words).split())


def attribute(text: str) -> str:
    """Text for use between double quotes, as one line."""
    return escape(" ".join(text.split()), quote=True)
