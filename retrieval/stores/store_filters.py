"""Filters as expressions of Milvus, and the fields of a picture that they read.

What a condition means is decided in one place, ``retrieval.filters``. A condition on a text (licence, camera, place,
folder) is tried on the different texts that pictures have, which the store knows, and becomes the list of those that
fit; dates, sizes and what a picture has are compared by the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from image_db.metadata.capture import time_of
from image_db.metadata.licenses import allows
from image_db.metadata.record import ImageRecord
from image_db.stores.milvus_client import cut_label
from retrieval.candidates import Query
from retrieval.filters import HAS, Condition, Filters, orientation, orientation_named, passes, size_bounds
from retrieval.tokens import asked_terms, folded

LISTED_VALUES = ("license", "camera", "folder", "places")  # fields whose different values the store knows
_BLANK = ImageRecord("", Path(), 1, 1)
_AFTER_ANY = "~"  # sorts behind every character of a date

Values = Callable[[str], Sequence[str]]  # the different values of a field


def filter_fields(record: ImageRecord) -> dict[str, Any]:
    """What the store keeps of a picture for filters."""
    width, height = record.width_px, record.height_px
    return {
        "license": cut_label(record.license),
        "camera": cut_label(record.camera),
        "folder": cut_label(record.path.parent.as_posix()),
        "orientation": orientation(record),
        "taken": record.taken,
        "taken_chars": len(record.taken),
        "min_side_px": min(width, height),
        "megapixels": width * height / 1e6,
        "places": _distinct(cut_label(place) for place in record.places),
        "tags": _distinct(label for tag in record.tags for label in (cut_label(tag.casefold()), _folded_tag(tag))),
        "has": [name for name, test in HAS.items() if test(record)],
    }


def expression(query: Query, values: Values) -> str:
    """What may be found; empty where everything may."""
    parts = [*_of_filters(query.filters, values)]
    if query.exclude:
        parts.append(f"id not in {_list(sorted(query.exclude))}")
    for phrase in query.without:
        words = list(dict.fromkeys(asked_terms(phrase)))
        if words:
            parts.append(f"not array_contains_all(terms, {_list([cut_label(word) for word in words])})")
    return " and ".join(parts)


def _of_filters(filters: Filters, values: Values) -> Iterable[str]:
    if filters.min_side_px > 0:
        yield f"min_side_px >= {filters.min_side_px}"
    if filters.licenses:
        fitting = [given for given in values("license") if any(allows(wanted, given) for wanted in filters.licenses)]
        yield _one_of("license", fitting)
    if filters.tags:
        yield f"array_contains_all(tags, {_list([cut_label(tag.casefold()) for tag in filters.tags])})"
    for condition in filters.where:
        said = f"({_of_condition(condition, values)})"
        yield f"not {said}" if condition.denied else said


def _of_condition(condition: Condition, values: Values) -> str:
    """The condition itself, not turned round."""
    field = condition.field
    if field in ("license", "camera", "folder", "place"):
        name = "places" if field == "place" else field
        given = Filters(where=(condition._replace(denied=False),))
        fitting = [value for value in values(name) if passes(_with(name, value), given)]
        return _one_of(name, fitting) if name != "places" else _any_of(name, fitting)
    if field == "tag":
        return _any_of("tags", [_folded_tag(value) for value in condition.values])
    return " or ".join(f"({_COMPARED[field](value)})" for value in condition.values)


def _with(name: str, value: str) -> ImageRecord:
    if name == "folder":
        return replace(_BLANK, path=Path(value) / "picture")
    return replace(_BLANK, **{name: (value,) if name == "places" else value})  # type: ignore[arg-type]


def _date(value: str) -> str:
    first, dots, last = value.partition("..")
    least, most = (time_of(part) if part else "" for part in (first, last if dots else first))
    parts = [f"taken_chars >= {max(1, len(most))}", f"taken >= {json.dumps(least)}"]
    return " and ".join([*parts, f"taken < {json.dumps(most + _AFTER_ANY)}"] if most else parts)


def _size(value: str) -> str:
    field, least, most = size_bounds(value)
    return f"{field} >= {least}" + (f" and {field} <= {most}" if most != float("inf") else "")


_COMPARED: Mapping[str, Callable[[str], str]] = {
    "date": _date,
    "size": _size,
    "orientation": lambda value: f"orientation == {json.dumps(orientation_named(value))}",
    "has": lambda value: f"array_contains(has, {json.dumps(value.casefold())})",
}


def _folded_tag(tag: str) -> str:
    """Beside the tag as filters compare it: conditions compare it folded, in a space of its own."""
    return cut_label(f"~{folded(tag)}")


def _one_of(field: str, values: Sequence[str]) -> str:
    return f"{field} in {_list(values)}" if values else "place < 0"


def _any_of(field: str, values: Sequence[str]) -> str:
    return f"array_contains_any({field}, {_list(values)})" if values else "place < 0"


def _list(texts: Sequence[str]) -> str:
    """Texts as a list of literals. JSON's escapes are those of Milvus' strings."""
    return json.dumps(list(texts), ensure_ascii=False)


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
