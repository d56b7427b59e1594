"""What a text says to its author alone: comments and a model's thinking. Markdown keeps them, no reader sees them.

Read are comments of HTML, Obsidian (``%% %%``), MDX (``{/* */}``), Hugo, Liquid, Jinja, kramdown, Handlebars, ERB,
LaTeX and CriticMarkup (``{>> <<}``), lines ``[//]: # (words)``, and ``<think>`` as models write it. A remark may begin
within one paragraph and end within another, which Markdown has no name for: then everything between is left out, and no
picture is put between either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from markdown_it.token import Token

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

# Opening and closing marks. "5%% and 7%%" is no remark: the marks must stand before a word.
_PERCENT = (re.compile(r"(?<![\w%])%%(?!%)"), "%%")
_CLOSED = (
    (re.compile(r"\{>>"), "<<}"),
    (re.compile(r"\{\{-?[ ]?/\*"), "*/"),
    (re.compile(r"\{/\*"), "*/}"),
    (re.compile(r"\{%-?[ ]?comment[ ]?-?%\}"), "endcomment"),
    (re.compile(r"\{\{[<%][ ]?comment[ ]?[>%]\}\}"), "/comment"),
    (re.compile(r"\{::comment\}"), "{:/"),
    (re.compile(r"\{\{!--"), "--}}"),
    (re.compile(r"<%--"), "--%>"),
    (re.compile(r"\\begin\{comment\}"), "\\end{comment}"),
)
# These end in the paragraph that they begin in.
_SHORT = (
    (re.compile(r"\{#-?[ ]"), "#}"),
    (re.compile(r"\{\{!(?!--)"), "}}"),
    (re.compile(r"\{%-?[ ]?#"), "%}"),
    (re.compile(r"<%#"), "%>"),
)
_INLINE = (_PERCENT, *_CLOSED, *_SHORT)
_BEGIN = "%{<\\"
_CLOSING = {
    "*/": re.compile(r"\*/[ ]?-?\}\}"),
    "endcomment": re.compile(r"endcomment[ ]?-?%\}"),
    "/comment": re.compile(r"/comment[ ]?[>%]\}\}"),
    "{:/": re.compile(r"\{:/(?:comment)?\}"),
}
_THOUGHTS = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "analysis")
_THOUGHT = re.compile(rf"<((?:seed:)?(?:{'|'.join(_THOUGHTS)}))>|\[(THINK)\]|◁(think)▷", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(
    rf"^[ ]{{0,3}}(?:</(?:seed:)?(?:{'|'.join(_THOUGHTS)})>|\[/THINK\]|◁/think▷)[ \t]*$", re.IGNORECASE | re.MULTILINE
)
# A definition of a link that nothing leads to; within a paragraph Markdown takes it for words.
_LINE = re.compile(r"\[(?://|comment)\]:[ ]*(?:#|<>)[ ]+(?:\(.*\)|\".*\"|'.*')[ ]*(?=\n|\Z)")
_FENCES = re.compile(r"^[ ]{0,3}(?:```|~~~)", re.MULTILINE)
# Across blocks "%%" must begin a line: between two that stand within sentences words would be lost.
_ACROSS = ((re.compile(r"\A%%(?!%)"), "%%"), *_CLOSED, (re.compile("<!--"), "-->"))
_ANY = re.compile("|".join(["%%", "<!--", *(opening.pattern for opening, _ in (*_CLOSED, *_SHORT))]))
COMMENT = re.compile(r"<!--(?:-?>|.*?(?:-->|\Z))", re.DOTALL)


class _Text(NamedTuple):
    block: int  # index of its block's token
    child: Token


def remarks_plugin(md: MarkdownIt) -> None:
    md.block.ruler.before("code", "remark", _block, {"alt": ["paragraph", "reference", "blockquote"]})
    md.inline.ruler.before("escape", "remark", _inline)
    md.core.ruler.push("remarks_across", _across)
    md.add_render_rule("remark", lambda *_: "")


def may_hold_remarks(text: str) -> bool:
    """Whether a text has marks that remarks begin with."""
    return bool(_ANY.search(text) or _THOUGHT.search(text) or _THOUGHT_ENDS.search(text))


def remark(level: int, lines: list[int] | None) -> Token:
    """A block that nobody is shown."""
    return Token("remark", "", 0, level=level, map=lines, block=True)


def _block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A remark of whole lines, which may hold blank ones."""
    begin = state.bMarks[start_line] + state.tShift[start_line]
    if state.is_code_block(start_line):
        return False
    source, stop = state.src, state.eMarks[end_line - 1]
    closed = -1
    if match := _THOUGHT.match(source, begin):
        closing = match[0][0] + "/" + match[0][1:].lower()
        closed = _found(_folded(source), closing, match.end(), stop)
        closed += len(closing) if closed >= 0 else 0
    elif not state.level and (end := _orphan(source)) and not source[:begin].strip():
        closed = end
    elif source[begin : begin + 1] and source[begin] in _BEGIN:
        for opening, closing in _INLINE:
            match = opening.match(source, begin)
            ended = _closed(source, closing, match.end(), stop) if match else None
            if ended is not None:
                closed = ended
                break
    if closed < 0:
        return False
    line_end = source.find("\n", closed)
    rest = source[closed : line_end if line_end >= 0 else len(source)]
    if rest.strip() or closed > stop:
        return False  # words follow: the inline rule, or the one across blocks, cuts the remark out
    last = source.count("\n", begin, closed) + start_line
    if last >= end_line:
        return False
    if not silent:
        state.line = last + 1
        state.tokens.append(remark(state.level, [start_line, last + 1]))
    return True


