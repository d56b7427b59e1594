"""Indexing on Ray Data: readers on all cores decode and describe, actors encode, one actor writes whole shards.

Only what no shard holds yet is done, so a run goes on where one was killed and does again what stood in open shards
alone. A file that cannot be used costs itself: it gets a row with the reason. Workers that die are started again by
Ray, and what they held is done again; a writer that dies loses its open shards, which the next pass makes.

Vectors that clip-retrieval brings are used where this run's encoder makes the same: in every batch two are compared.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from image_db.cluster.clip_retrieval import ClipData, ClipRow, keys_of, read_rows, rows_named
from image_db.cluster.reader_notes import ReaderNote
from image_db.cluster.shards import ShardFolder, shard_name, table_of
from image_db.cluster.sources import Sources, TarFile, bring, stamp_of, tar_problem, unpack
from image_db.errors import LibraryError
from image_db.exporting import json_line, record_json
from image_db.files import FileStamp
from image_db.metadata.description import sentence_vectors
from image_db.metadata.reading import ReadPicture, read_picture
from image_db.metadata.sidecars import SidecarReader
from image_db.scan import FoundFile
from image_db.stores.milvus_library import stored_record
from vision import usable_cores
from vision.errors import KeyedError, Phrase, phrase_to_json
from vision.interfaces import EncoderIdentity, JointEncoder
from vision.vectors import unit

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

LoadEncoder: TypeAlias = Callable[[], JointEncoder]  # called where the work is; pickled on the way there
Progress: TypeAlias = Callable[[int, int], None]  # files done, files to do

SHARD_FILES = 512
BATCH_PICTURES = 32
READER_BYTES = 512 << 20  # a batch of decoded pictures, and the largest picture while it is decoded
_PASSES = 3
_ENCODERS_HERE = 4  # each holds the models
_READERS_SHARE = 0.2  # of the cores of an encoder
_STARTS = 4
SAME_COSINE = 0.99  # of one picture by one encoder, decoded by another program; by another encoder it is near 0


@dataclass(frozen=True, slots=True)
class RayOptions:
    """``address`` is a cluster's, or "auto"; empty starts one on this machine with so many ``workers``, by default the
    cores it may use. ``encoders`` actors encode, each with ``gpus_each`` GPUs or ``cores_each`` cores; 0 stands for one
    on a cluster and for all cores of this machine, shared by at most four.
    """

    address: str = ""
    workers: int = 0
    encoders: int = 0
    gpus_each: float = 0.0
    cores_each: float = 0.0
    shard_files: int = SHARD_FILES

    def settled(self) -> RayOptions:
        """The same with numbers in place of what 0 stands for."""
        cores = self.workers or usable_cores()
        encoders = self.encoders or (1 if self.address or self.gpus_each else min(cores, _ENCODERS_HERE))
        cores_each = self.cores_each or (1 if self.address else max(1, cores // encoders))
        return replace(self, workers=cores, encoders=encoders, cores_each=cores_each)

    def reading(self, units: int) -> dict[str, Any]:
        """What Ray is asked for to read. Beside encoders on cores a reader mostly waits; a GPU keeps many busy."""
        if self.gpus_each:
            return {"num_cpus": 1, "memory": READER_BYTES}
        at_once = min(units, max(1, math.ceil(self.encoders * self.cores_each)))
        return {"num_cpus": _READERS_SHARE / 2, "memory": READER_BYTES, "concurrency": at_once}

    def encoding(self) -> dict[str, Any]:
        """What Ray is asked for to encode: room for readers stays on the same cores."""
        return {"num_gpus": self.gpus_each} if self.gpus_each else {"num_cpus": self.cores_each - _READERS_SHARE}


@dataclass(frozen=True, slots=True)
class RayReport:
    """``files`` were read in this run, ``kept`` were in shards before, ``shards`` were written.

    ``stats`` are Ray's own figures of each operator: time, memory, rows. ``brought`` pictures came with vectors of
    clip-retrieval; those of ``trusted`` were used.
    """

    files: int
    kept: int
    shards: int
    seconds: float
    stats: str
    brought: int = 0
    trusted: int = 0


@dataclass(frozen=True, slots=True)
class _Unit:
    """What becomes one shard: files, with what clip-retrieval says of them, or one tar."""

    name: str
    files: tuple[FoundFile, ...] = ()
    tar: TarFile | None = None
    rows: Mapping[str, ClipRow] = field(default_factory=dict)


def index_on_ray(
    sources: Sources,
    shards: ShardFolder,
    encoder: EncoderIdentity,
    load_encoder: LoadEncoder,
    options: RayOptions,
    progress: Progress | None = None,
) -> RayReport:
    """Make shards of everything in ``sources`` that no shard holds yet.

    Raises LibraryError where Ray is not installed or not reached, or shards stay open after three passes.
    """
    started = time.perf_counter()
    options = options.settled()
    done = shards.done(encoder)
    waiting = _units(sources, done, options.shard_files)
    total = sum(len(unit.files) or 1 for unit in waiting)
    kept = len(sources.files) + len(sources.tars) - total
    written = finished = brought = trusted = 0
    stats: list[str] = []
    if waiting:
        start_ray(options)
    for _ in range(_PASSES):
        for shard in _run(waiting, shards, encoder, load_encoder, options, stats) if waiting else ():
            written += 1
            finished += shard["files"]
            brought += shard["brought"]
            trusted += shard["trusted"]
            if progress is not None:
                progress(min(finished, total), total)
        waiting = _units(sources, shards.done(encoder), options.shard_files) if waiting else []
        if not waiting:
            seconds = time.perf_counter() - started
            return RayReport(total, kept, written, seconds, "\n".join(stats), brought, trusted)
    raise LibraryError("shards_left_open", count=len(waiting), folder=shards.address)


def start_ray(options: RayOptions) -> None:
    """Connect to the cluster, or start one on this machine. Raises LibraryError where that cannot be done."""
    try:
        import ray
    except ImportError as error:
        raise LibraryError("store_package_missing", package="ray") from error
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong is raised; Ray keeps its own logs
    given: dict[str, Any] = {"num_cpus": options.settled().workers, "include_dashboard": False}
    if options.address:
        given = {"address": options.address}
    for left in reversed(range(_STARTS)):
        try:
            ray.init(**given, log_to_driver=False, logging_level="ERROR")
            return
        except Exception as error:
            # A bare Exception is Ray's word for a machine so busy that its processes were not there after 30 s.
            if type(error) is Exception:
                _end_processes(error)
                if left:
                    continue
            reason = str(error)[:300]
            raise LibraryError("ray_not_reached", address=options.address or "local", reason=reason) from error


def _end_processes(error: Exception) -> None:
    """End what Ray began to start before it gave up: it has no other handle on it than the frames of the error."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        node: Any = frame.f_locals.get("self")
        if hasattr(node, "kill_all_processes"):
            with suppress(Exception):  # some of them never came to be
                node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)


