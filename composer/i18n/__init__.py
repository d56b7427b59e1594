"""Every word a person may read, prompts aside: one TOML file a language, read by key.

Errors, notices and reasons carry a key and values (``vision.errors``); they become words here, at the last moment, in
the language of whoever reads them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from vision.errors import KeyedError, Phrase

UI_LANGUAGES = ("en", "zh")
_SAID = ("errors", "reasons", "steps")  # tables whose keys an error, notice or reason may have


@cache
def tables(language: str) -> Mapping[str, Mapping[str, str]]:
    """All tables of a language by name; English for a language there is no file of."""
    known = language if language in UI_LANGUAGES else UI_LANGUAGES[0]
    found: dict[str, dict[str, str]] = tomllib.loads(
        resources.files("composer.i18n").joinpath(f"{known}.toml").read_text(encoding="utf-8")
    )
    return found


def strings(language: str) -> Mapping[str, str]:
    """The page's own words."""
    return tables(language)["page"]


def localize(said: object, language: str, *, terminal: bool = False) -> str:
    """An error, a notice, a reason or a sequence of them in words.

    With ``terminal`` the message names the command-line option to change where there is one. Values that are errors or
    reasons themselves are put into words too. A plain string or number is returned as it is; an exception of another
    library gives its own message.
    """
    if isinstance(said, (Phrase, KeyedError)):
        template = _template(said.key, language, terminal)
        if template is None:
            return said.key
        # A picture's name is left empty where it stands beside the sentence; no space is left for it.
        values = {name: _value(value, language, terminal) for name, value in said.values.items()}
        return template.format(**values).strip()
    if isinstance(said, Sequence) and not isinstance(said, str):
        return tables(language)["joints"]["reasons"].join(localize(part, language, terminal=terminal) for part in said)
    return str(said)


def preferred(accept_language: str) -> str:
    """The first language of a browser's ``Accept-Language`` that the page speaks, English where it names none."""
    for part in accept_language.split(","):
        code = part.split(";")[0].strip().lower().split("-")[0]
        if code in UI_LANGUAGES:
            return code
    return UI_LANGUAGES[0]


def _template(key: str, language: str, terminal: bool) -> str | None:
    found = tables(language)
    for table in ("flags", *_SAID) if terminal else _SAID:
        if key in found[table]:
            return found[table][key]
    return None


def _value(value: Any, language: str, terminal: bool) -> Any:
    """A value as a template takes it: numbers keep their type, so that a template can say how to print them."""
    if isinstance(value, (list, tuple)):
        joint = "reasons" if any(isinstance(item, Exception) for item in value) else "list"
        return tables(language)["joints"][joint].join(str(_value(item, language, terminal)) for item in value)
    if isinstance(value, (Phrase, Exception)):
        return localize(value, language, terminal=terminal)
    return value
