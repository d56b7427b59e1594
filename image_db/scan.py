"""Walks folders and lists the pictures in them, in a stable order, from directory listings alone.

Opens no file: an unchanged library of 100,000 pictures is recognised by names, sizes and times. Names are compared
without case and in one Unicode form, as a file and what describes it may come from different systems.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

from image_db.files import FileStamp
from vision.errors import Phrase

_READ_FORMATS = """
    .jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .avif .jp2 .j2k .jpf .jpx .ppm .pgm .pbm .pnm
    .ico .qoi
"""
PICTURE_SUFFIXES = frozenset(_READ_FORMATS.split())
# Pictures in formats that are not read: leaving them out without a word would lose half a library.
_RAW = """
    .3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2
    .srf .srw .x3f
"""
_UNREAD_FORMATS = {
    "camera RAW": _RAW,
    "HEIC": ".heic .heics .heif .heifs .hif",
    "JPEG XL": ".jxl",
    "JPEG XR": ".jxr .hdp .wdp",
    "Photoshop": ".psd .psb",
    "SVG": ".svg .svgz",
    "PostScript": ".eps",
    "GIMP": ".xcf",
    "Targa": ".tga",
    "OpenEXR": ".exr",
}
_UNREAD_SUFFIXES = {suffix: name for name, suffixes in _UNREAD_FORMATS.items() for suffix in suffixes.split()}
TABLE_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.tsv")
TABLE_LEVELS = 3  # folders above a picture's own whose tables may name it
_SIDECAR_SUFFIXES = (".json", ".txt", ".caption", ".xmp")
# What a network drive, macOS, Windows and photo programs keep among pictures: thumbnails, previews, deleted files.
_SKIPPED_NAMES = """
    @eadir #recycle @recycle #snapshot @sharebin @tmp $recycle.bin recycler recycled __macosx lost+found
"""
_SKIPPED_FOLDERS = frozenset(_SKIPPED_NAMES.split())
_PREVIEWS = (".lrdata", ".lrcat-data", ".cocatalogdb")
_PHOTO_PACKAGES = (".photoslibrary", ".photolibrary", ".aplibrary", ".migratedphotolibrary")
_ORIGINALS = frozenset({"originals", "masters"})  # of such a package
# Google's takeout cuts the name before ".json" to 46 characters, and puts the number of a double behind the suffix.
_TAKEOUT = re.compile(r"(?P<name>.+?)(?P<kind>\.s[a-z-]*)?(?P<number>\(\d+\))?", re.DOTALL)
_TAKEOUT_KIND = ".supplemental-metadata"
_TAKEOUT_LENGTH = 46

_by_name = attrgetter("name")
_Entry: TypeAlias = os.DirEntry[str]


@dataclass(slots=True)
class Beside:
    """What a folder holds that may describe pictures. Names are folded (``fold``)."""

    sidecars: dict[str, _Entry] = field(default_factory=dict)
    takeout: dict[str, _Entry] = field(default_factory=dict)  # by the picture's name
    cut: dict[str, _Entry] = field(default_factory=dict)  # by the beginning of the picture's name
    tables: tuple[_Entry, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[_Entry]) -> Beside:
        found = cls()
        tables: dict[str, _Entry] = {}
        for entry in entries:
            stem, suffix = _split(entry.name)
            kind = suffix.lower()
            if (folded := fold(entry.name)) in TABLE_NAMES:
                tables[folded] = entry
            elif kind in _SIDECAR_SUFFIXES:
                found.sidecars[folded] = entry
                if kind == ".json":
                    found._note_takeout(fold(stem), entry)
        found.tables = tuple(tables[name] for name in TABLE_NAMES if name in tables)
        return found

    def _note_takeout(self, base: str, entry: _Entry) -> None:
        match = _TAKEOUT.fullmatch(base)
        if match is not None and (match["kind"] or match["number"]) and _TAKEOUT_KIND.startswith(match["kind"] or ""):
            stem, suffix = _split(match["name"])
            self.takeout[f"{stem}{match['number'] or ''}{suffix}"] = entry
        if len(base) == _TAKEOUT_LENGTH:
            self.cut[base] = entry

    def own(self, name: str) -> list[_Entry]:
        """The files that describe the picture of that name alone, strongest first."""
        folded = fold(name)
        stem, suffix = _split(folded)
        wanted = [base + kind for kind in _SIDECAR_SUFFIXES for base in (folded, stem)]
        found = [self.sidecars[each] for each in wanted if each in self.sidecars]
        original = f"{stem.removesuffix('-edited')}{suffix}"
        taken = self.takeout.get(folded) or self.takeout.get(original) or self.sidecars.get(f"{original}.json")
        taken = taken or self.cut.get(folded[:_TAKEOUT_LENGTH])
        return found if taken is None or taken in found else [*found, taken]


Listings: TypeAlias = dict[str, tuple[dict[str, _Entry], Beside]]  # of a folder: its files, and what describes them


def fold(name: str) -> str:
    """A name as names are compared: whatever its case and the form of its accents (NFC or NFD)."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


