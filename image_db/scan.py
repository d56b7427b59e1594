"""Walks folders and lists the pictures in them, in a stable order, from directory listings alone.

Opens no file: an unchanged library of 100,000 pictures is recognised by names, sizes and times. Names are compared
without case and in one Unicode form, as a file and what describes it may come from different systems.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

from image_db.files import FileStamp
from vision.errors import Phrase
from vision.images.formats import BY_SUFFIX, JPEG_XL, RAW_SUFFIXES, not_installed

PICTURE_SUFFIXES = frozenset(BY_SUFFIX)
# Pictures in formats that are not read: leaving them out without a word would lose half a library.
_UNREAD_FORMATS = {
    "JPEG XR": ".jxr .hdp .wdp",
    "Photoshop": ".psd .psb",
    "SVG": ".svg .svgz",
    "PostScript": ".eps",
    "GIMP": ".xcf",
    "Targa": ".tga",
    "OpenEXR": ".exr",
}
_UNREAD_SUFFIXES = {suffix: name for name, suffixes in _UNREAD_FORMATS.items() for suffix in suffixes.split()}
# A RAW of the same name is counted with one of these: cameras write both, and programs export beside it.
_LEADING_SUFFIXES = PICTURE_SUFFIXES - RAW_SUFFIXES - {*JPEG_XL.suffixes, ".ico"}
TABLE_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.tsv", "metadata.parquet")
TABLE_LEVELS = 3  # folders above a picture's own whose tables may name it
SIDECAR_SUFFIXES = (".json", ".txt", ".caption", ".xmp")
# What a network drive, macOS, Windows and photo programs keep among pictures: thumbnails, previews, deleted files.
_SKIPPED_NAMES = """
    @eadir #recycle @recycle #snapshot @sharebin @tmp $recycle.bin recycler recycled __macosx lost+found
    trash trashes files_trashbin cache caches
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
    raws: dict[str, list[str]] = field(default_factory=dict)  # names of RAW files, by their stem
    leading: set[str] = field(default_factory=set)  # stems of pictures that a RAW of the same name is counted with

    @classmethod
    def of(cls, entries: Iterable[_Entry]) -> Beside:
        found = cls()
        tables: dict[str, _Entry] = {}
        for entry in entries:
            stem, suffix = _split(entry.name)
            kind = suffix.lower()
            if (folded := fold(entry.name)) in TABLE_NAMES:
                tables[folded] = entry
            elif kind in SIDECAR_SUFFIXES:
                found.sidecars[folded] = entry
                if kind == ".json":
                    found._note_takeout(fold(stem), entry)
            elif kind in RAW_SUFFIXES:
                found.raws.setdefault(fold(stem), []).append(entry.name)
            elif kind in _LEADING_SUFFIXES:
                found.leading.add(fold(stem))
        found.tables = tuple(tables[name] for name in TABLE_NAMES if name in tables)
        return found

    def _note_takeout(self, base: str, entry: _Entry) -> None:
        match = _TAKEOUT.fullmatch(base)
        if match is not None and (match["kind"] or match["number"]) and _TAKEOUT_KIND.startswith(match["kind"] or ""):
            stem, suffix = _split(match["name"])
            self.takeout[f"{stem}{match['number'] or ''}{suffix}"] = entry
        if len(base) == _TAKEOUT_LENGTH:
            self.cut[base] = entry

    def is_paired(self, name: str) -> bool:
        """Whether a picture of the same name stands for this file, a RAW."""
        stem, suffix = _split(name)
        return suffix.lower() in RAW_SUFFIXES and fold(stem) in self.leading

    def described_by(self, name: str) -> list[_Entry]:
        """The files that describe that picture alone, strongest first; those of its RAW come last."""
        stem, suffix = _split(fold(name))
        raws = self.raws.get(stem, ()) if suffix in _LEADING_SUFFIXES else ()
        return [each for own in (name, *raws) for each in self.own(own)]

    def own(self, name: str) -> list[_Entry]:
        """The files that describe the picture of that name alone, strongest first."""
        folded = fold(name)
        stem, suffix = _split(folded)
        wanted = [base + kind for kind in SIDECAR_SUFFIXES for base in (folded, stem)]
        found = [self.sidecars[each] for each in wanted if each in self.sidecars]
        original = f"{stem.removesuffix('-edited')}{suffix}"
        taken = self.takeout.get(folded) or self.takeout.get(original) or self.sidecars.get(f"{original}.json")
        taken = taken or self.cut.get(folded[:_TAKEOUT_LENGTH])
        return found if taken is None or taken in found else [*found, taken]


