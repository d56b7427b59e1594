"""Drafts for pictures that nobody described, made unasked: where that is quick and possible, or it is said why not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from vision.errors import KernelsUnavailable, ModelError, Phrase, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from composer.settings import Settings
    from image_db.library import Library
    from image_db.metadata.generate import DescribeReport, Drafting, Progress
    from image_db.metadata.record import ImageRecord
    from vision.bridge.drafting import CaptionDraft
    from vision.interfaces import JointEncoder

MOST_UNASKED = 2_000  # pictures that are drafted without being asked: two or three minutes on two cores
_NOT_MADE = (ModelError, WeightsError, KernelsUnavailable)


class SharedDrafting:
    """A ``Drafting`` for many callers, one at a time; what makes the drafts is loaded for the first of them.

    Raises what ``load_drafting`` raises; the next call tries again.
    """

    def __init__(self, settings: Settings, encoder: JointEncoder) -> None:
        self._settings, self._encoder = settings, encoder
        self._draft: Drafting | None = None
        self._turn = threading.Lock()

    def __call__(self, vectors: np.ndarray) -> Sequence[CaptionDraft]:
        from composer.pipeline.loading import load_drafting

        with self._turn:
            if self._draft is None:
                self._draft = load_drafting(self._settings, self._encoder)
            return self._draft(vectors)


def draft_unasked(
    library: Library, encoder: JointEncoder, draft: Drafting, progress: Progress | None = None
) -> DescribeReport | Phrase | None:
    """Draft the pictures of a library that have no words; why not, where they are too many or it cannot be done.

    None where all have words. Raises LibraryError where the library cannot be written.
    """
    from image_db.metadata.generate import draft_wordless, wordless

    count = len(wordless(library))
    if not count:
        return None
    if count > MOST_UNASKED:
        return Phrase("drafts_not_unasked", {"count": count})
    try:
        return draft_wordless(library, encoder, draft, progress)
    except _NOT_MADE as error:
        return Phrase("drafts_not_made", {"count": count, "reason": error})


def drafted_if_possible(
    records: Sequence[ImageRecord], vectors: np.ndarray, draft: Drafting | None
) -> list[ImageRecord]:
    """The records with drafts for those without words; row i of ``vectors`` is record i. As they are without a way to
    make any: the article then says which of its pictures have no words.
    """
    from image_db.metadata.generate import with_drafts

    rows = [row for row, record in enumerate(records) if not record.text]
    told = list(records)
    if draft is None or not rows:
        return told
    try:
        for row, record in zip(rows, with_drafts([told[row] for row in rows], vectors[rows], draft), strict=True):
            told[row] = record
    except _NOT_MADE:
        return list(records)
    return told
