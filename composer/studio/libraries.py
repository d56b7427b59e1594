"""The libraries a page offers: opened, browsed, searched, indexed and put right, beside the articles being made.

Records are read through a connection of its own; whatever searches the library for an article sees changes at once.
Knows no widgets and no HTML.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.errors import UsageError
from composer.studio.models import Studio
from composer.studio.studio_trouble import settled
from image_db.errors import LibraryMissing

if TYPE_CHECKING:
    from image_db.files import Failure
    from image_db.indexing import IndexReport
    from image_db.metadata.record import ImageRecord

PAGE_PICTURES = 24
SEARCHED_PICTURES = 96
FIELDS = ("caption", "caption_zh", "alt", "tags", "author", "license", "source_url")
MAX_FIELD_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class OfferedLibrary:
    """A library as it is offered: its folder, its name and how many pictures it holds."""

    folder: Path
    name: str
    pictures: int

    @property
    def label(self) -> str:
        return f"{self.name} ({self.pictures:,})"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One page of pictures; ``matches`` counts them all, ``page`` starts at 0."""

    records: tuple[ImageRecord, ...]
    page: int
    pages: int
    matches: int


@dataclass(slots=True)
class Indexing:
    """An indexing run: ``stage`` is "waiting", "fetching", "loading", "indexing" or "over"."""

    folder: Path
    stage: str = "waiting"
    what: str = ""
    done: int = 0
    total: int = 0
    report: IndexReport | None = None
    trouble: Exception | None = None


class Shelves:
    """Threads may share one. ``folders`` are those given at the start; new libraries are made under ``home``."""

    def __init__(self, studio: Studio, folders: Sequence[Path], home: Path) -> None:
        self._studio = studio
        self._home = home
        self._lock = threading.Lock()
        self._folders = list(dict.fromkeys(folder.expanduser().absolute() for folder in folders))
        self.indexing: Indexing | None = None

    def shelves(self) -> list[OfferedLibrary]:
        """Those given first, then those made here; one that is gone is left out."""
        from image_db.library import Library

        made = sorted(path.parent for path in self._home.glob("*/catalog.sqlite")) if self._home.is_dir() else []
        found = []
        for folder in dict.fromkeys([*self._folders, *made]):
            try:
                with Library.open(folder, None) as library:
                    found.append(OfferedLibrary(folder, folder.name, len(library)))
            except LibraryMissing:
                continue
        return found

    def known(self, folder: str) -> Path:
        """A folder that is offered. Raises UsageError for any other: a page names libraries, not paths."""
        for shelf in self.shelves():
            if str(shelf.folder) == folder:
                return shelf.folder
        raise UsageError("that library is not offered here; index a folder first", "library_unknown")

    # Looking

    def browse(self, folder: str, words: str, page: int) -> Leaf:
        """Everything in the order in which it was added, or what fits the words, best first."""
        from image_db.library import Library

        path = self.known(folder)
        if words.strip():
            records = self._searched(path, words.strip())
            start = page * PAGE_PICTURES
            return _leaf(records[start : start + PAGE_PICTURES], page, len(records))
        with Library.open(path, None) as library:
            ids = library.matrix().ids
            start = page * PAGE_PICTURES
            return _leaf(library.get(ids[start : start + PAGE_PICTURES]), page, len(ids))

    def _searched(self, folder: Path, words: str) -> list[ImageRecord]:
        from retrieval.candidates import Query

        searcher = self._studio.models().pipeline(folder).searcher
        return [c.record for c in searcher.search(Query(caption=words), SEARCHED_PICTURES)]

    def record(self, folder: str, image_id: str) -> ImageRecord:
        from image_db.library import Library

        with Library.open(self.known(folder), None) as library:
            return library.record(image_id)

    def failures(self, folder: str) -> list[Failure]:
        from image_db.library import Library

        with Library.open(self.known(folder), None) as library:
            return library.failures()

    # Putting right

    def describe(self, folder: str, image_id: str, values: Mapping[str, Any]) -> ImageRecord:
        """Other words for a picture, at once searchable. Raises UsageError for a field that is not one."""
        from image_db.library import Library
        from image_db.metadata.description import sentence

        given = {name: _field(values, name) for name in FIELDS if name in values}
        encoder = self._studio.models().encoder
        with Library.open(self.known(folder), encoder.identity) as library:
            record = edited_record(library.record(image_id), given)
            said = sentence(record, encoder.languages)
            library.update_text(record, encoder.encode_sentences([said])[0] if said else None)
            return library.record(image_id)

    # Indexing

    def index(self, pictures: str, name: str) -> Indexing:
        """Bring the library of that name up to date with a folder of pictures, in a thread of its own.

        Raises UsageError where the folder is missing, or while another run goes on.
        """
        source = Path(pictures).expanduser()
        if not pictures.strip() or not source.is_absolute():
            raise UsageError(
                f"{pictures.strip() or 'nothing'} is not the full path of a folder, like /home/me/Pictures",
                "folder_relative",
                given=pictures.strip(),
            )
        if not source.is_dir():
            raise UsageError(
                f"{source} is not a folder on this machine; check the path", "folder_missing", folder=source
            )
        folder = self._folder_of(name or source.name)
        return self._begin(folder, lambda _: [source])

    def index_sample(self) -> Indexing:
        """Fetch the sample's photographs and index them."""
        from image_db.sample.build import fetch_sample
        from vision.downloads.store import home

        folder = self._home / "sample"

        def fetch(run: Indexing) -> list[Path]:
            def progress(what: str, done: int, total: int) -> None:
                run.what, run.done, run.total = what, done, total

            run.stage = "fetching"
            fetch_sample(folder / "pictures", home() / "downloads", progress)
            return [folder / "pictures"]

        return self._begin(folder, fetch)

    def _folder_of(self, name: str) -> Path:
        for shelf in self.shelves():
            if shelf.name == name:
                return shelf.folder
        plain = re.sub(r"[^\w-]+", "-", name).strip("-")[:60]
        if not plain:
            raise UsageError("give the library a name of letters or digits", "name_wrong")
        return self._home / plain

    def _begin(self, folder: Path, sources: Callable[[Indexing], list[Path]]) -> Indexing:
        with self._lock:
            if self.indexing is not None and self.indexing.stage != "over":
                raise UsageError("a folder is being indexed already; wait until it is done", "indexing_already")
            run = self.indexing = Indexing(folder)

        def settle(trouble: Exception | None) -> None:
            run.trouble, run.stage = trouble, "over"

        def work() -> None:
            with settled(settle):
                self._index(run, sources(run))

        threading.Thread(target=work, daemon=True, name="vignette-index").start()
        return run

    def _index(self, run: Indexing, sources: list[Path]) -> None:
        from image_db.indexing import index_paths
        from image_db.library import Library

        run.stage, run.done, run.total = "loading", 0, 0
        encoder = self._studio.models().encoder

        def progress(done: int, total: int) -> None:
            run.done, run.total = done, total

        with Library.open_or_create(run.folder, encoder.identity) as library:
            run.stage = "indexing"
            run.report = index_paths(library, encoder, sources, progress=progress)
        with self._lock:
            if run.folder not in self._folders:
                self._folders.append(run.folder)


