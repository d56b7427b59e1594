"""Markdown of unknown origin to HTML that is safe to publish.

Tags of HTML are read as the Markdown they stand for or shown as text, and a link of a scheme that can run code stays
literal, so nothing written can execute and everything written can be read, but for remarks to the author. A picture on
another server becomes a link to it: reading an article asks no server for anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

from markdown_it.token import Token

from composer.article.markdown import plain_text
from composer.article.model import Article
from composer.article.parser import environment_of, make_parser, parse, shallow
from composer.export.links import link_address
from composer.export.sanitizing import direction, is_right_to_left

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

_NOTE = re.compile(r"\[\^(\d{1,5})\]")
TextPictureUrl: TypeAlias = Callable[[str], str]
NoteHtml: TypeAlias = Callable[[int], str]


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = make_parser()
    parser.add_render_rule("image", _image)
    parser.core.ruler.push("direction", _set_direction)
    parser.core.ruler.push("notes", _set_notes_aside)
    parser.inline.ruler.before("footnote_ref", "note", _note)
    parser.add_render_rule("note", _note_html)
    parser.parse("*a*")  # compiles the rules: two threads compiling them at once would lose some
    return parser


_WORDS = ("text", "code_inline")
_DIRECTED = {
    *("paragraph_open", "heading_open", "bullet_list_open", "ordered_list_open", "list_item_open", "blockquote_open"),
    *("table_open", "th_open", "td_open", "dl_open", "dt_open", "dd_open"),
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
    if match is None or not 1 <= int(match[1]) <= state.env.get("cited", 0):
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
    """The addresses of the pictures that a text shows from its own folder, as they are written, each once."""
    sources = [
        str(child.attrs["src"]) for token in parse(text) for child in token.children or () if child.type == "image"
    ]
    return list(dict.fromkeys(source for source in sources if is_beside(source)))


def whole_text(article: Article) -> str:
    """The article's own text from the first character to the last, in which links may be defined anywhere."""
    return article.preamble + "".join(section.text + section.gap for section in article.sections)


@dataclass(frozen=True, slots=True)
class NoteTokens:
    """A note of the text. ``number`` counts on from what the article cites; 0 where nothing refers to it."""

    number: int
    tokens: Sequence[Token]


class DocumentReader:
    """Parses the parts of a document one after another, so that links lead, and notes count, across all of it.

    ``whole`` is the document; empty where a part needs to know of no other. ``picture_url`` says where a picture of the
    text's own folder is found; one that it answers nothing for stands there in words. Without it addresses stay as they
    are. ``[^3]`` is a note where the document defines it or 3 is at most ``cited``; ``note_html`` prints its number.
    """

    def __init__(
        self,
        whole: str,
        picture_url: TextPictureUrl | None = None,
        cited: int = 0,
        note_html: NoteHtml = "<sup>{}</sup>".format,
    ) -> None:
        self._cited = cited
        self._environment = environment_of(whole) | {
            "picture_url": picture_url,
            "cited": cited,
            "note_html": note_html,
            "note_texts": [],
        }

    def tokens(self, text: str) -> list[Token]:
        return _parser().parse(shallow(text), self._environment)

    def inline(self, text: str) -> list[Token]:
        """One line of Markdown, such as a title, as a single inline token."""
        return _parser().parseInline(text, self._environment)

    def html(self, text: str) -> str:
        return self._rendered(self.tokens(text))

    def notes(self) -> list[NoteTokens]:
        """The notes of what was parsed so far: in the order of reading, then those that nothing refers to."""
        written: list[tuple[str, list[Token]]] = list(self._environment["note_texts"])
        known: dict[int, dict[str, Any]] = self._environment["footnotes"]["list"]
        notes: list[NoteTokens] = []
        for number, entry in sorted(known.items()):
            if "tokens" in entry:
                tokens = _paragraph(entry["tokens"])
            else:
                at = next((i for i, (label, _) in enumerate(written) if label == entry["label"]), None)
                tokens = written.pop(at)[1] if at is not None else []
            notes.append(NoteTokens(self._cited + number + 1, tokens))
        return notes + [NoteTokens(0, tokens) for _, tokens in written]

    def notes_html(self) -> list[tuple[int, str]]:
        """The same as numbers and HTML: one that is a paragraph as its words alone."""
        found = []
        for note in self.notes():
            html = self._rendered(note.tokens)
            alone = html.startswith("<p>") and html.endswith("</p>\n") and html.count("<p>") == 1
            found.append((note.number, f"{html[3:-5]} " if alone else html))
        return found

    def _rendered(self, tokens: Sequence[Token]) -> str:
        return str(_parser().renderer.render(tokens, _parser().options, self._environment))


def _paragraph(words: list[Token]) -> list[Token]:
    inline = Token("inline", "", 0, children=words, block=True)
    return [Token("paragraph_open", "p", 1, block=True), inline, Token("paragraph_close", "p", -1, block=True)]


def _set_notes_aside(state: StateCore) -> None:
    """Notes stand at the end, or at a page's foot: not where they were written."""
    tokens: list[Token] = []
    open_notes: list[list[Token]] = []  # one may be defined within another
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "footnote_ref":
                number = state.env.get("cited", 0) + child.meta["id"] + 1
                child.type, child.content, child.meta = "note", str(number), {"number": number}
        if token.type == "footnote_reference_open":
            open_notes.append([])
            state.env.setdefault("note_texts", []).append((token.meta["label"], open_notes[-1]))
        elif token.type == "footnote_reference_close":
            open_notes.pop()
        else:
            (open_notes[-1] if open_notes else tokens).append(token)
    state.tokens = tokens


def sections_html(texts: Sequence[str], whole: str) -> list[str]:
    """Each section of the ``whole`` document as HTML, and after the last the text's own notes. A link defined anywhere
    in it is known in every section."""
    reader = DocumentReader(whole)
    sections = [reader.html(text) for text in texts]
    notes = "".join(f"<li>{html}</li>\n" for _, html in reader.notes_html())
    return [*sections[:-1], f'{sections[-1]}<ol class="notes">\n{notes}</ol>\n'] if notes and sections else sections


def open_fence(text: str) -> str:
    """The marks that close a block of code the text leaves open; empty where it leaves none."""
    tokens = parse(text)
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
