"""A library in Milvus: records, words and both vectors in one collection, searched where they are.

An alias names the present generation, ``NAME_g7``; a load makes the next one beside it and moves the alias when it is
whole, so that readers see one or the other, and a load that is killed changes nothing. ``NAME_g7_notes`` holds what is
true of all pictures together (encoder, counts) and, a row a word, how many pictures have it. Words are a sparse vector
of BM25 weights over Vignette's own terms (``retrieval.stores.store_words``): Milvus' analyzers know neither its
plurals nor its Chinese words. Import it freely: pymilvus is loaded when a library is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from image_db.errors import LibraryDamaged, LibraryError, LibraryMissing
from image_db.files import Failure
from image_db.library import encoder_mismatch
from image_db.metadata.record import ImageRecord
from image_db.stores.addresses import MilvusAddress, milvus_address
from image_db.stores.milvus_client import (
    ABOUT,
    VALUES,
    WORD,
    connect,
    current_generation,
    cut_label,
    dense_index,
    explaining,
    generation_name,
)
from vision.interfaces import EncoderIdentity

PAGE_ROWS = 1000
_WINDOW_ROWS = 16_384  # rows of one answer, at most


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What is true of all pictures of a generation together."""

    encoder: EncoderIdentity
    pictures: int
    with_text: int
    mean_length: float
    created_with: str
    created_at: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> StoreFacts:
        values = json.loads(text)
        return cls(**{**values, "encoder": EncoderIdentity(**values["encoder"])})


class StoredPicture(NamedTuple):
    """A picture with all that the store holds of it. ``textual`` is None for one without words.

    ``terms`` are the words that a query may name, ``weights`` the sparse vector of BM25 weights, ``information`` the
    sum of what its words tell, ``surest`` the largest weight of a field that has words, ``filtered`` what filters read
    (``retrieval.stores.store_filters``).
    """

    record: ImageRecord
    visual: np.ndarray
    textual: np.ndarray | None
    phash: int | None = None
    terms: Sequence[str] = ()
    weights: Mapping[int, float] = {}
    information: float = 0.0
    surest: float = 0.0
    filtered: Mapping[str, Any] = {}


@dataclass(slots=True)
class PictureRow:
    """A picture as a search reads it back."""

    id: str
    place: int
    record: ImageRecord
    visual: np.ndarray
    textual: np.ndarray
    information: float
    surest: float


