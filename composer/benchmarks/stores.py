"""Milvus beside FAISS: whether both find the same in one library, and how quick each is among many made pictures.

milvus-lite stands for Milvus: it takes the same calls, in one process and without a server.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composer.benchmarks.runner import Progress, in_own_process
from composer.evaluation.report import Measure
from image_db.errors import LibraryError
from image_db.library import Library, NewImage
from image_db.stores.milvus_library import StoredPicture
from image_db.stores.opening import open_library
from retrieval.candidates import Candidate, Query
from retrieval.filters import Filters, parse_where
from retrieval.search import Searcher
from retrieval.stores.store_loading import load_store, pictures_of
from vision.interfaces import EncoderIdentity, JointEncoder

if TYPE_CHECKING:
    from composer.evaluation.dataset import EvaluationGallery

RECORDS = 1_000_000
DIM = 128  # of each of the two made vectors, so that a million fit into the memory of a small machine
MOST_QUERIES = 400  # of a library's own captions
FOUND = 10
TIE = 1e-5  # scores that differ by less are equal but for rounding
FILTERED = Filters(where=parse_where("date:2005..2009 license:CC"))


def same_up_to_ties(one: Sequence[tuple[str, float]], other: Sequence[tuple[str, float]]) -> bool:
    """Whether two answers, ids with falling scores, differ only in the order of equal scores and in which of those
    equal to the last are still shown.
    """
    if len(one) != len(other) or any(abs(a[1] - b[1]) > TIE for a, b in zip(one, other, strict=True)):
        return False
    ours, theirs = dict(one), dict(other)
    if any(abs(ours[id_] - theirs[id_]) > TIE for id_ in ours.keys() & theirs.keys()):
        return False
    return all(abs((ours | theirs)[id_] - one[-1][1]) <= TIE for id_ in ours.keys() ^ theirs.keys())


def measure_parity(
    encoder: JointEncoder, pictures: Iterable[StoredPicture], queries: dict[str, Sequence[Query]]
) -> dict[str, Measure]:
    """The share of queries of each kind whose ten best are the same in a folder and in milvus-lite."""
    held = list(pictures)
    with tempfile.TemporaryDirectory(prefix="vignette-bench-") as name:
        where = f"milvus+file://{name}/store"
        load_store(where, encoder.identity, lambda: held)
        with Library.create(Path(name) / "folder", encoder.identity) as own, open_library(where) as store:
            own.add([NewImage(p.record, p.visual, p.textual, p.phash) for p in held])
            searchers = Searcher(own, encoder), Searcher(store, encoder)
            return {f"same_{kind}": _agreement(*searchers, asked) for kind, asked in queries.items() if asked}


def _agreement(one: Searcher, other: Searcher, queries: Sequence[Query]) -> Measure:
    found = zip(*(searcher.search_batch(queries, FOUND, explained=False) for searcher in (one, other)), strict=True)
    same = sum(same_up_to_ties(_scored(ours), _scored(theirs)) for ours, theirs in found)
    return Measure(same / len(queries), f"of {len(queries)} queries", 1.0)


def _scored(found: Sequence[Candidate]) -> list[tuple[str, float]]:
    return [(candidate.record.id, candidate.fused) for candidate in found]


def parity_of_gallery(gallery: EvaluationGallery, encoder: JointEncoder) -> dict[str, Measure]:
    """Alt texts are the library's words; alt texts, captions and sections of the articles are the queries."""
    rows = zip(gallery.records(), gallery.visual, gallery.textual, gallery.has_text, strict=True)
    pictures = [StoredPicture(record, visual, textual if told else None) for record, visual, textual, told in rows]
    figures = gallery.figures
    return measure_parity(
        encoder,
        pictures,
        {
            "alt": [Query(figure.alt) for figure in figures if figure.alt],
            "caption": [Query(figure.caption) for figure in figures if figure.caption],
            "section": [Query(figure.section) for figure in figures if figure.section],
        },
    )


def parity_of_library(library_dir: Path, encoder: JointEncoder) -> dict[str, Measure]:
    """Captions are the queries: all alike, then with filters. Raises LibraryError where the library is empty."""
    with open_library(library_dir, encoder.identity) as library:
        pictures = list(pictures_of(library))
    told = [picture.record.caption for picture in pictures if picture.record.caption]
    if not told:
        raise LibraryError("library_without_pictures", library=str(library_dir))
    captions = told[:: -(-len(told) // MOST_QUERIES)]
    licence = max((p.record.license for p in pictures), key=lambda one: sum(p.record.license == one for p in pictures))
    filters = Filters(where=parse_where(f'license:"{licence}" -orientation:portrait' if licence else "has:words"))
    return measure_parity(
        encoder,
        pictures,
        {
            "caption": [Query(caption) for caption in captions],
            "word": [Query(max(caption.split(), key=len)) for caption in captions],
            "filtered": [Query(caption, filters=filters) for caption in captions],
        },
    )


def bench_stores(
    library_dir: Path, encoder: JointEncoder, *, progress: Progress, count: int = RECORDS
) -> dict[str, Measure]:
    """Both on the library itself, then on so many made records; the reference of each figure is FAISS's.

    Raises LibraryError where the library is empty.
    """
    progress("the library in both")
    measures = parity_of_library(library_dir, encoder)
    with tempfile.TemporaryDirectory(prefix="vignette-bench-") as name:
        place = Path(name)
        with open_library(library_dir) as library:
            write_models(place, list(pictures_of(library)))
        told = {}
        for kind in ("folder", "milvus"):
            progress(f"{count:,} records into {kind}")
            told[kind] = _in_own_process("fill", kind, name, str(count))
            progress(f"searching {kind}")
            told[kind] |= _in_own_process("ask", kind, name)
    return measures | _compared(told["folder"], told["milvus"])


def _compared(folder: dict[str, Any], milvus: dict[str, Any]) -> dict[str, Measure]:
    pairs = zip(folder["found"], milvus["found"], strict=True)
    shared = [len({a[0] for a in one} & {b[0] for b in other}) / max(1, len(one)) for one, other in pairs]
    figures = {
        "load_s": "s",
        "open_s": "s",
        "search_median_ms": "ms",
        "search_p95_ms": "ms",
        "filtered_p95_ms": "ms",
        "load_peak_gb": "GB",
        "search_peak_gb": "GB",
        "disk_gb": "GB",
    }
    measures = {f"milvus_{name}": Measure(milvus[name], unit, folder[name]) for name, unit in figures.items()}
    return measures | {"milvus_shared_top10": Measure(float(np.mean(shared)), "of the ten found", 1.0)}


def write_models(place: Path, pictures: Sequence[StoredPicture]) -> None:
    """What made pictures are made of: captions of real ones and their vectors, projected to few numbers."""
    rng = np.random.default_rng(0)
    told = [picture for picture in pictures if picture.record.caption and picture.textual is not None]
    spaces = {
        space: np.stack([getattr(picture, space) for picture in told]).astype(np.float32)
        for space in ("visual", "textual")
    }
    few = {space: rows @ rng.normal(size=(rows.shape[1], DIM)).astype(np.float32) for space, rows in spaces.items()}
    np.savez(place / "models.npz", **few)  # type: ignore[arg-type]
    (place / "captions.json").write_text(json.dumps([p.record.caption for p in told]), encoding="utf-8")


def made_identity() -> EncoderIdentity:
    return EncoderIdentity("made", "0" * 64, DIM, DIM)


def _in_own_process(*command: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(in_own_process("store_worker", *command, engine=command[1]))
    return answer
