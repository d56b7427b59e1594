"""clip-retrieval's folders: ``img_emb/img_emb_0.npy``, and in ``metadata/metadata_0.parquet`` a row for each vector.

Read, they name pictures, say what they show and bring vectors; which encoder made these is not in them. Written, they
are what ``clip-retrieval index`` takes (https://github.com/rom1504/clip-retrieval).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from image_db.cluster.file_systems import opened
from image_db.errors import LibraryError
from image_db.exporting import empty_folder, said_words
from image_db.metadata.description import Description
from image_db.metadata.fields import field_of, file_field
from image_db.metadata.objects import SidecarError, description_of
from image_db.metadata.tables import plain_value
from image_db.scan import UnusablePath
from image_db.stores.milvus_library import StoredPicture
from vision.errors import Phrase

PART_ROWS = 50_000  # of what is written; a part is held in memory
_METADATA = re.compile(r"metadata_(?P<number>\w+)\.parquet")
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class ClipPart(NamedTuple):
    """A table and the vectors of its rows; ``vectors`` is empty where there are none."""

    metadata: str
    vectors: str
    size_bytes: int
    mtime_ns: int

    @property
    def stamp(self) -> str:
        """Tells that the table is unchanged, as that of a sidecar does."""
        return f".parquet:{self.size_bytes}:{self.mtime_ns}"

    def names(self) -> Iterator[str]:
        """What each row calls its picture: a path, or the key of a picture in a tar of webdataset."""
        from pyarrow.parquet import ParquetFile

        with _opened(self.metadata) as file:
            table = ParquetFile(file)
            for batch in table.iter_batches(columns=file_field(table.schema_arrow.names)):
                yield from (str(name) for name in batch.column(0).to_pylist())


class ClipRow(NamedTuple):
    """``number`` counts the rows of its part from 0."""

    part: ClipPart
    number: int


class ClipData(NamedTuple):
    """What a row says. ``vector`` has the bytes of halves, none where the part has no vectors."""

    words: Description
    vector: bytes


def is_clip_folder(path: Path) -> bool:
    """Whether a folder on this machine has clip-retrieval's layout."""
    return any(_METADATA.fullmatch(file.name) for file in path.expanduser().glob("metadata/metadata_*.parquet"))


def clip_parts(address: str) -> tuple[list[ClipPart], list[UnusablePath]]:
    """The parts of a folder by name, and those that cannot be used; none where it has another layout."""
    system, prefix, base = opened(address)  # says where pyarrow is missing
    from pyarrow.fs import FileSelector, FileType

    def listed(name: str) -> dict[str, Any]:
        found = system.get_file_info(FileSelector(f"{base}/{name}", allow_not_found=True))
        return {entry.base_name: entry for entry in found if entry.type == FileType.File}

    tables = {
        match["number"]: entry for name, entry in listed("metadata").items() if (match := _METADATA.fullmatch(name))
    }
    vectors = listed("img_emb") if tables else {}
    parts, problems = [], []
    for number, entry in sorted(tables.items()):
        matrix = vectors.get(f"img_emb_{number}.npy")
        part = ClipPart(
            prefix + entry.path, "" if matrix is None else prefix + matrix.path, entry.size or 0, entry.mtime_ns or 0
        )
        problem = _problem(part)
        if problem is not None:
            problems.append(problem)
        else:
            parts.append(part)
    return parts, problems


def _problem(part: ClipPart) -> UnusablePath | None:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with _opened(part.metadata) as file:
            table = ParquetFile(file)
            rows, named = table.metadata.num_rows, file_field(table.schema_arrow.names)
    except (ArrowException, OSError) as error:
        return UnusablePath(part.metadata, Phrase("table_not_parquet", {"reason": str(error).split("\n")[0]}))
    if not named:
        return UnusablePath(part.metadata, Phrase("table_names_no_column", {"known": ["image_path"]}))
    if part.vectors:
        try:
            with _opened(part.vectors) as file:
                vectors = _Header.of(file).rows
        except (OSError, ValueError, KeyError) as error:
            return UnusablePath(part.vectors, Phrase("vectors_not_numpy", {"reason": str(error)}))
        if vectors != rows:
            return UnusablePath(part.vectors, Phrase("vectors_of_other_rows", {"vectors": vectors, "rows": rows}))
    return None


def _opened(address: str) -> Any:
    system, _, path = opened(address)
    return system.open_input_file(path)


