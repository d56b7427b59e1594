"""How quickly a library is filled, looked through again and searched: against the encoder alone, and in absolute terms.

What stands for a lifetime of photographs is made here: a folder of many small files that the catalogue knows, and real
vectors of a library, each varied until there are a million. Peak memory is that of a process of its own.
"""

from __future__ import annotations

import io
import json
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from composer.benchmarks.runner import BenchFailed, Progress, in_own_process
from composer.evaluation.report import Measure
from image_db.errors import LibraryError
from image_db.files import FileStamp
from image_db.indexing import index_paths
from image_db.library import Library
from image_db.metadata.reading import TARGET_PX
from image_db.metadata.record import ImageRecord
from image_db.scan import FoundFile, WalkCoverage, walk
from vision.images import load_image
from vision.interfaces import EncoderIdentity, JointEncoder

if TYPE_CHECKING:
    from PIL.Image import Image

RESCANNED = 100_000
INDEXED_FOR_MEMORY = 50_000
SEARCHED = 1_000_000
INDEXED = 256  # pictures a round
_QUERIES = 200
_NEIGHBOURS = 10
_JITTER = 0.03  # of each number of a vector: neighbours of one motif, none the same
_AT_ONCE = 50_000
_FOLDER_FILES = 1_000
_BATCH = 32


def bench_index(
    encoder: JointEncoder, library_dir: Path, *, rounds: int, progress: Progress, files: int = RESCANNED
) -> dict[str, Measure]:
    """Pictures of the library without their words, indexed anew and encoded alone in turns; then an unchanged folder.

    Raises LibraryError where the library is empty.
    """
    paths = [record.path for record in pictures_here(library_dir)[:INDEXED]]
    with tempfile.TemporaryDirectory(prefix="vignette-bench-") as name:
        place = Path(name)
        (place / "pictures").mkdir()
        for number, path in enumerate(paths):
            (place / "pictures" / f"IMG_{number:04}{path.suffix}").symlink_to(path)
        decoded = [load_image(path, target_px=TARGET_PX) for path in paths]
        rates: dict[str, list[float]] = {"index": [], "encoder": []}
        for number in range(rounds + 1):  # the first warms the encoder and the files' cache, and is not counted
            progress(f"indexing, round {number} of {rounds}" if number else "warming up")
            alone = _encoded_per_s(encoder, decoded)
            indexed = _indexed_per_s(encoder, place / "pictures", place / f"library-{number}")
            if number:
                rates["encoder"].append(alone)
                rates["index"].append(indexed)
        progress(f"making a folder of {files:,} files")
        known = _known_folder(place / "many", place / "known", files)
        scans = []
        for number in range(rounds + 1):
            progress(f"looking through it again, round {number} of {rounds}" if number else "warming up")
            scans.append(_in_own_process("rescan", str(place / "known"), str(place / "many")))
    if any(scan["unchanged"] != known for scan in scans):
        raise BenchFailed("bench_rescan_read", unchanged=scans[0]["unchanged"], files=known)
    index, alone = (statistics.median(rates[name]) for name in ("index", "encoder"))
    return {
        "index_per_s": Measure(index, "pictures/s"),
        "index_over_encoder": Measure(index / alone, "of the encoder's rate", 0.9),
        "rescan_100k_s": Measure(statistics.median(scan["seconds"] for scan in scans[1:]), "s", 3.0),
        "rescan_peak_mb": Measure(max(scan["peak_mb"] for scan in scans), "MB", 300.0),
    }


def pictures_here(library_dir: Path) -> list[ImageRecord]:
    """The library's pictures whose files are on this machine. Raises LibraryError where there are none."""
    with Library.open(library_dir, None) as library:
        records = [record for record in library.records() if record.path.is_file()]
    if not records:
        raise LibraryError("library_without_pictures", library=str(library_dir))
    return records


def _encoded_per_s(encoder: JointEncoder, decoded: list[Image]) -> float:
    start = time.perf_counter()
    for first in range(0, len(decoded), _BATCH):
        encoder.encode_images(decoded[first : first + _BATCH])
    return len(decoded) / (time.perf_counter() - start)


def _indexed_per_s(encoder: JointEncoder, pictures: Path, folder: Path) -> float:
    with Library.create(folder, encoder.identity) as library:
        start = time.perf_counter()
        report = index_paths(library, encoder, [pictures], batch_size=_BATCH)
        return report.usable / (time.perf_counter() - start)


def _known_folder(folder: Path, library_dir: Path, files: int) -> int:
    """So many small files, and a library that has indexed them; returns how many it has."""
    for start in range(0, files, _FOLDER_FILES):
        part = folder / f"{start // _FOLDER_FILES:04}"
        part.mkdir(parents=True)
        for number in range(start, min(start + _FOLDER_FILES, files)):
            (part / f"IMG_{number:06}.jpg").write_bytes(b"%d" % number)
    made = EncoderIdentity("none", "0" * 64, 8, 8)
    known = 0
    with Library.create(library_dir, made) as library:
        found = (item for item in walk([folder], WalkCoverage()) if isinstance(item, FoundFile))
        while batch := list(islice(found, 10_000)):
            stamps = [item.stamp for item in batch]
            library.add(
                [(_record(known + i, stamp), np.ones(8), np.ones(8), None, stamp) for i, stamp in enumerate(stamps)]
            )
            known += len(batch)
    return known


