"""What one source says of a picture, several sources as one, and the sentence a query is compared with."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from image_db.metadata.capture import UNKNOWN, Capture
from image_db.metadata.record import ImageRecord

if TYPE_CHECKING:
    import numpy as np

    from vision.interfaces import JointEncoder

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Description:
    """The words of a picture as one source gives them; empty where it is silent. Fields as in ImageRecord."""

    caption: str = ""
    alt: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    license: str = ""
    source_url: str = ""
    captions: tuple[tuple[str, str], ...] = ()
    places: tuple[str, ...] = ()
    capture: Capture = UNKNOWN

    def over(self, weaker: Description) -> Description:
        """This source, with what it leaves open taken from a weaker one; captions by language."""
        return Description(
            caption=self.caption or weaker.caption,
            alt=self.alt or weaker.alt,
            tags=self.tags or weaker.tags,
            author=self.author or weaker.author,
            license=self.license or weaker.license,
            source_url=self.source_url or weaker.source_url,
            captions=tuple({**dict(weaker.captions), **dict(self.captions)}.items()),
            places=self.places or weaker.places,
            capture=self.capture.over(weaker.capture),
        )

    def applied_to(self, record: ImageRecord) -> ImageRecord:
        """The record with these words. A caption that a model wrote gives way only to one that a person gave."""
        keeps_generated = record.caption_origin == "generated" and not self.caption
        return replace(
            self.circumstances_of(record),
            caption=record.caption if keeps_generated else self.caption,
            caption_origin="generated" if keeps_generated else "given",
            alt=self.alt,
            tags=self.tags,
            author=self.author,
            license=self.license,
            source_url=self.source_url,
            captions=tuple(sorted(self.captions)),
        )

    def circumstances_of(self, record: ImageRecord) -> ImageRecord:
        """The record with when, where and with what it was taken, its words left as they are."""
        return replace(
            record,
            taken=self.capture.best_taken,
            camera=self.capture.camera,
            places=self.places,
            position=self.capture.position,
        )


def laid_over(descriptions: Iterable[Description]) -> Description:
    """One description of several, strongest first."""
    result = Description()
    for description in descriptions:
        result = result.over(description)
    return result


def sentence(record: ImageRecord, languages: Collection[str] | None) -> str:
    """The text whose vector stands for the picture's words; empty for a picture without any.

    The caption leads, since encoders weigh and keep the beginning of a text; then what the alt text and the tags
    add. Captions in further languages count where the encoder reads them (``languages``; None means all).
    """
    parts: list[str] = []
    for text in (record.caption, record.alt, *_readable(record.captions, languages)):
        text = " ".join(text.split())
        if text and not any(text.casefold() in part.casefold() for part in parts):
            parts = [part for part in parts if part.casefold() not in text.casefold()]
            parts.append(text)
    said = set(_WORD.findall(" ".join(parts).casefold()))
    tags = [tag for tag in (*record.tags, *record.guessed_tags) if not said.issuperset(_WORD.findall(tag.casefold()))]
    if tags:
        parts.append(", ".join(dict.fromkeys(tags)))
    # A full stop only where the text does not end in a mark of its own, Chinese ones included.
    closed = [part if part[-1] in ".!?…。!?" else f"{part}." for part in parts[:-1]]
    return " ".join((*closed, *parts[-1:]))


def sentence_vectors(
    records: Sequence[ImageRecord], encoder: JointEncoder, batch_size: int = 64
) -> list[np.ndarray | None]:
    """The vector of each record's words; None for one without, or of whose words the encoder knows none."""
    texts = [sentence(record, encoder.languages) for record in records]
    with_words = [i for i, text in enumerate(texts) if text]
    vectors: list[np.ndarray | None] = [None] * len(records)
    for start in range(0, len(with_words), batch_size):
        part = with_words[start : start + batch_size]
        for i, vector in zip(part, encoder.encode_sentences([texts[i] for i in part]), strict=True):
            vectors[i] = vector if vector.any() else None
    return vectors


def _readable(captions: tuple[tuple[str, str], ...], languages: Collection[str] | None) -> list[str]:
    return [text for language, text in captions if languages is None or language in languages]