Listings: TypeAlias = dict[str, tuple[dict[str, _Entry], Beside]]  # of a folder: its files, and what describes them


def is_wanted_name(name: str) -> bool:
    """Whether a file of that name may be a picture, or say something of one."""
    suffix = _split(name)[1].lower()
    return suffix in PICTURE_SUFFIXES or suffix in SIDECAR_SUFFIXES or fold(name) in TABLE_NAMES


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


class Exclusion:
    """What the globs of a person leave out, whatever the case and the accents' form.

    One without a slash is for the name of a file or folder, wherever it is; one with a slash for its whole path, below
    the folder that is indexed or absolute. ``*`` stands for slashes, too.
    """

    def __init__(self, globs: Iterable[str]) -> None:
        folded = [fold(os.path.expanduser(glob).rstrip("/").removeprefix("./")) for glob in globs]  # noqa: PTH111
        self._names = _one_of(glob for glob in folded if "/" not in glob)
        self._paths = _one_of(glob for glob in folded if "/" in glob)

    def leaves_out(self, path: str, root: str) -> bool:
        """Whether a path in the folder ``root`` is left out, by itself; not whether a folder above it is."""
        if self._names is not None and self._names.fullmatch(fold(path.rpartition("/")[2])):
            return True
        if self._paths is None:
            return False
        below = path[len(root.rstrip("/")) :]
        return any(self._paths.fullmatch(fold(each)) for each in (below, below.lstrip("/"), path))


