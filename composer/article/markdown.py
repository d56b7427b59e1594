"""Markdown text to sections and back, without changing a byte of it, and to the words that a reader sees.

Blocks are found with the parser that prints them, the source is cut at their line ranges, and only where each part
alone says what it says within the whole.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from composer.article.answers import is_chatter, unwrapped
from composer.article.front_matter import front_matter
from composer.article.model import Section
from composer.article.parser import environment_of, parse

if TYPE_CHECKING:
    from markdown_it.token import Token

# Blocks that cannot carry a picture after them by themselves: they belong to the block that follows.
_LEADING = {"heading_open", "hr"}
# What a reader sees of a block; "nothing" where there are no words, as of a picture alone, a comment or a rule.
BlockKind: TypeAlias = Literal["paragraph", "quote", "list", "table", "code", "heading", "nothing"]
_KINDS: dict[str, BlockKind] = {
    "heading_open": "heading",
    "paragraph_open": "paragraph",
    "blockquote_open": "quote",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "dl_open": "list",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
}
_VERBATIM = ("fence", "code_block")
_NOTE_REFERENCE = re.compile(r"\[\^[^\]\s]+\]")
_THOUGHT = re.compile(r"\s*<(?:think|thought|reason|reflect|scratchpad|analysis)|[^<]*</think", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ParsedText:
    """``preamble + "".join(section.text + section.gap)`` is the source again, a fence around all of it aside.

    ``title_in_text`` is true where the title stands in a section, or nowhere. ``notices`` are keys of what a person
    should know of the text: ``text_unwrapped``, ``text_thoughts``, ``text_chatter``, ``text_comment_open``.
    """

    title: str
    preamble: str
    sections: tuple[Section, ...]
    language: str = ""  # that the front matter names, a tag of BCP 47
    title_in_text: bool = False
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of the body: its first token, the index of that, and its lines."""

    token: Token
    index: int
    first_line: int
    end_line: int

    @property
    def is_title(self) -> bool:
        return self.token.type == "heading_open" and self.token.tag == "h1"


def parse_markdown(source: str) -> ParsedText:
    """Cut Markdown into sections. ``title`` is that of the heading of level 1 that the text begins with, of its front
    matter, or of the only such heading in it; empty where there is none of these."""
    text = unwrapped(source)
    front = front_matter(text)
    start = front.end if front else text.startswith("\ufeff")
    environment: dict[str, Any] = {}
    tokens = parse(text[start:], environment)
    blocks = [
        _Block(token, index, *token.map)
        for index, token in enumerate(tokens)
        if token.level == 0 and token.map is not None and token.nesting >= 0
    ]
    first = next((block for block in blocks if block.token.type != "remark"), None)
    headings = [block for block in blocks if block.is_title]
    unbroken = environment.get("unbroken", ())
    leading = first if first is not None and first.is_title and not _within(first.end_line, unbroken) else None
    title = front.title if front else ""
    title_in_text = False
    if leading is not None:
        title = _words(tokens[leading.index + 1].children or ())
    elif not title and len(headings) == 1:
        title, title_in_text = _words(tokens[headings[0].index + 1].children or ()), True

    offsets = _line_offsets(text, start)
    body_start = start
    if leading is not None:
        blocks = blocks[blocks.index(leading) + 1 :]
        body_start = offsets[leading.end_line] + _blank(text, offsets[leading.end_line])
    cuts = [offsets[line] for line in _cut_lines(blocks, unbroken)]
    language = front.language if front else ""
    notices = _notices(text, text != source, tokens, offsets)
    if not cuts:
        return ParsedText(title, text, (), language, title_in_text or not title, notices)
    # Reference definitions and the like before the first block have no token: they stay with it.
    cuts[0] = min(cuts[0], body_start)
    if text[cuts[0] : cuts[0] + 1] in "\r\n":
        cuts[0] += _blank(text, cuts[0])
    sections = _sections(text, cuts, {offsets[block.first_line]: block.index for block in blocks}, tokens)
    return ParsedText(title, text[: cuts[0]], sections, language, title_in_text or not title, notices)


def _sections(
    text: str, cuts: Sequence[int], blocks: Mapping[int, int], tokens: Sequence[Token]
) -> tuple[Section, ...]:
    """The text between the cuts, without those that part what does not stand alone: a mark may mean something else
    where a text begins, or where its partner is missing. ``blocks`` are the tokens' indices by the blocks' offsets."""
    offsets = sorted(blocks)
    indices = [*(blocks[at] for at in offsets), len(tokens)]
    begun = [*(indices[bisect_left(offsets, cut)] for cut in cuts), len(tokens)]
    ends = [*cuts[1:], len(text)]

    def section(first: int, end: int) -> Section:
        return _section(text[cuts[first] : ends[end - 1]])

    def stands_alone(first: int, end: int) -> bool:
        alone = parse(section(first, end).text, environment_of(text))
        return _says(alone) == _says(tokens[begun[first] : begun[end]])

    parted: list[int] = []
    first = 0
    while first < len(cuts):
        end = next((end for end in _further(first + 1, len(cuts)) if stands_alone(first, end)), 0)
        if not end:  # what stands before belongs to it
            back = next((n for n in _further(1, len(parted)) if stands_alone(parted[-n], len(cuts))), len(parted))
            first, end = parted[-back] if back else 0, len(cuts)
            del parted[len(parted) - back :]
        parted.append(first)
        first = end
    return tuple(section(first, end) for first, end in zip(parted, [*parted[1:], len(cuts)], strict=True))