def _units(sources: Sources, done: set[FileStamp], shard_files: int) -> list[_Unit]:
    """The work that is left, in the order of the listing."""
    left = [(number, found) for number, found in enumerate(sources.files) if found.stamp not in done]
    units = []
    for start in range(0, len(left), shard_files):
        part = left[start : start + shard_files]
        files = tuple(found for _, found in part)
        rows = {path: sources.rows[path] for found in files if (path := found.stamp.path) in sources.rows}
        units.append(_Unit(shard_name(part[0][0], (found.stamp for found in files)), files, rows=rows))
    for number, tar in enumerate(sources.tars, len(sources.files)):
        if stamp_of(tar) not in done:
            units.append(_Unit(shard_name(number, [stamp_of(tar)]), tar=tar))
    return units


def _run(
    units: Sequence[_Unit],
    shards: ShardFolder,
    encoder: EncoderIdentity,
    load_encoder: LoadEncoder,
    options: RayOptions,
    stats: list[str],
) -> Iterator[dict[str, Any]]:
    """Of each shard that was written, what the writer says of it; at last Ray's figures go to ``stats``."""
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    work = ray.data.from_items([{"unit": pickle.dumps(unit)} for unit in units], override_num_blocks=len(units))
    # Readers ask for other resources than encoders, or Ray would make one operator of both and encoders would decode.
    read = work.map_batches(
        read_unit, fn_args=(shards,), batch_size=1, batch_format="pyarrow", **options.reading(len(units))
    )
    encoded = read.map_batches(
        EncodeRows,
        fn_constructor_args=(load_encoder, encoder, 0 if options.gpus_each else math.ceil(options.cores_each)),
        batch_size=BATCH_PICTURES,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=options.encoders),
        **options.encoding(),
    )
    written = encoded.map_batches(
        WriteShards,
        fn_constructor_args=(shards, encoder),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=0,
    )
    yield from written.iter_rows()
    stats.append(written.stats())


