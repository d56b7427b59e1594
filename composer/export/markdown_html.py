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
from urllib.parse import unquote

from composer.article.markdown import make_parser, plain_text, shallow
from composer.export.links import link_address
from composer.export.sanitizing import direction, is_right_to_left

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = make_parser()
    parser.add_render_rule("image", _image)
    parser.core.ruler.push("direction", _set_direction)
    parser.parse("*a*")  # compiles the rules: two threads compiling them at once would lose some
    return parser


_WORDS = ("text", "text_special", "code_inline", "html_inline")
_DIRECTED = {
    *("paragraph_open", "heading_open", "bullet_list_open", "ordered_list_open", "list_item_open", "blockquote_open"),
    *("table_open", "th_open", "td_open"),
}


def _set_direction(state: StateCore) -> None:
    """Give every block ``dir="rtl"`` whose first letter reads from right to left: paragraphs, lists, cells, tables."""
    undecided: list[Token] = []
    for token in state.tokens:
        if token.type in _DIRECTED:
            undecided.append(token)
        elif token.nesting < 0 and undecided and undecided[-1].level == token.level:
            undecided.pop()  # it held no word
        elif token.type == "inline":
            found = direction("".join(child.content for child in token.children or () if child.type in _WORDS))
            for block in undecided if found == "rtl" else ():
                block.attrSet("dir", "rtl")
            undecided = [] if found else undecided


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """A picture in the text: one within the document or in its folder is shown, one on the web is linked."""
    source = str(tokens[index].attrs["src"])
    if source.startswith("data:") or _in_the_folder(source):
        return self.image(tokens, index, options, env)
    address = link_address(source)
    words = escape(plain_text(tokens[index].content) or address)
    in_a_link = sum(t.type == "link_open" for t in tokens[:index]) > sum(t.type == "link_close" for t in tokens[:index])
    return words if in_a_link or not address else f'<a href="{escape(address)}">{words}</a>'


def _in_the_folder(source: str) -> bool:
    path = unquote(source).replace("\\", "/")
    return ":" not in path and not path.startswith("/") and ".." not in path.split("/")


def sections_html(texts: Sequence[str], whole: str) -> list[str]:
    """Each section of the ``whole`` document as HTML. A link defined anywhere in it is known in every section."""
    references: dict[str, Any] = {}
    _parser().parse(shallow(whole), references)
    return [_parser().render(shallow(text), references) for text in texts]


def document_tokens(texts: Sequence[str], whole: str, *, inline: bool = False) -> list[SyntaxTreeNode]:
    """Each text as a tree of Markdown nodes; a link defined anywhere in ``whole`` is known in every one.

    With ``inline`` each text is one line of Markdown, such as a title, and each tree a single inline node.
    """
    from markdown_it.tree import SyntaxTreeNode

    references: dict[str, Any] = {}
    _parser().parse(shallow(whole), references)
    if inline:
        return [SyntaxTreeNode(_parser().parseInline(text, references)).children[0] for text in texts]
    return [SyntaxTreeNode(_parser().parse(shallow(text), references)) for text in texts]


def open_fence(text: str) -> str:
    """The marks that close a block of code the text leaves open; empty where it leaves none."""
    tokens = _parser().parse(text)
    if not tokens or tokens[-1].type != "fence":
        return ""
    marks = tokens[-1].markup
    last = text.rstrip().rpartition("\n")[2].strip()
    closed = len(last) >= len(marks) and set(last) == {marks[0]} and "\n" in text.strip()
    return "" if closed else marks


def inline_html(text: str) -> str:
    """One line of Markdown, such as a title, as HTML."""
    rendered: str = _parser().renderInline(" ".join(text.split()))
    return rendered


def dir_attribute(text: str) -> str:
    """The attribute for an element that holds the text, where it reads from right to left."""
    return ' dir="rtl"' if is_right_to_left(text) else ""


def attribute(text: str) -> str:
    """Text for use between double quotes, as one line."""
    return escape(" ".join(text.split()), quote=True)
