"""Where a library is: a folder, or a database named as ``milvus+file:///FOLDER`` or ``milvus://HOST:PORT/NAME``.

A ``Path`` may carry such an address through the program: it only loses a slash, which is read all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from image_db.errors import LibraryError

_SCHEME = re.compile(r"milvus(\+file|\+tls)?:")
_FILE = re.compile(r"milvus\+file:/+(?P<folder>.+)")
_SERVER = re.compile(r"milvus(?P<tls>\+tls)?:/+(?P<host>[^/@\s]+)/(?P<name>[A-Za-z_]\w{0,200})/?")
LITE_FILE = "milvus.db"
LITE_NAME = "library"
DEFAULT_PORT = 19530


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """``uri`` is what pymilvus opens, ``name`` that of the collection's alias, ``shown`` what a person wrote."""

    uri: str
    name: str
    shown: str

    @property
    def is_lite(self) -> bool:
        return "://" not in self.uri


def is_address(where: Path | str) -> bool:
    """Whether a library is in a database and not in a folder."""
    return _SCHEME.match(str(where)) is not None


def settled(where: Path) -> Path:
    """A folder by its whole path; an address as it is."""
    return where if is_address(where) else where.expanduser().absolute()


def milvus_address(where: Path | str) -> MilvusAddress:
    """Raises LibraryError where the address is not one of the two forms."""
    given = str(where)
    if found := _FILE.fullmatch(given):
        below = found["folder"].lstrip("/")
        folder = Path(below).expanduser() if below.startswith("~") else Path("/" + below)
        return MilvusAddress(str(folder / LITE_FILE), LITE_NAME, f"milvus+file://{folder}")
    if found := _SERVER.fullmatch(given):
        host = found["host"] if ":" in found["host"] else f"{found['host']}:{DEFAULT_PORT}"
        scheme = "https" if found["tls"] else "http"
        return MilvusAddress(
            f"{scheme}://{host}", found["name"], f"milvus{found['tls'] or ''}://{host}/{found['name']}"
        )
    raise LibraryError("store_address_wrong", address=given)