def edited_record(record: ImageRecord, given: Mapping[str, str]) -> ImageRecord:
    """The record with the fields that were given; a caption a person wrote is no longer a model's."""
    captions = dict(record.captions)
    if "caption_zh" in given:
        captions.pop("zh", None)
        if given["caption_zh"]:
            captions["zh"] = given["caption_zh"]
    caption = given.get("caption", record.caption)
    return replace(
        record,
        caption=caption,
        caption_origin="given" if caption != record.caption else record.caption_origin,
        captions=tuple(sorted(captions.items())),
        alt=given.get("alt", record.alt),
        tags=tuple(tag.strip() for tag in re.split(r"[,，、]", given["tags"]) if tag.strip())
        if "tags" in given
        else record.tags,
        author=given.get("author", record.author),
        license=given.get("license", record.license),
        source_url=given.get("source_url", record.source_url),
    )


def _field(values: Mapping[str, Any], name: str) -> str:
    value = values[name]
    if not isinstance(value, str) or len(value) > MAX_FIELD_CHARS:
        raise UsageError(
            f"{name} is not a text of at most {MAX_FIELD_CHARS:,} characters",
            "field_wrong",
            most=f"{MAX_FIELD_CHARS:,}",
        )
    return " ".join(value.split())


def _leaf(records: Sequence[ImageRecord], page: int, matches: int) -> Leaf:
    return Leaf(tuple(records), page, max(1, -(-matches // PAGE_PICTURES)), matches)


def offered_folders(given: Sequence[Path] | None) -> list[Path]:
    """The folders of the libraries to offer: those given, else the sample library if it is there.

    Raises LibraryError for one that was given and cannot be opened.
    """
    from image_db.library import Library
    from image_db.sample.build import sample_folder

    found = []
    for folder in given or [sample_folder()]:
        try:
            with Library.open(folder, None) as library:
                found.append(library.folder)
        except LibraryMissing:
            if given:
                raise
    return found
