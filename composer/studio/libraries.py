"""The libraries that a page offers: browsed, searched, indexed and corrected, beside the articles being made.

A library is named, never its folder. A page reads records through a connection of its own; whatever searches the
library for an article sees changes at once.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.errors import UsageError
from composer.export.sanitizing import encodable
from composer.studio.job_queue import report_outcome
from composer.studio.models import StudioModels
from image_db.errors import LibraryMissing
from image_db.stores.addresses import settled

if TYPE_CHECKING:
    from image_db.files import Failure
    from image_db.indexing import IndexReport
    from image_db.metadata.generate import DescribeReport
    from image_db.metadata.record import ImageRecord
    from vision.errors import Phrase

PAGE_PICTURES = 24
SEARCHED_PICTURES = 96
SIMILAR_PICTURES = 48
MOST_AT_ONCE = 500
MAX_FIELD_CHARS = 2_000
MAX_NAME_CHARS = 80  # of a file or folder: no more bytes than any system takes
MAX_LEVELS = 12  # of folders in a folder that is dropped
# What no system takes in a file's name, or some take as more than a name.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')


@dataclass(frozen=True, slots=True)
class OfferedLibrary:
    """A library as it is offered; no two have the same name."""

    folder: Path
    name: str
    pictures: int

    @property
    def label(self) -> str:
        return f"{self.name} ({self.pictures:,})"


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of pictures; ``matches`` counts them all, ``page`` starts at 0.

    ``alike`` says of how many others found a picture stands for, by its id; ``like`` is the picture that those found
    look like; ``hidden`` counts the library's pictures that a person hid.
    """

    records: tuple[ImageRecord, ...]
    page: int
    pages: int
    matches: int
    alike: Mapping[str, int] = field(default_factory=dict)
    like: ImageRecord | None = None
    hidden: int = 0


@dataclass(slots=True)
class IndexingRun:
    """``stage`` is "waiting", "fetching", "loading", "indexing", "drafting" or "over"; ``name`` is the library's then.

    ``drafted`` is what came of pictures without words, or why they have no drafts; None where all had some.
    """

    folder: Path
    stage: str = "waiting"
    what: str = ""
    done: int = 0
    total: int = 0
    name: str = ""
    report: IndexReport | None = None
    drafted: DescribeReport | Phrase | None = None
    error: Exception | None = None