class FoundFile(NamedTuple):
    """A picture file and the files that may describe it, those with precedence first."""

    stamp: FileStamp
    sidecars: tuple[str, ...]


class UnusablePath(NamedTuple):
    """A path that could not be walked, and why."""

    path: str
    reason: Phrase


@dataclass(slots=True)
class WalkCoverage:
    """What a walk covered, filled while it goes on: the folders it was asked to walk and those it had to leave out."""

    roots: list[str]
    unreadable: list[str]

    def covers(self, path: str) -> bool:
        """Whether a known file of that path would have been found if it were still there."""
        return any(_inside(path, root) for root in self.roots) and not any(
            _inside(path, folder) for folder in self.unreadable
        )


def walk(paths: Iterable[Path | str], walked: WalkCoverage) -> Iterator[FoundFile | UnusablePath]:
    """Every picture in ``paths`` (folders with their subfolders, and single files), each once, sorted by name.

    Hidden files and folders are left out unless named; links are followed, each folder once. A path that is missing
    or unreadable comes out as an UnusablePath and the walk goes on.
    """
    visited: set[tuple[int, int]] = set()
    listed: set[str] = set()
    listings: Listings = {}
    for given in paths:
        path = Path(given).expanduser()
        try:
            info = path.stat()
            is_folder = stat.S_ISDIR(info.st_mode)
            # A picture that is a link keeps its own name; the way to it is the same however it was written.
            path = path.resolve() if is_folder else path.parent.resolve() / path.name
        except (OSError, RuntimeError, ValueError) as error:
            yield UnusablePath(str(path.absolute()), _unreadable(error))
            continue
        found: Iterable[FoundFile | UnusablePath]
        if is_folder:
            walked.roots.append(str(path))
            found = _folder(str(path), (info.st_dev, info.st_ino), visited, walked, listings)
        else:
            found = [find(path, listings)]
        for item in found:
            if isinstance(item, FoundFile):
                path_found = item.stamp.path
                if path_found in listed:
                    continue
                listed.add(path_found)
            yield item


def _folder(
    folder: str, identity: tuple[int, int], visited: set[tuple[int, int]], walked: WalkCoverage, listings: Listings
) -> Iterator[FoundFile | UnusablePath]:
    # A stack instead of recursion: folders may be nested deeper than Python's.
    waiting = [(folder, identity, _tables_above(folder, listings))]
    while waiting:
        folder, identity, above = waiting.pop()
        if identity in visited:
            continue
        visited.add(identity)
        try:
            with os.scandir(folder) as listing:
                entries = sorted((e for e in listing if not e.name.startswith(".")), key=_by_name)
        except OSError as error:
            walked.unreadable.append(folder)
            yield UnusablePath(folder, _unreadable(error))
            continue
        beside = Beside.of(entries)
        tables = (beside.tables, *above)[: TABLE_LEVELS + 1]
        subfolders: list[tuple[str, tuple[int, int], tuple[tuple[_Entry, ...], ...]]] = []
        for entry in entries:
            suffix = _split(entry.name)[1].lower()
            is_picture = suffix in PICTURE_SUFFIXES
            try:
                if is_picture and entry.is_file():
                    yield _found(entry, beside, tables)
                elif is_picture and not entry.is_dir():
                    yield UnusablePath(entry.path, _no_file(entry))
                elif suffix in _UNREAD_SUFFIXES and entry.is_file():
                    yield UnusablePath(entry.path, Phrase("format_not_read", {"format": _UNREAD_SUFFIXES[suffix]}))
                elif entry.is_dir() and not _is_skipped(entry.name, folder):
                    info = entry.stat()
                    subfolders.append((entry.path, (info.st_dev, info.st_ino), tables))
            except OSError as error:
                walked.unreadable.append(entry.path)
                yield UnusablePath(entry.path, _unreadable(error))
        waiting.extend(reversed(subfolders))


