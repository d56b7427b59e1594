"""Writes the next generation of a library in Milvus, beside the one that is searched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from image_db.errors import LibraryError
from image_db.exporting import json_line, record_json
from image_db.stores.addresses import milvus_address
from image_db.stores.milvus_client import (
    ABOUT,
    LABEL_BYTES,
    NOTHING,
    TEXT_BYTES,
    VALUES,
    WORD,
    connect,
    current_generation,
    cut_label,
    dense_index,
    explaining,
    generation_name,
    generation_of,
)
from image_db.stores.milvus_library import StoredPicture, StoreFacts
from vision.interfaces import EncoderIdentity

INSERT_ROWS = 500  # a message of gRPC holds 64 MB
_MOST_LABELS = 4_096
_LISTS = ("tags", "terms", "places", "has")
_VALUES_CHARS = 15_000  # of one note: JSON of up to four bytes a character


class MilvusWriter:
    """Writes the next generation of a library; ``finish`` shows it to readers, ``abandon`` takes it away."""

    def __init__(self, where: Path | str, encoder: EncoderIdentity, pictures: int) -> None:
        """``pictures`` decides the kind of index."""
        self.address = milvus_address(where)
        if self.address.is_lite:
            Path(self.address.uri).parent.mkdir(parents=True, exist_ok=True)
        self.client = connect(self.address)
        self._encoder = encoder
        self._placed = 0
        self._waiting: list[dict[str, Any]] = []
        with explaining(self.address):
            self._before = current_generation(self.client, self.address)
            # What a load that was killed left behind goes.
            for name in self.client.list_collections():
                number = generation_of(name, self.address)
                if number is not None and number != self._before:
                    self.client.drop_collection(name)
            self.generation = (self._before or 0) + 1
            self._collection = generation_name(self.address, self.generation)
            self._make(pictures)

    def add(self, picture: StoredPicture) -> None:
        """Raises LibraryError for a record that is too large for a row."""
        record = json_line(record_json(picture.record))
        if len(record.encode()) > TEXT_BYTES:
            raise LibraryError("store_record_long", picture=picture.record.id, limit=TEXT_BYTES)
        textual = np.zeros(self._encoder.textual_dim, np.float32) if picture.textual is None else picture.textual
        self._waiting.append(
            {
                "id": picture.record.id,
                "place": self._placed,
                "record": record,
                "terms": [cut_label(term) for term in picture.terms][:_MOST_LABELS],
                "has_text": picture.textual is not None,
                "phash": "" if picture.phash is None else f"{picture.phash:016x}",
                "information": float(picture.information),
                "surest": float(picture.surest),
                "visual": np.asarray(picture.visual, np.float32),
                "textual": np.asarray(textual, np.float32),
                "words": dict(picture.weights) or {NOTHING: 1e-6},
                **{name: _bounded(value) for name, value in picture.filtered.items()},
            }
        )
        self._placed += 1
        if len(self._waiting) >= INSERT_ROWS:
            self._insert()

    def finish(self, facts: StoreFacts, word_counts: Mapping[str, int], values: Mapping[str, Sequence[str]]) -> None:
        """Write what is true of all, and move the alias. ``values`` are the different ones of some fields."""
        self._insert()
        notes = [{"key": WORD + cut_label(word), "count": count, "said": ""} for word, count in word_counts.items()]
        notes.append({"key": ABOUT, "count": self._placed, "said": facts.to_json()})
        for name, known in values.items():
            chunks = list(_chunks(known))
            notes += [
                {
                    "key": f"{VALUES}{name}:{number}",
                    "count": len(chunks),
                    "said": json.dumps(chunk, ensure_ascii=False),
                }
                for number, chunk in enumerate(chunks)
            ]
        with explaining(self.address):
            for start in range(0, len(notes), 4 * INSERT_ROWS):
                rows = [note | {"unused": [0.0, 1.0]} for note in notes[start : start + 4 * INSERT_ROWS]]
                self.client.insert(f"{self._collection}_notes", rows)
            for name in (self._collection, f"{self._collection}_notes"):
                self.client.flush(name)
                self.client.load_collection(name)
            if self._before is None:
                self.client.create_alias(self._collection, self.address.name)
            else:
                self.client.alter_alias(self._collection, self.address.name)
                before = generation_name(self.address, self._before)
                for name in (before, f"{before}_notes"):
                    self.client.drop_collection(name)
        self.client.close()

    def abandon(self) -> None:
        with suppress(Exception):  # what stopped the load may have taken the server along
            for name in (self._collection, f"{self._collection}_notes"):
                self.client.drop_collection(name)
        self.client.close()

    def _insert(self) -> None:
        rows, self._waiting = self._waiting, []
        if rows:
            with explaining(self.address):
                self.client.insert(self._collection, rows)

    def _make(self, pictures: int) -> None:
        from pymilvus import DataType

        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        for name in ("place", "min_side_px", "taken_chars"):
            schema.add_field(name, DataType.INT64)
        schema.add_field("record", DataType.VARCHAR, max_length=TEXT_BYTES)
        for name in ("license", "camera", "folder"):
            schema.add_field(name, DataType.VARCHAR, max_length=LABEL_BYTES)
        for name in ("phash", "orientation", "taken"):
            schema.add_field(name, DataType.VARCHAR, max_length=64)
        schema.add_field("has_text", DataType.BOOL)
        for name in ("information", "surest"):
            schema.add_field(name, DataType.FLOAT)
        schema.add_field("megapixels", DataType.DOUBLE)
        for name in _LISTS:
            schema.add_field(
                name,
                DataType.ARRAY,
                element_type=DataType.VARCHAR,
                max_capacity=_MOST_LABELS,
                max_length=LABEL_BYTES,
            )
        schema.add_field("visual", DataType.FLOAT_VECTOR, dim=self._encoder.visual_dim)
        schema.add_field("textual", DataType.FLOAT_VECTOR, dim=self._encoder.textual_dim)
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        indexes = self.client.prepare_index_params()
        for name in ("visual", "textual"):
            kind, params = dense_index(pictures, is_lite=self.address.is_lite)
            indexes.add_index(name, index_type=kind, metric_type="IP", params=params)
        indexes.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="IP", params={})
        indexed = ["place", "license", "camera", "folder", "taken", "min_side_px"]
        indexed += () if self.address.is_lite else _LISTS
        for name in indexed:
            indexes.add_index(name, index_type="INVERTED")
        self.client.create_collection(self._collection, schema=schema, index_params=indexes)
        notes = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        notes.add_field("key", DataType.VARCHAR, is_primary=True, max_length=LABEL_BYTES + 8)
        notes.add_field("count", DataType.INT64)
        notes.add_field("said", DataType.VARCHAR, max_length=TEXT_BYTES)
        notes.add_field("unused", DataType.FLOAT_VECTOR, dim=2)  # a collection of Milvus has a vector
        unused = self.client.prepare_index_params()
        unused.add_index("unused", index_type="FLAT", metric_type="IP")
        self.client.create_collection(f"{self._collection}_notes", schema=notes, index_params=unused)


def _bounded(value: Any) -> Any:
    return value[:_MOST_LABELS] if isinstance(value, list) else value


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """As many texts together as a note holds."""
    chunk: list[str] = []
    chars = 0
    for text in texts:
        if chunk and chars + len(text) > _VALUES_CHARS:
            yield chunk
            chunk, chars = [], 0
        chunk.append(text)
        chars += len(text) + 4
    if chunk:
        yield chunk
