"""Shards: Parquet files with everything an index run found out of some hundred pictures. They are the truth.

Any library, in a folder or a database, can be made of them again. A shard is whole or not there. A row is a picture
(its record, fingerprint and both vectors in half precision) or a file that could not be used, with the reason.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from image_db.cluster.file_systems import opened
from image_db.errors import EncoderMismatch, LibraryError
from image_db.files import FileStamp
from image_db.metadata.record import ImageRecord
from image_db.stores.milvus_library import stored_record
from vision.errors import Phrase, phrase_from_json
from vision.interfaces import EncoderIdentity

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".parquet"
_IDENTITY = b"vignette.encoder"
_MAY_PASS = "not_readable"
_STAMP = ("path", "size_bytes", "mtime_ns", "sidecar_stamp")


class ShardRow(NamedTuple):
    """A picture, or with ``failure`` a file that could not be used. ``stamp`` is that of the file or its tar."""

    stamp: FileStamp
    record: ImageRecord | None
    phash: int | None
    visual: np.ndarray | None
    textual: np.ndarray | None
    failure: Phrase | None


@dataclass(frozen=True, slots=True)
class ShardFolder:
    """Where shards are: a folder here, or an address."""

    address: str

    def names(self) -> list[str]:
        """The shards, in the order in which their pictures were listed."""
        from pyarrow.fs import FileSelector, FileType

        system, _, base = opened(self.address)
        system.create_dir(base, recursive=True)
        files = [entry for entry in system.get_file_info(FileSelector(base)) if entry.type == FileType.File]
        return sorted(entry.base_name for entry in files if entry.base_name.endswith(SUFFIX))

    def write(self, name: str, table: pa.Table) -> None:
        """Put a shard there, whole or not at all."""
        from pyarrow import parquet

        system, _, base = opened(self.address)
        part = f"{base}/{name}.part"
        with system.open_output_stream(part) as out:
            parquet.write_table(table, out)
        system.move(part, f"{base}/{name}{SUFFIX}")

    def done(self, encoder: EncoderIdentity) -> set[FileStamp]:
        """The files that need not be read again. A shard that cannot be read is taken away: its files are done again.

        Raises EncoderMismatch where a shard was made with another encoder.
        """
        import pyarrow as pa
        from pyarrow import parquet

        system, _, base = opened(self.address)
        found: set[FileStamp] = set()
        for name in self.names():
            try:
                with system.open_input_file(f"{base}/{name}") as file:
                    table = parquet.read_table(file, columns=[*_STAMP, "failure"])
            except (OSError, pa.ArrowInvalid):
                system.delete_file(f"{base}/{name}")
                continue
            made_by = json.loads((table.schema.metadata or {}).get(_IDENTITY, b"{}"))
            if made_by.get("sha256") != encoder.sha256:
                given = f"{encoder.name} ({encoder.sha256[:12]})"
                raise EncoderMismatch(
                    "encoder_mismatch", library=self.address, made_by=made_by.get("name"), given=given
                )
            columns = (table[column].to_pylist() for column in (*_STAMP, "failure"))
            # What could not be read may be readable now; of what cannot be decoded that is not to be expected.
            found.update(_stamp(row[:4]) for row in zip(*columns, strict=True) if f'"{_MAY_PASS}"' not in row[4])
        return found

    def rows(self) -> Iterator[ShardRow]:
        """Everything that the shards hold. Raises LibraryError for one that is damaged."""
        import pyarrow as pa
        from pyarrow import parquet

        system, _, base = opened(self.address)
        for name in self.names():
            try:
                with system.open_input_file(f"{base}/{name}") as file:
                    for batch in parquet.ParquetFile(file).iter_batches(256):
                        yield from _rows_of(batch.to_pydict())
            except (OSError, pa.ArrowInvalid) as error:
                raise LibraryError("shard_damaged", file=f"{self.address}/{name}", reason=str(error)[:300]) from error


def _rows_of(columns: Mapping[str, Sequence[Any]]) -> Iterator[ShardRow]:
    for row in zip(*(columns[name] for name in schema_names()), strict=True):
        *stamp, _, _, _, record, phash, visual, textual, failure = row
        yield ShardRow(
            _stamp(stamp),
            stored_record(record) if record else None,
            int(phash, 16) if phash else None,
            _unit(visual),
            _unit(textual),
            phrase_from_json(json.loads(failure)) if failure else None,
        )


def _stamp(values: Sequence[Any]) -> FileStamp:
    path, size_bytes, mtime_ns, sidecar_stamp = values
    return FileStamp(os.fsdecode(path), size_bytes, mtime_ns, sidecar_stamp)


def _unit(vector: Sequence[float] | None) -> np.ndarray | None:
    """A vector of half precision at its full length again."""
    if vector is None:
        return None
    values = np.asarray(vector, np.float32)
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-12), np.float32)


def schema_names() -> tuple[str, ...]:
    return (*_STAMP, "id", "caption", "license", "record", "phash", "visual", "textual", "failure")


def table_of(rows: Iterable[Mapping[str, Any]], encoder: EncoderIdentity) -> pa.Table:
    """A shard's table of rows with the columns of ``schema_names``; id, caption and licence are those of the record.

    Paths are the bytes that the file system has, as they need not be valid Unicode.
    """
    import pyarrow as pa

    kinds = {
        "path": pa.binary(),
        "size_bytes": pa.int64(),
        "mtime_ns": pa.int64(),
        "sidecar_stamp": pa.string(),
        **dict.fromkeys(("id", "caption", "license", "record"), pa.string()),
        "phash": pa.string(),
        "visual": pa.list_(pa.float16(), encoder.visual_dim),
        "textual": pa.list_(pa.float16(), encoder.textual_dim),
        "failure": pa.string(),
    }
    identity = {"name": encoder.name, "sha256": encoder.sha256}
    schema = pa.schema(list(kinds.items()), metadata={_IDENTITY: json.dumps(identity).encode()})
    given = [{**row, **_told(row["record"]), "path": os.fsencode(row["path"])} for row in rows]
    columns = [pa.array([row[name] for row in given], kind) for name, kind in kinds.items()]
    return pa.Table.from_arrays(columns, schema=schema)


def _told(record: str) -> dict[str, str]:
    values = json.loads(record) if record else {}
    return {name: values.get(name, "") for name in ("id", "caption", "license")}


def shard_name(number: int, stamps: Iterable[FileStamp]) -> str:
    """By the place of its first file in the listing, and by what it is made of: the same files, the same name."""
    seal = hashlib.sha256(repr([tuple(stamp) for stamp in stamps]).encode("utf-8", "surrogatepass"))
    return f"{number:010d}-{seal.hexdigest()[:16]}"


def shards_beside(library: Path) -> str:
    """Where the shards of a library in a folder are, unless they are put elsewhere."""
    return str(library / "shards")
