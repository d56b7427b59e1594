"""From shards to a library: what is in them and still where it was, as pictures, links, words and failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from image_db.cluster.shards import ShardFolder, ShardRow
from image_db.cluster.sources import Sources, stamp_of
from image_db.corrections import corrected
from image_db.indexing import IndexReport
from image_db.library import Library, NewImage
from image_db.metadata.description import sentence_vectors
from image_db.metadata.generate import DRAFTED_AT_ONCE, Drafting, with_drafts
from image_db.metadata.record import ImageRecord
from image_db.stores.milvus_library import StoredPicture
from vision import own_version
from vision.errors import KeyedError, Phrase
from vision.interfaces import JointEncoder

Progress: TypeAlias = Callable[[int], None]  # rows taken
_ROWS_AT_ONCE = 1_000


@dataclass(slots=True)
class ShardContents:
    """The rows of a folder of shards that count: a file that changed or went since has its old ones left out."""

    shards: ShardFolder
    sources: Sources

    def __iter__(self) -> Iterator[ShardRow]:
        listed = {found.stamp.path: found.stamp for found in self.sources.files}
        listed |= {tar.path: stamp_of(tar) for tar in self.sources.tars}
        for row in self.shards.rows():
            path = row.stamp.path
            if listed.get(path) == row.stamp or (path not in listed and not self.sources.covers(path)):
                yield row

    def pictures(self) -> Iterator[StoredPicture]:
        """Those that a database is loaded with."""
        for row in self:
            if row.record is not None and row.visual is not None and row.failure is None:
                yield StoredPicture(row.record, row.visual, row.textual, row.phash)

    def failures(self) -> dict[str, Phrase]:
        """Files that could not be used, and why."""
        noted = {problem.path: problem.reason for problem in self.sources.problems}
        return noted | {row.stamp.path: row.failure for row in self if row.failure is not None}


class Drafted:
    """Pictures as ``read`` gives them, with drafts for those without words: made once, however often it is called."""

    def __init__(self, read: Callable[[], Iterator[StoredPicture]], encoder: JointEncoder, draft: Drafting) -> None:
        self._read, self._encoder, self._draft = read, encoder, draft
        self._words: dict[str, tuple[ImageRecord, np.ndarray | None]] = {}

    def __call__(self) -> Iterator[StoredPicture]:
        pictures = self._read()
        while part := list(islice(pictures, DRAFTED_AT_ONCE)):
            self._make(
                [picture for picture in part if not picture.record.text and picture.record.id not in self._words]
            )
            for picture in part:
                record, textual = self._words.get(picture.record.id, (picture.record, picture.textual))
                yield picture._replace(record=record, textual=textual)

    def _make(self, wordless: list[StoredPicture]) -> None:
        if not wordless:
            return
        vectors = np.stack([picture.visual for picture in wordless])
        records = with_drafts([picture.record for picture in wordless], vectors, self._draft)
        for record, vector in zip(records, sentence_vectors(records, self._encoder), strict=True):
            self._words[record.id] = (record, vector)


def fill_library(
    library: Library,
    encoder: JointEncoder,
    shards: ShardFolder,
    sources: Sources,
    progress: Progress | None = None,
) -> IndexReport:
    """Bring a library in a folder up to date with the shards, as indexing its pictures here would.

    What a person corrected leads; drafts stay where the files still have no words. ``encoder`` makes their vectors.
    """
    started = time.perf_counter()
    counts = dict.fromkeys(("added", "unchanged", "updated_text", "linked", "removed"), 0)
    failed: dict[str, Phrase | KeyedError] = {problem.path: problem.reason for problem in sources.problems}
    present: set[str] = set()
    rows = iter(ShardContents(shards, sources))
    taken = 0
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        _add(library, encoder, part, counts, failed, present)
        taken += len(part)
        if progress is not None:
            progress(taken)
    with library.transaction():
        library.files.forget_failures(str(old.path) for old in library.failures() if str(old.path) in present)
        for path, reason in failed.items():
            library.files.note_failure(path, "picture", reason)
        gone = {
            path: known.image_id
            for root in sources.covered
            for path, known in library.files.under(root).items()
            if path not in present and not known.missing
        }
        library.files.mark_missing(gone)
        counts["removed"] = library.files.count_gone(set(gone.values()))
    noted = tuple((Path(path), reason) for path, reason in failed.items())
    return IndexReport(
        added=counts["added"],
        unchanged=counts["unchanged"],
        updated_text=counts["updated_text"],
        linked=counts["linked"],
        removed=counts["removed"],
        failed=noted,
        warnings=(),
        seconds=time.perf_counter() - started,
    )


def _add(
    library: Library,
    encoder: JointEncoder,
    rows: list[ShardRow],
    counts: dict[str, int],
    failed: dict[str, Phrase | KeyedError],
    present: set[str],
) -> None:
    """Some rows, as one transaction."""
    with library.transaction():
        for row in rows:
            if row.failure is not None or row.record is None or row.visual is None:
                reason = row.failure or Phrase("no_vector")
                failed[row.stamp.path] = reason
                seen = (row.stamp.size_bytes, row.stamp.mtime_ns, own_version())
                library.files.note_failure(row.stamp.path, "picture", reason, seen)
                continue
            # A picture out of a tar is known by its own place in it.
            stamp = row.stamp._replace(path=str(row.record.path))
            present.add(stamp.path)
            known = library.files.known(stamp.path)
            old = library.record(row.record.id) if row.record.id in library else None
            record = _with_words_kept(row.record, old, library.correction(row.record.id))
            if old is None:
                textual = _vector(record, row, encoder)
                library.add([NewImage(record, row.visual, textual, row.phash, stamp)])
                counts["added"] += 1
            else:
                is_new = known is None or known.image_id != row.record.id or known.missing
                library.files.link(stamp, row.record.id)
                counts["linked" if is_new else "unchanged"] += 1
            if old is not None and old.path == record.path and _words(old) != _words(record):
                library.update_text(record, _vector(record, row, encoder))
                counts["updated_text"] += 1


def _with_words_kept(given: ImageRecord, old: ImageRecord | None, correction: Mapping[str, str]) -> ImageRecord:
    """What the files say, with what was drafted where they say nothing, below what a person said."""
    if old is not None:
        given = replace(given, guessed_tags=old.guessed_tags)
        if old.caption_origin == "generated" and not given.caption:
            given = replace(given, caption=old.caption, caption_origin="generated")
    return corrected(given, correction)


def _vector(record: ImageRecord, row: ShardRow, encoder: JointEncoder) -> np.ndarray | None:
    """Of the record's words: the shard's, where they are the shard's words."""
    if row.record is not None and _words(record) == _words(row.record):
        return row.textual
    return sentence_vectors([record], encoder)[0]


def _words(record: ImageRecord) -> ImageRecord:
    """The record without where it is and how large it is."""
    return replace(record, path=Path(), width_px=0, height_px=0)
