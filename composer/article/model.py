"""The article and its JSON form. Everything shown or exported is made from this value alone.

Knows no model, no library and no renderer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from composer.errors import ComposerError
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Section:
    """A block of Markdown that a picture may follow: a paragraph, list, table or quote.

    A heading belongs to the block under it: ``text`` then starts with the heading line. ``gap`` is the white space
    between this block and the next, kept so that a user's own text survives to the byte.
    A ``locked`` section changes only after it was unlocked; ``edited`` tells that a person wrote or approved the text,
    so that no stage run again replaces it.
    """

    text: str
    gap: str = "\n\n"
    locked: bool = False
    edited: bool = False

    @property
    def settled(self) -> bool:
        """Whether it stays as it is when the text is written anew."""
        return self.locked or self.edited

    @property
    def heading(self) -> str:
        """The heading's words, or an empty string."""
        first = self.text.split("\n", 1)[0]
        marks = len(first) - len(first.lstrip("#"))
        return first[marks:].strip() if 1 <= marks <= 6 and first[marks : marks + 1] == " " else ""

    @property
    def body(self) -> str:
        """The text without a leading heading line."""
        if not self.heading:
            return self.text
        _, _, rest = self.text.partition("\n")
        return rest.strip("\n")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a picture: after the section with that index (0-based), showing what ``caption`` describes.

    ``caption`` is in the article's language, ``query`` the same in English for an encoder that reads English only.
    ``score`` is the log-odds the model gave the place.
    """

    after_section: int
    caption: str
    query: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Placement:
    """What became of a slot. ``chosen`` is None where nothing fitted; ``reason`` says why either way.

    ``caption`` and ``alt`` are those to print, ``credit`` the line naming author and licence. A ``locked`` placement
    changes only after it was unlocked; ``edited`` tells that a person settled it, so that no stage run again does.
    """

    slot: Slot
    candidates: tuple[Candidate, ...]
    chosen: ImageRecord | None
    reason: str
    caption: str = ""
    alt: str = ""
    credit: str = ""
    locked: bool = False
    edited: bool = False

    @property
    def settled(self) -> bool:
        """Whether it stays as it is when pictures are placed or chosen again."""
        return self.locked or self.edited


@dataclass(frozen=True, slots=True)
class Article:
    """A title, sections in reading order, and placements sorted by slot.

    ``title_in_text`` is true where a user's own text had no title: ``title`` then only names the document and is not
    printed above it. ``provenance`` names models, seed, library and versions; it holds no times, so that the same
    request gives the same file.
    """

    title: str
    language: str
    sections: tuple[Section, ...]
    placements: tuple[Placement, ...] = ()
    # Mappings take no part in the hash, so that an article has one.
    provenance: Mapping[str, Any] = field(default_factory=dict, hash=False)
    title_in_text: bool = False
    # A user's own text before its first section, to the byte: front matter and title line. Markdown starts with it
    # instead of a title line of our own.
    preamble: str = ""
    # File names inside images/ by record id, settled when the article is saved.
    files: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def pictures(self) -> tuple[ImageRecord, ...]:
        """The chosen pictures in reading order."""
        return tuple(p.chosen for p in self.placements if p.chosen is not None)

    def placements_after(self, section: int) -> tuple[Placement, ...]:
        return tuple(p for p in self.placements if p.slot.after_section == section)

    def with_placements(self, placements: tuple[Placement, ...]) -> Article:
        ordered = sorted(placements, key=lambda p: p.slot.after_section)
        return replace(self, placements=tuple(ordered))


def to_json(article: Article) -> dict[str, Any]:
    """The article as plain JSON values; see ``from_json`` for the way back."""
    images: dict[str, Any] = {}
    for placement in article.placements:
        chosen = [placement.chosen] if placement.chosen else []
        for record in [c.record for c in placement.candidates] + chosen:
            images[record.id] = record_to_json(record, article.files.get(record.id))
    return {
        "format": FORMAT_VERSION,
        "title": article.title,
        "title_in_text": article.title_in_text,
        "preamble": article.preamble,
        "language": article.language,
        "sections": [{"text": s.text, "gap": s.gap} | _flags(s) for s in article.sections],
        "placements": [_placement_json(p) for p in article.placements],
        "images": images,
        "provenance": dict(article.provenance),
    }


def from_json(data: Mapping[str, Any]) -> Article:
    """Read what ``to_json`` wrote. Raises ComposerError for another format or a missing field."""
    version = data.get("format")
    if version != FORMAT_VERSION:
        raise ComposerError(f"article.json has format {version!r}; this version of Vignette reads {FORMAT_VERSION}")
    try:
        _check_types(data)
        records = {id_: record_from_json(id_, values) for id_, values in data["images"].items()}
        return Article(
            title=data["title"],
            language=data["language"],
            sections=tuple(
                Section(s["text"], s["gap"], s.get("locked", False), s.get("edited", False)) for s in data["sections"]
            ),
            placements=tuple(_placement(p, records) for p in data["placements"]),
            provenance=data["provenance"],
            title_in_text=data["title_in_text"],
            preamble=data["preamble"],
            files={id_: v["file"] for id_, v in data["images"].items() if v["file"]},
        )
    except KeyError as missing:
        raise ComposerError(f"article.json lacks the field {missing}; it was not written by Vignette") from missing
    except (AttributeError, TypeError) as error:
        raise ComposerError(f"article.json holds a value of the wrong kind ({error}); it is not trusted") from error


_TEXTS = frozenset(
    {
        *("title", "language", "preamble", "text", "gap", "caption", "alt", "credit", "reason", "query", "path"),
        *("author", "license", "source_url", "caption_origin", "why", "id"),
    }
)
_COUNTS = frozenset({"width_px", "height_px", "after_section"})


def _check_types(value: Any) -> None:
    """Raise TypeError where a value that is printed is not of its kind: the file may come from anyone."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "provenance":
                continue
            if key in _TEXTS and not isinstance(inner, str):
                raise TypeError(f"{key} is {type(inner).__name__}, not text")
            if key in _COUNTS and (not isinstance(inner, int) or isinstance(inner, bool)):
                raise TypeError(f"{key} is {type(inner).__name__}, not a whole number")
            if key == "file" and not isinstance(inner, str | None):
                raise TypeError(f"file is {type(inner).__name__}, not a name")
            _check_types(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_types(inner)


def dump(article: Article) -> str:
    return json.dumps(to_json(article), ensure_ascii=False, indent=2, sort_keys=False) + "\n"


def record_to_json(record: ImageRecord, file: str | None) -> dict[str, Any]:
    return {
        "file": file,
        "path": str(record.path),
        "width_px": record.width_px,
        "height_px": record.height_px,
        "caption": record.caption,
        "captions": dict(record.captions),
        "caption_origin": record.caption_origin,
        "alt": record.alt,
        "tags": list(record.tags),
        "guessed_tags": list(record.guessed_tags),
        "author": record.author,
        "license": record.license,
        "source_url": record.source_url,
    }


def record_from_json(id_: str, values: Mapping[str, Any]) -> ImageRecord:
    return ImageRecord(
        id=id_,
        path=Path(values["path"]),
        width_px=values["width_px"],
        height_px=values["height_px"],
        caption=values["caption"],
        alt=values["alt"],
        tags=tuple(values["tags"]),
        author=values["author"],
        license=values["license"],
        source_url=values["source_url"],
        captions=tuple(values["captions"].items()),
        caption_origin=values["caption_origin"],
        guessed_tags=tuple(values["guessed_tags"]),
    )


def _placement_json(placement: Placement) -> dict[str, Any]:
    return {
        "after_section": placement.slot.after_section,
        "caption": placement.caption,
        "alt": placement.alt,
        "chosen": placement.chosen.id if placement.chosen else None,
        "reason": placement.reason,
        "credit": placement.credit,
        "slot": {
            "caption": placement.slot.caption,
            "query": placement.slot.query,
            "score": round(placement.slot.score, 4),
        },
        "candidates": [
            {
                "id": c.record.id,
                "visual": round(c.visual, 4),
                "textual": round(c.textual, 4),
                "fused": round(c.fused, 4),
                "log_prob": None if c.log_prob is None else round(c.log_prob, 4),
                "why": c.why,
            }
            for c in placement.candidates
        ],
    } | _flags(placement)


def _flags(item: Section | Placement) -> dict[str, bool]:
    """Only those that are set: most articles have none."""
    return {name: True for name in ("locked", "edited") if getattr(item, name)}


def _placement(values: Mapping[str, Any], records: Mapping[str, ImageRecord]) -> Placement:
    slot = values["slot"]
    return Placement(
        slot=Slot(values["after_section"], slot["caption"], slot["query"], slot["score"]),
        candidates=tuple(
            Candidate(records[c["id"]], c["visual"], c["textual"], c["fused"], c["log_prob"], c["why"])
            for c in values["candidates"]
        ),
        chosen=records[values["chosen"]] if values["chosen"] else None,
        reason=values["reason"],
        caption=values["caption"],
        alt=values["alt"],
        credit=values["credit"],
        locked=values.get("locked", False),
        edited=values.get("edited", False),
    )
