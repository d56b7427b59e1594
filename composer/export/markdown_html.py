"""Markdown of unknown origin to HTML that is safe to publish.

Raw HTML is shown as text and a link of a scheme that can run code stays literal, so nothing written can execute and
everything written can be read. A picture on another server becomes a link to it: reading an article asks no server
for anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

from composer.article.markdown import make_parser, plain_text, shallow
from composer.article.model import Article
from composer.export.links import link_address
from composer.export.sanitizing import direction, is_right_to_left

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode


_HTML_PICTURE = re.compile(r"<img\b[^>]*?\ssrc\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
_NOTE = re.compile(r"\[\^(\d{1,5})\]")
TextPictureUrl: TypeAlias = Callable[[str], str]
NoteHtml: TypeAlias = Callable[[int], str]


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = make_parser()
    parser.add_render_rule("image", _image)
    parser.core.ruler.push("direction", _set_direction)
    parser.inline.ruler.before("link", "note", _note)
    parser.add_render_rule("note", _note_html)
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


def _note(state: StateInline, silent: bool) -> bool:
    """``[^3]``, where the document has a note of that number."""
    match = _NOTE.match(state.src, state.pos)
    if match is None or int(match[1]) not in state.env.get("notes", ()):
        return False
    if not silent:
        token = state.push("note", "", 0)
        token.content, token.meta = match[1], {"number": int(match[1])}
    state.pos = match.end()
    return True


def _note_html(_: RendererHTML, tokens: Sequence[Token], index: int, __: Any, env: Any) -> str:
    html: str = env["note_html"](int(tokens[index].content))
    return html


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """A picture in the text: one within the document or in its folder is shown, one on the web is linked."""
    source = str(tokens[index].attrs["src"])
    url: TextPictureUrl | None = env.get("picture_url")
    if is_beside(source) and url is not None:
        if shown := url(source):
            tokens[index].attrSet("src", shown)
            return self.image(tokens, index, options, env)
        return escape(plain_text(tokens[index].content) or relative_path(source))
    if source.startswith("data:") or is_beside(source):
        return self.image(tokens, index, options, env)
    address = link_address(source)
    words = escape(plain_text(tokens[index].content) or address)
    in_a_link = sum(t.type == "link_open" for t in tokens[:index]) > sum(t.type == "link_close" for t in tokens[:index])
    return words if in_a_link or not address else f'<a href="{escape(address)}">{words}</a>'


def is_beside(address: str) -> bool:
    """Whether a picture's address in a text leads to a file of the text's own folder, and to none outside."""
    path = relative_path(address)
    return bool(path) and not re.search(r"[:\0]", path) and path[0] != "/" and ".." not in path.split("/")


def relative_path(address: str) -> str:
    """The path of a file in the text's folder, from its address as it is written."""
    return unquote(re.split("[?#]", address, maxsplit=1)[0]).replace("\\", "/")


def text_pictures(text: str) -> list[str]:
    """The addresses of the pictures that a text shows from its own folder, as they are written, each once.

    Those of HTML tags count, which Markdown shows and other formats print as text.
    """
    sources: list[str] = []
    for token in _parser().parse(shallow(text)):
        for child in token.children or ():
            if child.type == "image":
                sources.append(str(child.attrs["src"]))
            elif child.type != "code_inline":
                sources += _HTML_PICTURE.findall(child.content)
    return list(dict.fromkeys(source for source in sources if is_beside(source)))


def whole_text(article: Article) -> str:
    """The article's own text from the first character to the last, in which links may be defined anywhere."""
    return article.preamble + "".join(section.text + section.gap for section in article.sections)


def sections_html(
    texts: Sequence[str],
    whole: str,
    picture_url: TextPictureUrl | None = None,
    notes: Container[int] = (),
    note_html: NoteHtml = str,
) -> list[str]:
    """Each section of the ``whole`` document as HTML. A link defined anywhere in it is known in every section.

    ``picture_url`` says where a picture of the text's own folder is found; one that it answers nothing for stands there
    in words. Without it addresses stay as they are. ``[^3]`` is printed by ``note_html`` where 3 is one of ``notes``.
    """
    environment: dict[str, Any] = {}
    _parser().parse(shallow(whole), environment)
    environment |= {"picture_url": picture_url, "notes": notes, "note_html": note_html}
    return [_parser().render(shallow(text), environment) for text in texts]


def document_tokens(
    texts: Sequence[str], whole: str, *, inline: bool = False, notes: Container[int] = ()
) -> list[SyntaxTreeNode]:
    """Each text as a tree of Markdown nodes; a link defined anywhere in ``whole`` is known in every one. ``[^3]`` is a
    node of its own where 3 is one of ``notes``.

    With ``inline`` each text is one line of Markdown, such as a title, and each tree a single inline node.
    """
    from markdown_it.tree import SyntaxTreeNode

    references: dict[str, Any] = {}
    _parser().parse(shallow(whole), references)
    references["notes"] = notes
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