def _one_of(globs: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(fnmatch.translate(glob) for glob in globs if glob)
    return re.compile(joined) if joined else None


@dataclass(slots=True)
class WalkCoverage:
    """What a walk covered, filled while it goes on: the folders it was asked to walk and those it had to leave out.

    ``paired`` counts RAW files for which a picture of the same name stands, ``excluded`` the files and folders that
    globs left out, ``skipped`` by name the folders of caches, previews and deleted files.
    """

    roots: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    paired: int = 0
    excluded: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def covers(self, path: str) -> bool:
        """Whether a known file of that path would have been found if it were still there."""
        return any(_inside(path, root) for root in self.roots) and not any(
            _inside(path, folder) for folder in self.unreadable
        )


def walk(
    paths: Iterable[Path | str], walked: WalkCoverage, exclude: Exclusion | None = None
) -> Iterator[FoundFile | UnusablePath]:
    """Every picture in ``paths`` (folders with their subfolders, and single files), each once, sorted by name.

    Hidden files and folders are left out unless named; links are followed, each folder once. A RAW beside a picture
    of the same name is left to that one. A path that is missing or unreadable comes out as an UnusablePath and the
    walk goes on.
    """
    exclude = exclude or Exclusion(())
    visited: set[tuple[int, int]] = set()
    listed: set[str] = set()
    listings: Listings = {}
    given = [Path(path).expanduser() for path in paths]
    leading = {_without_suffix(path) for path in given if path.suffix.lower() in _LEADING_SUFFIXES}
    for path in given:
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
            found = _folder(str(path), (info.st_dev, info.st_ino), visited, walked, listings, exclude)
        elif exclude.leaves_out(str(path), str(path.parent)):
            walked.excluded += 1
            continue
        elif path.suffix.lower() in RAW_SUFFIXES and _without_suffix(path) in leading:
            walked.paired += 1
            continue
        else:
            found = [find(path, listings)]
        for item in found:
            if isinstance(item, FoundFile):
                path_found = item.stamp.path
                if path_found in listed:
                    continue
                listed.add(path_found)
            yield item


def _without_suffix(path: Path) -> str:
    return f"{path.parent.absolute()}/{fold(path.stem)}"


def _folder(
    root: str,
    identity: tuple[int, int],
    visited: set[tuple[int, int]],
    walked: WalkCoverage,
    listings: Listings,
    exclude: Exclusion,
) -> Iterator[FoundFile | UnusablePath]:
    # A stack instead of recursion: folders may be nested deeper than Python's.
    waiting = [(root, identity, _tables_above(root, listings))]
    while waiting:
        folder, identity, above = waiting.pop()
        if identity in visited:
            continue
        visited.add(identity)
        try:
            with os.scandir(folder) as listing:
                shown = sorted((e for e in listing if not e.name.startswith(".")), key=_by_name)
        except OSError as error:
            walked.unreadable.append(folder)
            yield UnusablePath(folder, _unreadable(error))
            continue
        entries = [entry for entry in shown if not exclude.leaves_out(entry.path, root)]
        walked.excluded += len(shown) - len(entries)
        beside = Beside.of(entries)
        tables = (beside.tables, *above)[: TABLE_LEVELS + 1]
        subfolders: list[tuple[str, tuple[int, int], tuple[tuple[_Entry, ...], ...]]] = []
        for entry in entries:
            suffix = _split(entry.name)[1].lower()
            is_picture = suffix in PICTURE_SUFFIXES
            try:
                if is_picture and entry.is_file():
                    if beside.is_paired(entry.name):
                        walked.paired += 1
                    elif (problem := not_read(entry.path, suffix)) is not None:
                        yield problem
                    else:
                        yield found_with(entry, beside, tables)
                elif is_picture and not entry.is_dir():
                    yield UnusablePath(entry.path, _no_file(entry))
                elif suffix in _UNREAD_SUFFIXES and entry.is_file():
                    yield UnusablePath(entry.path, Phrase("format_not_read", {"format": _UNREAD_SUFFIXES[suffix]}))
                elif entry.is_dir():
                    if is_skipped(entry.name, folder):
                        walked.skipped[entry.name] += 1
                        continue
                    info = entry.stat()
                    subfolders.append((entry.path, (info.st_dev, info.st_ino), tables))
            except OSError as error:
                walked.unreadable.append(entry.path)
                yield UnusablePath(entry.path, _unreadable(error))
        waiting.extend(reversed(subfolders))


def not_read(path: str, suffix: str) -> UnusablePath | None:
    """Why a format that Vignette knows is not read by this installation."""
    missing = not_installed(BY_SUFFIX[suffix])
    return UnusablePath(path, missing) if missing is not None else None


def is_skipped(name: str, parent: str) -> bool:
    """Whether a folder of that name in ``parent`` holds previews, caches or deleted files."""
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


def found_with(entry: _Entry, beside: Beside, tables: Iterable[tuple[_Entry, ...]]) -> FoundFile:
    """A picture with the files that describe it; ``tables`` of its folder and those above, the nearest first."""
    info = entry.stat()
    own = [*beside.described_by(entry.name), *(table for level in tables for table in level)]
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
        return UnusablePath(str(path), Phrase("no_picture_name"))
    if (problem := not_read(str(path), path.suffix.lower())) is not None:
        return problem
    try:
        entries, beside = _listing(str(path.parent), listings)
        if path.name not in entries:
            near = [name for name in entries if fold(name) == fold(path.name)]
            reason = Phrase("name_spelt_otherwise", {"name": near[0]}) if near else Phrase("file_not_there")
            return UnusablePath(str(path), reason)
        entry = entries[path.name]
        if not entry.is_file():
            return UnusablePath(str(path), _no_file(entry))
        return found_with(entry, beside, (beside.tables, *_tables_above(str(path.parent), listings)))
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
