"""PDF files, through pypdfium2 (https://pypdfium2.readthedocs.io): lines put together to paragraphs, headings told by
their size, running heads left out, and the labels of the pages.

PDF knows no paragraphs: a new one begins where lines stand further apart, the size changes or a line ends early.
"""

from __future__ import annotations

import io
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from composer.errors import SourceError
from composer.sources.document import BlockCollector, SourceDocument, clean, median

MOST_PICTURES = 200
LEAST_PICTURE_PX = 120  # smaller ones are ornaments
_EDGE_LINES = 2  # at the top and at the bottom of a page, where running heads stand
_REPEATED = 3  # pages
_LARGER = 1.12  # times the size of the body text
_APART = 1.45  # times the usual distance of lines
_EARLY = 0.12  # of the column's width
_MOST_HEADING_WORDS = 14
_BOLD = 600
_FEWEST_CHARS = 16  # of a page that holds text
_HYPHEN = re.compile("[\ufffe\x02]")  # what PDFium gives for a hyphen at the end of a line
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)」』\]]*$")
_FIRST_SENTENCE = re.compile(r".*?(?:[.!?…][\"'”’)\]]*(?=\s|$)|[。！？])", re.DOTALL)
_PAGE_NUMBER = re.compile(r"[\s\W]*(?:\d{1,4}|[ivxlc]{1,7})[\s\W]*\Z", re.IGNORECASE)
_CAPTION = re.compile(r"(?:fig(?:ure|\.)?|abb(?:ildung|\.)?|photo(?:graph)?|image|图|照片)\s*[\d.:：]*", re.IGNORECASE)
_WRONG_PASSWORD, _UNKNOWN_SECURITY = 4, 5  # PDFium's error codes
_lock = threading.Lock()  # PDFium is not made for several threads


@dataclass(frozen=True, slots=True)
class PdfLine:
    """A line of a page; edges are in points from the page's bottom left corner, ``size`` that of its letters."""

    text: str
    left: float
    right: float
    bottom: float
    top: float
    size: float
    bold: bool


@dataclass(frozen=True, slots=True)
class PdfPage:
    """``pictures`` are (bytes of a file, lower edge, upper edge)."""

    label: str
    lines: tuple[PdfLine, ...]
    pictures: tuple[tuple[bytes, float, float], ...] = ()


def read_pdf(data: bytes) -> SourceDocument:
    """Raises SourceError for a file that is damaged, locked by a password, or scanned and not recognised."""
    import pypdfium2

    with _lock:
        try:
            pdf = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if error.err_code in (_WRONG_PASSWORD, _UNKNOWN_SECURITY):
                raise SourceError("source_locked") from error
            raise SourceError("source_damaged", reason=str(error)) from error
        try:
            pages = list(_pages(pdf))
            named = pdf.get_metadata_dict()
        except pypdfium2.PdfiumError as error:
            raise SourceError("source_damaged", reason=str(error)) from error
        finally:
            pdf.close()
    unread = sum(len("".join(line.text for line in page.lines)) < _FEWEST_CHARS for page in pages)
    if pages and unread == len(pages):
        raise SourceError("source_scanned", pages=len(pages))
    return arrange(pages, named.get("Title", ""), named.get("Author", ""), unread)


def arrange(pages: Sequence[PdfPage], title: str = "", author: str = "", unread: int = 0) -> SourceDocument:
    """Lines of pages as a document."""
    running = _running_heads(pages)
    sizes = [line.size for page in pages for line in page.lines for _ in line.text.split()]
    body = median(sizes)
    collector = BlockCollector()
    left_over = ""  # of a paragraph that goes on, on the next page
    for page in pages:
        lines = _without_running(page.lines, running)
        for kind, text in _paragraphs(lines, body):
            if kind == "heading":
                left_over = _flush(collector, left_over)
                collector.page = page.label
                collector.heading(text)
                continue
            if left_over and (match := _FIRST_SENTENCE.match(text)) and not text[:1].isupper():
                # The sentence belongs to the page that it begins on.
                collector.paragraph(f"{left_over} {match.group()}")
                left_over, text = "", text[match.end() :]
            left_over = _flush(collector, left_over)
            collector.page = page.label
            left_over = text
        texts = [text for _, text in _paragraphs(lines, body)] if page.pictures else []
        for picture, low, high in page.pictures:
            collector.picture(picture, _caption_of(lines, texts, low, high))
    _flush(collector, left_over)
    return collector.document(title, author, unread)


def _flush(collector: BlockCollector, text: str) -> str:
    collector.paragraph(text)
    return ""


def _pages(pdf: Any) -> Iterator[PdfPage]:
    left = MOST_PICTURES
    for number in range(len(pdf)):
        page = pdf[number]
        text = page.get_textpage()
        try:
            pictures = tuple(_pictures(page, left))
            left -= len(pictures)
            label = clean(pdf.get_page_label(number)) or str(number + 1)
            yield PdfPage(label, tuple(_lines(text)), pictures)
        finally:
            text.close()
            page.close()


