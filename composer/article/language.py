"""Which language a text is in, and how its words are counted.

Vignette writes in English and Chinese (``WRITTEN``); a text that a person brings may be in any language, and its tag
(BCP 47) goes into every export.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

UNDETERMINED = "und"

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA = re.compile(r"[\u3041-\u30fa\u31f0-\u31ff]")
_HANGUL = re.compile(r"[\u1100-\u11ff\uac00-\ud7af]")
_LATIN_WORD = re.compile(r"[^\W\d_\u3400-\u9fff]+(?:['’-][^\W\d_\u3400-\u9fff]+)*")
# Chinese text of the same content has about 1.6 characters for an English word.
HAN_PER_WORD = 1.6
_READ_CHARS = 20_000  # of a text, to know its language
_SURE = 0.85  # a language less likely than this is only taken for English, where that is possible at all
_POSSIBLE = 0.1


def detect_language(text: str) -> str:
    """The language to write in about a text: "zh" where Chinese characters carry at least a third of its words, else
    "en"."""
    han = len(_HAN.findall(text)) / HAN_PER_WORD
    latin = len(_LATIN_WORD.findall(text))
    return "zh" if han > 0 and han * 2 >= latin and not _is_japanese(text) else "en"


def text_language(text: str) -> str:
    """The language of a person's text, as ISO 639-1 has it; "und" where nothing tells.

    Scripts of one language tell first, then py3langid (https://github.com/adbar/py3langid).
    """
    text = text[:_READ_CHARS]
    if _is_japanese(text):
        return "ja"
    if detect_language(text) == "zh":
        return "zh"
    if not _LATIN_WORD.search(text):
        return UNDETERMINED
    ranked = {language: float(share) for language, share in _identifier().rank(text)}
    best = max(ranked, key=ranked.__getitem__)
    if ranked[best] >= _SURE:
        return best
    return "en" if ranked["en"] >= _POSSIBLE else UNDETERMINED


def writing_language(tag: str) -> str:
    """The language that Vignette writes in for an article in another: Chinese for Chinese, else English."""
    return "zh" if tag.partition("-")[0].lower() == "zh" else "en"


def is_foreign(tag: str) -> bool:
    """Whether captions are in another language than the article of that tag."""
    return tag.partition("-")[0].lower() not in (writing_language(tag), UNDETERMINED)


def count_words(text: str) -> int:
    """Words of a text; a Chinese character counts as 1/1.6 of a word, so that lengths compare across languages."""
    return len(_LATIN_WORD.findall(text)) + round(len(_HAN.findall(text)) / HAN_PER_WORD)


def sentence_gap(language: str) -> str:
    """What stands between two sentences of a paragraph."""
    return "" if language == "zh" else " "


def resolve_language(language: str, text: str) -> str:
    return detect_language(text) if language == "auto" else language


def _is_japanese(text: str) -> bool:
    """Whether kana stand among the Chinese characters as in Japanese, not as a foreign word within Chinese."""
    kana = len(_KANA.findall(text))
    return kana * 8 > len(_HAN.findall(text)) + kana and kana > len(_HANGUL.findall(text))


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Its dialects and rare relatives would share what is known of the languages they resemble.
    identifier.set_languages([label for label in identifier.labels if len(label) == 2 and label != "zh"])
    return identifier
