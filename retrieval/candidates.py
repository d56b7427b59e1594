"""The values of a search: what is asked, and what may be shown."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from image_db.metadata.record import ImageRecord
from retrieval.filters import Filters
from vision.errors import Phrase

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Query:
    """What a picture should show. At least one of ``caption`` and ``example`` is given.

    ``caption`` describes the picture, in the article's language. ``english`` says the same in English where the
    encoder reads English only and the caption is in another language. ``context`` is the title and the section
    around the slot: it breaks ties, it never leads. ``example`` is a picture to look like. ``without`` are things it
    should not show: no picture whose words name one of them is found, and none without words that looks more like it.
    """

    caption: str = ""
    english: str = ""
    context: str = ""
    example: Image | None = None
    without: tuple[str, ...] = ()
    exclude: frozenset[str] = frozenset()  # record ids
    filters: Filters = field(default_factory=Filters)

    @property
    def wording(self) -> str:
        """What an encoder is given to read: the English where there is one."""
        return self.english.strip() or self.caption.strip()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture proposed for a slot, and why.

    ``visual`` and ``textual`` are cosines in [-1, 1] (``textual`` is 0 for a picture without text), ``fused``
    their calibrated combination in [0, 1] that orders candidates, ``log_prob`` the re-ranking model's natural-log
    probability that this picture is the one to show (None until it was asked).
    """

    record: ImageRecord
    visual: float
    textual: float
    fused: float
    log_prob: float | None = None
    why: tuple[Phrase, ...] = ()


def log_odds(p: float) -> float:
    """log p/(1-p), bounded so that a certain score stays a number."""
    bounded = min(max(p, 1e-4), 1 - 1e-4)
    return math.log(bounded / (1 - bounded))
