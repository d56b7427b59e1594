"""One measurement of ``composer.benchmarks.library`` in a process of its own; prints one JSON object.

python -m composer.benchmarks.library_worker rescan LIBRARY FOLDER
python -m composer.benchmarks.library_worker fill LIBRARY FOLDER PROFILE
python -m composer.benchmarks.library_worker build|search PLACE DIM
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from composer.benchmarks.worker import peak_rss_gb
from retrieval.index import VectorIndex
from vision.interfaces import EncoderIdentity

FILE_OF_VECTORS, FILE_OF_QUERIES = "vectors.f32", "queries.npy"
_NEIGHBOURS = 10
SKIPPED = 32  # batches, of which the encoder is asked for one

if TYPE_CHECKING:
    from PIL.Image import Image

    from vision.interfaces import JointEncoder


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


class _EncodesSome:
    """The encoder behind it, asked for one batch of SKIPPED; in between what it said last is varied."""

    def __init__(self, encoder: JointEncoder) -> None:
        self._encoder = encoder
        self.identity = encoder.identity
        self.languages = encoder.languages
        self._rng = np.random.default_rng(0)
        self._said: dict[str, tuple[int, np.ndarray]] = {}
        self.first_mb = 0.0  # the process's peak when the encoder had first been asked

    def _some(self, what: str, items: Sequence, encode: Callable[[Sequence], np.ndarray]) -> np.ndarray:
        number, last = self._said.get(what, (0, np.empty((0, 0), np.float32)))
        if number % SKIPPED == 0:
            last = encode(items)
            self.first_mb = self.first_mb or peak_rss_gb() * 1e3
        self._said[what] = number + 1, last
        rows = self._rng.choice(last, len(items)) + self._rng.normal(0, 0.01, (len(items), last.shape[1]))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def encode_images(self, images: Sequence[Image]) -> np.ndarray:
        return self._some("images", images, self._encoder.encode_images)

    def encode_sentences(self, texts: Sequence[str]) -> np.ndarray:
        return self._some("sentences", texts, self._encoder.encode_sentences)


def fill(library_dir: str, folder: str, profile: str) -> dict[str, object]:
    from composer.pipeline.loading import load_encoder
    from composer.settings import load_settings
    from image_db.indexing import index_paths
    from image_db.library import Library

    encoder = _EncodesSome(load_encoder(load_settings(profile)))
    start = time.perf_counter()
    with Library.create(library_dir, encoder.identity) as library:
        report = index_paths(library, encoder, [folder])  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    return {"added": report.added, "seconds": seconds, "encoder_mb": encoder.first_mb}


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
    works: dict[str, Callable[..., dict[str, object]]] = {
        "rescan": rescan,
        "fill": fill,
        "build": build,
        "search": search,
    }
    do = works[sys.argv[1]]
    print(json.dumps({**do(*sys.argv[2:]), "peak_mb": peak_rss_gb() * 1e3}))  # noqa: T201 - its answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
