"""Words of a text as search terms, in English and Chinese alike.

Latin words lose case, accents and plural endings. Runs of Chinese, Japanese or Korean characters, which have no spaces,
give every character and every pair of neighbours; Thai, Lao, Khmer and Burmese every three. Traditional Chinese is
written as simplified. What a text says is not there ("no people") is another term than what it says is there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from retrieval.plurals import singular

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0981-\u0dff"  # belong to the letter before
_LETTER = rf"(?:[^\W_{_CJK}{_UNSPACED}]|[{_MARKS}])"
_RUNS = re.compile(rf"([{_CJK}]+)|([{_UNSPACED}]+)|({_LETTER}+(?:['’][^\W\d_{_CJK}]+)?)")
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
CJK_RUN = re.compile(f"[{_CJK}]+")

# Function words: they say nothing of a picture, yet in a library of short captions they are not rare enough to be
# discounted by frequency alone.
_STOP_WORDS_TEXT = """
    a an and any are as at be been being but by can did do does for from had has have he her his how i if in into
    is it its may might no nor not of off on onto or our out over she should so some such than that the their them
    then there these they this those through to too under up upon very was we were what when where which while who
    whom whose will with without would you your image picture photo photograph shows show showing depicting
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
# The same for Chinese: particles, "one" and the measure words of things in pictures.
STOP_CHARACTERS = frozenset("的一了和与在是有及这那只个条张座幅片朵头匹棵位名")
# A Chinese word of one character is found as a word, or as the end of a longer one, which says what that is: 母鸡 is a
# 鸡, but 猫头鹰 is no 猫.
HEAD = "$"
_SUFFIXES = "儿子们咪朵匹只辆"
_HAN_WORD = re.compile("[\u3400-\u9fff]+")
_PARTICLES = re.compile("[的和与及在了]")

# "No" before these denies nothing that could be seen; before words in -ing it stands on signs.
_NOTHING_DENIED = r"\w+ing|\d|doubt|entry|exit|longer|man|matter|more|one|other|way"
_AFTER_DENIAL = (
    "above|along|and with|at|behind|below|beside|but|by|during|for|from|in|is|near|of|on|over|that|to|under|while|with"
)
_DENIAL = re.compile(
    rf"\b(?:with\s+no|without(?:\s+any)?|but\s+not|except(?:\s+for)?|excluding|no)\s+(?!(?:{_NOTHING_DENIED})\b)(?P<what>[^.,;:!?()…]+?)"
    rf"(?=\s+(?:{_AFTER_DENIAL})\b|\s*[.,;:!?()…]|\s*$)"
    rf"|(?:[没沒]有|不[带帶含要])(?P<that>[{_CJK}]{{1,8}}?)(?:的|(?![{_CJK}]))"
    rf"|(?:空[无無]一|[无無])(?P<none>[人云雲])(?:的|(?![{_CJK}]))",  # but 无人机 is a drone
    re.IGNORECASE,
)
_SPELLED_OUT = {
    "æ": "ae", "œ": "oe", "ß": "ss", "þ": "th", "ð": "d", "ı": "i", "ŋ": "ng", "ə": "e", "ς": "σ",
    "ʹ": "", "ʻ": "", "ʼ": "",
}  # fmt: skip
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0640]")


class Spelled(NamedTuple):
    """A search term and how the text spells it."""

    term: str
    spelling: str
    denied: bool  # the text says that it is not there: another term than where it is


def is_character(term: str) -> bool:
    """Whether a term is a lone CJK character, which matches far more often by chance than a pair does."""
    return len(term) == 1 and _CJK_CHARACTER.match(term) is not None


def cjk_share(text: str) -> float:
    """The share of CJK characters among a text's letters; 0 for a text without letters."""
    letters = [c for c in text if c.isalpha()]
    return sum(1 for c in letters if _CJK_CHARACTER.match(c)) / len(letters) if letters else 0.0


def latin_share(text: str) -> float:
    """The share of Latin letters and digits among a text's letters and digits; 0 for a text without any."""
    letters = [c for c in text if c.isalnum()]
    return sum(1 for c in letters if c.isdigit() or _is_latin(c)) / len(letters) if letters else 0.0