def _record(number: int, stamp: FileStamp) -> ImageRecord:
    return ImageRecord(f"{number:064x}", Path(stamp.path), 4000, 3000, caption="A boat in the harbour of Whitby")


def bench_memory(
    profile: str, library_dir: Path, *, progress: Progress, files: int = INDEXED_FOR_MEMORY
) -> dict[str, Measure]:
    """Peak memory of indexing so many different pictures with their words: those of the library, again and again, and
    some of 24 megapixels between them. The profile's encoder sees one batch of SKIPPED, as more would only take longer.

    Raises LibraryError where the library is empty.
    """
    records = pictures_here(library_dir)[:INDEXED]
    pictures = [(record.path.suffix, record.path.read_bytes()) for record in records]
    with tempfile.TemporaryDirectory(prefix="vignette-bench-") as name:
        place = Path(name)
        progress(f"making {files:,} pictures")
        large = _large_picture(records[0].path)
        for start in range(0, files, _FOLDER_FILES):
            folder = place / "pictures" / f"{start // _FOLDER_FILES:04}"
            folder.mkdir(parents=True)
            rows = []
            for number in range(start, min(start + _FOLDER_FILES, files)):
                suffix, data = (".jpg", large) if number % _FOLDER_FILES == 7 else pictures[number % len(pictures)]
                # Bytes behind a picture are none of it, and make it another file.
                (folder / f"IMG_{number:06}{suffix}").write_bytes(data + number.to_bytes(8, "little"))
                rows.append(f"IMG_{number:06}{suffix},{records[number % len(records)].text[:200]!r} {number}\n")
            (folder / "metadata.csv").write_text("file,caption\n" + "".join(rows), encoding="utf-8")
        progress("indexing them")
        done = _in_own_process("fill", str(place / "library"), str(place / "pictures"), profile)
    if done["added"] < 0.99 * files:
        raise BenchFailed("bench_rescan_read", unchanged=done["added"], files=files)
    return {
        "index_50k_peak_gb": Measure(done["peak_mb"] / 1e3, "GB", 1.5),
        "index_50k_encoder_gb": Measure(done["encoder_mb"] / 1e3, "GB"),
        "index_50k_s": Measure(done["seconds"], "s"),
    }


def _large_picture(path: Path) -> bytes:
    buffer = io.BytesIO()
    load_image(path).resize((6000, 4000)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def bench_search(library_dir: Path, *, progress: Progress, count: int = SEARCHED, seed: int = 0) -> dict[str, Measure]:
    """The index that is built for so many vectors, asked one query at a time, against comparing with every one.

    Raises LibraryError where the library has no vectors.
    """
    from composer.benchmarks.library_worker import FILE_OF_QUERIES, FILE_OF_VECTORS

    with Library.open(library_dir, None) as library:
        view = library.matrix()
        real = np.asarray(view.textual[view.has_text] if view.has_text.any() else view.visual, np.float32)
    if not len(real):
        raise LibraryError("library_without_pictures", library=str(library_dir))
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="vignette-bench-") as name:
        place = Path(name)
        queries = _varied(real, _QUERIES, rng)
        np.save(place / FILE_OF_QUERIES, queries)
        best = np.full((_QUERIES, _NEIGHBOURS), -np.inf, np.float32)
        rows = np.zeros((_QUERIES, _NEIGHBOURS), np.int64)
        with (place / FILE_OF_VECTORS).open("wb") as file:
            for start in range(0, count, _AT_ONCE):
                progress(f"making vectors and comparing with each: {start:,} of {count:,}")
                part = _varied(real, min(_AT_ONCE, count - start), rng)
                file.write(part.tobytes())
                best, rows = _nearest(best, rows, queries @ part.T, start)
        progress("building the index, and searching")
        found = _in_own_process("build", str(place), str(real.shape[1]))
        asked = _in_own_process("search", str(place), str(real.shape[1]))
    hits = [len(set(mine) & set(true)) / _NEIGHBOURS for mine, true in zip(asked["rows"], rows.tolist(), strict=True)]
    return {
        "search_1m_p95_ms": Measure(float(np.quantile(asked["seconds"], 0.95)) * 1e3, "ms", 25.0),
        "search_1m_recall10": Measure(statistics.mean(hits), "of the ten nearest", 0.99),
        "search_1m_peak_gb": Measure(asked["peak_mb"] / 1e3, "GB", 1.0),
        "search_1m_build_s": Measure(found["seconds"], "s"),
    }


def _varied(real: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    vectors = real[rng.integers(0, len(real), count)] + rng.normal(0, _JITTER, (count, real.shape[1]))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _nearest(best: np.ndarray, rows: np.ndarray, cosines: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The best of those known and of one more part, whose first row is ``start``."""
    new = np.argpartition(-cosines, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    values = np.concatenate([best, np.take_along_axis(cosines, new, 1)], axis=1)
    numbers = np.concatenate([rows, new + start], axis=1)
    order = np.argsort(-values, axis=1)[:, :_NEIGHBOURS]
    return np.take_along_axis(values, order, 1), np.take_along_axis(numbers, order, 1)


def _in_own_process(*command: str) -> dict:
    answer: dict = json.loads(in_own_process("library_worker", *command, engine=command[0]))
    return answer
