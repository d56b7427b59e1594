"""One article in one format as bytes, in a folder, or as one zip: what the commands and the page call.

Everything is made in memory and written last, so that a missing picture leaves nothing half-written behind. Knows the
formats by name only; each is a module of its own, imported when it is asked for.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from composer.article.model import Article
from composer.errors import ExportError, OutputExists
from composer.export import FORMATS, unknown_format
from composer.export.picture_export import ExportedPictureSettings, PictureFile, Pictures
from composer.export.picture_files import slug
from composer.export.picture_urls import IMAGES_DIR, carried, embedded
from composer.export.sanitizing import printable_article
from composer.export.zipping import packed

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
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Download:
    """An export as one file to hand out, named after the article."""

    name: str
    media_type: str
    data: bytes
    notes: tuple[str, ...] = ()


def export(
    article: Article,
    format_: str,
    file_of: PictureFile,
    *,
    settings: ExportedPictureSettings | None = None,
    made: datetime | None = None,
    pictures: Pictures | None = None,
) -> Exported:
    """The article in one format, as ``article.EXT`` (and ``images/NAME`` beside Markdown).

    ``file_of`` says where a picture's file is (``pictures.in_folder`` or ``pictures.in_library``); ``pictures`` may be
    shared by several formats instead. ``made`` is the date in the file, now by default. Raises UsageError for a format
    that is not known, ImageError naming a picture that is missing or damaged, ExportError where a library that the
    format needs is missing or refuses.
    """
    if format_ not in FORMATS:
        raise unknown_format([format_])
    pictures = pictures or Pictures(article, file_of, settings)
    whole_seconds = (made or datetime.now(UTC)).replace(microsecond=0)
    try:
        return _export(article, format_, pictures, whole_seconds)
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
    package = {"docx": "python-docx"}.get(library, library)
    return ExportError(
        f"--format {format_} needs the Python package {package}, which is not installed; run: pip install {package}"
    )


def export_all(
    article: Article,
    formats: Sequence[str],
    file_of: PictureFile,
    *,
    settings: ExportedPictureSettings | None = None,
    made: datetime | None = None,
) -> list[Exported]:
    """Several formats; each picture is made ready once."""
    made = made or datetime.now(UTC)
    pictures = Pictures(article, file_of, settings)
    return [export(article, format_, file_of, made=made, pictures=pictures) for format_ in formats]


def download(
    article: Article,
    formats: Sequence[str],
    file_of: PictureFile,
    *,
    settings: ExportedPictureSettings | None = None,
    made: datetime | None = None,
) -> Download:
    """The article as one file named after its title: the format's own, or a zip for Markdown and several formats."""
    exports = export_all(article, formats, file_of, settings=settings, made=made)
    stem = slug(printable_article(article).title, max_chars=60) or "article"
    notes = tuple(note for one in exports for note in one.notes)
    if len(exports) == 1 and len(exports[0].files) == 1 and exports[0].format != "md":
        (data,) = exports[0].files.values()
        return Download(f"{stem}.{exports[0].format}", MEDIA_TYPES[exports[0].format], data, notes)
    entries = ((f"{stem}/{name}", data) for one in exports for name, data in one.files.items())
    return Download(f"{stem}.zip", "application/zip", packed(entries), notes)


def write_folder(exports: Iterable[Exported], out_dir: Path) -> list[Path]:
    """Write the files into a new or empty folder, all or none of them; the main file of each format is returned.

    Raises OutputExists for a folder in use, ExportError where the disk refuses.
    """
    out_dir = out_dir.resolve()
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise OutputExists(f"--out {out_dir} is not an empty folder; name another")
    partial = out_dir.with_name(f".{out_dir.name}.vignette-export-{os.getpid()}-{secrets.token_hex(4)}")
    main: list[Path] = []
    try:
        partial.mkdir(parents=True)
        for one in exports:
            for name, data in one.files.items():
                target = partial / name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(data)
            main.append(out_dir / f"article.{one.format}")
        if out_dir.is_dir():
            out_dir.rmdir()
        partial.rename(out_dir)
    except OSError as error:
        raise ExportError(_refused(out_dir, error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return main


def write_file(data: bytes, path: Path) -> None:
    """Write one file that does not exist yet, whole or not at all. Raises OutputExists, ExportError."""
    path = path.resolve()
    if path.exists():
        raise OutputExists(f"--out {path} exists; name another file or remove it")
    partial = path.with_name(f".{path.name}.vignette-export-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.rename(path)
    except OSError as error:
        raise ExportError(_refused(path, error)) from error
    finally:
        with contextlib.suppress(OSError):  # its folder may not even be one
            partial.unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free space there or name another place" if full else "name another place or change its permissions"
    return f"--out {path} cannot be written: {error.strerror}; {remedy}"


def _export(article: Article, format_: str, pictures: Pictures, made: datetime) -> Exported:
    from composer.export.html import summary, to_html
    from composer.export.markdown import to_markdown

    name = f"article.{format_}"
    pictures.prepare_all(article.pictures, as_they_are=format_ in ("md", "html"))
    if format_ == "html":
        return Exported(format_, {name: to_html(article, embedded(pictures)).encode("utf-8")})
    if format_ == "md":
        text = to_markdown(article, carried(pictures)).encode("utf-8")
        files = {f"{IMAGES_DIR}/{one.name}": one.data for one in map(pictures.carried, article.pictures)}
        return Exported(format_, {name: text, **files})
    described = summary(printable_article(article))
    if format_ == "epub":
        from composer.export.epub import to_epub

        return Exported(format_, {name: to_epub(article, pictures, made, described)})
    from composer.export.document_tree import to_document

    document = to_document(article)
    if format_ == "docx":
        from composer.export.docx.writer import to_docx

        return Exported(format_, {name: to_docx(document, pictures, made, described)})
    from composer.export.pdf import to_pdf

    data, notes = to_pdf(document, pictures, made, described)
    return Exported(format_, {name: data}, notes)
