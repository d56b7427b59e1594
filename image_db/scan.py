"""Walks folders and lists the pictures in them, in a stable order, from directory listings alone.

Opens no file: an unchanged library of 100,000 pictures is recognised by names, sizes and times.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

from image_db.files import FileStamp
from vision.errors import Phrase

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
# Phones write these beside or instead of JPEG: leaving them out without a word would lose half a library.
_UNREAD_SUFFIXES = frozenset({".heic", ".heif"})
METADATA_NAMES = ("metadata.jsonl", "metadata.csv")
_SIDECAR_SUFFIXES = (".json", ".txt")
_DESCRIBING_SUFFIXES = (*_SIDECAR_SUFFIXES, *METADATA_NAMES)
# What synology, macOS and Windows leave among pictures: thumbnails and deleted files.
_SKIPPED_FOLDERS = frozenset({"@eadir", "__macosx", "#recycle", "$recycle.bin"})

_by_name = attrgetter("name")
_Names: TypeAlias = "dict[str, os.DirEntry[str]]"
Listings: TypeAlias = dict[Path, tuple[_Names, _Names]]  # of a folder: its files, and those that may describe others


class FoundFile(NamedTuple):
    """A picture file and the files beside it that may describe it, those with precedence first."""

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
        except (OSError, RuntimeError) as error:
            yield UnusablePath(str(path.absolute()), _unreadable(error))
            continue
        found: Iterable[FoundFile | UnusablePath]
        if is_folder:
            walked.roots.append(str(path))
            found = _folder(str(path), (info.st_dev, info.st_ino), visited, walked)
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
    folder: str, identity: tuple[int, int], visited: set[tuple[int, int]], walked: WalkCoverage
) -> Iterator[FoundFile | UnusablePath]:
    # A stack instead of recursion: folders may be nested deeper than Python's.
    waiting = [(folder, identity)]
    while waiting:
        folder, identity = waiting.pop()
        if identity in visited:
            continue
        visited.add(identity)
        subfolders: list[tuple[str, tuple[int, int]]] = []
        try:
            with os.scandir(folder) as listing:
                entries = sorted((e for e in listing if not e.name.startswith(".")), key=_by_name)
        except OSError as error:
            walked.unreadable.append(folder)
            yield UnusablePath(folder, _unreadable(error))
            continue
        sidecars = _beside(entries)
        for entry in entries:
            suffix = _split(entry.name)[1].lower()
            is_picture = suffix in PICTURE_SUFFIXES
            try:
                if is_picture and entry.is_file():
                    yield _found(entry, sidecars)
                elif is_picture and entry.is_symlink() and not entry.is_dir():
                    yield UnusablePath(entry.path, Phrase("link_broken"))
                elif suffix in _UNREAD_SUFFIXES and entry.is_file():
                    yield UnusablePath(entry.path, Phrase("format_not_read", {"format": suffix[1:].upper()}))
                elif entry.is_dir() and entry.name.lower() not in _SKIPPED_FOLDERS:
                    info = entry.stat()
                    subfolders.append((entry.path, (info.st_dev, info.st_ino)))
            except OSError as error:
                walked.unreadable.append(entry.path)
                yield UnusablePath(entry.path, _unreadable(error))
        waiting.extend(reversed(subfolders))


def _beside(entries: Iterable[os.DirEntry[str]]) -> _Names:
    """Those of a folder's files that may describe its pictures."""
    return {entry.name: entry for entry in entries if entry.name.endswith(_DESCRIBING_SUFFIXES)}


def _found(entry: os.DirEntry[str], sidecars: _Names) -> FoundFile:
    info = entry.stat()
    if not sidecars:
        return FoundFile(FileStamp(entry.path, info.st_size, info.st_mtime_ns, ""), ())
    stem = _split(entry.name)[0]
    # parrot.jpg.json speaks of one file only, parrot.json also of parrot.png.
    wanted = [base + suffix for suffix in _SIDECAR_SUFFIXES for base in (entry.name, stem)]
    own = [sidecars[name] for name in (*wanted, *METADATA_NAMES) if name in sidecars]
    stamp = FileStamp(entry.path, info.st_size, info.st_mtime_ns, "|".join(map(_stamp_of, own)))
    return FoundFile(stamp, tuple(sidecar.path for sidecar in own))


def _stamp_of(sidecar: os.DirEntry[str]) -> str:
    info = sidecar.stat()
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
        if path.parent not in listings:
            with os.scandir(path.parent) as listing:
                entries = {entry.name: entry for entry in listing}
            listings[path.parent] = (entries, _beside(entries.values()))
        entries, sidecars = listings[path.parent]
        if path.name not in entries:
            return UnusablePath(str(path), Phrase("name_spelt_otherwise"))
        return _found(entries[path.name], sidecars)
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
