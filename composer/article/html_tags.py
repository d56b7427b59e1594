"""HTML within Markdown: tags become the Markdown they stand for, those of no meaning here go, others are shown as text.

Nothing of what is written as HTML reaches a page as HTML, so nothing can run, and every word is printed. What Markdown
takes for one block of HTML stays one block, whose content is read as Markdown.
"""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Literal

from markdown_it.rules_block.html_block import html_block
from markdown_it.token import Token

from composer.article.addresses import safe_link
from composer.article.remarks import COMMENT, remark

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)((?:[\s/][^>]*)?)>\Z", re.DOTALL)
_ACTS = re.compile(r"[\s/\"']on[a-z]+\s*=", re.IGNORECASE)  # a program: shown, so that all of it can be read
_MEANING = {
    **dict.fromkeys(("b", "strong"), "strong"),
    **dict.fromkeys(("i", "em", "cite", "dfn", "var"), "em"),
    **dict.fromkeys(("s", "del", "strike"), "s"),
    "mark": "mark",
    "sub": "sub",
    "sup": "sup",
    "a": "link",
}
_LINES = frozenset(
    """
    address article aside blockquote body br center dd details dialog div dl dt fieldset figcaption figure footer form
    h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li main menu nav ol p section summary table tbody tfoot thead
    tr ul
    """.split()  # noqa: SIM905
)
_CELLS = frozenset(("td", "th"))
_SILENT = frozenset(
    """
    abbr acronym bdi bdo big caption code col colgroup data font ins kbd label output picture q rb rp rt ruby samp
    small source span template time tt u wbr
    """.split()  # noqa: SIM905
)
_VERBATIM = re.compile(r"\s*<(script|style|textarea)[\s>]", re.IGNORECASE)
_PRE = re.compile(
    r"\s*<pre(?:\s[^>]*)?>(?:\s*<code(?:\s[^>]*)?>)?\n?(.*?)(?:</code>\s*)?</pre>\s*\Z", re.IGNORECASE | re.DOTALL
)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
_INSIDE = "inside_html"


def html_plugin(md: MarkdownIt) -> None:
    """Needs the option ``html``, so that the parser sees tags where CommonMark has them."""
    md.block.ruler.at("html_block", _html_block, {"alt": ["paragraph", "reference", "blockquote"]})
    md.core.ruler.after("block", "html_groups", _groups)
    md.core.ruler.after("text_join", "html_tags", _tags)
    for type_ in ("group_open", "group_close"):
        md.add_render_rule(type_, lambda *_: "")


def _html_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    return not state.env.get(_INSIDE) and html_block(state, start_line, end_line, silent)


def _groups(state: StateCore) -> None:
    """Each block of HTML as a group of the blocks that it holds; one that holds none is a remark."""
    if not any(token.type == "html_block" for token in state.tokens):
        return
    tokens: list[Token] = []
    for token in state.tokens:
        if token.type != "html_block":
            tokens.append(token)
            continue
        inner = _inside(state, token)
        if not inner:
            tokens.append(remark(token.level, token.map))
            continue
        tokens.append(Token("group_open", "", 1, map=token.map, level=token.level, block=True))
        tokens += inner
        tokens.append(Token("group_close", "", -1, level=token.level, block=True))
    state.tokens = tokens


def _inside(state: StateCore, token: Token) -> list[Token]:
    if match := _PRE.match(token.content):
        code = unescape(re.sub(r"</?[A-Za-z][^>]*>", "", match[1]))
        return [Token("code_block", "code", 0, content=code, map=token.map, level=token.level + 1, block=True)]
    if _VERBATIM.match(token.content):
        return [Token("code_block", "code", 0, content=token.content, map=token.map, level=token.level + 1, block=True)]
    content = token.content
    # In a list, a comment's block ends with its item: where the comment goes on, its end is looked for across blocks.
    goes_on = content.rfind("<!--") > content.rfind("-->")
    after = state.src.split("\n", token.map[1])[token.map[1] :] if goes_on and token.map else []
    if "-->" not in "".join(after):
        content = COMMENT.sub("", content)
    content = _INDENT.sub("", content)
    if not content.strip():
        return []
    inner: list[Token] = []
    state.env[_INSIDE] = True
    try:
        state.md.block.parse(content, state.md, state.env, inner)
    finally:
        del state.env[_INSIDE]
    for child in inner:
        child.level += token.level + 1
        if child.map is not None:
            child.map = token.map
    return inner


