"""The words of the page, in English and Chinese. Every key exists in every language; a test sees to it."""

from __future__ import annotations

from collections.abc import Mapping

from composer.i18n import strings_en, strings_zh

UI_LANGUAGES = ("en", "zh")

_TABLES: Mapping[str, Mapping[str, str]] = {"en": strings_en.WORDS, "zh": strings_zh.WORDS}


def strings(language: str) -> Mapping[str, str]:
    """The table of a language; English for one there is no table of."""
    return _TABLES.get(language, strings_en.WORDS)


def preferred(accept_language: str) -> str:
    """The first language of a browser's ``Accept-Language`` that the page speaks, English where it names none."""
    for part in accept_language.split(","):
        code = part.split(";")[0].strip().lower().split("-")[0]
        if code in UI_LANGUAGES:
            return code
    return UI_LANGUAGES[0]
