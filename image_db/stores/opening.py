"""Opens a library wherever it is."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from image_db.library import Library
from image_db.stores.addresses import is_address
from image_db.stores.milvus_library import MilvusLibrary
from vision.interfaces import EncoderIdentity

AnyLibrary: TypeAlias = Library | MilvusLibrary


def open_library(where: Path | str, encoder: EncoderIdentity | None = None) -> AnyLibrary:
    """A library whose vectors ``encoder`` made; None opens it whatever made them. Errors as of its kind."""
    return MilvusLibrary.open(where, encoder) if is_address(where) else Library.open(where, encoder)