@dataclass(slots=True)
class MilvusLibrary:
    """Use ``open``, and close it or use it as a context manager. Threads may share one."""

    address: MilvusAddress
    client: Any
    generation: int
    facts: StoreFacts
    _closed: bool = field(default=False)
    _values: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def open(cls, where: Path | str, encoder: EncoderIdentity | None = None) -> MilvusLibrary:
        """Open a library whose vectors ``encoder`` made; None opens it whatever made them.

        Raises LibraryMissing, EncoderMismatch or LibraryError, each saying what to do.
        """
        address = milvus_address(where)
        if address.is_lite and not Path(address.uri).is_dir():
            raise LibraryMissing("store_missing", library=address.shown)
        client = connect(address)
        try:
            with explaining(address):
                generation = current_generation(client, address)
                if generation is None:
                    raise LibraryMissing("store_missing", library=address.shown)
                collection = generation_name(address, generation)
                for name in (collection, f"{collection}_notes"):
                    client.load_collection(name)  # milvus-lite forgets between programs what was loaded
                said = client.get(f"{collection}_notes", ids=[ABOUT], output_fields=["said"])
                if not said:
                    raise LibraryDamaged("store_damaged", library=address.shown)
                facts = StoreFacts.from_json(said[0]["said"])
            library = cls(address, client, generation, facts)
            if encoder is not None and encoder.sha256 != facts.encoder.sha256:
                raise encoder_mismatch(library.folder, facts.encoder, encoder)
        except BaseException:
            client.close()
            raise
        return library

    @property
    def folder(self) -> Path:
        """The address; its last part names the library."""
        return Path(self.address.shown)

    @property
    def encoder(self) -> EncoderIdentity:
        return self.facts.encoder

    @property
    def revision(self) -> int:
        """Of the generation that is searched; one that is loaded later is seen when the library is opened again."""
        return self.generation

    @property
    def created(self) -> tuple[str, str]:
        return self.facts.created_with, self.facts.created_at

    @property
    def collection(self) -> str:
        return generation_name(self.address, self.generation)

    def __len__(self) -> int:
        return self.facts.pictures

    def __bool__(self) -> bool:
        return True

    def __contains__(self, image_id: object) -> bool:
        return bool(self._rows([str(image_id)], ["id"]))

    def __enter__(self) -> MilvusLibrary:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.client.close()

    def records(self, *, gone: bool = False) -> Iterator[ImageRecord]:
        """Every picture in the library's order; of those that are gone a store keeps none."""
        for rows in () if gone else self.pages(["record"]):
            yield from (stored_record(row["record"]) for row in rows)

    def pictures(self) -> Iterator[StoredPicture]:
        """Everything that ``library copy`` takes along, in the library's order."""
        for rows in self.pages(["record", "visual", "textual", "has_text", "phash"]):
            for row in rows:
                textual = np.asarray(row["textual"], np.float32) if row["has_text"] else None
                visual = np.asarray(row["visual"], np.float32)
                yield StoredPicture(stored_record(row["record"]), visual, textual, _phash(row["phash"]))

    def page(self, start: int, count: int) -> list[ImageRecord]:
        """So many pictures, in the library's order."""
        return [stored_record(row["record"]) for row in self._queried(_between(start, count), ["record"], count)]

    @property
    def with_text(self) -> int:
        """Pictures that have a vector of their words."""
        return self.facts.with_text

    @property
    def size_bytes(self) -> int:
        """On this machine: that of milvus-lite's files, nothing for a server."""
        if not self.address.is_lite:
            return 0
        return sum(file.stat().st_size for file in Path(self.address.uri).rglob("*") if file.is_file())

    def failures(self) -> list[Failure]:
        """None: what could not be used is noted where pictures are indexed."""
        return []

    def record(self, image_id: str) -> ImageRecord:
        return self.get([image_id])[0]

    def get(self, image_ids: Sequence[str]) -> list[ImageRecord]:
        """Records in the order of the ids. Raises LibraryError naming an id the library does not hold."""
        found = {row["id"]: stored_record(row["record"]) for row in self._rows(image_ids, ["record"])}
        for image_id in image_ids:
            if image_id not in found:
                raise LibraryError("picture_unknown", folder=self.address.shown, picture=image_id)
        return [found[image_id] for image_id in image_ids]

    def phashes(self, image_ids: Sequence[str] | None = None) -> dict[str, int]:
        """64-bit perceptual hashes of those pictures, or of all, that have one."""
        rows = self._rows(image_ids, ["phash"]) if image_ids is not None else chain(*self.pages(["phash"]))
        return {row["id"]: phash for row in rows if (phash := _phash(row["phash"])) is not None}

    def vectors(self, image_ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Visual vectors of those ids that the library holds."""
        return {row["id"]: np.asarray(row["visual"], np.float32) for row in self._rows(image_ids, ["visual"])}

    def sample(self, places: Sequence[int]) -> np.ndarray:
        """Visual vectors (n, D) of the pictures at these places, which rise."""
        found: list[Any] = []
        for start in range(0, len(places), PAGE_ROWS):
            part = list(places[start : start + PAGE_ROWS])
            found += [row["visual"] for row in self._queried(f"place in {part}", ["visual"], len(part))]
        return np.asarray(found, np.float32).reshape(len(found), self.encoder.visual_dim)

    def rows(self, image_ids: Sequence[str]) -> list[PictureRow]:
        """Pictures with their vectors, in the library's order."""
        fields = ["place", "record", "visual", "textual", "information", "surest"]
        found = [
            PictureRow(
                id=row["id"],
                place=row["place"],
                record=stored_record(row["record"]),
                visual=np.asarray(row["visual"], np.float32),
                textual=np.asarray(row["textual"], np.float32),
                information=row["information"],
                surest=row["surest"],
            )
            for row in self._rows(image_ids, fields)
        ]
        return sorted(found, key=lambda row: row.place)

    def search(self, space: str, queries: Sequence[Any], width: int, restriction: str = "") -> list[list[str]]:
        """Ids of the nearest pictures of each query: a vector, or the sparse one of words."""
        if not queries:
            return []
        data = [query if isinstance(query, dict) else query.tolist() for query in queries]
        with explaining(self.address):
            found = self.client.search(
                self.collection,
                data=data,
                anns_field=space,
                limit=max(1, min(width, 16_384)),
                filter=restriction,
                search_params={"metric_type": "IP", "params": _search_params(self, space, width)},
            )
        return [[hit["id"] for hit in hits] for hits in found]

    def word_counts(self, words: Sequence[str]) -> dict[str, int]:
        """How many pictures have each word; those that none has are left out."""
        found: dict[str, int] = {}
        keys = [WORD + cut_label(word) for word in dict.fromkeys(words)]
        for start in range(0, len(keys), PAGE_ROWS):
            with explaining(self.address):
                rows = self.client.get(
                    f"{self.collection}_notes", ids=keys[start : start + PAGE_ROWS], output_fields=["count"]
                )
            found |= {row["key"].removeprefix(WORD): row["count"] for row in rows}
        return found

    def values(self, field: str) -> list[str]:
        """The different values that pictures have in a field for which they are known; read once."""
        if field not in self._values:
            found: list[str] = []
            number = count = 0
            while number <= count:
                with explaining(self.address):
                    key = f"{VALUES}{field}:{number}"
                    rows = self.client.get(f"{self.collection}_notes", ids=[key], output_fields=["said", "count"])
                if not rows:
                    break
                found += json.loads(rows[0]["said"])
                number, count = number + 1, rows[0]["count"]
            self._values[field] = found
        return self._values[field]

    def listed(self, restriction: str, most: int) -> list[str]:
        """Ids of the first pictures that an expression lets through, in the library's order."""
        found: list[str] = []
        for start in range(0, len(self), _WINDOW_ROWS):
            window = _between(start, _WINDOW_ROWS)
            asked = f"{window} and {restriction}" if restriction else window
            found += [row["id"] for row in self._queried(asked, [], _WINDOW_ROWS)]
            if len(found) >= most:
                break
        return found[:most]

    def pages(self, fields: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """All pictures in the library's order, a page at a time."""
        for start in range(0, len(self), PAGE_ROWS):
            yield self._queried(_between(start, PAGE_ROWS), fields, PAGE_ROWS)

    def _queried(self, restriction: str, fields: Sequence[str], most: int) -> list[dict[str, Any]]:
        """The pictures that an expression lets through, in the library's order."""
        with explaining(self.address):
            rows = self.client.query(
                self.collection, filter=restriction, output_fields=["id", "place", *fields], limit=most
            )
        return sorted(rows, key=lambda row: row["place"])

    def _rows(self, image_ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        wanted = list(dict.fromkeys(image_ids))
        for start in range(0, len(wanted), PAGE_ROWS):
            with explaining(self.address):
                part = wanted[start : start + PAGE_ROWS]
                found += self.client.get(self.collection, ids=part, output_fields=["id", *fields])
        return found


def _between(start: int, count: int) -> str:
    """So many pictures from a place on, as an expression."""
    return f"place >= {start} and place < {start + count}"


def _search_params(library: MilvusLibrary, space: str, width: int) -> dict[str, Any]:
    if space == "words":
        return {}
    kind, made = dense_index(len(library), is_lite=library.address.is_lite)
    if kind == "HNSW":
        return {"ef": max(2 * width, 256)}
    if kind == "IVF_RABITQ":
        return {"nprobe": max(64, made["nlist"] // 64), "rbq_bits_query": 8, "refine_k": 3}
    return {}


def stored_record(text: str) -> ImageRecord:
    """The record that ``record_json`` wrote."""
    values = json.loads(text)
    return ImageRecord(
        **{
            **values,
            "path": Path(values["path"]),
            "tags": tuple(values["tags"]),
            "guessed_tags": tuple(values["guessed_tags"]),
            "captions": tuple(values["captions"].items()),
            "places": tuple(values["places"]),
            "position": tuple(values["position"]) if values["position"] is not None else None,
        }
    )


def _phash(text: str) -> int | None:
    return int(text, 16) if text else None
