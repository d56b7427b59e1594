"""Fields of JSON and TOML, read strictly: an unknown name, or a value of another kind, is an error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from composer.errors import UsageError
from vision.errors import Phrase

_KINDS: Mapping[type, str] = {
    str: "kind_text",
    int: "kind_whole_number",
    float: "kind_number",
    bool: "kind_truth",
    dict: "kind_object",
    list: "kind_texts",
}


def check_known(values: Iterable[str], known: Iterable[str], prefix: str = "") -> None:
    """Raise UsageError for a name that is not among the known ones; ``prefix`` names the table they stand in."""
    known = [prefix + name for name in known]
    for name in values:
        if prefix + str(name) not in known:
            raise UsageError("field_unknown", field=prefix + str(name), known=known)


def typed(name: str, value: object, kind: type) -> Any:
    """The value, which must be of ``kind``; a whole number may be written 7.0, and ``list`` means texts.

    Raises UsageError naming the field, its value and what it must be.
    """
    # bool is an int to Python, and never what was meant.
    if kind in (int, float) and isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError, ValueError):
            number: float = kind(value)
            if kind is float or number == value:
                return number
    elif type(value) is kind and (not isinstance(value, list) or all(isinstance(item, str) for item in value)):
        return value
    raise UsageError("field_wrong_kind", field=name, given=_shown(value), wanted=Phrase(_KINDS[kind]))


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:80]