def _further(start: int, last: int) -> Iterator[int]:
    """From ``start`` in steps that double, and the last."""
    step = 1
    while start < last:
        yield start
        start, step = start + step, 2 * step
    if start <= last or step > 1:
        yield last


def _says(tokens: Sequence[Token]) -> list[object]:
    return [
        (token.type, token.tag, token.content if token.children is None else _says(token.children), token.info)
        for token in tokens
    ]


def _cut_lines(blocks: Sequence[_Block], unbroken: Sequence[tuple[int, int]]) -> list[int]:
    """The line that each section begins with. None lies between the marks of a remark that goes over several blocks."""
    lines: list[int] = []
    pending: int | None = None  # line of headings that wait for their block
    for block in blocks:
        if block.token.type in _LEADING:
            pending = block.first_line if pending is None else pending
            continue
        lines.append(block.first_line if pending is None else pending)
        pending = None
    if pending is not None:
        lines.append(pending)
    return [line for line in lines if not _within(line, unbroken)]


def _within(line: int, unbroken: Sequence[tuple[int, int]]) -> bool:
    return any(begin < line < end for begin, end in unbroken)


def _notices(text: str, was_wrapped: bool, tokens: Sequence[Token], offsets: Sequence[int]) -> tuple[str, ...]:
    remarks = [
        text[offsets[token.map[0]] : offsets[token.map[1]]]
        for token in tokens
        if token.type == "remark" and token.level == 0 and token.map is not None
    ]
    paragraphs = [
        _words(token.children or ())
        for index, token in enumerate(tokens)
        if token.type == "inline" and token.level == 1 and tokens[index - 1].type == "paragraph_open"
    ]
    found = {
        "text_unwrapped": was_wrapped,
        "text_thoughts": any(_THOUGHT.match(remark) for remark in remarks),
        "text_chatter": len(paragraphs) > 1 and is_chatter(paragraphs[0], paragraphs[-1]),
        "text_comment_open": any("<!--" in remark and "-->" not in remark for remark in remarks),
    }
    return tuple(key for key, is_so in found.items() if is_so)


def with_heading(text: str, title: str) -> str | None:
    """The text with other words in its first heading of level 1; None where it has none."""
    start = int(text.startswith("\ufeff"))
    offsets = _line_offsets(text, start)
    for token in parse(text[start:]):
        if token.type == "heading_open" and token.tag == "h1" and token.level == 0 and token.map is not None:
            begin, end = offsets[token.map[0]], offsets[token.map[1]]
            line = text[begin:end]
            return f"{text[:begin]}# {title}{line[len(line.rstrip()) :]}{text[end:]}"
    return None


def join_sections(sections: tuple[Section, ...]) -> str:
    return "".join(section.text + section.gap for section in sections)


def make_sections(blocks: list[str]) -> tuple[Section, ...]:
    """Sections of our own making: blocks a blank line apart, the last ending in one newline."""
    last = len(blocks) - 1
    return tuple(Section(block, "\n" if i == last else "\n\n") for i, block in enumerate(blocks))


def is_paragraph(markdown: str) -> bool:
    """Whether a block is running text and nothing else: one or more paragraphs, no heading, list, table or code."""
    tokens = [t for t in parse(markdown) if t.level == 0]
    return bool(tokens) and all(t.type in ("paragraph_open", "paragraph_close", "inline") for t in tokens)


def block_kind(markdown: str) -> BlockKind:
    """What the last block of a section is, which a picture would stand after."""
    kind: BlockKind = "nothing"
    worded = False
    for token in _ungrouped(parse(markdown)):
        if token.level == 0 and token.nesting >= 0:
            kind, worded = _KINDS.get(token.type, "nothing"), False
        # A picture's words are read by those who do not see it.
        shown = [child.content for child in token.children or () if child.type != "image"]
        worded = worded or bool("".join([*shown, token.content if token.type in _VERBATIM else ""]).strip())
    return kind if worded else "nothing"


def _ungrouped(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens with those of a group at the group's own level, and without notes, which stand elsewhere."""
    deeper = notes = 0
    for token in tokens:
        notes += token.nesting if token.type.startswith("footnote_reference") else 0
        if token.type in ("group_open", "group_close"):
            deeper += token.nesting
        elif not notes and token.type != "footnote_reference_close":
            token.level -= deeper
            yield token


def plain_text(markdown: str) -> str:
    """The words of a text as a reader of the printed article sees them, on one line and not escaped."""
    words: list[str] = []
    for token in parse(markdown):
        if token.type in _VERBATIM:
            words.append(token.content)
        words.append(_NOTE_REFERENCE.sub("", _words(token.children or ())))
        if token.type in _VERBATIM or token.type == "inline":
            words.append(" ")
    return " ".join("".join(words).split())


def _words(children: Sequence[Token]) -> str:
    words = (" " if child.type in ("softbreak", "hardbreak") else child.content for child in children)
    return " ".join("".join(words).split())


def _line_offsets(source: str, start: int) -> list[int]:
    """Character offset of each line's start, as markdown-it counts lines, with the end of the text last."""
    offsets = [start]
    for match in re.compile(r"\r\n|\n|\r").finditer(source, start):
        offsets.append(match.end())
    if offsets[-1] != len(source):
        offsets.append(len(source))
    return offsets


def _blank(source: str, at: int) -> int:
    match = re.compile(r"(?:[ \t]*(?:\r\n|\n|\r))*").match(source, at)
    return len(match.group()) if match else 0


def _section(piece: str) -> Section:
    text = piece.rstrip()
    return Section(text, piece[len(text) :])
