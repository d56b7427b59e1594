"""Which library is meant where none is named: the one used last, else the sample.

The folder used last is kept in a file below VIGNETTE_HOME. ``sample`` is a name for the sample library's folder.
"""

from __future__ import annotations

from pathlib import Path

from image_db.errors import LibraryMissing
from image_db.library import CATALOG_NAME
from image_db.sample import SAMPLE
from image_db.sample.build import sample_folder
from vision.downloads.files import write_atomic
from vision.downloads.store import home


def library_folder(named: str) -> Path:
    """The folder that ``--library`` names."""
    return sample_folder() if named == SAMPLE else Path(named).expanduser()


def default_library() -> Path:
    """The library used last, else the sample. Raises LibraryMissing where there is neither, or the last one is gone."""
    folder = last_library()
    if folder is not None:
        if not is_library(folder):
            raise LibraryMissing("last_library_gone", library=str(folder))
        return folder
    if not is_library(sample_folder()):
        raise LibraryMissing("no_library_yet")
    return sample_folder()


def library_to_fill() -> Path:
    """Where pictures are indexed: the library used last, or one below VIGNETTE_HOME; never the sample."""
    folder = last_library()
    return home() / "libraries" / "pictures" if folder in (None, sample_folder()) else default_library()


def last_library() -> Path | None:
    """The folder noted by ``remember_library``, whatever has become of it since."""
    try:
        noted = _note().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Path(noted) if noted else None


def remember_library(folder: Path) -> None:
    """Note the library that was used, if it is one. Raises OSError where that cannot be written."""
    folder = folder.expanduser().absolute()
    if is_library(folder) and folder != last_library():
        _note().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_note(), f"{folder}\n")


def is_library(folder: Path) -> bool:
    return (folder / CATALOG_NAME).is_file()


def _note() -> Path:
    return home() / "last-library.txt"
