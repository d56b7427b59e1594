"""The article as JSON: ``article.json``, and what a draft keeps of each step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from composer.article.citation import Citation, Passage, Source
from composer.article.model import Article, Placement, Section, Side, Slot, WordsOrigin
from composer.errors import ComposerError
from composer.i18n import localize
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from vision.errors import Phrase, phrase_from_json, phrase_to_json

# 2 has reasons as keys and values, 1 as texts.
FORMAT_VERSION = 2
READ_VERSIONS = (1, 2)


def to_json(article: Article) -> dict[str, Any]:
    """The article as plain JSON values; see ``from_json`` for the way back."""
    images: dict[str, Any] = {}
    for placement in article.placements:
        chosen = [placement.chosen] if placement.chosen else []
        for record in [c.record for c in placement.candidates] + chosen:
            images[record.id] = record_to_json(record, article.files.get(record.id))
    passages = _passages_of(article)
    cited = {"sources": [_source_json(source, passages) for source in article.sources]} if article.sources else {}
    return {
        "format": FORMAT_VERSION,
        "title": article.title,
        "title_in_text": article.title_in_text,
        "preamble": article.preamble,
        "language": article.language,
        "sections": [_section_json(section, passages) for section in article.sections],
        "placements": [_placement_json(p) for p in article.placements],
        "images": images,
        "provenance": dict(article.provenance),
    } | cited


def from_json(data: Mapping[str, Any]) -> Article:
    """Read what ``to_json`` wrote. Raises ComposerError for another format or a missing field."""
    version = data.get("format") if isinstance(data, Mapping) else None
    if version not in READ_VERSIONS:
        raise ComposerError("article_format", found=version, read=list(READ_VERSIONS))
    try:
        _check_types(data)
        records = {id_: record_from_json(id_, values) for id_, values in data["images"].items()}
        sources, passages = _sources(data.get("sources", []))
        return Article(
            title=data["title"],
            language=data["language"],
            sections=tuple(
                Section(
                    s["text"],
                    s["gap"],
                    s.get("locked", False),
                    s.get("edited", False),
                    tuple(_citation(c, passages) for c in s.get("citations", [])),
                    unchecked=_texts(s.get("unchecked", [])),
                )
                for s in data["sections"]
            ),
            placements=tuple(_placement(p, records) for p in data["placements"]),
            provenance=data["provenance"],
            title_in_text=data["title_in_text"],
            preamble=data["preamble"],
            files={id_: v["file"] for id_, v in data["images"].items() if v["file"]},
            sources=sources,
        )
    except KeyError as missing:
        raise ComposerError("article_lacks_field", field=str(missing.args[0])) from missing
    except (AttributeError, IndexError, TypeError) as error:
        raise ComposerError("article_wrong_kind", reason=str(error)) from error


_TEXTS = frozenset(
    {
        *("title", "language", "preamble", "text", "gap", "caption", "alt", "credit", "query", "path"),
        *("author", "license", "source_url", "caption_origin", "alt_origin", "id"),
        *("sentence", "page", "heading", "source"),
    }
)
_COUNTS = frozenset({"width_px", "height_px", "after_section", "passage"})


def _check_types(value: Any) -> None:
    """Raise TypeError where a value that is printed is not of its kind: the file may come from anyone."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in ("provenance", "reason", "why"):
                continue
            if key in _TEXTS and not isinstance(inner, str):
                raise TypeError(f"{key} is {type(inner).__name__}, not text")
            if key in _COUNTS and (not isinstance(inner, int) or isinstance(inner, bool)):
                raise TypeError(f"{key} is {type(inner).__name__}, not a whole number")
            if key == "support" and not isinstance(inner, (int, float)):
                raise TypeError(f"support is {type(inner).__name__}, not a number")
            if key == "file" and not isinstance(inner, str | None):
                raise TypeError(f"file is {type(inner).__name__}, not a name")
            _check_types(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_types(inner)


def dump(article: Article) -> str:
    return json.dumps(to_json(article), ensure_ascii=False, indent=2, sort_keys=False) + "\n"


def _phrase_from_json(data: Any) -> Phrase:
    """As ``vision.errors.phrase_from_json``. Raises TypeError also where it cannot be put into words."""
    said = phrase_from_json(data)
    try:
        localize(said, "en")
    except (LookupError, ValueError) as error:
        raise TypeError(f"the values of {said.key[:80]} do not fit it") from error
    return said


def _phrases(data: Any) -> tuple[Phrase, ...]:
    """Reasons as they were written; format 1 has them as one text in the article's language."""
    if isinstance(data, str):
        return (Phrase("verbatim", {"text": data}),) if data else ()
    if not isinstance(data, list):
        raise TypeError(f"a reason is {type(data).__name__}, not a list")
    return tuple(_phrase_from_json(part) for part in data)


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


def _passages_of(article: Article) -> dict[Passage, int]:
    """Every passage that is cited, with its position among those of its source."""
    found: dict[Passage, int] = {}
    counts: dict[str, int] = {}
    for section in article.sections:
        for citation in section.citations:
            for passage in citation.passages:
                if passage not in found:
                    found[passage] = counts.get(passage.source, 0)
                    counts[passage.source] = found[passage] + 1
    return found


def _source_json(source: Source, passages: Mapping[Passage, int]) -> dict[str, Any]:
    cited = [
        {"page": passage.page, "heading": passage.heading, "text": passage.text}
        for passage in passages
        if passage.source == source.id
    ]
    return {"id": source.id, "file": source.file, "title": source.title, "author": source.author, "passages": cited}


def _citations_json(section: Section, passages: Mapping[Passage, int]) -> dict[str, Any]:
    if not section.citations:
        return {}
    return {
        "citations": [
            {
                "sentence": citation.sentence,
                "passages": [{"source": p.source, "passage": passages[p]} for p in citation.passages],
                "support": round(citation.support, 4),
            }
            for citation in section.citations
        ]
    }


def _sources(data: Any) -> tuple[tuple[Source, ...], dict[str, list[Passage]]]:
    """The sources and, by their ids, the passages of them that are cited."""
    sources = tuple(Source(s["id"], s["file"] or "", s["title"], s["author"]) for s in data)
    passages = {s["id"]: [Passage(s["id"], p["page"], p["text"], p["heading"]) for p in s["passages"]] for s in data}
    return sources, passages


def _citation(values: Mapping[str, Any], passages: Mapping[str, list[Passage]]) -> Citation:
    if any(entry["passage"] < 0 for entry in values["passages"]):
        raise IndexError("a passage has a negative number")
    cited = tuple(passages[entry["source"]][entry["passage"]] for entry in values["passages"])
    return Citation(values["sentence"], cited, float(values["support"]))


def _section_json(section: Section, passages: Mapping[Passage, int]) -> dict[str, Any]:
    marks = {"unchecked": list(section.unchecked)} if section.unchecked else {}
    return {"text": section.text, "gap": section.gap} | _flags(section) | _citations_json(section, passages) | marks


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("unchecked is no list of texts")
    return tuple(values)


def _one_of(names: Any, value: Any, what: str) -> Any:
    """``value``, if it is one of the names of a Literal."""
    if value not in get_args(names):
        raise TypeError(f"{value!r:.80} is no {what}")
    return value


def _width_share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.1 <= value <= 1.0:
        raise TypeError(f"{value!r:.80} is no share of a column's width")
    return float(value)


def _placement_json(placement: Placement) -> dict[str, Any]:
    return (
        {
            "after_section": placement.slot.after_section,
            "caption": placement.caption,
            "alt": placement.alt,
            "caption_origin": placement.caption_origin,
            "alt_origin": placement.alt_origin,
            "chosen": placement.chosen.id if placement.chosen else None,
            "reason": [phrase_to_json(part) for part in placement.reason],
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
                    "why": [phrase_to_json(part) for part in c.why],
                }
                for c in placement.candidates
            ],
        }
        | _flags(placement)
        | _size(placement)
    )