# Read


def read_unit(batch: pa.Table, shards: ShardFolder) -> Iterator[pa.Table]:
    """Decode and describe the files of one unit, a few pictures at a time. Every file becomes a row.

    Where a reader of it died before, each file is noted beside the shards before it is read (``ReaderNote``).
    """
    (unit,) = (pickle.loads(data) for data in batch["unit"].to_pylist())
    with tempfile.TemporaryDirectory() as scratch:
        try:
            pictures = _pictures_of(unit, Path(scratch))
            problem = None
        except Exception as error:  # noqa: BLE001 - whatever one tar does, the run goes on without it
            pictures, problem = [], tar_problem(unit.tar, error)
        empty = not pictures
        count = max(1, len(pictures))
        said = _said(unit, pictures)
        known = {found.stamp.path: said[path].words for path, _, found in pictures if path in said}
        sidecars, rows = SidecarReader(known=known), []
        note = ReaderNote.begin(shards, unit.name)
        if empty:
            reason = problem.reason if problem is not None else Phrase("tar_without_pictures")
            yield _as_table([_row(unit, 0, count, stamp_of(unit.tar), reason)])
        for number, (path, stamp, found) in enumerate(pictures):
            if note.is_deadly(number):
                rows.append(_row(unit, number, count, stamp, Phrase("reader_died")))
            else:
                with note.reading(number):
                    row = _read_row(unit, number, count, path, stamp, found, sidecars)
                rows.append(row | {"given": said[path].vector} if path in said and row["pixels"] else row)
            if len(rows) == BATCH_PICTURES:
                yield _as_table(rows)
                rows = []
        note.end()
        if rows:
            yield _as_table(rows)


def _pictures_of(unit: _Unit, scratch: Path) -> list[tuple[str, FileStamp, FoundFile]]:
    """The path to keep of each picture, the stamp of its source, and where it is now."""
    if unit.tar is not None:
        return [(path, stamp_of(unit.tar), found) for path, found in unpack(unit.tar, scratch)]
    brought = bring(unit.files, scratch)
    return [(found.stamp.path, found.stamp, brought[found.stamp.path]) for found in unit.files]


def _said(unit: _Unit, pictures: Sequence[tuple[str, FileStamp, FoundFile]]) -> dict[str, ClipData]:
    """What clip-retrieval says of the pictures, by their path."""
    if unit.tar is None or not unit.tar.parts:
        return read_rows(unit.rows)
    keys = {key: path for path, _, _ in pictures for key in keys_of(path, unit.tar.path)}
    return read_rows(rows_named(unit.tar.parts, keys))


def _read_row(
    unit: _Unit, number: int, count: int, path: str, stamp: FileStamp, found: FoundFile, sidecars: SidecarReader
) -> dict[str, Any]:
    result = read_picture(found, sidecars, ())
    if not isinstance(result, ReadPicture) or result.image is None or result.record is None:
        reason = result.reason if not isinstance(result, ReadPicture) else Phrase("no_vector")
        return _row(unit, number, count, stamp, reason)
    record = json.loads(json_line(record_json(result.record)))
    record["path"] = path
    return _row(unit, number, count, stamp) | {
        "record": json_line(record),
        "phash": "" if result.phash is None else f"{result.phash:016x}",
        "pixels": result.image.tobytes(),
        "width": result.image.width,
        "height": result.image.height,
    }


def _row(
    unit: _Unit, number: int, count: int, stamp: FileStamp, failure: Phrase | KeyedError | None = None
) -> dict[str, Any]:
    return {
        "shard": unit.name,
        "number": number,
        "of": count,
        **stamp._asdict(),
        "path": os.fsencode(stamp.path),
        "record": "",
        "phash": "",
        "pixels": b"",
        "width": 0,
        "height": 0,
        "given": b"",
        "trusted": 0,
        "failure": "" if failure is None else json.dumps(phrase_to_json(failure), ensure_ascii=False),
    }


def _as_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    whole = ("number", "of", "size_bytes", "mtime_ns", "width", "height", "trusted")
    data = {"path": pa.binary(), "given": pa.binary(), "pixels": pa.large_binary()}
    kinds = {name: data.get(name) or (pa.int64() if name in whole else pa.string()) for name in rows[0]}
    return pa.Table.from_arrays([pa.array([row[n] for row in rows], k) for n, k in kinds.items()], names=list(kinds))


# Encode


