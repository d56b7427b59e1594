"""An article as a plain tree of blocks and runs: what formats without HTML (DOCX, PDF) are made from.

Markdown is parsed once, here; a format walks the tree and knows no Markdown. Links are kept only where they lead to
the web, a mail address or a telephone. Pictures written into the text by hand are named by their words: only chosen
pictures are printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from composer.article.citation import Note, Source
from composer.article.language import count_words
from composer.article.markdown import plain_text
from composer.article.model import Article, Placement, Side
from composer.export.links import link_address, web_address
from composer.export.markdown_html import DocumentReader, relative_path, whole_text
from composer.export.sanitizing import one_line, printable_article
from composer.i18n import UI_LANGUAGES, tables
from image_db.metadata.record import ImageRecord

if TYPE_CHECKING:
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode

# From some five pages on, and with headings enough, an article gets a list of its contents.
_LONG_WORDS = 1500
_FEWEST_LISTED = 5
# With a table on a turned page stand so many words at most above it, and below: more would be lines too long to read.
_MOST_TURNED_WORDS = 60


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text of one look; a line break within a paragraph is the text ``"\\n"``.

    ``note`` is the number of the note that is cited here, 0 for words; ``text`` is empty then.
    """

    text: str
    strong: bool = False
    emphasis: bool = False
    strike: bool = False
    code: bool = False
    link: str = ""
    mark: bool = False
    script: str = ""  # "sub" or "sup"
    note: int = 0


Runs: TypeAlias = tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """``level`` counts from 1 and never skips one, so that outlines are sound; ``written_level`` is the author's."""

    level: int
    written_level: int
    runs: Runs


@dataclass(frozen=True, slots=True)
class Paragraph:
    runs: Runs


@dataclass(frozen=True, slots=True)
class ItemList:
    """Items of blocks; ``start`` is the first number of an ordered list."""

    ordered: bool
    start: int
    items: tuple[tuple[Block, ...], ...]
    right_to_left: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    blocks: tuple[Block, ...]
    right_to_left: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """The first row is the header; ``aligns`` has ``left``, ``center`` or ``right`` a column, or an empty string."""

    rows: tuple[tuple[Runs, ...], ...]
    aligns: tuple[str, ...]
    right_to_left: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    pass


@dataclass(frozen=True, slots=True)
class FigureBlock:
    """A chosen picture, or one that the text shows from its folder, by its address there. ``alt`` is never empty;
    ``source_url`` is a web address or empty. It takes at most ``width_share`` of the column. At a ``side`` the next
    ``beside`` blocks run beside it."""

    picture: ImageRecord | str
    alt: str
    caption: str
    credit: str
    source_url: str
    width_share: float = 1.0
    side: Side = ""
    beside: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a long article: ``title``, empty where there is no word for it in the article's language, and
    the headings of ``levels``, the outer one first."""

    title: str
    levels: tuple[int, int]


Block: TypeAlias = Heading | Paragraph | ItemList | Quote | Code | Table | Rule | FigureBlock | Contents


@dataclass(frozen=True, slots=True)
class Document:
    """``heading`` is the printed title, empty where the text brings its own; ``title`` names the document.

    ``notes`` are the words of the notes, the first that of number 1; the sources are listed among the blocks.
    """

    title: str
    language: str
    heading: Runs
    blocks: tuple[Block, ...] = field(repr=False)
    notes: tuple[str, ...] = ()


_DEEPEST = 8


def to_document(article: Article, is_there: Callable[[str], bool] = lambda _: False) -> Document:
    """The whole article in reading order.

    ``is_there`` tells of the address of a picture in the text whether it can be shown. One that can stands in a place
    of its own, after its paragraph where words stand beside it.
    """
    clean = printable_article(article)
    blocks: list[Block] = []
    notes = clean.notes
    reader = DocumentReader(whole_text(clean), cited=len(notes.notes))
    for index, section in enumerate(clean.sections):
        own_blocks = list(_read(reader.tokens(notes.marked(index, section.text)), is_there))
        if (beside := clean.beside(index)) is not None:
            shown = to_figure(clean.placements[beside], clean.language)
            blocks.append(replace(shown, side=clean.placements[beside].side, beside=len(own_blocks)))
        blocks += own_blocks
        below = (clean.placements[number] for number in clean.below(index))
        blocks += [to_figure(placement, clean.language) for placement in below if placement.chosen is not None]
    heading: Runs = ()
    if not clean.title_in_text:
        heading = _runs(_tree(reader.inline(one_line(clean.title))).children[0])
    own = [(note.number, tuple(_read(note.tokens, is_there))) for note in reader.notes()]
    blocks += [block for number, inner in own if not number for block in inner]
    if notes.sources:
        words = tables(clean.language.partition("-")[0])["document"]
        listed = (
            (Paragraph(tuple(Run(text, emphasis=title) for text, title in source_words(*entry, clean.language))),)
            for entry in notes.sources.items()
        )
        blocks += [Heading(1, 2, (Run(words["sources"]),)), ItemList(False, 1, tuple(listed))]
    blocks = list(_levelled(blocks))
    if sum(count_words(section.text) for section in clean.sections) >= _LONG_WORDS:
        blocks = _with_contents(blocks, bool(heading), clean.language)
    title = plain_text(clean.title) or "Vignette"
    said = (
        *(note_words(note, clean.language) for note in notes.notes),
        *(_as_line(inner) for number, inner in own if number),
    )
    return Document(title, clean.language, heading, tuple(blocks), said)


def _with_contents(blocks: list[Block], titled: bool, language: str) -> list[Block]:
    """The blocks with their contents, below the title, where there are headings enough to list."""
    headings = [block.level for block in blocks if isinstance(block, Heading)]
    own_title = not titled and headings.count(1) == 1 and isinstance(blocks[0], Heading)
    outer = 2 if own_title else 1
    if sum(level in (outer, outer + 1) for level in headings) < _FEWEST_LISTED:
        return blocks
    primary = language.partition("-")[0]
    title = tables(primary)["document"]["contents"] if primary in UI_LANGUAGES else ""
    return [*blocks[:own_title], Contents(title, (outer, outer + 1)), *blocks[own_title:]]


def note_words(note: Note, language: str) -> str:
    """A note: the source's author and title, and the page or heading within it."""
    words = tables(language.partition("-")[0])["document"]
    place = words["page"].format(page=note.page) if note.page else note.heading
    return ", ".join(filter(None, (note.source.author, note.source.title, place)))


