"""One measurement of ``composer.benchmarks.stores`` in a process of its own; prints one JSON object.

python -m composer.benchmarks.store_worker fill folder|milvus PLACE COUNT
python -m composer.benchmarks.store_worker ask folder|milvus PLACE
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from composer.benchmarks.stores import FILTERED, FOUND, made_identity
from composer.benchmarks.worker import peak_rss_gb
from image_db.library import Library, NewImage
from image_db.metadata.record import ImageRecord
from image_db.stores.milvus_library import StoredPicture
from image_db.stores.opening import open_library
from retrieval.candidates import Query
from retrieval.search import Searcher
from retrieval.stores.store_loading import load_store

QUERIES = 60  # milvus-lite takes seconds for one among a million
WARMING = 5  # queries that are not counted: they bring files into memory
_JITTER = 0.5  # of a vector's spread: neighbours of one motif, none the same
_AT_ONCE = 10_000
_LICENSES = ("CC BY 4.0", "CC BY-SA 3.0", "CC0", "GPL-2.0-or-later", "")


class Models:
    """Made pictures and queries, the same in every process."""

    def __init__(self, place: Path) -> None:
        with np.load(place / "models.npz") as kept:
            self.visual, self.textual = kept["visual"], kept["textual"]
        self.captions: list[list[str]] = [
            text.split() for text in json.loads((place / "captions.json").read_text(encoding="utf-8"))
        ]

    def pictures(self, count: int) -> Iterator[StoredPicture]:
        for start in range(0, count, _AT_ONCE):
            rng = np.random.default_rng(start)
            some = min(_AT_ONCE, count - start)
            rows, others = rng.integers(0, len(self.captions), (2, some))
            visual, textual = (_varied(space[rows], rng) for space in (self.visual, self.textual))
            years, months, sides = (
                rng.integers(1990, 2025, some),
                rng.integers(1, 13, some),
                rng.integers(300, 6000, some),
            )
            for i in range(some):
                number = start + i
                record = ImageRecord(
                    f"{number:064x}",
                    Path(f"/made/{number // 1000:05}/IMG_{number:08}.jpg"),
                    int(sides[i]),
                    int(sides[i]) * 3 // 4,
                    caption=self._mixed(rows[i], others[i]),
                    license=_LICENSES[number % len(_LICENSES)],
                    taken=f"{years[i]}-{months[i]:02}",
                )
                yield StoredPicture(record, visual[i], textual[i])

    def queries(self) -> list[str]:
        rng = np.random.default_rng(1)
        pairs = rng.integers(0, len(self.captions), (WARMING + QUERIES, 2))
        return [self._mixed(a, b) for a, b in pairs]

    def _mixed(self, row: int, other: int) -> str:
        """Half of a caption, half of another."""
        one, two = self.captions[row], self.captions[other]
        return " ".join((*one[: len(one) // 2 + 1], *two[len(two) // 2 :]))


class MadeEncoder:
    """A text becomes a varied vector of a real picture, always the same."""

    languages: frozenset[str] | None = None

    def __init__(self, models: Models) -> None:
        self.identity = made_identity()
        self._models = models

    def encode_images(self, images: Sequence[object]) -> np.ndarray:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._of(texts, self._models.visual)

    def encode_sentences(self, texts: Sequence[str]) -> np.ndarray:
        return self._of(texts, self._models.textual)

    def _of(self, texts: Sequence[str], space: np.ndarray) -> np.ndarray:
        rows = []
        for text in texts:
            rng = np.random.default_rng(zlib.crc32(text.encode()))
            rows.append(_varied(space[rng.integers(0, len(space), 1)], rng)[0])
        return np.stack(rows) if rows else np.empty((0, space.shape[1]), np.float32)


def _varied(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    spread = float(rows.std()) * _JITTER
    vectors = rows + rng.normal(0, spread, rows.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _where(kind: str, place: Path) -> Path | str:
    return place / "folder" if kind == "folder" else f"milvus+file://{place}/milvus"


def fill(kind: str, place: Path, count: int) -> dict[str, object]:
    models, where = Models(place), _where(kind, place)
    start = time.perf_counter()
    if kind == "folder":
        with Library.create(Path(where), made_identity()) as library:
            pictures = models.pictures(count)
            while part := list(islice(pictures, _AT_ONCE)):
                library.add([NewImage(p.record, p.visual, p.textual) for p in part])
            Searcher(library, MadeEncoder(models)).search(Query("an index is built at the first search"), FOUND)
    else:
        load_store(where, made_identity(), lambda: models.pictures(count))
    seconds = time.perf_counter() - start
    folder = place / kind
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"load_s": seconds, "disk_gb": disk / 1e9, "load_peak_gb": peak_rss_gb()}


def ask(kind: str, place: Path) -> dict[str, object]:
    models = Models(place)
    start = time.perf_counter()
    with open_library(_where(kind, place)) as library:
        searcher = Searcher(library, MadeEncoder(models))
        found: dict[str, list[list[tuple[str, float]]]] = {}
        seconds: dict[str, list[float]] = {}
        opened_s = 0.0
        for name, filters in (("search", None), ("filtered", FILTERED)):
            found[name], seconds[name] = [], []
            for text in models.queries():
                query = Query(text) if filters is None else Query(text, filters=filters)
                began = time.perf_counter()
                answer = searcher.search(query, FOUND)
                seconds[name].append(time.perf_counter() - began)
                opened_s = opened_s or time.perf_counter() - start
                found[name].append([(candidate.record.id, candidate.fused) for candidate in answer])
    plain, filtered = (np.array(seconds[name][WARMING:]) * 1e3 for name in ("search", "filtered"))
    return {
        "open_s": opened_s,
        "search_median_ms": float(np.median(plain)),
        "search_p95_ms": float(np.quantile(plain, 0.95)),
        "filtered_p95_ms": float(np.quantile(filtered, 0.95)),
        "search_peak_gb": peak_rss_gb(),
        "found": found["search"] + found["filtered"],
    }


def main() -> int:
    what, kind, place, *count = sys.argv[1:]
    told = fill(kind, Path(place), int(count[0])) if what == "fill" else ask(kind, Path(place))
    print(json.dumps(told))  # noqa: T201 - its answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
