"""Gives words to pictures of a library that nobody described: drafts from their vectors, labels of a classifier, or
captions of a model that sees.

What is written is marked as guessed or generated: search ranks such pictures by their looks, with the words as a hint,
and an export leaves them out. What a person says later takes their place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from image_db.library import Library
from image_db.metadata.description import sentence
from image_db.metadata.record import ImageRecord
from vision.errors import ImageError
from vision.images import load_image
from vision.interfaces import JointEncoder

if TYPE_CHECKING:
    from PIL.Image import Image

    from vision.bridge.drafting import CaptionDraft

Progress: TypeAlias = Callable[[int, int], None]
Labeller: TypeAlias = "Callable[[Sequence[Image]], Sequence[Sequence[str]]]"
Captioner: TypeAlias = "Callable[[Sequence[Image]], Sequence[str]]"
Drafting: TypeAlias = "Callable[[np.ndarray], Sequence[CaptionDraft]]"  # of pictures' vectors (n, D)

BATCH = 8
DRAFTED_AT_ONCE = 64
MAX_CAPTION_CHARACTERS = 300
DESCRIBED_PX = 448


@dataclass(frozen=True, slots=True)
class DescribeReport:
    """``described`` pictures have words now, ``silent`` ones got none; ``failed`` files cannot be read any more."""

    described: int
    silent: int
    failed: tuple[tuple[Path, ImageError], ...]


def describe_wordless(
    library: Library,
    encoder: JointEncoder,
    *,
    labeller: Labeller | None = None,
    captioner: Captioner | None = None,
    progress: Progress | None = None,
    target_px: int = DESCRIBED_PX,
) -> DescribeReport:
    """Fill in what people left out, and nothing else; commits as it goes, so that a second run goes on.

    ``labeller`` gives ``guessed_tags`` to pictures without any words. ``captioner`` gives a caption, marked as
    generated, to pictures without caption and alt text. What a person dropped is not drafted again. Raises LibraryError
    where the library cannot be written.
    """
    todo = [record for record in library.records() if _lacks(record, labeller, captioner)]
    todo = [record for record in todo if not _dropped(library, record)]
    described = silent = 0
    failed: list[tuple[Path, ImageError]] = []
    for start in range(0, len(todo), BATCH):
        records, images = [], []
        for record in todo[start : start + BATCH]:
            try:
                images.append(load_image(record.path, target_px=target_px))
                records.append(record)
            except ImageError as error:
                failed.append((record.path, error))
        new = with_words(records, images, labeller, captioner)
        changed = [after for before, after in zip(records, new, strict=True) if after != before]
        silent += len(records) - len(changed)
        described += len(changed)
        if changed:
            vectors = encoder.encode_sentences([sentence(record, encoder.languages) for record in changed])
            library.update_texts(zip(changed, np.asarray(vectors), strict=True))
        if progress is not None:
            progress(min(start + BATCH, len(todo)), len(todo))
    return DescribeReport(described, silent, tuple(failed))


def wordless(library: Library) -> list[ImageRecord]:
    """Pictures without any words, but those whose words a person dropped."""
    bare = [record for record in library.records() if not record.text]
    return [record for record in bare if not _dropped(library, record)]


def draft_wordless(
    library: Library, encoder: JointEncoder, draft: Drafting, progress: Progress | None = None
) -> DescribeReport:
    """A drafted caption, marked as generated, and guessed tags for every picture of ``wordless``. No picture is read:
    the library's vectors say what is seen. Commits as it goes. Raises LibraryError where it cannot be written.
    """
    todo = wordless(library)
    view = library.matrix()
    row = {id_: number for number, id_ in enumerate(view.ids)}
    described = 0
    for start in range(0, len(todo), DRAFTED_AT_ONCE):
        some = todo[start : start + DRAFTED_AT_ONCE]
        new = [record for record in with_drafts(some, view.visual[[row[r.id] for r in some]], draft) if record.text]
        if new:
            vectors = encoder.encode_sentences([sentence(record, encoder.languages) for record in new])
            library.update_texts(zip(new, np.asarray(vectors), strict=True))
        described += len(new)
        if progress is not None:
            progress(start + len(some), len(todo))
    return DescribeReport(described, len(todo) - described, ())


def with_drafts(records: Sequence[ImageRecord], vectors: np.ndarray, draft: Drafting) -> list[ImageRecord]:
    """The records with what is drafted of row i of ``vectors`` for record i, whatever words they have."""
    return [
        replace(
            record,
            caption=drafted.sentence,
            caption_origin="generated" if drafted.sentence else record.caption_origin,
            guessed_tags=drafted.tags,
        )
        for record, drafted in zip(records, draft(np.asarray(vectors)), strict=True)
    ]


def with_words(
    records: Sequence[ImageRecord],
    images: Sequence[Image],
    labeller: Labeller | None = None,
    captioner: Captioner | None = None,
) -> list[ImageRecord]:
    """The records with words for those that lack them; row i of ``images`` is the picture of row i."""
    new = list(records)
    if labeller is not None:
        rows = [row for row, record in enumerate(new) if not record.text]
        labels = labeller([images[row] for row in rows]) if rows else []
        for row, tags in zip(rows, labels, strict=True):
            new[row] = replace(new[row], guessed_tags=tuple(tags))
    if captioner is not None:
        rows = [row for row, record in enumerate(new) if _lacks(record, None, captioner)]
        captions = captioner([images[row] for row in rows]) if rows else []
        for row, caption in zip(rows, captions, strict=True):
            if text := " ".join(caption.split())[:MAX_CAPTION_CHARACTERS]:
                new[row] = replace(new[row], caption=text, caption_origin="generated")
    return new


def _dropped(library: Library, record: ImageRecord) -> bool:
    """Whether a person had a say in words that would be drafted: where there are none now, they are not wanted."""
    return bool(library.correction(record.id).keys() & {"caption", "tags"})


def _lacks(record: ImageRecord, labeller: Labeller | None, captioner: Captioner | None) -> bool:
    return (labeller is not None and not record.text) or (
        captioner is not None and not (record.caption or record.alt or record.captions)
    )