def _size(placement: Placement) -> dict[str, Any]:
    """Only where a person gave the picture one."""
    size = {"width_share": placement.width_share} if placement.width_share != 1.0 else {}
    return size | ({"side": placement.side} if placement.side else {})


def _flags(item: Section | Placement) -> dict[str, bool]:
    """Only those that are set: most articles have none."""
    return {name: True for name in ("locked", "edited") if getattr(item, name)}


def _placement(values: Mapping[str, Any], records: Mapping[str, ImageRecord]) -> Placement:
    slot = values["slot"]
    return Placement(
        slot=Slot(values["after_section"], slot["caption"], slot["query"], slot["score"]),
        candidates=tuple(
            Candidate(records[c["id"]], c["visual"], c["textual"], c["fused"], c["log_prob"], _phrases(c["why"]))
            for c in values["candidates"]
        ),
        chosen=records[values["chosen"]] if values["chosen"] else None,
        reason=_phrases(values["reason"]),
        caption=values["caption"],
        alt=values["alt"],
        credit=values["credit"],
        locked=values.get("locked", False),
        edited=values.get("edited", False),
        # Articles of earlier versions do not say.
        caption_origin=_one_of(WordsOrigin, values.get("caption_origin", ""), "origin of words"),
        alt_origin=_one_of(WordsOrigin, values.get("alt_origin", ""), "origin of words"),
        width_share=_width_share(values.get("width_share", 1.0)),
        side=_one_of(Side, values.get("side", ""), "side"),
    )
