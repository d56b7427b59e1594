"""One article in one format as bytes, or as one file to hand out.

Everything is made in memory, so that a missing picture leaves nothing half-written behind. Each format is a module of
its own, imported when it is asked for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from composer.article.model import Article
from composer.errors import ExportError
from composer.export import FORMATS, unknown_format
from composer.export.picture_export import Pictures
from composer.export.picture_files import IMAGES_DIR, slug
from composer.export.picture_urls import PictureUrl, carried, embedded, text_beside, text_embedded
from composer.export.sanitizing import printable_article
from composer.export.zipping import packed
from vision.errors import Phrase

_LIBRARIES = {"docx": ("docx",), "pdf": ("typst",), "epub": ("lxml",)}

MEDIA_TYPES: Mapping[str, str] = {
    "md": "application/zip",
    "html": "text/html",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pdf": "application/pdf",
    "epub": "application/epub+zip",
}


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export: one file, or for Markdown the files of a folder. ``notes`` say what could not be kept."""

    format: str
    files: Mapping[str, bytes]
    notes: tuple[Phrase, ...] = ()


@dataclass(frozen=True, slots=True)
class Download:
    """An export as one file to hand out, named after the article."""

    name: str
    media_type: str
    data: bytes
    notes: tuple[Phrase, ...] = ()


def export(
    article: Article,
    format_: str,
    pictures: Pictures,
    *,
    made: datetime | None = None,
    picture_url: PictureUrl | None = None,
) -> Exported:
    """The article in one format, as ``article.EXT`` (and ``images/NAME`` beside Markdown).

    ``made`` is the date in the file, now by default. With ``picture_url`` Markdown and HTML carry no pictures and name
    them by that address. Raises UsageError for a format that is not known, ImageError naming a picture that is missing
    or damaged, ExportError where a library that the format needs is missing or refuses.
    """
    if format_ not in FORMATS:
        raise unknown_format([format_])
    whole_seconds = (made or datetime.now(UTC)).replace(microsecond=0)
    try:
        return _export(article, format_, pictures, whole_seconds, picture_url)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _LIBRARIES.get(format_, ()):
            raise
        raise _library_missing(format_, error.name or "") from error


def check_available(formats: Iterable[str]) -> None:
    """Raise ExportError where a format's library is not installed. Ask before the work, not only after it."""
    for format_ in formats:
        for library in _LIBRARIES.get(format_, ()):
            if importlib.util.find_spec(library) is None:
                raise _library_missing(format_, library)


def _library_missing(format_: str, library: str) -> ExportError:
    return ExportError("export_needs_package", format=format_, package={"docx": "python-docx"}.get(library, library))


def download(article: Article, formats: Sequence[str], pictures: Pictures, *, made: datetime | None = None) -> Download:
    """The article as one file named after its title: the format's own, or a zip for Markdown and several formats."""
    exports = [export(article, format_, pictures, made=made) for format_ in formats]
    stem = slug(printable_article(article).title, max_chars=60) or "article"
    notes = tuple(note for one in exports for note in one.notes) + pictures.missing()
    if len(exports) == 1 and len(exports[0].files) == 1 and exports[0].format != "md":
        (data,) = exports[0].files.values()
        return Download(f"{stem}.{exports[0].format}", MEDIA_TYPES[exports[0].format], data, notes)
    entries = ((f"{stem}/{name}", data) for one in exports for name, data in one.files.items())
    return Download(f"{stem}.zip", "application/zip", packed(entries), notes)


def _export(
    article: Article, format_: str, pictures: Pictures, made: datetime, picture_url: PictureUrl | None
) -> Exported:
    from composer.export.html import summary, to_html
    from composer.export.markdown import to_markdown

    name = f"article.{format_}"
    if format_ in ("md", "html") and picture_url is not None:
        page = format_ == "html"
        text = to_html(article, picture_url, text_beside(pictures)) if page else to_markdown(article, picture_url)
        return Exported(format_, {name: text.encode("utf-8")})
    pictures.prepare_all(article.pictures, as_they_are=format_ in ("md", "html"))
    if format_ == "html":
        return Exported(format_, {name: to_html(article, embedded(pictures), text_embedded(pictures)).encode("utf-8")})
    if format_ == "md":
        files = {f"{IMAGES_DIR}/{one.name}": one.data for one in map(pictures.carried, article.pictures)}
        files = pictures.text_files() | files
        return Exported(format_, {name: to_markdown(article, carried(pictures)).encode("utf-8"), **files})
    described = summary(printable_article(article))
    if format_ == "epub":
        from composer.export.epub import to_epub

        return Exported(format_, {name: to_epub(article, pictures, made, described)})
    from composer.export.document_tree import to_document

    document = to_document(article, lambda address: pictures.of_text(address) is not None)
    if format_ == "docx":
        from composer.export.docx import to_docx

        return Exported(format_, {name: to_docx(document, pictures, made, described)})
    from composer.export.pdf import to_pdf

    data, notes = to_pdf(document, pictures, made, described)
    return Exported(format_, {name: data}, notes)
