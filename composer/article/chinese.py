"""Markdown as Chinese and Japanese are written: without spaces, with wide marks, often with a line for a paragraph."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

# Letters and marks of Chinese, Japanese and Korean.
_WIDE = re.compile(
    "[\u1100-\u11ff\u2e80-\u303f\u3040-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
    "\U00020000-\U0003ffff]"
)
# Korean has spaces between its words.
_UNSPACED = re.compile("[\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff65\U00020000-\U0003ffff]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3041-\u30ff]")
_HEADING = re.compile(rf"(#{{2,6}})({_UNSPACED.pattern}[^#]*)\Z")
_ENDED = re.compile(r"""[.!?…。．！？；：”’」』】）)][”’」』】）)"'\]*_~`]*\s*\Z""")
_TITLE_CHARS = 30  # a line without a full stop before the first paragraph
_ONE_LINE = "one_line"


def chinese_plugin(md: MarkdownIt) -> None:
    md.block.ruler.after("heading", "wide_heading", _heading, {"alt": ["paragraph", "reference", "blockquote"]})
    md.inline.ruler.at("emphasis", _emphasis)
    md.core.ruler.after("block", "one_line_paragraphs", _one_line_paragraphs)
    md.core.ruler.push("unspaced_lines", _unspaced_lines)


def _heading(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """``##标题``: who writes no spaces leaves out this one; a single sign begins a tag."""
    begin = state.bMarks[start_line] + state.tShift[start_line]
    match = (
        None
        if start_line >= end_line or state.is_code_block(start_line)
        else _HEADING.match(state.src, begin, state.eMarks[start_line])
    )
    if match is None:
        return False
    if not silent:
        state.line = start_line + 1
        level = len(match[1])
        opening = state.push("heading_open", f"h{level}", 1)
        inline = state.push("inline", "", 0)
        inline.content, inline.children = match[2].strip(), []
        opening.map = inline.map = [start_line, state.line]
        opening.markup = match[1]
        state.push("heading_close", f"h{level}", -1).markup = match[1]
    return True


def _emphasis(state: StateInline, silent: bool) -> bool:
    """CommonMark's rule, which takes wide marks for punctuation, so that ``**「是」**的`` would stay as it is written.

    After the CJK-friendly amendments to it: https://github.com/tats-u/markdown-cjk-friendly
    """
    marker = state.src[state.pos]
    if silent or marker not in "*_":
        return False
    scanned = state.scanDelims(state.pos, marker == "*")
    start, end = state.pos, state.pos + scanned.length
    before = state.src[start - 1] if start > 0 else " "
    after = state.src[end] if end < state.posMax else " "
    can_open, can_close = scanned.can_open, scanned.can_close
    if _WIDE.match(before) or _WIDE.match(after):
        wide = bool(_WIDE.match(before)), bool(_WIDE.match(after))
        space = isWhiteSpace(ord(before)), isWhiteSpace(ord(after))
        mark = tuple((isMdAsciiPunct(ord(char)) or isPunctChar(char)) for char in (before, after))
        left = not space[1] and (not mark[1] or wide[1] or space[0] or mark[0] or wide[0])
        right = not space[0] and (not mark[0] or wide[0] or space[1] or mark[1] or wide[1])
        can_open = left and (marker == "*" or not right or mark[0])
        can_close = right and (marker == "*" or not left or mark[1])
    for _ in range(scanned.length):
        state.push("text", "", 0).content = marker
        state.delimiters.append(
            Delimiter(ord(marker), scanned.length, len(state.tokens) - 1, -1, open=can_open, close=can_close)
        )
    state.pos = end
    return True


def _one_line_paragraphs(state: StateCore) -> None:
    """Cut paragraphs whose author ended each with the line: text editors and messengers show them so."""
    whole = state.env.get(_ONE_LINE)
    if whole is None:
        whole = state.env[_ONE_LINE] = not state.inlineMode and _is_one_line_text(state.src)
    if not any(token.type == "inline" and "\n" in token.content for token in state.tokens):
        return
    tokens: list[Token] = []
    for index, token in enumerate(state.tokens):
        lines = token.content.split("\n") if token.type == "inline" and token.level == 1 else []
        paragraph = state.tokens[index - 1] if index else token
        if len(lines) < 2 or paragraph.type != "paragraph_open" or token.map is None or not _cut(lines, whole):
            tokens.append(token)
            continue
        opening = tokens.pop()
        for number, line in enumerate(lines):
            place = [token.map[0] + number, token.map[0] + number + 1]
            if number:
                tokens.append(Token("paragraph_close", "p", -1, block=True))
            tokens.append(Token("paragraph_open", "p", 1, map=place, block=True))
            tokens.append(Token("inline", "", 0, content=line.strip(), map=place, level=1, children=[], block=True))
        opening.map = tokens[-1].map
    state.tokens = tokens


def _is_one_line_text(source: str) -> bool:
    """Whether a text has no blank line and ends a sentence with every line."""
    lines = source.strip().split("\n")
    return len(lines) > 2 and all(line.strip() for line in lines) and _all_ended(lines)


def _cut(lines: list[str], whole: bool) -> bool:
    if any(line.count("`") % 2 or line.count("**") % 2 or not line.strip() for line in lines):
        return False  # a mark that is opened in one line and closed in another
    if all(line.startswith("\u3000") for line in lines[1:]):
        return True
    chinese = all(len(_HAN.findall(line)) > 0.3 * len(line) for line in lines)
    return (whole or chinese) and _all_ended(lines)


def _all_ended(lines: list[str]) -> bool:
    """Whether every line ends a sentence; the first may be a title, and headings are lines of their own."""
    first, *rest = lines
    ended = all((_ENDED.search(line) and not line[:1].islower()) or line.startswith("#") for line in rest)
    return ended and bool(_ENDED.search(first) or first.startswith("#") or len(first) <= _TITLE_CHARS)


def _unspaced_lines(state: StateCore) -> None:
    """The end of a line between two letters that no space stands between is the end of no word."""
    for token in state.tokens:
        children = token.children or []
        breaks = [i for i, child in enumerate(children) if child.type == "softbreak"]
        gone = {
            i
            for i in breaks
            if 0 < i < len(children) - 1
            and _UNSPACED.match(_edge(children, i, -1))
            and _UNSPACED.match(_edge(children, i, 1))
        }
        if gone:
            token.children = [child for i, child in enumerate(children) if i not in gone]


def _edge(children: list[Token], at: int, step: int) -> str:
    """The letter before (-1) or after (1) a line's end, through marks of emphasis and links; empty for none."""
    at += step
    while 0 <= at < len(children) and children[at].nesting:
        at += step
    content = children[at].content if 0 <= at < len(children) else ""
    return content[-1:] if step < 0 else content[:1]