class _Header(NamedTuple):
    """Of a matrix in a .npy file; ``start`` is where its numbers begin."""

    rows: int
    dim: int
    dtype: np.dtype
    start: int

    @classmethod
    def of(cls, file: Any) -> _Header:
        """Raises ValueError or KeyError where it is no matrix of floating-point numbers, row by row."""
        shape, is_transposed, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
        if len(shape) != 2 or is_transposed or dtype.kind != "f":
            raise ValueError(f"shape {shape} of {dtype}")
        return cls(*shape, dtype, file.tell())


def keys_of(path: str, within: str) -> tuple[str, ...]:
    """What a row may call a picture of a tar: its whole path, its name in the tar, or webdataset's key."""
    name = path.removeprefix(f"{within}/")
    folder, slash, file = name.rpartition("/")
    return path, name, f"{folder}{slash}{file.partition('.')[0]}"


def rows_named(parts: Iterable[ClipPart], paths: Mapping[str, str]) -> dict[str, ClipRow]:
    """The rows of the pictures whose paths stand under the names that a row may give them."""
    return {
        paths[name]: ClipRow(part, number)
        for part in parts
        for number, name in enumerate(part.names())
        if name in paths
    }


def read_rows(rows: Mapping[str, ClipRow]) -> dict[str, ClipData]:
    """Words and vectors for the pictures of ``rows``."""
    found: dict[str, ClipData] = {}
    for part in dict.fromkeys(row.part for row in rows.values()):
        numbers = {path: row.number for path, row in rows.items() if row.part == part}
        vectors = _vectors(part, numbers.values())
        words = _words(part, list(numbers.values()))
        for (path, number), description in zip(numbers.items(), words, strict=True):
            found[path] = ClipData(description, vectors.get(number, b""))
    return found


def _words(part: ClipPart, numbers: Sequence[int]) -> Iterator[Description]:
    from pyarrow import parquet

    with _opened(part.metadata) as file:
        names = parquet.read_schema(file).names
        file.seek(0)
        table = parquet.read_table(file, columns=[name for name in names if field_of(name)])
    for row in table.take(numbers).to_pylist():
        try:
            yield description_of({name: plain_value(value) for name, value in row.items()}, strict=False)
        except SidecarError as error:
            yield error.rest


def _vectors(part: ClipPart, numbers: Iterable[int]) -> dict[int, bytes]:
    """Rows that follow each other are read at once."""
    if not part.vectors:
        return {}
    found: dict[int, bytes] = {}
    with _opened(part.vectors) as file:
        header = _Header.of(file)
        width = header.dim * header.dtype.itemsize
        for _, run in groupby(enumerate(sorted(numbers)), key=lambda each: each[1] - each[0]):
            wanted = [number for _, number in run]
            file.seek(header.start + wanted[0] * width)
            values = np.frombuffer(file.read(len(wanted) * width), header.dtype).astype(np.float16)
            found |= {
                number: row.tobytes() for number, row in zip(wanted, values.reshape(len(wanted), -1), strict=True)
            }
    return found


def export_clip_folder(
    pictures: Iterable[StoredPicture], pictures_count: int, folder: Path, part_rows: int = PART_ROWS
) -> int:
    """Write vectors and words of so many pictures into a new or empty folder; returns how many.

    Raises LibraryError where the folder holds something or cannot be written, or pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise LibraryError("format_needs_package", format="Parquet", package="pyarrow")
    empty_folder(folder)
    digits = len(str(max(0, pictures_count - 1) // part_rows))  # by name the parts are in their order
    remaining, number, written = iter(pictures), 0, 0
    try:
        for name in ("img_emb", "metadata"):
            (folder / name).mkdir()
        while part := list(islice(remaining, part_rows)):
            _write_part(part, folder, f"{number:0{digits}}")
            number += 1
            written += len(part)
    except OSError as error:
        raise LibraryError("export_not_written", path=str(folder), reason=error.strerror or str(error)) from error
    return written


def _write_part(part: Sequence[StoredPicture], folder: Path, number: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    np.save(
        folder / "img_emb" / f"img_emb_{number}.npy", np.stack([picture.visual for picture in part]).astype(np.float16)
    )
    rows = []
    for picture in part:
        record, words = picture.record, said_words(picture.record)
        captions = {f"caption_{code}": text for code, text in words.pop("captions", {}).items()}
        named = {"image_path": str(record.path).encode("utf-8", "backslashreplace").decode(), "sha256": record.id}
        rows.append(named | {"caption": "", "width": record.width_px, "height": record.height_px} | words | captions)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: pa.array([row.get(name) for row in rows]) for name in names}
    parquet.write_table(pa.table(columns), folder / "metadata" / f"metadata_{number}.parquet")
