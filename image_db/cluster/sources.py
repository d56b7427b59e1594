"""Where pictures are: folders here, object stores by address (s3, gs, abfs, hdfs), webdataset's tar files, and what
clip-retrieval's folders name of them.

A place elsewhere is listed once; what is read of it is copied beside the worker that reads it, so that pictures in an
object store are described by the same sidecars and tables as those on a disk. A picture in a tar file has the tar's
path with its own name behind it.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from image_db.cluster.clip_retrieval import ClipPart, ClipRow, clip_parts
from image_db.cluster.file_systems import here, is_remote, opened
from image_db.errors import LibraryError
from image_db.files import FileStamp
from image_db.scan import (
    PICTURE_SUFFIXES,
    TABLE_LEVELS,
    Beside,
    Exclusion,
    FoundFile,
    Listings,
    UnusablePath,
    WalkCoverage,
    find,
    found_with,
    is_skipped,
    not_read,
    walk,
)
from vision.downloads.files import file_sha256
from vision.errors import Phrase

_TAR_MEMBER = re.compile(r"(?P<tar>.+?\.tar)/(?P<member>.+)", re.IGNORECASE | re.DOTALL)
TAR_SUFFIX = ".tar"


class TarFile(NamedTuple):
    """A file of webdataset, which is read as a whole. ``parts`` may say more of its pictures."""

    path: str
    size_bytes: int
    mtime_ns: int
    parts: tuple[ClipPart, ...] = ()


@dataclass(slots=True)
class Sources:
    """What the paths of a run hold. ``covered`` are the folders that were listed: what is not there is gone.

    ``rows`` are what clip-retrieval says of files, by their path.
    """

    files: list[FoundFile] = field(default_factory=list)
    tars: list[TarFile] = field(default_factory=list)
    problems: list[UnusablePath] = field(default_factory=list)
    covered: list[str] = field(default_factory=list)
    rows: dict[str, ClipRow] = field(default_factory=dict)

    def covers(self, path: str) -> bool:
        return any(path == root or path.startswith(root.rstrip("/") + "/") for root in self.covered)


class _Stat(NamedTuple):
    st_size: int
    st_mtime_ns: int


class _RemoteEntry:
    """An entry of a listing, with as much of os.DirEntry as describing a picture asks for."""

    def __init__(self, path: str, size_bytes: int, mtime_ns: int) -> None:
        self.path, self.name = path, path.rpartition("/")[2]
        self._stat = _Stat(size_bytes, mtime_ns)

    def stat(self) -> _Stat:
        return self._stat


def is_elsewhere(path: Path) -> bool:
    """Whether a picture is no file of this machine: behind an address, or in a tar."""
    if is_remote(path):
        return True
    inside = _TAR_MEMBER.fullmatch(str(path))
    return inside is not None and Path(inside["tar"]).is_file()


def list_sources(paths: Iterable[Path | str], exclude: Exclusion | None = None) -> Sources:
    """Everything that the paths hold, by name. Raises LibraryError where a place elsewhere cannot be listed."""
    exclude, found = exclude or Exclusion(()), Sources()
    named: list[tuple[str, ClipPart]] = []
    for path in paths:
        given = here(path)
        parts, problems = clip_parts(given)
        named += [(given, part) for part in parts]
        found.problems += problems
        if is_remote(given):
            _list_remote(given, exclude, found)
        elif Path(given).suffix.lower() == TAR_SUFFIX and Path(given).expanduser().is_file():
            _note_tar(Path(given).expanduser().resolve(), found)
        else:
            _list_here(Path(given), exclude, found)
    if named:
        _list_named(named, exclude, found)
    return found


def _list_here(path: Path, exclude: Exclusion, found: Sources) -> None:
    coverage = WalkCoverage()
    for item in walk([path], coverage, exclude):
        if isinstance(item, FoundFile):
            found.files.append(item)
        else:
            found.problems.append(item)
    for root in coverage.roots:
        found.covered.append(root)
        for tar in sorted(Path(root).rglob(f"*{TAR_SUFFIX}")):
            if tar.is_file() and not exclude.leaves_out(str(tar), root):
                _note_tar(tar, found)


def _list_named(named: Iterable[tuple[str, ClipPart]], exclude: Exclusion, found: Sources) -> None:
    """Add the files that clip-retrieval names, and what it says of those that are listed already; a name that is none
    of a file may be that of a picture in one of the tars, which is seen when they are read.
    """
    files = {file.stamp.path: file for file in found.files}
    listings: Listings = {}
    for folder, part in named:
        not_here = 0
        for number, name in enumerate(part.names()):
            path = name if name in files else _named_here(name, folder)
            if path is None:
                not_here += 1
                continue
            if exclude.leaves_out(path, folder):
                continue
            file = files.get(path) or find(Path(path), listings)
            if isinstance(file, UnusablePath):
                found.problems.append(file)
                continue
            stamp = "|".join(filter(None, (file.stamp.sidecar_stamp, part.stamp)))
            files[path] = file._replace(stamp=file.stamp._replace(sidecar_stamp=stamp))
            found.rows[path] = ClipRow(part, number)
        if not_here and not found.tars:
            found.problems.append(UnusablePath(part.metadata, Phrase("rows_name_absent", {"count": not_here})))
        elif not_here:
            found.tars = [tar._replace(parts=(*tar.parts, part)) for tar in found.tars]
    found.files = list(files.values())


def _named_here(name: str, folder: str) -> str | None:
    """The file that a row names: by its whole path, or from the folder, the one above it, or where this runs."""
    if Path(name).suffix.lower() not in PICTURE_SUFFIXES:
        return None
    roots = [Path.cwd()] if is_remote(folder) else [Path(folder), Path(folder).parent, Path.cwd()]
    for root in roots:
        path = root.expanduser() / name
        if path.is_file():
            return str(path.parent.resolve() / path.name)
    return None


def _note_tar(path: Path, found: Sources) -> None:
    info = path.stat()
    found.tars.append(TarFile(str(path), info.st_size, info.st_mtime_ns))


def _list_remote(address: str, exclude: Exclusion, found: Sources) -> None:
    from pyarrow.fs import FileSelector, FileType

    system, prefix, base = opened(address)
    try:
        info = system.get_file_info(base)
        listed = [info] if info.type == FileType.File else system.get_file_info(FileSelector(base, recursive=True))
    except OSError as error:
        raise LibraryError("source_not_listed", path=address, reason=str(error)[:300]) from error
    if info.type == FileType.Directory:
        found.covered.append(prefix + base)
    folders: dict[str, list[_RemoteEntry]] = {}
    for entry in sorted(listed, key=lambda entry: str(entry.path)):
        if entry.type == FileType.File and not _is_left_out(entry.path, base, exclude):
            remote = _RemoteEntry(prefix + entry.path, entry.size or 0, entry.mtime_ns or 0)
            folders.setdefault(entry.path.rpartition("/")[0], []).append(remote)
    described = {folder: Beside.of(entries) for folder, entries in folders.items()}  # type: ignore[arg-type]
    for folder, entries in folders.items():
        above = [parent for parent in _parents(folder) if parent in described]
        tables = [described[place].tables for place in (folder, *above)]
        for item in entries:
            suffix = Path(item.name).suffix.lower()
            if suffix == TAR_SUFFIX:
                found.tars.append(TarFile(item.path, *item.stat()))
            elif suffix in PICTURE_SUFFIXES and not described[folder].is_paired(item.name):
                problem = not_read(item.path, suffix)
                if problem is not None:
                    found.problems.append(problem)
                else:
                    found.files.append(found_with(item, described[folder], tables))  # type: ignore[arg-type]


def _is_left_out(path: str, base: str, exclude: Exclusion) -> bool:
    """Whether a file, or a folder on the way to it, is hidden, a cache, or left out by a person's globs."""
    names = path[len(base) :].strip("/").split("/")
    way = base
    for depth, name in enumerate(names, 1):
        way = f"{way}/{name}"
        is_folder = depth < len(names)
        if name.startswith(".") or (is_folder and is_skipped(name, "")) or exclude.leaves_out(way, base):
            return True
    return False


