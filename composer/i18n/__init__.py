"""Every word a person may read, prompts aside: one TOML file a language, read by key.

Errors, notices and reasons carry a key and values (``vision.errors``); they become words here, at the last moment, in
the language of whoever reads them.
"""

from __future__ import annotations

import difflib
import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from vision.errors import KeyedError, Phrase

UI_LANGUAGES = ("en", "zh")
_SAID = ("errors", "reasons", "steps")  # tables whose keys an error, notice or reason may have
_NEAR = 0.6  # share of a word's letters that must agree for it to be proposed in place of another


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


class _Filler(string.Formatter):
    """``str.format`` with plurals: ``{count:# file|# files}`` takes the first for 1; ``#`` is the number."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if "|" not in format_spec:
            return str(super().format_field(value, format_spec))
        one, several = format_spec.split("|")
        number = f"{value:,}" if isinstance(value, int) else str(value)
        return (one if number == "1" else several).replace("#", number)


_FILLER = _Filler()


def fill(template: str, **values: object) -> str:
    """A template of these files with its values, numbers as singular or plural."""
    return _FILLER.vformat(template, (), values)


def meant(given: str, known: Iterable[object]) -> str:
    """The known word that ``given`` is most likely a slip of, empty where none is near.

    Of dotted names and options only what follows the last dot or the dashes is compared.
    """
    begin = "--" if given.startswith("--") else given[: given.rfind(".") + 1]
    words = {str(word)[len(begin) :].lower(): str(word) for word in known if str(word).startswith(begin)}
    wanted = given[len(begin) :].lower()
    near = difflib.get_close_matches(wanted, words, 1, _NEAR)
    near = near or [word for word in words if len(wanted) > 2 and word.startswith(wanted)]
    return words[near[0]] if near else ""


def localize(said: object, language: str, *, terminal: bool = False, batch: bool = False) -> str:
    """An error, a notice, a reason or a sequence of them in words.

    With ``terminal`` the message names the command-line option to change where there is one; with ``batch`` the field
    of the requests file, and the option where there is no such field. Values that are errors or
    reasons themselves are put into words too. A message that lists what is ``known`` proposes the word that was most
    likely meant. A plain string or number is returned as it is; an exception of another library gives its own message.
    """
    if isinstance(said, (Phrase, KeyedError)):
        template = _template(said.key, language, terminal, batch)
        if template is None:
            return said.key
        # A picture's name is left empty where it stands beside the sentence; no space is left for it.
        values = {name: _value(value, language, terminal, batch) for name, value in said.values.items()}
        return (fill(template, **values) + _proposal(said.values, language)).strip()
    if isinstance(said, Sequence) and not isinstance(said, str):
        parts = (localize(part, language, terminal=terminal, batch=batch) for part in said)
        return tables(language)["joints"]["reasons"].join(parts)
    return str(said)


def preferred(accept_language: str) -> str:
    """The first language of a browser's ``Accept-Language`` that the page speaks, English where it names none."""
    for part in accept_language.split(","):
        code = part.split(";")[0].strip().lower().split("-")[0]
        if code in UI_LANGUAGES:
            return code
    return UI_LANGUAGES[0]


def _template(key: str, language: str, terminal: bool, batch: bool) -> str | None:
    found = tables(language)
    named = ("fields", "flags") if batch else ("flags",) if terminal else ()
    for table in (*named, *_SAID):
        if key in found[table]:
            return found[table][key]
    return None


def _proposal(values: Mapping[str, object], language: str) -> str:
    """What to append to a message that lists what is known and was given something near to it."""
    known = values.get("known")
    if not isinstance(known, (list, tuple)):
        return ""
    for name, value in values.items():
        for given in value if isinstance(value, list) else [value]:
            if name != "known" and isinstance(given, str) and given not in known and (near := meant(given, known)):
                return fill(tables(language)["joints"]["did_you_mean"], word=near)
    return ""


def _value(value: Any, language: str, terminal: bool, batch: bool) -> Any:
    """A value as a template takes it: numbers keep their type, so that a template can say how to print them."""
    if isinstance(value, (list, tuple)):
        joint = "reasons" if any(isinstance(item, Exception) for item in value) else "list"
        return tables(language)["joints"][joint].join(str(_value(item, language, terminal, batch)) for item in value)
    if isinstance(value, (Phrase, Exception)):
        return localize(value, language, terminal=terminal, batch=batch)
    return value
