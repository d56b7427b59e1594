"""A Word document as Markdown to illustrate: headings, lists, quotes, tables, bold, italic and links.

Pictures and notes are left out; Vignette chooses pictures of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from composer.errors import UsageError
from composer.request import read_text_file
from composer.sources.docx import HEADING, opened_docx, style_of

DOCX = ".docx"
_LIST = re.compile(r"list (bullet|number)", re.IGNORECASE)
_QUOTE = re.compile(r"(?:intense )?quote|zitat|citation|cita|引用", re.IGNORECASE)
_MARKUP = re.compile(r"[\\`*_\[\]<>|~$^]")
_OPENS_BLOCK = re.compile(r"^(?=[#+=-])|(?<=^\d)(?=[.)])|(?<=^\d\d)(?=[.)])|(?<=^\d{3})(?=[.)])|(?<=^\d{4})(?=[.)])")


def read_text_to_illustrate(path: Path) -> str:
    """A text file as it is, a Word document as Markdown. Raises UsageError as ``read_text_file``, and SourceError."""
    if path.suffix.lower() != DOCX or not path.is_file():
        return read_text_file(path)
    text = docx_markdown(path.read_bytes())
    if not text:
        raise UsageError("text_file_empty", path=str(path))
    return text


def docx_markdown(data: bytes) -> str:
    """Raises SourceError for a document that is damaged or encrypted."""
    from docx.table import Table

    with opened_docx(data) as word:
        blocks = [_table(item) if isinstance(item, Table) else _paragraph(item) for item in word.iter_inner_content()]
    text = before = ""
    for kind, block in blocks:
        if block:
            # Items of one list stand line by line.
            text += ("" if not text else "\n" if kind == "item" and before == "item" else "\n\n") + block
            before = kind
    return text + "\n" if text else ""


def _paragraph(paragraph: Any) -> tuple[str, str]:
    """Kind and Markdown of a paragraph, empty where it has no words."""
    style, words = style_of(paragraph), _inline(paragraph)
    if not words:
        return "", ""
    if style == "Title":
        return "heading", f"# {_one_line(words)}"
    if heading := HEADING.match(style):
        # A document's title stands above its headings.
        return "heading", f"{'#' * min(6, int(heading[1]) + 1)} {_one_line(words)}"
    if listed := _list_of(paragraph, style):
        sign, level = listed
        return "item", f"{'    ' * level}{sign} {_one_line(words)}"
    if _QUOTE.match(style):
        return "quote", "\n".join(f"> {line}" for line in words.split("\n"))
    return "text", "\\\n".join(_OPENS_BLOCK.sub(r"\\", line) for line in words.split("\n"))


def _list_of(paragraph: Any, style: str) -> tuple[str, int] | None:
    """Sign and level of a list's item; a numbering without a style is told by the paragraph's own properties."""
    properties = paragraph._p.pPr.numPr if paragraph._p.pPr is not None else None
    level = properties.ilvl.val if properties is not None and properties.ilvl is not None else 0
    if named := _LIST.match(style):
        return ("-" if named[1].lower() == "bullet" else "1."), level
    return ("-", level) if properties is not None else None


def _table(table: Any) -> tuple[str, str]:
    rows = []
    for row in table.rows:
        cells = {id(cell._tc): _one_line(" ".join(map(_inline, cell.paragraphs))) for cell in row.cells}
        rows.append(list(cells.values()))
    if not any(map(any, rows)):
        return "", ""
    width = max(map(len, rows))
    lines = [f"| {' | '.join([*row, *[''] * (width - len(row))])} |" for row in rows]
    return "table", "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]])


def _inline(paragraph: Any) -> str:
    """The words with their marks; runs that look the same are one."""
    pieces: list[tuple[str, str, str]] = []  # words, marks, address
    for words, marks, address in _runs(paragraph):
        if pieces and pieces[-1][1:] == (marks, address):
            words = pieces.pop()[0] + words
        pieces.append((words, marks, address))
    return "".join(_marked(*piece) for piece in pieces).strip()


def _runs(paragraph: Any) -> Iterator[tuple[str, str, str]]:
    from docx.text.hyperlink import Hyperlink

    for item in paragraph.iter_inner_content():
        linked = isinstance(item, Hyperlink)
        runs: Iterable[Any] = item.runs if linked else (item,)
        for run in runs:
            marks = ("**" if run.bold else "") + ("*" if run.italic else "")
            yield run.text, marks, item.url if linked else ""


def _marked(words: str, marks: str, address: str) -> str:
    """Marks stand close to the words, or they would be read as asterisks."""
    core = words.strip()
    if not core:
        return words
    before, after = words[: len(words) - len(words.lstrip())], words[len(words.rstrip()) :]
    text = marks + _MARKUP.sub(r"\\\g<0>", core) + marks[::-1]
    if address.startswith(("https://", "http://", "mailto:")):
        text = f"[{text}](<{address.replace('>', '%3E').replace('<', '%3C')}>)"
    return before + text + after


def _one_line(words: str) -> str:
    return " ".join(words.split())
