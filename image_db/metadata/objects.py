"""Files beside a picture as bytes, text and JSON, and what an object of keys and values says of a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from image_db.metadata.capture import Capture, camera_name, degrees, position, time_of, time_of_epoch
from image_db.metadata.description import Description
from image_db.metadata.encoding import decode_text
from image_db.metadata.fields import (
    DOCUMENTED,
    clean,
    field_of,
    joined,
    misspelt_field,
    split_tags,
    without_repeats,
)
from image_db.metadata.licenses import license_name
from image_db.metadata.names import meant
from vision.downloads.files import open_regular
from vision.errors import Phrase

_SURROGATE = re.compile("[\ud800-\udfff]")
_TAKEOUT_KEYS = frozenset({"photoTakenTime", "googlePhotosOrigin", "imageViews", "creationTime", "geoData"})
_CIRCUMSTANCES = frozenset({"date", "digitised", "camera", "maker", "latitude", "longitude"})


class SidecarError(Exception):
    """Something is wrong with a sidecar; ``rest`` is what can be used of it all the same."""

    def __init__(self, reason: Phrase, rest: Description | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rest = rest or Description()


def bytes_of(path: Path, limit_bytes: int) -> bytes:
    """A regular file's bytes, at most so many. Raises SidecarError."""
    try:
        with open_regular(path) as file:
            data = file.read(limit_bytes + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SidecarError(Phrase("not_readable", {"reason": reason})) from error
    if len(data) > limit_bytes:
        raise SidecarError(Phrase("sidecar_too_large", {"limit": limit_bytes}))
    return data


def text_of(data: bytes) -> str:
    try:
        return decode_text(data)
    except ValueError as error:
        raise SidecarError(Phrase("sidecar_no_text", {"reason": str(error)})) from error


def object_of(text: str) -> dict[str, Any]:
    """A JSON object, also as the only one of an array, as ExifTool writes it. Raises SidecarError."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SidecarError(Phrase("sidecar_not_json", {"reason": str(error)})) from error
    if isinstance(values, list) and len(values) == 1:
        (values,) = values
    if not isinstance(values, dict):
        raise SidecarError(Phrase("json_no_object", {"kind": type(values).__name__, "known": list(DOCUMENTED)}))
    return values


def description_of(values: Mapping[str, Any], picture: str = "", *, strict: bool = True) -> Description:
    """What an object or a row says of a picture of that name.

    Raises SidecarError with what is usable where a value is of another type, or a key is misspelt; ``strict`` also
    where no key is known.
    """
    if len(_TAKEOUT_KEYS.intersection(values)) > 1:
        return replace(
            description_of({key: values[key] for key in ("description", "people") if key in values}, strict=False),
            capture=_takeout_capture(values),
        )
    problems: list[Phrase] = []
    texts: dict[str, str] = {}
    captions: dict[str, str] = {}
    tags: list[str] = []
    places: list[str] = []
    for key, value in values.items():
        named = field_of(str(key))
        if named is None and (near := misspelt_field(str(key))):
            problems.append(Phrase("key_misspelt", {"key": clean(str(key)), "known": [near]}))
        if named is None or value is None or value != value:  # pandas writes NaN for an empty cell
            continue
        name, language = named
        # A value of another type is a problem under a documented key; under others it is a program's own business.
        noted = problems if key in DOCUMENTED else []
        if name in ("tags", "people", "places"):
            found = _list(str(key), value, noted)
            tags += found
            places += found if name == "places" else []
        elif name in _CIRCUMSTANCES:
            said = str(value) if isinstance(value, (int, float)) else _text(str(key), value, [])
            if said and name == "date" and not time_of(said):
                noted.append(Phrase("value_no_date", {"key": key, "value": shown(value)}))
            texts.setdefault(name, said)
        elif key == "captions":
            captions |= _by_language(value, problems)
        elif language:
            captions[language] = _text(str(key), value, noted)
        elif name != "file":
            said = _text(str(key), value, noted)
            if name != "source_url" or key == name or said.startswith(("http://", "https://")):
                texts.setdefault(name, said)
    title = texts.get("title", "")
    captions = {code: text for code, text in captions.items() if text}
    description = Description(
        caption=joined(
            "" if title in (picture, Path(picture).stem) else meant(title),
            texts.get("caption", "") or captions.pop("en", ""),
        ),
        alt=texts.get("alt", ""),
        tags=without_repeats(tags),
        author=texts.get("author", ""),
        license=license_name(texts.get("license", "")),
        source_url=texts.get("source_url", ""),
        captions=tuple(captions.items()),
        places=without_repeats(places),
        capture=Capture(
            taken=time_of(texts.get("date", "")),
            digitised=time_of(texts.get("digitised", "")),
            camera=camera_name(texts.get("maker", ""), texts.get("camera", "")),
            position=position(degrees(texts.get("latitude", "")), degrees(texts.get("longitude", ""))),
        ),
    )
    if strict and not problems and not any(field_of(str(key)) for key in values):
        problems.append(Phrase("no_key_known", {"known": list(DOCUMENTED)}))
    if problems:
        reason = problems[0] if len(problems) == 1 else Phrase("several_reasons", {"reasons": problems})
        raise SidecarError(reason, description)
    return description


def _takeout_capture(values: Mapping[str, Any]) -> Capture:
    """When and where by Google's takeout, whose moments are in UTC."""

    def inner(key: str, name: str) -> Any:
        found = values.get(key)
        return found.get(name) if isinstance(found, dict) else None

    def number(value: object) -> float | None:
        try:
            return float(value)  # type: ignore[arg-type]  # whatever it is
        except (TypeError, ValueError):
            return None

    return Capture(
        taken=time_of_epoch(number(inner("photoTakenTime", "timestamp")) or 0),
        position=next(
            (
                found
                for key in ("geoData", "geoDataExif")
                if (found := position(number(inner(key, "latitude")), number(inner(key, "longitude"))))
            ),
            None,
        ),
    )


def _text(key: str, value: object, problems: list[Phrase]) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if not isinstance(value, str):
        problems.append(Phrase("value_no_text", {"key": key, "value": shown(value)}))
        return ""
    if _SURROGATE.search(value):
        problems.append(Phrase("value_no_characters", {"key": key}))
    return clean(value)


def _list(key: str, value: object, problems: list[Phrase]) -> list[str]:
    """Texts, or objects with a name, in a list or in one text."""
    items = split_tags(value) if isinstance(value, str) else value
    if isinstance(items, list):
        items = [item.get("name", item) if isinstance(item, dict) else item for item in items]
        if all(isinstance(item, str) for item in items):
            return [_text(key, item, problems) for item in items]
    problems.append(Phrase("value_no_list", {"key": key, "value": shown(value)}))
    return []


def _by_language(value: object, problems: list[Phrase]) -> dict[str, str]:
    if not isinstance(value, dict):
        problems.append(Phrase("captions_no_object", {"value": shown(value)}))
        return {}
    found = {}
    for code, text in value.items():
        if re.fullmatch(r"[a-z]{2}", code) and isinstance(text, str):
            found[code] = _text("captions", text, problems)
        else:
            problems.append(Phrase("captions_entry_wrong", {"value": shown({code: text})}))
    return found


def shown(value: object) -> str:
    text = clean(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 40 else text[:37] + "…"