def _is_skipped(name: str, parent: str) -> bool:
    name = name.lower()
    if parent.lower().endswith(_PHOTO_PACKAGES):
        return name not in _ORIGINALS
    return name in _SKIPPED_FOLDERS or name.endswith(_PREVIEWS)


def _no_file(entry: _Entry) -> Phrase:
    """Why a name of a picture is none: a link that leads nowhere, a pipe, a device."""
    try:
        entry.stat()
    except OSError:
        return Phrase("link_broken")
    return Phrase("not_regular")


def _tables_above(folder: str, listings: Listings) -> tuple[tuple[_Entry, ...], ...]:
    """The tables of the folders above, the nearest first."""
    found = []
    for parent in list(Path(folder).parents)[:TABLE_LEVELS]:
        with suppress(OSError):
            found.append(_listing(str(parent), listings)[1].tables)
    return tuple(found)


def _listing(folder: str, listings: Listings) -> tuple[dict[str, _Entry], Beside]:
    if folder not in listings:
        with os.scandir(folder) as listing:
            entries = {entry.name: entry for entry in listing}
        listings[folder] = (entries, Beside.of(entry for name, entry in entries.items() if not name.startswith(".")))
    return listings[folder]


def _found(entry: _Entry, beside: Beside, tables: Iterable[tuple[_Entry, ...]]) -> FoundFile:
    info = entry.stat()
    own = [*beside.own(entry.name), *(table for level in tables for table in level)]
    stamps = {sidecar.path: stamp for sidecar in own if (stamp := _stamp_of(sidecar))}
    stamp_of_file = FileStamp(entry.path, info.st_size, info.st_mtime_ns, "|".join(stamps.values()))
    return FoundFile(stamp_of_file, tuple(stamps))


def _stamp_of(sidecar: _Entry) -> str:
    """Empty for a link that leads nowhere."""
    try:
        info = sidecar.stat()
    except OSError:
        return ""
    # The suffix and not the name: a picture renamed together with its sidecar is described as before.
    return f"{_split(sidecar.name)[1]}:{info.st_size}:{info.st_mtime_ns}"


def find(path: Path, listings: Listings) -> FoundFile | UnusablePath:
    """One file as its folder's listing shows it, so that both ways of naming it agree.

    ``listings`` keeps the listings for further files of the same folders.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        known = sorted(suffix[1:] for suffix in PICTURE_SUFFIXES)
        return UnusablePath(str(path), Phrase("no_picture_name", {"known": known}))
    try:
        entries, beside = _listing(str(path.parent), listings)
        if path.name not in entries:
            return UnusablePath(str(path), Phrase("name_spelt_otherwise"))
        entry = entries[path.name]
        if not entry.is_file():
            return UnusablePath(str(path), _no_file(entry))
        return _found(entry, beside, (beside.tables, *_tables_above(str(path.parent), listings)))
    except OSError as error:
        return UnusablePath(str(path), _unreadable(error))


def _split(name: str) -> tuple[str, str]:
    """Stem and suffix with its dot. pathlib's take several times longer, which 100,000 files would feel."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem else (name, "")


def _unreadable(error: Exception) -> Phrase:
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return Phrase("not_readable", {"reason": said})


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