@lru_cache(1 << 12)
def _is_latin(character: str) -> bool:
    return unicodedata.name(unicodedata.normalize("NFKC", character)[0], "").startswith("LATIN ")


def folded(text: str) -> str:
    """Small letters without accents and simplified characters, whatever a text is written in."""
    text = unicodedata.normalize("NFKC", text).lower()
    if text.isascii():
        return text
    # NFC puts kana and Hangul together again, whose marks stay.
    text = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))
    return text.translate(_folding)


class _Folding(dict[int, str]):
    """For ``str.translate``: what Unicode does not decompose, each character looked up once."""

    def __missing__(self, point: int) -> str:
        self[point] = found = self._folded(chr(point))
        return found

    @staticmethod
    def _folded(character: str) -> str:
        if _CJK_CHARACTER.match(character):
            return _simplifier()(character)
        if character in _SPELLED_OUT:
            return _SPELLED_OUT[character]
        # ł is LATIN SMALL LETTER L WITH STROKE, and so on through the alphabets of Latin letters.
        plain = re.match(r"LATIN SMALL LETTER ([A-Z]) WITH ", unicodedata.name(character, ""))
        return plain.group(1).lower() if plain else character


_folding = _Folding()


@lru_cache(1)
def _simplifier() -> Callable[[str], str]:
    import opencc

    convert: Callable[[str], str] = opencc.OpenCC("t2s").convert
    return convert


def terms(text: str) -> list[str]:
    """The search terms of a text in reading order, repeats kept."""
    return [found.term for found in spelled_terms(text)]


def indexed_terms(text: str) -> list[str]:
    """``terms`` and the head of every Chinese word, followed by HEAD."""
    return [found.term for found in spelled_terms(text, heads=_heads)]


def asked_terms(text: str) -> list[str]:
    """``terms`` of a query: a Chinese word of one character is looked for as the head of a word, too."""
    return [found.term for found in spelled_terms(text, heads=_lone_characters)]


def spelled_terms(text: str, *, heads: Callable[[str], Iterable[str]] | None = None) -> Iterator[Spelled]:
    """``terms`` with the spelling of each, which plurals and the like have lost; ``heads`` finds those of a run."""
    for stretch, denied in stretches(text):
        for match in _RUNS.finditer(stretch):
            run, unspaced, word = match.groups()
            for term in _terms_of_word(word) if word else _grams(folded(run), heads) if run else _triples(unspaced):
                yield Spelled(f"-{term}" if denied else term, word or term.rstrip(HEAD), denied)


def stretches(text: str) -> Iterator[tuple[str, bool]]:
    """The text in parts, and whether it says that the part is not there; words of denial are left out."""
    text = unicodedata.normalize("NFKC", text)
    start = 0
    for match in _DENIAL.finditer(text):
        yield text[start : match.start()], False
        yield match["what"] or match["that"] or match["none"], True
        start = match.end()
    yield text[start:], False


def _terms_of_word(word: str) -> Iterator[str]:
    plain = re.sub("['’]s?$|['’]", "", folded(word))
    if plain and plain not in _STOP_WORDS:
        yield singular(plain)


def _grams(run: str, heads: Callable[[str], Iterable[str]] | None) -> Iterator[str]:
    for gram in (*run, *(a + b for a, b in pairwise(run))):
        if not STOP_CHARACTERS.issuperset(gram):
            yield gram
    if heads is not None:
        yield from (head + HEAD for head in heads(run) if head not in STOP_CHARACTERS)


def _heads(run: str) -> Iterator[str]:
    """The last character of each word, by jieba's dictionary."""
    if not run:
        return
    import rjieba

    for word in rjieba.cut(run):
        if _HAN_WORD.fullmatch(word):
            yield word.rstrip(_SUFFIXES)[-1:] or word[0]


def _lone_characters(run: str) -> Iterator[str]:
    """What stands alone between particles: 猫 of 黑色的猫."""
    return (part for part in _PARTICLES.split(run) if len(part) == 1 and _HAN_WORD.fullmatch(part))


def _triples(run: str) -> Iterator[str]:
    yield from (run[i : i + 3] for i in range(max(1, len(run) - 2)))