def source_words(source: Source, pages: Sequence[str], language: str) -> list[tuple[str, bool]]:
    """An entry of the list of sources in pieces: author, title (marked as one), file and the pages that are cited."""
    words = tables(language.partition("-")[0])["document"]
    told = words["page"].format(page=pages[0]) if len(pages) == 1 else ""
    told = told or (words["pages"].format(pages=", ".join(pages)) if pages else "")
    named = "" if source.file == source.title else source.file
    pieces = [
        (f"{source.author}: " if source.author else "", False),
        (source.title, True),
        ("".join(f", {part}" for part in (named, told) if part), False),
    ]
    return [piece for piece in pieces if piece[0]]


def _read(tokens: Sequence[Token], is_there: Callable[[str], bool]) -> Iterator[Block]:
    return (block for node in _tree(tokens).children for block in _blocks(node, 0, is_there))


def _tree(tokens: Sequence[Token]) -> SyntaxTreeNode:
    from markdown_it.tree import SyntaxTreeNode

    return SyntaxTreeNode(tokens)


def _as_line(blocks: Sequence[Block]) -> str:
    """What a note says, for formats whose notes are lines of text; a link's address stands after its words."""
    words: list[str] = []
    for block in blocks:
        match block:
            case Heading(runs=runs) | Paragraph(runs=runs):
                words += [f"{r.text} ({r.link})" if r.link not in ("", r.text) else r.text for r in runs] + [" "]
            case ItemList(items=items):
                words += [f"{_as_line(item)} " for item in items]
            case Quote(blocks=inner):
                words.append(f"{_as_line(inner)} ")
            case Code(text=text):
                words.append(f"{text} ")
            case Table(rows=rows):
                words += [f"{plain(cell)} " for row in rows for cell in row]
            case FigureBlock(alt=alt):
                words.append(f"{alt} ")
    return one_line("".join(words))


def to_figure(placement: Placement, language: str) -> FigureBlock:
    """The picture of a placement with its words; the placement must have one."""
    record = placement.chosen
    assert record is not None
    words = (placement.alt, placement.caption, record.alt, record.caption)
    unknown = tables(language.partition("-")[0])["document"]["picture"]
    return FigureBlock(
        picture=record,
        alt=next((one_line(text) for text in words if one_line(text)), unknown),
        caption=one_line(placement.caption),
        credit=one_line(placement.credit),
        source_url=web_address(record.source_url),
        width_share=placement.width_share,
    )


def around_table(blocks: Sequence[Block], at: int) -> range:
    """The blocks that stand on one page with the table at ``at`` where it has to be turned.

    Its heading with the few words in between, and the few words that its section ends with: alone they would leave
    the pages before and after it empty.
    """
    first = at - _few_paragraphs(blocks[:at][::-1])
    headed = first
    while headed and isinstance(blocks[headed - 1], Heading):
        headed -= 1
    last = at + 1 + _few_paragraphs(blocks[at + 1 :])
    ended = last == len(blocks) or isinstance(blocks[last], Heading)
    return range(headed if headed < first else at, last if ended else at + 1)


def _few_paragraphs(blocks: Sequence[Block]) -> int:
    """How many paragraphs the blocks begin with, where they are few words."""
    paragraphs = [plain(b.runs) for b in takewhile(lambda b: isinstance(b, Paragraph), blocks)]  # type: ignore[union-attr]
    return len(paragraphs) if sum(map(count_words, paragraphs)) <= _MOST_TURNED_WORDS else 0


