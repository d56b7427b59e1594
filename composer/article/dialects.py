"""What people write beyond CommonMark, turned into what every export knows.

GitHub's tables, strikes, tasks, alerts and bare addresses; footnotes and formulas; Pandoc's attributes, fenced
divisions and definition lists; admonitions of MkDocs; links, embeds, highlights and block ids of Obsidian; lines of
MDX.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from markdown_it.common.utils import normalizeReference
from markdown_it.rules_block.table import escapedSplit, getLine, table
from markdown_it.token import Token
from mdit_py_plugins.admon.index import admonition
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin

from composer.article.remarks import remark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it import MarkdownIt
    from markdown_it.ruler import RuleOptionsType
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

_ATTRIBUTE = r"""(?:[#.][\w:.-]+|[\w:-]+=(?:"[^"\n]*"|'[^'\n]*'|[^\s"'{}]+)|-)"""
_ATTRIBUTES = re.compile(rf"\{{:?\s*{_ATTRIBUTE}(?:\s+{_ATTRIBUTE})*\s*\}}")
_WIKI = re.compile(r"(!?)\[\[([^\[\]\n|]+)(?:\|([^\[\]\n]*))?\]\](?![(\[:])")
_PICTURE_NAME = re.compile(r"\.(?:png|jpe?g|gif|webp|svg|bmp|avif|tiff?)(?:#.*)?\Z", re.IGNORECASE)
_SIZE = re.compile(r"\d+(?:x\d+)?\Z")
_RAISED = {"~": re.compile(r"~([\w+−-]{1,20})~(?!~)"), "^": re.compile(r"(?<=[\w)])\^([\w+−-]{1,20})\^")}
_DOLLARS = re.compile(r"(?<![\\\d$])(\$\$?)(?!\s)((?:[^$\\]|\\.){1,2000}?)(?<!\s)\1(?![\d$])", re.DOTALL)
_PROSE = re.compile(r"[A-Za-z]{3,} [A-Za-z]{2,}|[\u3000-\u9fff]")
_LATEX = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_IS_LATEX = re.compile(r"\\[A-Za-z]|[\^_=]")
_LATEX_CHARS = 2000
_CALLOUT = re.compile(r"\[!([A-Za-z][\w-]*)\][+-]?(?:[ \t]+|\Z)")
_TASK = re.compile(r"\[([ xX])\](?=\s)")
_BLOCK_ID = re.compile(r"(?:\A|\s)\^(?=[\d-]*[A-Za-z])[A-Za-z0-9-]{2,}\Z")
_ADMONITION = re.compile(r"(?:!!!|\?\?\?\+?)[ \t]+[A-Za-z][\w -]*(?:[ \t]+\"[^\"\n]*\")?[ \t]*\Z")
_DIVISION = re.compile(r":{3,}[ \t]*(\{[^{}\n]*\}|[^\s{}:][^{}\n]*?)[ \t]*:*[ \t]*\Z")
_MDX_LINE = re.compile(
    r"import\s(?:[^'\"\n]{1,200}\sfrom\s)?\s*(['\"])[^'\"\n]+\1;?|export\s+(?:default\b|const\b|let\b|var\b|function\b|\*|\{).*"
)
# Letters, and signs that an address may hold; Chinese letters only where a path's part begins with them.
_HAN = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
_ADDRESS = re.compile(
    rf"(?<![A-Za-z0-9_/@.+-])(?:(?:https?://|www\.)(?:[^\s<>\"'`{_HAN}\u2000-\u206f\uff00-\uffef]|(?<=[/=_])[{_HAN}]+){{1,2000}}"
    r"|[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?![\w@-]))",
    re.IGNORECASE,
)
_TRAILING = "?!.,:;*_~'\""


def dialects_plugin(md: MarkdownIt) -> None:
    md.enable(["table", "strikethrough"])
    md.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    md.use(footnote_plugin, move_to_end=False)
    md.use(dollarmath_plugin, allow_space=False, allow_digits=False, allow_labels=False, allow_blank_lines=False)
    md.inline.ruler.at("math_inline", _dollars)
    md.use(amsmath_plugin)
    md.use(deflist_plugin)
    alternatives: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    md.block.ruler.before("fence", "admonition", _admonition, alternatives)
    md.block.ruler.before("fence", "division", _division, alternatives)
    md.inline.ruler.before("escape", "latex", _latex)
    md.inline.ruler.before("link", "wiki_link", _wiki_link)
    md.inline.ruler.before("strikethrough", "raised", _raised)
    md.inline.ruler.before("strikethrough", "highlight", _highlight)
    md.core.ruler.after("block", "mdx_lines", _mdx_lines)
    for rule in (_attributes, _callouts, _tasks, _addresses):
        md.core.ruler.push(rule.__name__.strip("_"), rule)


def _table(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """GFM's tables; cells beyond those of the head, which it drops, go on in the last one."""
    known = len(state.tokens)
    if not table(state, start_line, end_line, silent):
        return False
    cells: list[Token] = []
    columns: list[str] = []
    for token in state.tokens[known:]:
        if token.type == "tr_open" and token.map is not None:
            cells, columns = [], escapedSplit(getLine(state, token.map[0]).strip())
            columns = columns[1:] if columns[0] == "" else columns
        elif token.type == "inline":
            cells.append(token)
        elif token.type == "tr_close" and cells and (extra := " | ".join(columns[len(cells) :]).strip(" |")):
            cells[-1].content = f"{cells[-1].content} | {extra}"
    return True


def _admonition(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """``!!! note "Title"`` with indented lines under it; three marks before other words are words."""
    line = state.src[state.bMarks[start_line] + state.tShift[start_line] : state.eMarks[start_line]]
    if not _ADMONITION.match(line) or start_line + 1 >= end_line:
        return False
    below = next((n for n in range(start_line + 1, min(start_line + 3, end_line)) if not state.isEmpty(n)), None)
    if below is None or state.sCount[below] < state.sCount[start_line] + 4:
        return False
    return admonition(state, start_line, end_line, silent)


def _division(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """``::: warning`` to ``:::``; one that is not closed is words."""
    if state.is_code_block(start_line):
        return False
    line = state.src[state.bMarks[start_line] + state.tShift[start_line] : state.eMarks[start_line]]
    match = _DIVISION.match(line)
    if match is None:
        return False
    closing = _divisions(state.src).get(start_line)
    if closing is None or closing >= end_line:
        return False
    if silent:
        return True
    title = "" if match[1].startswith("{") else match[1].strip()
    kept = state.parentType, state.lineMax
    state.parentType, state.lineMax = "container", closing
    token = state.push("admonition_open" if title else "group_open", "", 1)
    token.map, token.block = [start_line, closing + 1], True
    if title:
        _titled(state, title, start_line)
    state.md.block.tokenize(state, start_line + 1, closing)
    state.push("admonition_close" if title else "group_close", "", -1).block = True
    state.parentType, state.lineMax = kept
    state.line = closing + 1
    return True


def _titled(state: StateBlock, title: str, line: int) -> None:
    state.push("admonition_title_open", "p", 1).map = [line, line + 1]
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = title, [line, line + 1], []
    state.push("admonition_title_close", "p", -1)


@lru_cache(maxsize=4)
def _divisions(source: str) -> dict[int, int]:
    """Numbers of the lines that open a division, each with that of the line that closes it."""
    closed: dict[int, int] = {}
    opened: list[int] = []
    for number, line in enumerate(source.split("\n")):
        marks = line.strip(" \t>")
        if not marks.startswith(":::"):
            continue
        if marks.strip(":"):
            opened.append(number)
        elif opened:
            closed[opened.pop()] = number
    return closed


def _mdx_lines(state: StateCore) -> None:
    """Paragraphs that bring in components are for a program, not for readers."""
    tokens: list[Token] = []
    skip = 0
    for index, token in enumerate(state.tokens):
        if skip:
            skip -= 1
            continue
        inner = state.tokens[index + 1] if index + 1 < len(state.tokens) else token
        lines = inner.content.split("\n") if inner.type == "inline" else []
        if token.type == "paragraph_open" and token.level == 0 and all(map(_MDX_LINE.fullmatch, lines)) and lines:
            tokens.append(remark(0, token.map))
            skip = 2
        else:
            tokens.append(token)
    state.tokens = tokens


def _dollars(state: StateInline, silent: bool) -> bool:
    """``$x$``; between the signs of two prices stands no formula."""
    match = _DOLLARS.match(state.src, state.pos, state.posMax) if state.src[state.pos] == "$" else None
    if match is None or ("\\" not in match[2] and _PROSE.search(match[2])):
        return False
    if not silent:
        state.push("math_inline", "math", 0).content = match[2]
    state.pos = match.end()
    return True


def _latex(state: StateInline, silent: bool) -> bool:
    r"""``\(x\)`` and ``\[x\]``, as models write formulas; brackets that are only escaped hold no formula."""
    if state.src[state.pos] != "\\" or state.src[state.pos + 1 : state.pos + 2] not in ("(", "["):
        return False
    match = _LATEX.match(state.src, state.pos, min(state.posMax, state.pos + _LATEX_CHARS))
    if match is None or not _IS_LATEX.search(match[1] or match[2]):
        return False
    if not silent:
        state.push("math_inline", "math", 0).content = match[1] or match[2]
    state.pos = match.end()
    return True


def _wiki_link(state: StateInline, silent: bool) -> bool:
    """``[[Page|words]]`` reads as its words; ``![[boat.png]]`` shows a picture, of another file it names the file."""
    if state.src[state.pos] not in "![":
        return False
    match = _WIKI.match(state.src, state.pos, state.posMax)
    if match is None or normalizeReference(match[2]) in state.env.get("references", {}):
        return False
    if not silent:
        target, words = match[2].strip(), (match[3] or "").strip()
        words = "" if _SIZE.match(words) else words
        if match[1] and _PICTURE_NAME.search(target):
            name = target.partition("#")[0]
            alt = words or PurePosixPath(name).stem
            token = state.push("image", "img", 0)
            token.attrs = {"src": state.md.normalizeLink(name), "alt": ""}
            token.content, token.children = alt, [Token("text", "", 0, content=alt)]
        else:
            state.push("text", "", 0).content = words or target
    state.pos = match.end()
    return True


def _raised(state: StateInline, silent: bool) -> bool:
    """``H~2~O`` and ``x^2^``."""
    mark = state.src[state.pos]
    match = _RAISED[mark].match(state.src, state.pos, state.posMax) if mark in _RAISED else None
    if match is None or not re.search(r"[^\W_]", match[1]) or state.src[state.pos - 1 : state.pos] == mark:
        return False
    if not silent:
        tag = "sub" if mark == "~" else "sup"
        state.push(f"{tag}_open", tag, 1)
        state.push("text", "", 0).content = match[1]
        state.push(f"{tag}_close", tag, -1)
    state.pos = match.end()
    return True


def _highlight(state: StateInline, silent: bool) -> bool:
    """``==words==``, up to the next two signs."""
    source, start = state.src, state.pos
    if not source.startswith("==", start) or source[start + 2 : start + 3] in ("=", " ", "\n", ""):
        return False
    if state.html_terminator_last("==") < start + 3 or source[start - 1 : start] == "=":
        return False
    end = source.find("==", start + 2, state.posMax)
    if end < 0 or source[end - 1].isspace() or source[end + 2 : end + 3] == "=":
        return False
    if not silent:
        most = state.posMax
        state.push("mark_open", "mark", 1)
        state.pos, state.posMax = start + 2, end
        state.md.inline.tokenize(state)
        state.push("mark_close", "mark", -1)
        state.posMax = most
    state.pos = end + 2
    return True


def _attributes(state: StateCore) -> None:
    """Names and looks in braces after headings, pictures, code and links are for a program."""
    for index, token in enumerate(state.tokens):
        if token.type != "inline" or "{" not in token.content:
            continue
        children = token.children or []
        for number, child in enumerate(children):
            before = children[number - 1].type if number else ""
            match = _ATTRIBUTES.match(child.content) if child.type == "text" else None
            if match and before in ("image", "code_inline", "link_close"):
                child.content = child.content[match.end() :]
        if index and state.tokens[index - 1].type == "heading_open" and children and children[-1].type == "text":
            words, brace, rest = children[-1].content.rpartition("{")
            if _ATTRIBUTES.fullmatch(brace + rest.rstrip()):
                children[-1].content = words.rstrip()


def _callouts(state: StateCore) -> None:
    """Alerts of GitHub, callouts of Obsidian and admonitions as quotes that begin with their title in strong words."""
    tokens = state.tokens
    made: list[Token] = []
    for index, token in enumerate(tokens):
        if token.type in ("admonition_open", "admonition_close"):
            token.type, token.tag, token.attrs = token.type.replace("admonition", "blockquote"), "blockquote", {}
        elif token.type in ("admonition_title_open", "admonition_title_close"):
            token.type, token.attrs = token.type.replace("admonition_title", "paragraph"), {}
        elif token.type == "inline" and index and tokens[index - 1].type == "paragraph_open":
            if index > 1 and tokens[index - 2].type == "blockquote_open" and tokens[index - 2].markup == ">":
                made += _callout(token)
                continue
            if tokens[index + 1].type == "admonition_title_close":
                token.children = [*_strong(token.children or [])]
        made.append(token)
    state.tokens = made


def _callout(inline: Token) -> Iterator[Token]:
    """The first paragraph of a quote: two where it begins with the kind of a callout."""
    children = inline.children or []
    match = _CALLOUT.match(children[0].content) if children and children[0].type == "text" else None
    if match is None:
        yield inline
        return
    children[0].content = children[0].content[match.end() :]
    end = next((i for i, child in enumerate(children) if child.type in ("softbreak", "hardbreak")), len(children))
    title, rest = children[:end], children[end + 1 :]
    if not "".join(child.content for child in title).strip():
        title = [Token("text", "", 0, content=match[1].replace("-", " ").capitalize())]
    inline.children = [*_strong(title)]
    yield inline
    if rest:
        yield Token("paragraph_close", "p", -1, level=inline.level - 1, block=True)
        yield Token("paragraph_open", "p", 1, level=inline.level - 1, map=inline.map, block=True)
        yield Token("inline", "", 0, level=inline.level, map=inline.map, children=rest, block=True)


def _strong(children: list[Token]) -> Iterator[Token]:
    yield Token("strong_open", "strong", 1)
    yield from children
    yield Token("strong_close", "strong", -1)


def _tasks(state: StateCore) -> None:
    """Boxes of a list of tasks, and ids of Obsidian's blocks, which stand at a block's end."""
    for index, token in enumerate(state.tokens):
        children = token.children or []
        if token.type != "inline" or not children:
            continue
        item = index > 1 and state.tokens[index - 2].type == "list_item_open"
        if item and children[0].type == "text" and (box := _TASK.match(children[0].content)):
            children[0].content = ("☐" if box[1] == " " else "☑") + children[0].content[box.end() :]
        if children[-1].type == "text":
            children[-1].content = _BLOCK_ID.sub("", children[-1].content)


def _addresses(state: StateCore) -> None:
    """Addresses of the web and of mail boxes as links, as every editor shows them (GFM's autolinks)."""
    for token in state.tokens:
        if token.type != "inline" or not re.search(r"://|www\.|@", token.content, re.IGNORECASE):
            continue
        children: list[Token] = []
        inside = 0
        for child in token.children or ():
            inside += child.nesting if child.type in ("link_open", "link_close") else 0
            children += [child] if inside or child.type != "text" else _linked(state.md, child)
        token.children = children


def _linked(md: MarkdownIt, text: Token) -> Iterator[Token]:
    at = 0
    for match in _ADDRESS.finditer(text.content):
        shown = _trimmed(match.group())
        mail = "@" in shown and "://" not in shown and not shown.lower().startswith("www.")
        scheme = "mailto:" if mail else "http://" if shown.lower().startswith("www.") else ""
        address = md.normalizeLink(scheme + shown)
        if len(shown) < 6 or not md.validateLink(address):
            continue
        if match.start() > at:
            yield Token("text", "", 0, content=text.content[at : match.start()])
        yield Token("link_open", "a", 1, attrs={"href": address}, markup="autolink", info="auto")
        yield Token("text", "", 0, content=shown)
        yield Token("link_close", "a", -1, markup="autolink", info="auto")
        at = match.start() + len(shown)
    if at < len(text.content) or not at:
        text.content = text.content[at:]
        yield text


def _trimmed(address: str) -> str:
    """An address without the marks of its sentence, and without a bracket that was opened before it."""
    while address:
        last = address[-1]
        unpaired = last in ")]}" and address.count(last) > address.count("([{"[")]}".index(last)])
        if last not in _TRAILING and not unpaired:
            break
        address = address[:-1]
    return address
