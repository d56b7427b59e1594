"""The file system of an address: this machine's, an object store's, or one that fsspec has a name for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from image_db.errors import LibraryError

_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):/+(?P<rest>.*)", re.IGNORECASE | re.DOTALL)


def is_remote(path: Path | str) -> bool:
    """Whether a path is an address of somewhere else; ``file://`` is here."""
    found = _ADDRESS.fullmatch(str(path))
    return found is not None and found["scheme"].lower() != "file"


def here(path: Path | str) -> str:
    match = _ADDRESS.fullmatch(str(path))
    if match is None:
        return str(path)
    return "/" + match["rest"] if match["scheme"].lower() == "file" else f"{match['scheme']}://{match['rest']}"


def opened(address: str) -> tuple[Any, str, str]:
    """The file system of an address or a folder, what to put before its paths, and the path in it.

    Raises LibraryError where pyarrow knows neither it nor a file system of fsspec of that name.
    """
    try:
        from pyarrow.fs import FileSystem, FSSpecHandler, LocalFileSystem, PyFileSystem
    except ImportError as error:
        raise LibraryError("store_package_missing", package="pyarrow") from error
    found = _ADDRESS.fullmatch(address)
    if found is None or found["scheme"].lower() == "file":
        return LocalFileSystem(), "", str(Path(here(address)).expanduser().absolute())
    scheme = found["scheme"].lower()
    address = f"{scheme}://{found['rest']}"
    try:
        system, base = FileSystem.from_uri(address)
    except (OSError, ValueError):
        import fsspec  # comes with pytorch and huggingface_hub

        try:
            system, base = PyFileSystem(FSSpecHandler(fsspec.filesystem(scheme))), found["rest"]
        except (ImportError, ValueError, OSError) as error:
            raise LibraryError("source_not_listed", path=address, reason=str(error)[:300]) from error
    return system, f"{scheme}://", base.rstrip("/")
