"""The way to Milvus: a client, its errors in one tree, generations by name, and the index that fits so many vectors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from image_db.errors import LibraryError
from image_db.stores.addresses import MilvusAddress

TOKEN_VARIABLE = "VIGNETTE_MILVUS_TOKEN"
EXACT_UP_TO = 100_000  # vectors; then a graph, and on a cluster codes of one bit with refinement
GRAPH_UP_TO = 20_000_000
NOTHING = 0  # the dimension of the sparse vectors that no word has: a picture without words needs one
TEXT_BYTES = 65_535
LABEL_BYTES = 1_000
ABOUT = "library"
WORD = "w:"
VALUES = "v:"
_GENERATION = re.compile(r"_g(\d+)$")


def connect(address: MilvusAddress) -> Any:
    """A client of pymilvus. Raises LibraryError where it is not installed or the server is not reached."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its C core prints what pymilvus handles
    try:
        import logging

        from pymilvus import MilvusClient

        if address.is_lite:
            import milvus_lite  # noqa: F401 - pymilvus says less clearly that it is missing
    except ImportError as error:
        raise LibraryError("store_package_missing", package=error.name or "pymilvus") from error
    for name in ("pymilvus", "grpc._server"):  # what goes wrong is raised, and said once
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with explaining(address):
        return MilvusClient(uri=address.uri, token=os.environ.get(TOKEN_VARIABLE, ""), timeout=30)


@contextmanager
def explaining(address: MilvusAddress) -> Iterator[None]:
    """Errors of Milvus and of the way to it, as one of this package."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        reason = " ".join(str(error.message or error).split())[:300]
        raise LibraryError("store_not_usable", library=address.shown, reason=reason) from error


def current_generation(client: Any, address: MilvusAddress) -> int | None:
    """That of the collection which the alias names; None where there is none."""
    for name in client.list_collections():
        generation = generation_of(name, address)
        is_notes = name.endswith("_notes")
        if generation is not None and not is_notes and address.name in client.list_aliases(name).get("aliases", ()):
            return generation
    return None


def generation_name(address: MilvusAddress, generation: int) -> str:
    return f"{address.name}_g{generation}"


def generation_of(collection: str, address: MilvusAddress) -> int | None:
    found = _GENERATION.search(collection.removesuffix("_notes"))
    own = found is not None and collection.removesuffix("_notes") == f"{address.name}{found[0]}"
    return int(found[1]) if found is not None and own else None


def dense_index(pictures: int, *, is_lite: bool) -> tuple[str, dict[str, Any]]:
    """The kind of index that is quickest for so many vectors without losing neighbours that matter, and how it is made.

    milvus-lite has no RaBitQ; it is for tests and small libraries.
    """
    if pictures <= EXACT_UP_TO:
        return "FLAT", {}
    if pictures <= GRAPH_UP_TO or is_lite:
        return "HNSW", {"M": 16, "efConstruction": 200}
    lists = min(65_536, int(4 * pictures**0.5))
    return "IVF_RABITQ", {"nlist": lists, "refine": True, "refine_type": "SQ8"}


def cut_label(text: str) -> str:
    """A label without half characters, in so many bytes of UTF-8 as a label may have."""
    return text.encode("utf-8", "replace")[:LABEL_BYTES].decode("utf-8", "ignore")
