"""What is known of one picture: its identity, its size and its words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

CaptionOrigin: TypeAlias = Literal["given", "generated"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture of a library.

    ``id`` is the SHA-256 of the file's bytes in lower-case hex; ``path`` is absolute. ``width_px`` and
    ``height_px`` are those of the picture as shown (EXIF turn applied). ``caption`` is in the library's first
    language, English as a rule; ``captions`` holds those in further languages as (ISO 639-1, text) pairs.
    ``tags`` were given by a person, ``guessed_tags`` by a classifier. ``taken`` is ISO 8601 by the clock of the place,
    as exact as it is known ("1987", "2019-05-04T12:30:15"), ``position`` latitude and longitude in degrees.
    """

    id: str
    path: Path
    width_px: int
    height_px: int
    caption: str = ""
    alt: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    license: str = ""
    source_url: str = ""
    captions: tuple[tuple[str, str], ...] = ()
    caption_origin: CaptionOrigin = "given"
    guessed_tags: tuple[str, ...] = ()
    taken: str = ""
    camera: str = ""
    places: tuple[str, ...] = ()
    position: tuple[float, float] | None = None

    def caption_in(self, language: str) -> str:
        """The caption in that language, or else the first one. Empty where the picture has none."""
        return dict(self.captions).get(language, self.caption)

    @property
    def is_described(self) -> bool:
        """Whether its words say what it shows: a classifier's guesses alone do not."""
        return bool(self.caption or self.alt or self.tags or self.captions)

    @property
    def has_given_words(self) -> bool:
        """Whether a person said what it shows: neither a classifier's guesses nor a model's draft are that."""
        drafted = self.caption_origin == "generated"
        return bool(self.alt or self.tags or self.captions or (self.caption and not drafted))

    @property
    def text(self) -> str:
        """Everything a query's words may match, first language first; empty for a picture without any text."""
        parts = [self.caption, self.alt, ", ".join(self.tags), ", ".join(self.guessed_tags)]
        parts += [caption for _, caption in self.captions]
        seen: dict[str, None] = dict.fromkeys(part.strip() for part in parts if part.strip())
        return "\n".join(seen)
