"""Markdown of unknown origin to HTML that is safe to publish.

Raw HTML is shown as text and a link of a scheme that can run code stays literal, so nothing written can execute and
everything written can be read. A picture on another server becomes a link to it: reading an article asks no server
for anything. Knows no article.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

from composer.export.addresses import link_address, safe_link

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode


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
    address = link_address(str(tokens[index].attrs["src"]))
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
