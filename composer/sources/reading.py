"""Finds the documents that paths name and reads each by its kind; what cannot be read is named, the rest is used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from composer.errors import SourceError, UsageError
from composer.sources.document import SourceDocument
from vision.downloads.files import open_regular
from vision.errors import Phrase

MOST_BYTES = 300 << 20
KINDS: Mapping[str, str] = {
    **dict.fromkeys((".md", ".markdown", ".mdown"), "markdown"),
    **dict.fromkeys((".txt", ".text"), "text"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    ".pdf": "pdf",
    ".docx": "docx",
    ".epub": "epub",
}
KNOWN = "Markdown, text, HTML, PDF, DOCX, EPUB"
# Documents of kinds that are not read: leaving them out without a word would lose half a folder.
_UNREAD_SUFFIXES = """
    .doc .dot .odt .rtf .pages .wpd .ppt .pptx .odp .key .xls .xlsx .ods .numbers .mobi .azw .azw3 .djvu .ps .tex .rst
"""
_UNREAD = frozenset(_UNREAD_SUFFIXES.split())


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read. ``name`` is what a person calls it: its path within the folder that was named."""

    path: Path
    name: str


def find_files(paths: Iterable[Path]) -> tuple[list[SourceFile], list[Phrase]]:
    """Documents among the paths and in the folders among them, in a stable order, each once; and what is left out.

    Hidden files and links out of a folder are passed over. Raises UsageError for a path that is not there.
    """
    found: dict[Path, SourceFile] = {}
    left_out: list[Phrase] = []
    for path in paths:
        if not path.exists():
            raise UsageError("source_missing", path=str(path))
        if not path.is_dir():
            found.setdefault(path.resolve(), SourceFile(path, path.name))
            continue
        for file in _walk(path):
            suffix = file.suffix.lower()
            if suffix in KINDS:
                found.setdefault(file.resolve(), SourceFile(file, file.relative_to(path).as_posix()))
            elif suffix in _UNREAD:
                name = file.relative_to(path).as_posix()
                left_out.append(Phrase("source_kind", {"file": name, "known": KNOWN}))
    return list(found.values()), left_out


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place) / name
            if not name.startswith((".", "~$")) and file.is_file() and not file.is_symlink():
                yield file


def check_document(path: Path) -> Path:
    """The path of a file whose kind is read and whose size is reasonable. Raises UsageError for another one."""
    if path.suffix.lower() not in KINDS:
        raise UsageError("source_kind", file=path.name, known=KNOWN)
    if path.stat().st_size > MOST_BYTES:
        raise UsageError(
            "source_left_out", file=path.name, reason=SourceError("source_large", limit_mb=MOST_BYTES >> 20)
        )
    return path


def load(file: SourceFile) -> tuple[str, bytes]:
    """SHA-256 and bytes of a file. Raises SourceError where it cannot be read or is too large."""
    try:
        with open_regular(file.path) as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise SourceError("file_unreadable", file=file.name, reason=error.strerror or str(error)) from error
    if len(data) > MOST_BYTES:
        raise SourceError("source_large", limit_mb=MOST_BYTES >> 20)
    return hashlib.sha256(data).hexdigest(), data


def read(file: SourceFile, data: bytes) -> SourceDocument:
    """What the file says. Raises SourceError saying why it cannot be used."""
    kind = KINDS.get(file.path.suffix.lower(), "text")  # a file named by itself may be text of any name
    document = _read(kind, file, data)
    if not document.says_something:
        raise SourceError("source_empty")
    return document


def _read(kind: str, file: SourceFile, data: bytes) -> SourceDocument:
    if data.startswith(b"%PDF-"):
        kind = "pdf"
    match kind:
        case "pdf":
            from composer.sources.pdf import read_pdf

            return read_pdf(data)
        case "docx":
            from composer.sources.docx import read_docx

            return read_docx(data)
        case "epub":
            from composer.sources.epub import read_epub

            return read_epub(data)
        case "html":
            from composer.sources.html import read_html

            return read_html(data, lambda address: _beside(file.path, address))
        case "markdown":
            from composer.sources.plain_text import read_markdown

            return read_markdown(data, lambda address: _beside(file.path, address))
        case _:
            from composer.sources.plain_text import read_text

            return read_text(data)


def _beside(document: Path, address: str) -> bytes:
    """A picture in the document's folder or below, by its address in the document; nothing for any other."""
    folder = document.parent.resolve()
    try:
        path = (folder / address).resolve()
        if not address or ":" in address or not path.is_relative_to(folder) or path.stat().st_size > MOST_BYTES:
            return b""
        with open_regular(path) as stream:
            return stream.read()
    except (OSError, ValueError):
        return b""
