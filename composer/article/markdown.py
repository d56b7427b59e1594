"""Markdown text to sections and back, without changing a byte of it, and to the words that a reader sees.

Blocks are found with markdown-it-py, the source is cut at their line ranges. Exports print what the same parser finds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from composer.article.model import Section
from composer.request import LANGUAGE_TAG

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

FRONT_MATTER = re.compile(r"\A(?:\ufeff)?---[ \t]*\r?\n.*?^(?:---|\.\.\.)[ \t]*\r?\n", re.DOTALL | re.MULTILINE)
FRONT_LANGUAGE = re.compile(r"^lang(?:uage)?:[ \t]*[\"']?([A-Za-z0-9-]+)[\"']?[ \t]*$", re.MULTILINE)
FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_CODE = ("fence", "code_block")
# Blocks that cannot carry a picture after them by themselves: they belong to the block that follows.
_LEADING = {"heading_open", "hr"}
# Beyond this depth markdown-it drops the text, so lines of more marks than half of it are taken for plain text.
_MAX_NESTING = 100
_TOO_DEEP = re.compile(rf"^(?=[ \t]*(?:(?:>|[-+*]|\d{{1,9}}[.)])[ \t]*){{{_MAX_NESTING // 2}}})", re.MULTILINE)
LINK_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_DATA_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+\Z", re.IGNORECASE)
# Browsers drop these inside an address, so "java\nscript:" would run.
IGNORED_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]")


# What a reader sees of a block; "nothing" where there are no words, as of a picture alone, a comment or a rule.
BlockKind: TypeAlias = Literal["paragraph", "quote", "list", "table", "code", "heading", "nothing"]
_KINDS: dict[str, BlockKind] = {
    "heading_open": "heading",
    "paragraph_open": "paragraph",
    "blockquote_open": "quote",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
}


@dataclass(frozen=True, slots=True)
class ParsedText:
    """``preamble + "".join(section.text + section.gap)`` is the source again."""

    title: str
    preamble: str
    sections: tuple[Section, ...]
    language: str = ""  # that the front matter names, a tag of BCP 47


def parse_markdown(source: str) -> ParsedText:
    """Cut Markdown into sections. ``title`` is that of the front matter or of a leading level-1 heading, or empty."""
    front = FRONT_MATTER.match(source)
    start = front.end() if front else 0
    title = language = ""
    if front and (named := FRONT_TITLE.search(front.group())):
        title = named.group(1).strip("'\"")
    if front and (named := FRONT_LANGUAGE.search(front.group())) and LANGUAGE_TAG.fullmatch(named.group(1)):
        language = named.group(1)

    offsets = _line_offsets(source, start)
    # No picture may stand inside a comment: Markdown would hide it.
    tokens = [
        t for t in _parser(html=True).parse(source[start:]) if t.level == 0 and t.map is not None and t.nesting >= 0
    ]
    cuts: list[int] = []  # where each section starts
    body_start = start
    pending: int | None = None  # start of headings that wait for their block
    for position, token in enumerate(tokens):
        assert token.map is not None
        begin, end = offsets[token.map[0]], offsets[token.map[1]]
        if position == 0 and token.type == "heading_open" and token.tag == "h1":
            title = plain_text(source[begin:end])
            body_start = end + _blank(source, end)
            continue
        if token.type in _LEADING:
            pending = begin if pending is None else pending
            continue
        cuts.append(begin if pending is None else pending)
        pending = None
    if pending is not None:
        cuts.append(pending)

    if not cuts:
        return ParsedText(title, source, (), language)
    # Reference definitions and the like before the first block have no token: they stay with it.
    cuts[0] = min(cuts[0], body_start)
    if source[cuts[0] : cuts[0] + 1] in "\r\n":
        cuts[0] += _blank(source, cuts[0])
    ends = [*cuts[1:], len(source)]
    sections = tuple(_section(source[a:b]) for a, b in zip(cuts, ends, strict=True))
    return ParsedText(title, source[: cuts[0]], sections, language)


def join_sections(sections: tuple[Section, ...]) -> str:
    return "".join(section.text + section.gap for section in sections)


def make_sections(blocks: list[str]) -> tuple[Section, ...]:
    """Sections of our own making: blocks a blank line apart, the last ending in one newline."""
    last = len(blocks) - 1
    return tuple(Section(block, "\n" if i == last else "\n\n") for i, block in enumerate(blocks))


def is_paragraph(markdown: str) -> bool:
    """Whether a block is running text and nothing else: one or more paragraphs, no heading, list, table or code."""
    tokens = [t for t in _parser(html=True).parse(markdown) if t.level == 0]
    return bool(tokens) and all(t.type in ("paragraph_open", "paragraph_close", "inline") for t in tokens)


def block_kind(markdown: str) -> BlockKind:
    """What the last block of a section is, which a picture would stand after."""
    kind: BlockKind = "nothing"
    worded = False
    for token in _parser(html=True).parse(shallow(markdown)):
        if token.level == 0 and token.nesting >= 0:
            kind, worded = _KINDS.get(token.type, "nothing"), False
        # A picture's words are read by those who do not see it.
        shown = [c.content for c in token.children or () if c.type not in ("image", "html_inline")]
        worded = worded or bool("".join([*shown, token.content if token.type in _CODE else ""]).strip())
    return kind if worded else "nothing"


def plain_text(markdown: str) -> str:
    """The words of a text as a reader of the printed article sees them, on one line and not escaped."""
    words: list[str] = []
    for token in _parser().parse(shallow(markdown)):
        if token.type in _CODE:
            words.append(token.content)
        for child in token.children or ():
            words.append(" " if child.type in ("softbreak", "hardbreak") else child.content)
        if token.type == "inline":
            words.append(" ")
    return " ".join("".join(words).split())


def shallow(text: str) -> str:
    """The text with lines of more marks than the parser nests, which it would drop, taken for words."""
    return _TOO_DEEP.sub("\\\\", text)


def safe_link(url: str) -> bool:
    """Whether an address may become a link or a picture: the web, mail, telephone, or a place in the document."""
    packed = IGNORED_IN_ADDRESSES.sub("", url)
    if _DATA_PICTURE.match(packed):
        return True
    try:
        scheme = urlsplit(packed).scheme.lower()
    except ValueError:
        return False
    # "foo:bar" that urlsplit takes for a path may still be a scheme to a browser.
    before_colon = re.split(r"[/?#]", packed, maxsplit=1)[0]
    return scheme in LINK_SCHEMES or (not scheme and ":" not in before_colon and not packed.startswith(("//", "\\")))


def make_parser(html: bool = False) -> MarkdownIt:
    """CommonMark with tables and strikethrough. A link of a scheme that can run code stays literal.

    Raw HTML is text like any other; with ``html`` it is blocks of its own.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": html, "maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    parser.validateLink = safe_link  # type: ignore[method-assign]
    return parser


@lru_cache(maxsize=2)
def _parser(html: bool = False) -> MarkdownIt:
    parser = make_parser(html)
    parser.parse("*a*")  # compiles the rules: two threads compiling them at once would lose some
    return parser


def _line_offsets(source: str, start: int) -> list[int]:
    """Character offset of each line's start, as markdown-it counts lines, with the end of the text last."""
    offsets = [start]
    for match in re.finditer(r"\r\n|\n|\r", source[start:]):
        offsets.append(start + match.end())
    if offsets[-1] != len(source):
        offsets.append(len(source))
    return offsets


def _blank(source: str, at: int) -> int:
    match = re.compile(r"(?:[ \t]*(?:\r\n|\n|\r))*").match(source, at)
    return len(match.group()) if match else 0


def _section(piece: str) -> Section:
    text = piece.rstrip()
    return Section(text, piece[len(text) :])