def _parents(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[: len(parts) - up]) for up in range(1, TABLE_LEVELS + 1) if len(parts) > up]


# At the worker


def bring(files: Sequence[FoundFile], folder: Path) -> dict[str, FoundFile]:
    """Copies of remote files with what describes them, by their path; those that are here stay where they are.

    One that cannot be copied is left out: reading it says why.
    """
    brought: dict[str, FoundFile] = {}
    copied: dict[str, str] = {}

    def copy(path: str) -> str:
        if path not in copied:
            system, _, inside = opened(path)
            target = folder / inside.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with system.open_input_stream(inside) as source, target.open("wb") as out:
                while data := source.read(1 << 20):
                    out.write(data)
            copied[path] = str(target)
        return copied[path]

    for found in files:
        stamp = found.stamp
        if not is_remote(stamp.path):
            brought[stamp.path] = found
            continue
        try:
            brought[stamp.path] = FoundFile(stamp._replace(path=copy(stamp.path)), tuple(map(copy, found.sidecars)))
        except OSError:
            brought[stamp.path] = found
    return brought


def unpack(tar: TarFile, folder: Path) -> list[tuple[str, FoundFile]]:
    """The pictures of a webdataset file: the path of each, and its copy in ``folder``. Raises OSError or TarError."""
    system, _, inside = opened(tar.path)
    with system.open_input_stream(inside) as source, tarfile.open(fileobj=source, mode="r|") as archive:
        for member in archive:
            if member.isfile():  # no link, no device; "data" keeps every path inside the folder
                archive.extract(member, folder, filter="data")
    found = []
    for item in walk([folder], WalkCoverage()):
        if isinstance(item, FoundFile):
            name = Path(item.stamp.path).relative_to(folder.resolve()).as_posix()
            found.append((f"{tar.path}/{name}", item))
    return found


# At the reader of a library


def at_hand(path: Path, image_id: str, cache: Path) -> Path:
    """A file with that picture on this machine: itself, or a copy in ``cache`` of what an address or a tar holds.

    Raises OSError where it cannot be had or is another picture by now.
    """
    given = here(path)
    if not is_elsewhere(path):
        return path
    inside = _TAR_MEMBER.fullmatch(given)
    target = cache / image_id[:2] / f"{image_id}{Path(given).suffix.lower()}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    system, _, place = opened(inside["tar"] if inside else given)
    with system.open_input_stream(place) as source:
        if inside is None:
            part.write_bytes(source.read())
        else:
            with tarfile.open(fileobj=source, mode="r|") as archive:
                member = next((m for m in archive if m.name.removeprefix("./") == inside["member"]), None)
                data = archive.extractfile(member) if member is not None else None
                if data is None:
                    raise FileNotFoundError(given)
                part.write_bytes(data.read())
    if file_sha256(part) != image_id:
        part.unlink()
        raise OSError(f"{given} holds another picture than when it was indexed")
    part.replace(target)
    return target


def stamp_of(tar: TarFile) -> FileStamp:
    return FileStamp(tar.path, tar.size_bytes, tar.mtime_ns, "|".join(part.stamp for part in tar.parts))


def tar_problem(tar: TarFile, error: Exception) -> UnusablePath:
    return UnusablePath(tar.path, Phrase("not_readable", {"reason": f"{type(error).__name__}: {error}"[:300]}))
