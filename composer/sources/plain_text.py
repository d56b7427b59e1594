"""Text files in whatever encoding, and Markdown: paragraphs, headings, and the pictures that lie beside the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from composer.article.front_matter import front_matter
from composer.article.parser import parse
from composer.errors import SourceError
from composer.sources.document import BlockCollector, SourceDocument, clean

_BLANK = re.compile(r"\n[ \t]*\n\s*")
_SENTENCE_END = re.compile(r"[.!?…:;。！？：；][\"'”’)」』]*$")
_MOST_HEADING_WORDS = 10
# An own line in italics under a picture is its caption.
_EMPHASIZED = re.compile(r"^[*_](.+)[*_]$")

PictureReader = Callable[[str], bytes]


def decode(data: bytes) -> str:
    """A text file's words. Raises SourceError for what is no text."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data:
        raise SourceError("source_no_text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    import chardet

    found = chardet.detect(data[:200_000])
    if not found["encoding"]:
        raise SourceError("source_no_text")
    try:
        return data.decode(found["encoding"])
    except (LookupError, UnicodeDecodeError) as error:
        raise SourceError("source_no_text") from error


def read_text(data: bytes) -> SourceDocument:
    """Paragraphs are set apart by blank lines, pages by form feeds; a short line without a full stop is a heading."""
    collector = BlockCollector()
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    pages = text.strip("\f").split("\f")
    for number, page in enumerate(pages, start=1):
        collector.page = str(number) if len(pages) > 1 else ""
        paragraphs = _BLANK.split(page.strip())
        if len(paragraphs) == 1 and "\n" in page and _long_lines(page):
            paragraphs = page.split("\n")
        for paragraph in paragraphs:
            if "\n" not in paragraph and _is_heading(paragraph):
                collector.heading(paragraph)
            else:
                # A word cut at the end of a line is whole again.
                collector.paragraph(re.sub(r"(?<=[a-zäöüß])-\n(?=[a-zäöüß])", "", paragraph))
    return collector.document()


def _long_lines(text: str) -> bool:
    """Whether every line is a paragraph of its own, as editors that wrap by themselves keep them."""
    lines = [line for line in text.split("\n") if line.strip()]
    return sum(len(line) for line in lines) > 120 * len(lines)


def _is_heading(line: str) -> bool:
    words = clean(line)
    if words[:1].islower():
        return False
    return 0 < len(words.split()) <= _MOST_HEADING_WORDS and len(words) <= 80 and not _SENTENCE_END.search(words)


def read_markdown(data: bytes, picture: PictureReader) -> SourceDocument:
    """``picture`` gives the bytes of one beside the file by its address, or none."""
    text = decode(data)
    collector = BlockCollector()
    front = front_matter(text)
    tokens = parse(text[front.end :] if front else text)
    in_heading, row, before = "", list[str](), ""
    for token in tokens:
        match token.type:
            case "heading_open" | "heading_close":
                in_heading = token.tag if token.type == "heading_open" else ""
            case "tr_open":
                row = []
            case "tr_close":
                collector.paragraph("; ".join(filter(None, row)))
                row = []
            case "inline":
                children = token.children or []
                words = "".join(" " if c.type.endswith("break") else c.content for c in children if c.type != "image")
                pictures = [child for child in children if child.type == "image"]
                for child in pictures:
                    alone = len(pictures) == 1
                    lines = token.content.split("\n") if alone else []
                    said = [m.group(1) for line in lines if (m := _EMPHASIZED.match(line.strip(" \\")))]
                    caption = str(child.attrs.get("title", "")) or (said[0] if said else "")
                    collector.picture(picture(unquote(str(child.attrs["src"]))), caption, child.content)
                if in_heading:
                    collector.heading(words, names_document=in_heading == "h1")
                elif before in ("th_open", "td_open"):
                    row.append(clean(words))
                elif not pictures:
                    collector.paragraph(words)
        before = token.type
    return collector.document(front.title if front else "", front.values.get("author", "") if front else "")