class EncodeRows:
    """An actor that holds the encoder. Pixels go in, vectors in half precision come out."""

    def __init__(self, load_encoder: LoadEncoder, wanted: EncoderIdentity, threads: int) -> None:
        """``threads`` that it computes in, where it is not 0: Ray would give it one less for the readers' share."""
        if threads:
            os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is loaded, which comes with the encoder
        self._encoder = load_encoder()
        if self._encoder.identity.sha256 != wanted.sha256:
            raise LibraryError("encoder_differs_on_worker", wanted=wanted.name, found=self._encoder.identity.name)

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa
        from PIL import Image

        told = batch.drop_columns(["pixels", "width", "height"])
        rows = told.to_pylist()
        pixels = zip(*(batch[name].to_pylist() for name in ("width", "height", "pixels")), strict=True)
        images = {i: Image.frombytes("RGB", (w, h), data) for i, (w, h, data) in enumerate(pixels) if data}
        given = {i: np.frombuffer(rows[i]["given"], np.float16).astype(np.float32) for i in images if rows[i]["given"]}
        vectors, trusted = self._vectors(images, given)
        visual: list[Any] = [None] * len(rows)
        for i, vector in vectors.items():
            rows[i]["trusted"] = int(i in trusted)
            if np.isfinite(vector).all():
                visual[i] = vector.astype(np.float16)
            else:
                rows[i]["failure"] = json.dumps(phrase_to_json(Phrase("no_vector")))
        described = {i: stored_record(row["record"]) for i, row in enumerate(rows) if row["record"]}
        vectors_of_words = sentence_vectors(list(described.values()), self._encoder)
        textual = {
            i: vector.astype(np.float16)
            for i, vector in zip(described, vectors_of_words, strict=True)
            if vector is not None
        }
        identity = self._encoder.identity
        return (
            pa.Table.from_pylist(rows, schema=told.schema)
            .append_column("visual", pa.array(visual, _halves(identity.visual_dim)))
            .append_column(
                "textual", pa.array([textual.get(i) for i in range(len(rows))], _halves(identity.textual_dim))
            )
        )

    def _vectors(
        self, images: Mapping[int, Image], given: Mapping[int, np.ndarray]
    ) -> tuple[dict[int, np.ndarray], Collection[int]]:
        """The vector of each picture, and which of ``given`` are this encoder's: all, if the first and the last are."""
        tried = list(given)[:: max(1, len(given) - 1)]
        left = [i for i in given if i not in tried]
        made = self._encoded({i: image for i, image in images.items() if i not in left})
        if all(_same(made[i], given[i]) for i in tried):
            return made | {i: unit(given[i][None])[0] for i in left}, given
        return made | self._encoded({i: images[i] for i in left}), ()

    def _encoded(self, images: Mapping[int, Image]) -> dict[int, np.ndarray]:
        return dict(zip(images, self._encoder.encode_images(list(images.values())), strict=True)) if images else {}


def _same(made: np.ndarray, given: np.ndarray) -> bool:
    """Whether two vectors are one encoder's of one picture, but for rounding and decoding."""
    return made.shape == given.shape and float(unit(made[None])[0] @ unit(given[None])[0]) >= SAME_COSINE


def _halves(dim: int) -> pa.DataType:
    import pyarrow as pa

    return pa.list_(pa.float16(), dim)


# Write


class WriteShards:
    """The one actor that writes: it collects the rows of each shard and writes it when all are there."""

    def __init__(self, shards: ShardFolder, encoder: EncoderIdentity) -> None:
        self._shards, self._encoder = shards, encoder
        self._open: dict[str, dict[int, dict[str, Any]]] = {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        written: list[dict[str, Any]] = []
        for row in batch.to_pylist():
            held = self._open.setdefault(row["shard"], {})
            held[row["number"]] = row  # a reader that died sends its rows again
            if len(held) == row["of"]:
                rows = [held[number] for number in sorted(held)]
                self._shards.write(row["shard"], table_of(rows, self._encoder))
                written.append(
                    {
                        "shard": row["shard"],
                        "files": len(rows),
                        "brought": sum(bool(each["given"]) for each in rows),
                        "trusted": sum(each["trusted"] for each in rows),
                    }
                )
                del self._open[row["shard"]]
        counts = [(name, pa.int64()) for name in ("files", "brought", "trusted")]
        return pa.Table.from_pylist(written, schema=pa.schema([("shard", pa.string()), *counts]))