def _tags(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and token.children and any(c.type == "html_inline" for c in token.children):
            token.children = _translated(token.children)


def _translated(children: list[Token]) -> list[Token]:
    """The children with every tag as what it means; one that is opened and not closed is text, such as a name."""
    partners = _partners(children)
    found: list[Token] = []
    for index, child in enumerate(children):
        if child.type != "html_inline":
            found.append(child)
            continue
        match = _TAG.fullmatch(child.content)
        name = match[2].lower() if match and not _ACTS.search(match[3]) else ""
        if child.content.startswith("<!--"):
            continue
        if match is None or not _is_known(name):
            if not (match and match[2][0].isupper() and _alone(children, index)):  # a component of MDX
                found.append(_text(child.content))
        elif name in _MEANING:
            address = partners.get(index)
            if address is None:
                found.append(_text(child.content))
            elif name != "a" or safe_link(address or "javascript:"):
                found.append(_mark(name, address, child.content))
        elif name == "img":
            found += _image(child.content)
        elif name in _LINES and found and found[-1].type not in ("softbreak", "hardbreak"):
            found.append(Token("hardbreak", "br", 0))
        elif name in _CELLS:
            found.append(_text(" "))
    breaks = ("softbreak", "hardbreak")
    kept = [t for i, t in enumerate(found) if t.type not in breaks or (i and found[i - 1].type not in breaks)]
    while kept and kept[0].type in breaks:
        kept.pop(0)
    while kept and kept[-1].type in breaks:
        kept.pop()
    return kept


def _is_known(name: str) -> bool:
    return name in _MEANING or name in _LINES or name in _CELLS or name in _SILENT or name == "img"


def _partners(children: list[Token]) -> dict[int, str]:
    """For each tag that has its partner among its own neighbours: the address of a link, or an empty string."""
    found: dict[int, str] = {}
    waiting: list[list[tuple[str, int]]] = [[]]
    for index, child in enumerate(children):
        if child.nesting > 0:
            waiting.append([])
        elif child.nesting < 0 and len(waiting) > 1:
            waiting.pop()
        match = _TAG.fullmatch(child.content) if child.type == "html_inline" else None
        name = match[2].lower() if match else ""
        if match is None or name not in _MEANING:
            continue
        if not match[1]:
            waiting[-1].append((name, index))
            continue
        open_ = next((i for i in range(len(waiting[-1]) - 1, -1, -1) if waiting[-1][i][0] == name), None)
        if open_ is None:
            continue
        start = waiting[-1][open_][1]
        del waiting[-1][open_:]
        address = _attributes(children[start].content).get("href", "") if name == "a" else ""
        found[start] = found[index] = address
    return found


def _mark(name: str, address: str, content: str) -> Token:
    type_ = _MEANING[name]
    nesting: Literal[-1, 1] = -1 if content.startswith("</") else 1
    token = Token(f"{type_}_{'open' if nesting > 0 else 'close'}", "a" if type_ == "link" else type_, nesting)
    if type_ == "link" and nesting > 0:
        token.attrs = {"href": address}
    return token


def _image(content: str) -> list[Token]:
    attributes = _attributes(content)
    alt = attributes.get("alt", "")
    words = [_text(alt)] if alt else []
    if not (source := attributes.get("src", "")) or not safe_link(source):
        return words
    token = Token("image", "img", 0, content=alt, children=words)
    token.attrs = {"src": source, "alt": ""}
    if title := attributes.get("title"):
        token.attrs["title"] = title
    return [token]


def _alone(children: list[Token], index: int) -> bool:
    """Whether a tag has its line to itself."""
    around = (children[index - 1] if index else None, children[index + 1] if index + 1 < len(children) else None)
    return all(other is None or other.type in ("softbreak", "hardbreak") for other in around)


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


class _FirstTag(HTMLParser):
    def __init__(self, tag: str) -> None:
        super().__init__()
        self.attributes: dict[str, str] = {}
        self.feed(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes = {name: value or "" for name, value in attrs} if tag else {}


def _attributes(tag: str) -> dict[str, str]:
    return _FirstTag(tag).attributes