class OfferedLibraries:
    """Threads may share one. ``folders`` are those given at the start; new libraries are made under ``home``.

    Where others than this machine's owner reach the page, ``roots`` are the folders whose pictures they may index, and
    they name them without the way there; None lets any folder be indexed and the sample be fetched.
    """

    def __init__(
        self, models: StudioModels, folders: Sequence[Path], home: Path, roots: Sequence[Path] | None = None
    ) -> None:
        self._models = models
        self._home = home
        self._lock = threading.Lock()
        self._folders = list(dict.fromkeys(settled(folder) for folder in folders))
        self.roots = None if roots is None else _named([root.expanduser().resolve() for root in roots])
        self.indexing: IndexingRun | None = None

    def offered(self) -> list[OfferedLibrary]:
        """Those given first, then those made here; one that is gone is left out."""
        from image_db.stores.opening import open_library

        made = sorted(path.parent for path in self._home.glob("*/catalog.sqlite")) if self._home.is_dir() else []
        pictures = {}
        for folder in dict.fromkeys([*self._folders, *made]):
            with suppress(LibraryMissing), open_library(folder) as library:
                pictures[folder] = len(library)
        return [OfferedLibrary(folder, name, pictures[folder]) for name, folder in _named(list(pictures)).items()]

    def find(self, name: str) -> OfferedLibrary:
        """The library of that name, the first one for an empty name. Raises UsageError where none is offered so."""
        offered = self.offered()
        for library in offered:
            if name in ("", library.name):
                return library
        raise UsageError("library_unknown", name=name[:80], known=[library.name for library in offered])

    # Looking

    def browse(
        self, name: str, words: str, page: int, *, apart: bool = False, like: str = "", hidden: bool = False
    ) -> RecordPage:
        """Everything in the order in which it was added, or what fits the words, best first.

        Of pictures that look the same the first stands for all, unless they are shown ``apart``. ``like`` is the id of
        a picture: those that look most like it; ``hidden`` shows those that a person hid.
        """
        from composer.pipeline.typed_words import readable_query
        from image_db.library import Library
        from image_db.stores.opening import open_library
        from retrieval.results import results

        alike: dict[str, int] = {}
        records: Sequence[ImageRecord] = ()
        folder, matches, example = self.find(name).folder, 0, None
        shown = slice(page * PAGE_PICTURES, (page + 1) * PAGE_PICTURES)
        with open_library(folder) as library:
            hidden_count = library.hidden_count if isinstance(library, Library) else 0
            if hidden:
                kept_out = library.hidden() if isinstance(library, Library) else []
                records, matches = kept_out[shown], len(kept_out)
            elif like:
                example = library.record(like)
            elif not words.strip():
                records, matches = library.page(shown.start, PAGE_PICTURES), len(library)
        if example is not None:
            similar = self._like(folder, example)
            records, matches = similar[shown], len(similar)
        elif words.strip() and not hidden:
            pipeline = self._models.pipeline(folder)
            query = readable_query(words, pipeline.encoder, lambda: pipeline.model)
            with self._models.metrics.searching():
                found = results(pipeline.searcher, pipeline.library, query, SEARCHED_PICTURES, together=not apart)
            records, matches = [result.candidate.record for result in found[shown]], len(found)
            alike = {result.candidate.record.id: len(result.alike) for result in found[shown] if result.alike}
        pages = max(1, -(-matches // PAGE_PICTURES))
        return RecordPage(tuple(records), page, pages, matches, alike, example, hidden_count)

    def _like(self, folder: Path, record: ImageRecord) -> list[ImageRecord]:
        """The pictures that look most like one of the library, which itself is left out."""
        from composer.pipeline.remote_pictures import brought
        from composer.pipeline.reranking import LOOK_PX
        from retrieval.candidates import Candidate, Query
        from vision.images import load_image

        pipeline = self._models.pipeline(folder)
        at_hand = brought([Candidate(record, 0.0, 0.0, 0.0)], set())
        if not at_hand:
            raise UsageError("picture_not_at_hand", name=record.path.name)
        query = Query(example=load_image(at_hand[0].record.path, target_px=LOOK_PX))
        with self._models.metrics.searching():
            found = pipeline.searcher.find(query, SIMILAR_PICTURES + 1)
        return [candidate.record for candidate in found if candidate.record.id != record.id][:SIMILAR_PICTURES]

    def record(self, name: str, image_id: str) -> ImageRecord:
        from image_db.stores.opening import open_library

        with open_library(self.find(name).folder) as library:
            return library.record(image_id)

    def failures(self, name: str) -> list[Failure]:
        from image_db.stores.opening import open_library

        with open_library(self.find(name).folder) as library:
            return library.failures()

    # Correcting

    def describe(self, name: str, image_id: str, values: Mapping[str, Any]) -> ImageRecord:
        """Other words for a picture, at once searchable. Raises UsageError for a field that is not one."""
        from image_db.corrections import FIELDS, correct
        from image_db.library import Library

        given = {field: _field(values, field) for field in FIELDS if field in values}
        encoder = self._models.loaded().encoder
        with Library.open(self.find(name).folder, encoder.identity) as library:
            return correct(library, encoder, image_id, given)

    def keep_draft(self, name: str, image_id: str) -> ImageRecord:
        """The words that were drafted for a picture are a person's own from now on."""
        from image_db.corrections import keep_draft
        from image_db.library import Library

        encoder = self._models.loaded().encoder
        with Library.open(self.find(name).folder, encoder.identity) as library:
            return keep_draft(library, encoder, image_id)

    def describe_all(self, name: str, image_ids: Sequence[str], values: Mapping[str, Any]) -> int:
        """The same words for several pictures, and how many there are: what is left empty stays, tags are added to
        those that are there. Raises UsageError for a field that is not one."""
        from image_db.corrections import FIELDS, correct, fields_of
        from image_db.library import Library

        given = {field: text for field in FIELDS if field in values and (text := _field(values, field))}
        encoder = self._models.loaded().encoder
        with Library.open(self.find(name).folder, encoder.identity) as library, library.transaction():
            for record in library.get(_at_once(image_ids)):
                own = dict(given)
                if "tags" in own and (there := fields_of(record)["tags"]):
                    own["tags"] = f"{there}, {own['tags']}"
                correct(library, encoder, record.id, own)
        return len(image_ids)

    def hide(self, name: str, image_ids: Sequence[str], hidden: bool) -> int:
        """Keep pictures from being shown and found, or let them be again; their files stay. Returns how many."""
        from image_db.library import Library

        with Library.open(self.find(name).folder) as library:
            library.hide(_at_once(image_ids), hidden)
        return len(image_ids)

    def delete(self, name: str, image_ids: Sequence[str]) -> int:
        """Remove pictures and their files for good, which must lie in the library's own folder. Returns how many.

        Raises UsageError, before anything is removed, where a file lies elsewhere, and for visitors.
        """
        from image_db.library import Library

        if self.roots is not None:
            raise UsageError("deleting_not_here")
        folder = self.find(name).folder
        own = (folder / "pictures").resolve()
        with Library.open(folder) as library:
            files = {record.id: library.files.of(record.id) for record in library.get(_at_once(image_ids))}
            every = [path for paths in files.values() for path in paths]
            elsewhere = [path.name for path in every if not path.resolve().is_relative_to(own)]
            if elsewhere:
                raise UsageError("delete_elsewhere", count=len(elsewhere), first=elsewhere[0])
            for path in every:
                _unlink(path)
            library.remove(files)
        return len(files)

    # Indexing

    def index(self, pictures: str, name: str) -> IndexingRun:
        """Bring the library of that name up to date with a folder of pictures, in a thread of its own.

        Raises UsageError where the folder is missing or not to be indexed, or while another run goes on.
        """
        source = self._source(pictures.strip().replace("\0", ""))
        folder = self._folder_of(name or source.name)
        return self._begin(folder, lambda _: source)

    def add_file(self, name: str, file: Path, relative: str) -> None:
        """Keep a file that was sent in the library's own folder; ``index_added`` takes what was kept into the library.

        ``relative`` is its path within the folder that a person dropped. A file of that name with other content stays.
        Raises UsageError for what is neither a picture nor beside one, and where visitors may not add any.
        """
        target = self._added_to(name) / _safe_path(relative)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            number, first = 2, target
            while target.exists():
                if filecmp.cmp(file, target, shallow=False):
                    return
                target, number = first.with_stem(f"{first.stem} ({number})"), number + 1
            shutil.move(file, target)
        except OSError as error:
            raise UsageError("picture_not_added", name=first.name, reason=error.strerror or str(error)) from error

    def index_added(self, name: str) -> IndexingRun:
        """Take what ``add_file`` kept into the library. Raises UsageError as ``index`` does."""
        pictures = self._added_to(name)
        if not pictures.is_dir():
            raise UsageError("no_pictures_added")
        return self._begin(pictures.parent, lambda _: pictures)

    def _added_to(self, name: str) -> Path:
        if self.roots is not None:
            raise UsageError("adding_not_here")
        return self._folder_of(name) / "pictures"

    def index_sample(self) -> IndexingRun:
        """Fetch the sample's photographs and index them. Raises UsageError where visitors may not start that."""
        from image_db.sample.build import fetch_sample
        from vision.downloads.store import home

        if self.roots is not None:
            raise UsageError("sample_not_here")
        folder = self._home / "sample"

        def fetch(run: IndexingRun) -> Path:
            def progress(what: str, done: int, total: int) -> None:
                run.what, run.done, run.total = what, done, total

            run.stage = "fetching"
            fetch_sample(folder / "pictures", home() / "downloads", progress)
            return folder / "pictures"

        return self._begin(folder, fetch)

    def _source(self, pictures: str) -> Path:
        if self.roots is None:
            source = Path(pictures).expanduser()
            if not pictures or not source.is_absolute():
                raise UsageError("folder_relative", given=pictures)
            if not source.is_dir():
                raise UsageError("folder_missing", folder=str(source))
            return source
        root, *below = Path(pictures).parts or ("",)
        if root not in self.roots:
            raise UsageError("folder_not_offered", folder=pictures[:200], known=list(self.roots))
        source = self.roots[root].joinpath(*below)
        if not self._inside(source) or not source.is_dir():
            raise UsageError("folder_not_offered", folder=pictures[:200], known=list(self.roots))
        for folder, folders, files in os.walk(source):
            for entry in (*folders, *files):
                path = Path(folder, entry)
                if path.is_symlink() and not self._inside(path):
                    raise UsageError("folder_leads_out", link=entry)
        return source

    def _inside(self, path: Path) -> bool:
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # a link to itself
            return False
        return any(real.is_relative_to(root) for root in (self.roots or {}).values())

    def _folder_of(self, name: str) -> Path:
        for library in self.offered():
            if library.name == name:
                return library.folder
        plain = re.sub(r"[^\w-]+", "-", name).strip("-")[:60]
        if not plain:
            raise UsageError("name_wrong")
        return self._home / plain

    def _begin(self, folder: Path, source: Callable[[IndexingRun], Path]) -> IndexingRun:
        with self._lock:
            if self.indexing is not None and self.indexing.stage != "over":
                raise UsageError("indexing_already")
            run = self.indexing = IndexingRun(folder)

        def ended(error: Exception | None) -> None:
            run.error, run.stage = error, "over"

        def work() -> None:
            with report_outcome(ended):
                self._index(run, source(run))

        threading.Thread(target=work, daemon=True, name="vignette-index").start()
        return run

    def _index(self, run: IndexingRun, source: Path) -> None:
        from composer.pipeline.wordless import draft_unasked
        from image_db.indexing import index_paths
        from image_db.library import Library

        run.stage, run.done, run.total = "loading", 0, 0
        models = self._models.loaded()
        encoder = models.encoder

        def progress(done: int, total: int) -> None:
            run.done, run.total = done, total

        with Library.open_or_create(run.folder, encoder.identity) as library, library.writing():
            run.stage = "indexing"
            run.report = index_paths(library, encoder, [source], progress=progress)
            run.stage, run.done, run.total = "drafting", 0, 0
            run.drafted = draft_unasked(library, encoder, models.draft, progress)
        with self._lock:
            if run.folder not in self._folders:
                self._folders.append(run.folder)
        run.name = next((library.name for library in self.offered() if library.folder == run.folder), "")


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    """The folders by their names; of several with one name the later ones are numbered."""
    named: dict[str, Path] = {}
    for folder in folders:
        name, number = folder.name, 2
        while name in named:
            name, number = f"{folder.name} ({number})", number + 1
        named[name] = folder
    return named


def _safe_path(relative: str) -> Path:
    """A path within a folder from what a browser calls a file. Raises UsageError for a file of no kind that is used."""
    from image_db.scan import is_wanted_name

    parts = [_UNSAFE.sub("_", part).strip() for part in re.split(r"[/\\]", encodable(relative))]
    parts = [part for part in parts if part.strip(".")][-MAX_LEVELS:]
    if not parts or not is_wanted_name(parts[-1]):
        raise UsageError("not_a_picture_file", name=(parts or [""])[-1][:MAX_NAME_CHARS])
    name = Path(parts.pop())
    return Path(
        *(part[:MAX_NAME_CHARS] for part in parts), name.stem[: MAX_NAME_CHARS - len(name.suffix)] + name.suffix
    )


def _at_once(image_ids: Sequence[str]) -> list[str]:
    if not image_ids:
        raise UsageError("nothing_chosen")
    if len(image_ids) > MOST_AT_ONCE:
        raise UsageError("too_many_chosen", count=len(image_ids), most=MOST_AT_ONCE)
    return list(dict.fromkeys(image_ids))


def _unlink(path: Path) -> None:
    """Remove a picture's file and the files of its name that describe it."""
    from image_db.scan import SIDECAR_SUFFIXES

    try:
        path.unlink(missing_ok=True)
        for suffix in SIDECAR_SUFFIXES:
            path.with_suffix(suffix).unlink(missing_ok=True)
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError("picture_not_deleted", name=path.name, reason=error.strerror or str(error)) from error


def _field(values: Mapping[str, Any], name: str) -> str:
    value = values[name]
    if not isinstance(value, str) or len(value) > MAX_FIELD_CHARS:
        raise UsageError("field_wrong", name=name, most=MAX_FIELD_CHARS)
    return " ".join(value.split())
