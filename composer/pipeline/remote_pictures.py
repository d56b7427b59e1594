"""Candidates whose pictures are in an object store or a tar file, brought to this machine to be looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from image_db.cluster.sources import at_hand, is_elsewhere
from image_db.errors import LibraryError
from retrieval.candidates import Candidate
from vision.downloads.store import home


def readable(candidates: Iterable[Candidate], lost: set[Path]) -> list[Candidate]:
    """Those whose files can be read here or brought later; the paths of the others are added to ``lost``."""
    kept = []
    for candidate in candidates:
        path = candidate.record.path
        if is_elsewhere(path) or os.access(path, os.R_OK):
            kept.append(candidate)
        else:
            lost.add(path)
    return kept


def brought(candidates: Iterable[Candidate], lost: set[Path]) -> list[Candidate]:
    """The same candidates with files on this machine; those that cannot be had are left out and added to ``lost``.

    What was brought is kept below VIGNETTE_HOME, by the picture's hash.
    """
    kept = []
    for candidate in candidates:
        record = candidate.record
        try:
            path = at_hand(record.path, record.id, home() / "pictures")
        except (OSError, LibraryError):
            lost.add(record.path)
            continue
        kept.append(candidate if path == record.path else replace(candidate, record=replace(record, path=path)))
    return kept