def plain(runs: Runs) -> str:
    """The words of a stretch of runs, as one line."""
    return " ".join("".join(run.text for run in runs).split())


def _levelled(blocks: Sequence[Block]) -> Iterator[Block]:
    """Heading levels as depths: an author's ``##`` then ``####`` become 1 and 2."""
    open_levels: list[int] = []
    for block in blocks:
        if not isinstance(block, Heading):
            yield block
            continue
        while open_levels and open_levels[-1] >= block.written_level:
            open_levels.pop()
        open_levels.append(block.written_level)
        yield replace(block, level=len(open_levels))


def _blocks(node: SyntaxTreeNode, depth: int, is_there: Callable[[str], bool]) -> Iterator[Block]:
    """The blocks of a node; lists and quotes deeper than any page can show give their content to the one around."""
    children = node.children
    turned = node.attrs.get("dir") == "rtl"
    match node.type:
        case "heading":
            yield Heading(1, int(node.tag[1:]), _runs(children[0]))
        case "paragraph":
            images = [n for n in children[0].walk() if n.type == "image"]
            figures = [_text_figure(image) for image in images if is_there(str(image.attrs["src"]))]
            alone = all(n.type in ("image", "softbreak", "hardbreak") for n in children[0].children)
            if (runs := _runs(children[0])) and not (figures and alone):
                yield Paragraph(runs)
            yield from figures
        case "bullet_list" | "ordered_list":
            items = tuple(tuple(_inside(item, depth, is_there)) for item in children)
            if depth < _DEEPEST:
                yield ItemList(node.type == "ordered_list", int(node.attrs.get("start", 1)), items, turned)
            else:
                yield from (block for item in items for block in item)
        case "blockquote":
            inner = tuple(_inside(node, depth, is_there))
            yield from (Quote(inner, turned),) if depth < _DEEPEST else inner
        case "fence" | "code_block":
            yield Code(node.content.rstrip("\n"))
        case "hr":
            yield Rule()
        case "group":
            yield from (block for child in children for block in _blocks(child, depth, is_there))
        case "dl":
            for child in children:
                if child.type == "dt":
                    yield Paragraph(_runs(child.children[0], Run("", strong=True)))
                else:
                    yield Quote(tuple(_inside(child, depth, is_there)), turned)
        case "remark":
            pass
        case "table":
            rows = [row for part in children for row in part.children]
            aligns = tuple(_align(cell) for cell in rows[0].children)
            cells = tuple(tuple(_runs(cell.children[0]) for cell in row.children) for row in rows)
            yield Table(cells, aligns, turned)
        case other:
            raise AssertionError(f"Markdown node {other!r} is not handled")


def _inside(node: SyntaxTreeNode, depth: int, is_there: Callable[[str], bool]) -> Iterator[Block]:
    return (block for child in node.children for block in _blocks(child, depth + 1, is_there))


def _text_figure(image: SyntaxTreeNode) -> FigureBlock:
    address = str(image.attrs["src"])
    caption = one_line(str(image.attrs.get("title", "")))
    alt = plain_text(image.content) or caption or Path(relative_path(address)).stem
    return FigureBlock(address, alt, caption, credit="", source_url="")


def _align(cell: SyntaxTreeNode) -> str:
    return str(cell.attrs.get("style", "")).removeprefix("text-align:")


_MARKS: dict[str, dict[str, Any]] = {
    "strong": {"strong": True},
    "em": {"emphasis": True},
    "s": {"strike": True},
    "mark": {"mark": True},
    "sub": {"script": "sub"},
    "sup": {"script": "sup"},
}


def _runs(node: SyntaxTreeNode, look: Run = Run("")) -> Runs:
    """The runs of an inline node; neighbours of one look are joined."""
    found: list[Run] = []
    for run in _each_run(node, look):
        if found and replace(found[-1], text="") == replace(run, text="") and "\n" not in (found[-1].text, run.text):
            found[-1] = replace(run, text=found[-1].text + run.text)
        elif run.text or run.note:
            found.append(run)
    return tuple(found)


def _each_run(node: SyntaxTreeNode, look: Run) -> Iterator[Run]:
    for child in node.children:
        match child.type:
            case "text":
                yield replace(look, text=child.content)
            case "softbreak":
                yield replace(look, text=" ")
            case "hardbreak":
                yield replace(look, text="\n")
            case "code_inline":
                yield replace(look, text=child.content, code=True)
            case "note":
                yield Run("", note=child.meta["number"])
            case "link":
                yield from _each_run(child, replace(look, link=link_address(str(child.attrs.get("href", "")))))
            case "image":
                link = look.link or link_address(str(child.attrs.get("src", "")))
                words = plain_text(child.content)
                yield replace(look, text=words or link, link=link)
            case "remark":
                pass
            case "strong" | "em" | "s" | "mark" | "sub" | "sup":
                yield from _each_run(child, replace(look, **_MARKS[child.type]))
            case other:
                raise AssertionError(f"Markdown node {other!r} is not handled")
