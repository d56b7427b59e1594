"""One measurement of ``composer.benchmarks.library`` in a process of its own; prints one JSON object.

python -m composer.benchmarks.library_worker rescan LIBRARY FOLDER
python -m composer.benchmarks.library_worker build|search PLACE DIM
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from composer.benchmarks.worker import peak_rss_gb
from retrieval.index import VectorIndex
from vision.interfaces import EncoderIdentity

FILE_OF_VECTORS, FILE_OF_QUERIES = "vectors.f32", "queries.npy"
_NEIGHBOURS = 10


class _EncodesNothing:
    """Stands in for an encoder where nothing is to be encoded."""

    languages = None

    def __init__(self, identity: EncoderIdentity) -> None:
        self.identity = identity


def rescan(library_dir: str, folder: str) -> dict[str, object]:
    from image_db.indexing import index_paths
    from image_db.library import Library

    start = time.perf_counter()
    with Library.open(library_dir, None) as library:
        report = index_paths(library, _EncodesNothing(library.encoder), [folder])  # type: ignore[arg-type]
    return {"unchanged": report.unchanged, "seconds": time.perf_counter() - start}


def opened(place: str, dim: str) -> VectorIndex:
    """The index of the vectors in a folder; built where it is not there."""
    vectors = np.memmap(Path(place) / FILE_OF_VECTORS, "<f4", "r").reshape(-1, int(dim))
    made = EncoderIdentity("none", "0" * 64, int(dim), int(dim))
    return VectorIndex.open(vectors, "visual", "1", made, Path(place))


def build(place: str, dim: str) -> dict[str, object]:
    start = time.perf_counter()
    opened(place, dim)
    return {"seconds": time.perf_counter() - start}


def search(place: str, dim: str) -> dict[str, object]:
    index = opened(place, dim)
    queries = np.load(Path(place) / FILE_OF_QUERIES)
    seconds, rows = [], []
    for query in (*queries[:20], *queries):  # the first ones bring the files into memory
        start = time.perf_counter()
        found = index.search(query[None], _NEIGHBOURS)[1]
        seconds.append(time.perf_counter() - start)
        rows.append(found[0].tolist())
    return {"seconds": seconds[20:], "rows": rows[20:]}


def main() -> int:
    do = {"rescan": rescan, "build": build, "search": search}[sys.argv[1]]
    print(json.dumps({**do(*sys.argv[2:]), "peak_mb": peak_rss_gb() * 1e3}))  # noqa: T201 - its answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