def _lines(text: Any) -> Iterator[PdfLine]:
    from pypdfium2 import raw

    at = 0
    for words in text.get_text_range().split("\r\n"):
        start, end = at, at + len(words.rstrip())
        at += len(words) + 2
        start += len(words) - len(words.lstrip())
        if start >= end or end > text.count_chars():
            continue
        left, bottom, _, top = text.get_charbox(start, loose=True)
        right = text.get_charbox(end - 1, loose=True)[2]
        size = raw.FPDFText_GetFontSize(text, start)
        # The size as it is printed, where a matrix scales the letters.
        size = top - bottom if size <= 2 else size
        yield PdfLine(words, left, right, bottom, top, size, raw.FPDFText_GetFontWeight(text, start) >= _BOLD)


def _pictures(page: Any, most: int) -> Iterator[tuple[bytes, float, float]]:
    from pypdfium2 import PdfiumError, raw

    for number, image in enumerate(page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE])):
        if number >= most:
            return
        try:
            if min(image.get_px_size()) < LEAST_PICTURE_PX:
                continue
            _, low, _, high = image.get_bounds()
            picture = image.get_bitmap().to_pil().convert("RGB")
        except (PdfiumError, OSError, ValueError):
            continue  # a picture that cannot be had costs nobody the text
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=90)
        yield file.getvalue(), low, high


def _running_heads(pages: Sequence[PdfPage]) -> frozenset[str]:
    """Lines at the top and the bottom that come again from page to page, but for the numbers in them."""
    counts: Counter[str] = Counter()
    for page in pages:
        counts.update({_numberless(line.text) for line in _at_edges(page.lines)})
    return frozenset(text for text, count in counts.items() if count >= min(_REPEATED, max(2, len(pages) // 2)))


def _without_running(lines: Sequence[PdfLine], running: frozenset[str]) -> list[PdfLine]:
    """The lines of a page less its running heads and its number."""
    edges = _at_edges(lines)
    return [
        line
        for line in lines
        if line not in edges or not (_numberless(line.text) in running or _PAGE_NUMBER.match(line.text))
    ]


def _at_edges(lines: Sequence[PdfLine]) -> list[PdfLine]:
    ordered = sorted(lines, key=lambda line: -line.bottom)
    return [*ordered[:_EDGE_LINES], *ordered[-_EDGE_LINES:]]


def _numberless(text: str) -> str:
    return re.sub(r"\d+", "", clean(text))


def _paragraphs(lines: Sequence[PdfLine], body: float) -> Iterator[tuple[str, str]]:
    """("heading" or "text", its words) in reading order."""
    distances = [a.bottom - b.bottom for a, b in pairwise(lines) if 0 < a.bottom - b.bottom < 4 * body]
    usual = median(distances) or body
    held: list[PdfLine] = []
    for line in lines:
        if held and _begins(held, line, usual, body):
            yield _joined(held, body)
            held = []
        held.append(line)
    if held:
        yield _joined(held, body)


def _begins(held: Sequence[PdfLine], line: PdfLine, usual: float, body: float) -> bool:
    before = held[-1]
    if _is_heading(before, body) != _is_heading(line, body) or abs(before.size - line.size) > 0.12 * body:
        return True
    if line.bottom > before.bottom:  # the next column
        return _SENTENCE_END.search(before.text.rstrip()) is not None and line.text[:1].isupper()
    if before.bottom - line.bottom > _APART * usual:
        return True
    width = max(max(one.right for one in held) - before.left, line.right - line.left)
    early = before.right < before.left + (1 - _EARLY) * width
    return early and _SENTENCE_END.search(before.text.rstrip()) is not None


def _is_heading(line: PdfLine, body: float) -> bool:
    words = line.text.split()
    large = line.size >= _LARGER * body
    return len(words) <= _MOST_HEADING_WORDS and (large or (line.bold and not _SENTENCE_END.search(line.text.rstrip())))


def _joined(lines: Sequence[PdfLine], body: float) -> tuple[str, str]:
    text = ""
    for line in lines:
        words = line.text.strip()
        if _HYPHEN.search(text[-1:]) or (re.search(r"[a-zäöüß]-$", text) and words[:1].islower()):
            text = text[:-1] + words
        else:
            chinese = re.search(r"[\u3000-\u9fff\uff00-\uffef]$", text) and re.match(
                r"[\u3000-\u9fff\uff00-\uffef]", words
            )
            text = f"{text}{'' if chinese or not text else ' '}{words}"
    text = _HYPHEN.sub("", text)
    heading = len(lines) <= 3 and all(_is_heading(line, body) for line in lines)
    return ("heading" if heading else "text"), text


def _caption_of(lines: Sequence[PdfLine], paragraphs: Sequence[str], low: float, high: float) -> str:
    """What stands right under a picture, or right above it, where it says that it is a figure's."""
    under = [line for line in lines if line.top <= low + line.size and line.bottom >= low - 3 * line.size]
    above = [line for line in lines if high - line.size <= line.bottom <= high + 2 * line.size]
    for near in (under, above):
        if near and _CAPTION.match(first := near[0].text.strip()):
            begins = first[:40].rstrip("\ufffe\x02-")
            return next((text for text in paragraphs if text.startswith(begins)), clean(first))
    return ""
