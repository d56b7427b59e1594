"""The sources of an article: read once, kept beside the project by the hash of their content, searched by words and by
sentence vectors as pictures are.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from composer.article.citation import Passage, Source
from composer.article.language import text_language
from composer.errors import SourceError, UsageError
from composer.sources.document import DocumentPicture, SourceDocument
from composer.sources.passages import cut
from composer.sources.reading import SourceFile, find_files, load, read
from retrieval.lexical import LexicalIndex
from vision.downloads.files import write_atomic
from vision.errors import Phrase
from vision.interfaces import JointEncoder

CACHE_FOLDER = ".vignette-sources"
_VERSION = 1  # of what is kept; another one is read anew
_PICTURE_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif", "BMP": ".bmp"}
_LEAST_PICTURE_PX = 160
_MOST_PICTURES = 60  # of a document
_LANGUAGE_CHARS = 20_000
FIGURE_NUMBER = re.compile(r"^(?:fig(?:ure|\.)?|abb(?:ildung|\.)?|图)\s*[\d.-]+\s*[:.：]?\s*", re.IGNORECASE)
WORDS_WEIGHT = 0.15  # of shared words (nats over the root of what was asked for) beside the cosine of the vectors


@dataclass(frozen=True, slots=True)
class ReadSource:
    """One document that was read, with its passages in order and the files of its pictures.

    ``language`` is that of its text (ISO 639-1); ``unread_pages`` are scans without words.
    """

    source: Source
    language: str
    passages: tuple[Passage, ...]
    pictures: tuple[Path, ...] = ()
    unread_pages: int = 0


@dataclass(frozen=True)
class SourceCollection:
    """Passages of all sources in order, with unit vectors (n, d), and what was left out and why.

    ``vectors`` is None where the encoder does not read the language: then words alone are searched.
    """

    sources: tuple[Source, ...]
    passages: tuple[Passage, ...]
    words: LexicalIndex
    vectors: np.ndarray | None
    pictures: tuple[Path, ...] = ()
    left_out: tuple[Phrase, ...] = ()

    def relevance(self, texts: Sequence[str], encoder: JointEncoder) -> np.ndarray:
        """How much each passage has to do with each text, (texts, passages); cosines where there are vectors."""
        shared = np.stack([self.words.match(text).shared for text in texts])
        if self.vectors is None:
            return shared * WORDS_WEIGHT
        cosines: np.ndarray = encoder.encode_sentences(list(texts)) @ self.vectors.T
        return cosines + WORDS_WEIGHT * shared


def read_sources(paths: Iterable[Path], cache: Path, encoder: JointEncoder, language: str) -> SourceCollection:
    """Everything that the paths hold in the article's language.

    ``cache`` is a folder that may be deleted at any time. Raises UsageError where a path is missing or nothing is left
    to write from.
    """
    files, left_out = find_files(paths)
    found: dict[str, ReadSource] = {}
    for file in files:
        try:
            one = _read_cached(file, cache)
        except SourceError as error:
            left_out.append(Phrase("source_left_out", {"file": file.name, "reason": error}))
            continue
        found.setdefault(one.source.id, one)
    written = [one for one in found.values() if one.language in (language, "und")]
    for one in found.values():
        if one not in written:
            said = {"file": one.source.file, "language": one.language, "wanted": language}
            left_out.append(Phrase("source_other_language", said))
        elif one.unread_pages:
            left_out.append(Phrase("source_pages_scanned", {"file": one.source.file, "pages": one.unread_pages}))
    if not written:
        raise UsageError("sources_unusable", problems=left_out or [Phrase("sources_none_found")])
    readable = encoder.languages is None or language in encoder.languages
    passages = tuple(passage for one in written for passage in one.passages)
    return SourceCollection(
        sources=tuple(one.source for one in written),
        passages=passages,
        words=LexicalIndex.build([(p.text, 1.0), (p.heading, 0.5)] for p in passages),
        vectors=np.concatenate([_vectors(one, cache, encoder) for one in written]) if readable else None,
        pictures=tuple(picture for one in written for picture in one.pictures),
        left_out=tuple(left_out),
    )


def _read_cached(file: SourceFile, cache: Path) -> ReadSource:
    """Raises SourceError for a file that cannot be used."""
    sha256, data = load(file)
    folder = cache / f"{sha256}-{_VERSION}"
    kept = _kept(folder)
    if kept is None:
        document = read(file, data)
        _keep(folder, _values(sha256, document), document.pictures)
        kept = _kept(folder)
        assert kept is not None
    source = Source(sha256, file.name, kept["title"] or file.path.stem, kept["author"])
    passages = tuple(Passage(sha256, *entry) for entry in kept["passages"])
    pictures = tuple(folder / name for name in kept["pictures"])
    return ReadSource(source, kept["language"], passages, pictures, kept["unread_pages"])


def _values(sha256: str, document: SourceDocument) -> dict[str, Any]:
    sample = "\n".join(block.text for block in document.blocks)[:_LANGUAGE_CHARS]
    return {
        "title": document.title,
        "author": document.author,
        "language": text_language(sample),
        "unread_pages": document.unread_pages,
        "passages": [[p.page, p.text, p.heading] for p in cut(sha256, document)],
    }


def _kept(folder: Path) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads((folder / "document.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not read yet, or half of it was deleted
    return values if all((folder / name).is_file() for name in values["pictures"]) else None


def _keep(folder: Path, values: dict[str, Any], pictures: Sequence[DocumentPicture]) -> None:
    """Write what was read as a whole. Raises UsageError where the disk refuses."""
    partial = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    try:
        partial.mkdir(parents=True)
        names = [name for picture in pictures if (name := keep_picture(partial, picture))]
        values = {**values, "pictures": list(dict.fromkeys(names))[:_MOST_PICTURES]}
        (partial / "document.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            partial.rename(folder)
        except OSError:
            if _kept(folder) is None:  # another run was not quicker
                raise
    except OSError as error:
        raise UsageError("sources_not_kept", path=str(folder.parent), reason=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def keep_picture(folder: Path, picture: DocumentPicture) -> str:
    """Writes the picture with its words beside it and gives its name; empty for what is no picture, or an ornament."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture.data)) as image:
            suffix, size = _PICTURE_SUFFIXES.get(image.format or "", ""), min(image.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    if not suffix or size < _LEAST_PICTURE_PX:
        return ""
    name = f"{hashlib.sha256(picture.data).hexdigest()[:24]}{suffix}"
    if not (folder / name).exists():
        (folder / name).write_bytes(picture.data)
        words = {"caption": FIGURE_NUMBER.sub("", picture.caption), "alt": picture.alt}
        said = json.dumps({key: text for key, text in words.items() if text}, ensure_ascii=False)
        (folder / f"{name}.json").write_text(said, encoding="utf-8")
    return name


def _vectors(one: ReadSource, cache: Path, encoder: JointEncoder) -> np.ndarray:
    path = cache / f"{one.source.id}-{_VERSION}" / f"vectors-{encoder.identity.sha256[:16]}.npy"
    try:
        kept: np.ndarray = np.load(path, allow_pickle=False)
        if kept.shape == (len(one.passages), encoder.identity.textual_dim):
            return kept
    except (OSError, ValueError, EOFError):
        pass
    made = encoder.encode_sentences([_sentence(passage) for passage in one.passages])
    buffer = io.BytesIO()
    np.save(buffer, made)
    try:
        write_atomic(path, buffer.getvalue())
    except OSError as error:
        raise UsageError("sources_not_kept", path=str(cache), reason=error.strerror or str(error)) from error
    return made


def _sentence(passage: Passage) -> str:
    return f"{passage.heading}: {passage.text}" if passage.heading else passage.text
