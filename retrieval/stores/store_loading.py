"""Fills a library in a database from pictures that are encoded already: another library, or shards of an index run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, zip_longest
from pathlib import Path
from typing import TypeAlias

import numpy as np

from image_db.errors import LibraryError, LibraryMissing
from image_db.library import Library, NewImage
from image_db.metadata.record import ImageRecord
from image_db.stores.addresses import is_address
from image_db.stores.milvus_library import MilvusLibrary, StoredPicture, StoreFacts
from image_db.stores.milvus_writer import MilvusWriter
from image_db.stores.opening import AnyLibrary, open_library
from retrieval.stores.store_filters import LISTED_VALUES, filter_fields
from retrieval.stores.store_words import WordStatistics, words_of
from vision import own_version
from vision.errors import Phrase
from vision.interfaces import EncoderIdentity

Progress: TypeAlias = Callable[[int, int], None]
_ADD_PICTURES = 1_000


@dataclass(frozen=True, slots=True)
class CopyReport:
    """How many pictures were copied, and how the copy differs from its source: not at all, if all is well."""

    pictures: int
    differences: tuple[Phrase, ...]


def load_store(
    where: Path | str,
    encoder: EncoderIdentity,
    read: Callable[[], Iterable[StoredPicture]],
    progress: Progress | None = None,
) -> int:
    """Make what ``read`` gives the library at ``where``, in place of what it held; returns how many pictures.

    ``read`` is called twice: words are counted before they are weighed. A picture that comes again is left out.
    Readers see the old library until the new one is whole. Raises LibraryError.
    """
    values: dict[str, set[str]] = {name: set() for name in LISTED_VALUES}
    with_text = 0

    def counted() -> Iterator[ImageRecord]:
        nonlocal with_text
        for picture in _once(read()):
            own = filter_fields(picture.record)
            for name, known in values.items():
                known.update((own[name],) if isinstance(own[name], str) else own[name])
            with_text += picture.textual is not None
            yield picture.record

    statistics = WordStatistics.of(counted())
    writer = MilvusWriter(where, encoder, statistics.n)
    try:
        for done, picture in enumerate(_once(read()), 1):
            words = words_of(picture.record, statistics)
            writer.add(
                picture._replace(
                    terms=tuple(words.weights),
                    weights=words.sparse,
                    information=words.information,
                    surest=words.surest,
                    filtered=filter_fields(picture.record),
                )
            )
            if progress is not None:
                progress(done, statistics.n)
        facts = StoreFacts(
            encoder=encoder,
            pictures=statistics.n,
            with_text=with_text,
            mean_length=statistics.mean_length,
            created_with=f"vignette {own_version()}",
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        writer.finish(facts, statistics.counts, {name: sorted(known) for name, known in values.items()})
    except BaseException:
        writer.abandon()
        raise
    return statistics.n


def _once(pictures: Iterable[StoredPicture]) -> Iterator[StoredPicture]:
    seen: set[str] = set()
    for picture in pictures:
        if picture.record.id not in seen:
            seen.add(picture.record.id)
            yield picture


def copy_library(source: Path | str, target: Path | str, progress: Progress | None = None) -> CopyReport:
    """Copy a library to a folder or a database that holds none, and compare the copy with it, picture by picture.

    Pictures that are gone from their folders stay behind. Raises LibraryError.
    """
    with open_library(source) as origin:
        _refuse_existing(target)
        if is_address(target):
            load_store(target, origin.encoder, lambda: pictures_of(origin), progress)
        else:
            _fill_folder(target, origin, progress)
        with open_library(target) as copy:
            return CopyReport(len(copy), tuple(differences(origin, copy)))


def pictures_of(library: AnyLibrary) -> Iterator[StoredPicture]:
    """Every picture that can be shown, with its vectors, in the library's order."""
    if isinstance(library, MilvusLibrary):
        yield from library.pictures()
        return
    view = library.matrix()
    hashes = library.phashes()
    for row, record in enumerate(library.records()):
        if record.id != view.ids[row]:
            raise LibraryError("library_changed_meanwhile", library=str(library.folder))
        textual = np.asarray(view.textual[row]) if view.has_text[row] else None
        yield StoredPicture(record, np.asarray(view.visual[row]), textual, hashes.get(record.id))


def differences(one: AnyLibrary, other: AnyLibrary) -> Iterator[Phrase]:
    """Where two libraries say different things, the first few of each kind."""
    missing = object()
    told: dict[str, int] = {}
    for a, b in zip_longest(pictures_of(one), pictures_of(other), fillvalue=missing):
        key = ""
        if not isinstance(a, StoredPicture) or not isinstance(b, StoredPicture):
            key = "copy_other_count"
        elif a.record != b.record or a.phash != b.phash:
            key = "copy_other_record"
        elif not np.array_equal(a.visual, b.visual) or not _equal(a.textual, b.textual):
            key = "copy_other_vector"
        if key:
            told[key] = told.get(key, 0) + 1
    for key, count in told.items():
        yield Phrase(key, {"count": count})


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other if one is None or other is None else bool(np.array_equal(one, other))


def _refuse_existing(target: Path | str) -> None:
    try:
        open_library(target).close()
    except LibraryMissing:
        return
    raise LibraryError("library_exists", folder=str(target))


def _fill_folder(target: Path | str, origin: AnyLibrary, progress: Progress | None) -> None:
    pictures, done = pictures_of(origin), 0
    with Library.create(Path(target), origin.encoder) as library:
        while part := list(islice(pictures, _ADD_PICTURES)):
            library.add([NewImage(p.record, p.visual, p.textual, p.phash) for p in part])
            done += len(part)
            if progress is not None:
                progress(done, len(origin))