@lru_cache(maxsize=4)
def _folded(source: str) -> str:
    lowered = source.lower()
    return lowered if len(lowered) == len(source) else source


@lru_cache(maxsize=4)
def _orphan(source: str) -> int:
    """Where thinking ends that has no beginning, as where a model was made to think; 0 where there is none, or where
    its mark stands in code."""
    end = _THOUGHT_ENDS.search(source)
    if end is None or _THOUGHT.search(source, 0, end.start()):
        return 0
    return end.end() if len(_FENCES.findall(source, 0, end.start())) % 2 == 0 else 0


@lru_cache(maxsize=64)
def _last(source: str, closing: str) -> int:
    return source.rfind(closing)


def _found(source: str, closing: str, start: int, stop: int) -> int:
    """Where it stands; -1 where it does not. That there is none is looked up once for a text."""
    return source.find(closing, start, stop) if _last(source, closing) >= start else -1


def _closed(source: str, closing: str, start: int, stop: int) -> int | None:
    """Where the closing mark ends, or None."""
    at = _found(source, closing, start, stop)
    if at < 0:
        return None
    if closing in _CLOSING:
        match = _CLOSING[closing].match(source, at)
        return match.end() if match else None
    return at + len(closing)


def _inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] == "[" and state.src[state.pos - 1 : state.pos] in ("", "\n"):
        if match := _LINE.match(state.src, state.pos, state.posMax):
            state.pos = match.end()
        return match is not None
    if state.src[state.pos] not in _BEGIN:
        return False
    for opening, closing in _INLINE:
        match = opening.match(state.src, state.pos)
        if match and (end := _closed(state.src, closing, match.end(), state.posMax)) is not None:
            if not silent:
                state.push("remark", "", 0)
            state.pos = end
            return True
    return False


def _across(state: StateCore) -> None:
    """Leave out what stands between the marks of a remark that begins in one block and ends in another."""
    if state.inlineMode or not _ANY.search(state.src):
        return
    texts = list(_texts(state.tokens))
    unclosed: set[str] = set()
    at, offset = 0, 0
    while at < len(texts):
        opened = _first(texts[at].child.content, offset, unclosed)
        if opened is None:
            at, offset = at + 1, 0
            continue
        begin, after, closing = opened
        end = _ending(texts, at, after, closing)
        if end is None:
            unclosed.add(closing)
            continue
        last, stop = end
        _hide(state, texts[at], begin, texts[last], stop)
        at, offset = last, begin if last == at else 0


def _first(text: str, start: int, unclosed: set[str]) -> tuple[int, int, str] | None:
    found = (
        (match.start(), match.end(), closing)
        for opening, closing in _ACROSS
        if closing not in unclosed and (match := opening.search(text, start))
    )
    return min(found, default=None)


def _ending(texts: list[_Text], at: int, after: int, closing: str) -> tuple[int, int] | None:
    for index in range(at, len(texts)):
        content = texts[index].child.content
        end = _closed(content, closing, after if index == at else 0, len(content))
        if end is not None:
            return index, end
    return None


def _hide(state: StateCore, first: _Text, begin: int, last: _Text, end: int) -> None:
    if first.child is last.child:
        first.child.content = first.child.content[:begin] + first.child.content[end:]
        return
    first.child.content = first.child.content[:begin]
    last.child.content = last.child.content[end:]
    tokens = state.tokens[first.block : last.block + 1]
    for token in tokens:
        children = token.children or [] if token.type == "inline" else [token]
        start = _index(children, first.child) + 1 if token is tokens[0] else 0
        stop = _index(children, last.child) if token is tokens[-1] else len(children)
        for child in children[start:stop]:
            if not child.nesting:
                child.type, child.content, child.children = ("remark" if child is token else "text"), "", None
    lines = [line for token in (tokens[0], tokens[-1]) if token.map for line in token.map]
    if lines:
        state.env.setdefault("unbroken", []).append((min(lines), max(lines)))


def _index(children: list[Token], child: Token) -> int:
    return next(i for i, other in enumerate(children) if other is child)


def _texts(tokens: list[Token]) -> Iterator[_Text]:
    for block, token in enumerate(tokens):
        for child in token.children or () if token.type == "inline" else ():
            if child.type == "text":
                yield _Text(block, child)
