"""What a library gives that nobody described: texts are illustrated, and words typed, over its pictures without their
words; these tell afterwards whether what is shown is of the kind that was meant.

The twelve texts that come along are about what the sample library has, but for three sections about what it has not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from composer.evaluation.report import Measure
from composer.pipeline.pipeline import Pipeline
from composer.request import ComposeRequest
from image_db.library import Library, NewImage
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Query
from retrieval.results import results
from retrieval.search import Searcher

SEARCHED = 3  # pictures of a search that are looked at
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class KindRequest:
    """A text, and for each of its headings what the words of a picture of that kind hold: a regular expression."""

    text: str
    kinds: dict[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands at a place, or was found for a heading: None where nothing is shown."""

    wanted: str
    record: ImageRecord | None
    right: bool

    @property
    def as_row(self) -> tuple[str, str, str]:
        """ "+" where it is right and "!" where it is wrong, what was wanted, and the picture's own words."""
        mark = "" if self.record is None else "+" if self.right else "!"
        return mark, self.wanted, self.record.text.replace("\n", " / ") if self.record is not None else ""


def own_requests() -> list[KindRequest]:
    text = resources.files(__package__).joinpath("requests.jsonl").read_text(encoding="utf-8")
    return [KindRequest(**json.loads(line)) for line in text.splitlines()]


def is_of_kind(record: ImageRecord, kind: str) -> bool:
    said = "; ".join((record.caption, record.alt, *record.tags))
    return re.search(rf"\b(?:{kind})\b", said, re.IGNORECASE) is not None


def without_words(library: Library, folder: Path) -> Library:
    """The library's pictures under names that say nothing, and no word of them; vectors of looks are the library's."""
    bare = Library.create(folder, library.encoder)
    view, hashes = library.matrix(), library.phashes()
    pictures = folder / "pictures"
    pictures.mkdir()
    images = []
    for number, record in enumerate(library.get(view.ids)):
        path = pictures / f"IMG_{number:04}{record.path.suffix}"
        path.symlink_to(record.path)
        blank = ImageRecord(record.id, path, record.width_px, record.height_px)
        images.append(NewImage(blank, np.asarray(view.visual[number]), None, hashes.get(record.id)))
    bare.add(images)
    return bare


def illustrated(
    pipeline: Pipeline, told: Library, requests: Sequence[KindRequest], progress: Progress = lambda *_: None
) -> Iterator[Shown]:
    """What stands behind each heading; ``told`` has the words of the pipeline's pictures."""
    for number, request in enumerate(requests):
        progress(number, len(requests))
        article = pipeline.compose(ComposeRequest(text=request.text))
        chosen: dict[str, str] = {}
        heading = ""
        for place, section in enumerate(article.sections):
            heading = section.heading or heading
            for placement in article.placements:
                if placement.slot.after_section == place and placement.chosen is not None:
                    chosen[heading] = placement.chosen.id
        yield from (_shown(told, heading, chosen.get(heading), kind) for heading, kind in request.kinds.items())
    progress(len(requests), len(requests))


def searched(searcher: Searcher, bare: Library, told: Library, requests: Sequence[KindRequest]) -> Iterator[Shown]:
    """The first SEARCHED pictures that a person is shown for each heading."""
    for request in requests:
        for heading, kind in request.kinds.items():
            found = [each.candidate.record.id for each in results(searcher, bare, Query(heading), SEARCHED)]
            yield from (_shown(told, heading, id_, kind) for id_ in found or (None,))


def _shown(told: Library, wanted: str, id_: str | None, kind: str) -> Shown:
    record = told.record(id_) if id_ is not None else None
    return Shown(wanted, record, record is not None and is_of_kind(record, kind))


def measure_shown(name: str, shown: Sequence[Shown]) -> dict[str, Measure]:
    """``NAME_right`` of what is shown, ``NAME_shown`` and ``NAME_wrong`` in pictures, ``NAME_empty`` in places."""
    pictures = [each for each in shown if each.record is not None]
    right = sum(each.right for each in pictures)
    return {
        f"{name}_right": Measure(right / len(pictures) if pictures else 1.0, "of the pictures shown", 1.0),
        f"{name}_shown": Measure(len(pictures), "pictures"),
        f"{name}_wrong": Measure(len(pictures) - right, "pictures"),
        f"{name}_empty": Measure(len(shown) - len(pictures), "places"),
    }
