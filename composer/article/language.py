"""Which language a text is in, and how its words are counted. Covers the languages Vignette writes in."""

from __future__ import annotations

import re

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN_WORD = re.compile(r"[^\W\d_\u3400-\u9fff]+(?:['’-][^\W\d_\u3400-\u9fff]+)*")
# Chinese text of the same content has about 1.6 characters for an English word.
HAN_PER_WORD = 1.6


def detect_language(text: str) -> str:
    """ "zh" where Chinese characters carry at least a third of the words, else "en"."""
    han = len(_HAN.findall(text)) / HAN_PER_WORD
    latin = len(_LATIN_WORD.findall(text))
    return "zh" if han > 0 and han * 2 >= latin else "en"


def count_words(text: str) -> int:
    """Words of a text; a Chinese character counts as 1/1.6 of a word, so that lengths compare across languages."""
    return len(_LATIN_WORD.findall(text)) + round(len(_HAN.findall(text)) / HAN_PER_WORD)


def resolve_language(language: str, text: str) -> str:
    return detect_language(text) if language == "auto" else language
