"""Words of a text as search terms, in English and Chinese alike.

Latin words lose case, accents and plural endings; runs of Chinese, Japanese or Korean characters, which have no
spaces, give every character and every pair of neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_RUNS = re.compile(rf"([{_CJK}]+)|([^\W_{_CJK}]+(?:['’][^\W\d_{_CJK}]+)?)")
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
CJK_RUN = re.compile(f"[{_CJK}]+")

# Function words: they say nothing of a picture, yet in a library of short captions they are not rare enough to be
# discounted by frequency alone.
_STOP_WORDS_TEXT = """
    a an and any are as at be been being but by can did do does for from had has have he her his how i if in into
    is it its may might no nor not of off on onto or our out over she should so some such than that the their them
    then there these they this those through to too under up upon very was we were what when where which while who
    whom whose will with would you your image picture photo photograph shows show showing depicting
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
# The same for Chinese: particles, "one" and the measure words of things in pictures.
STOP_CHARACTERS = frozenset("的一了和与在是有及这那只个条张座幅片朵头匹棵位名")
_IRREGULAR = {
    "children": "child",
    "feet": "foot",
    "geese": "goose",
    "halves": "half",
    "knives": "knife",
    "leaves": "leaf",
    "lives": "life",
    "loaves": "loaf",
    "men": "man",
    "mice": "mouse",
    "oxen": "ox",
    "people": "person",
    "shelves": "shelf",
    "teeth": "tooth",
    "thieves": "thief",
    "wolves": "wolf",
    "women": "woman",
}


def is_character(term: str) -> bool:
    """Whether a term is a lone CJK character, which matches far more often by chance than a pair does."""
    return len(term) == 1 and _CJK_CHARACTER.match(term) is not None


def cjk_share(text: str) -> float:
    """The share of CJK characters among a text's letters; 0 for a text without letters."""
    letters = [c for c in text if c.isalpha()]
    return sum(1 for c in letters if _CJK_CHARACTER.match(c)) / len(letters) if letters else 0.0


def singular(word: str) -> str:
    """A plural's likely singular, by Harman's S-stemmer (JASIS 42(1), 1991) with commoner exceptions.

    Both sides of a search pass through it, so it need only be consistent, not correct.
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("ches", "shes", "sses", "xes", "zzes")) or (word.endswith("oes") and len(word) > 5):
        return word[:-2]
    return word[:-1]


def terms(text: str) -> list[str]:
    """The search terms of a text in reading order, repeats kept."""
    folded = unicodedata.normalize("NFKC", text).lower()
    if not folded.isascii():
        decomposed = unicodedata.normalize("NFD", folded)
        # Combining marks are dropped for Latin letters only (é → e); NFC puts kana and Hangul together again.
        folded = unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", decomposed))
    found: list[str] = []
    for match in _RUNS.finditer(folded):
        run, word = match.groups()
        if run:
            grams = [*run, *(a + b for a, b in pairwise(run))]
            found.extend(gram for gram in grams if not STOP_CHARACTERS.issuperset(gram))
        else:
            word = re.sub("['’]s?$|['’]", "", word)
            if word not in _STOP_WORDS:
                found.append(singular(word))
    return found
