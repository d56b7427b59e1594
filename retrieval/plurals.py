"""English plurals: one form for a noun and its plural.

Both sides of a search pass through ``singular``, so it need only be consistent: "axe" and "axes" are both "ax". Rules
grown from Harman's S-stemmer (JASIS 42(1), 1991); what they get wrong stands in the tables. The ``inflect`` package
knows as much, but takes two seconds to import.
"""

from __future__ import annotations

import re
from functools import lru_cache


def _table(words: str) -> frozenset[str]:
    return frozenset(words.split())


_IRREGULAR = dict(
    line.split()
    for line in """\
bacteria bacterium
criteria criterion
dormice dormouse
feet foot
geese goose
lice louse
mice mouse
oxen ox
phenomena phenomenon
series series
species species
spectra spectrum
strata stratum
teeth tooth
appendices appendix
codices codex
cortices cortex
indices index
matrices matrix
vertices vertex
vortices vortex""".splitlines()
)
# Plurals of their own ending, compounds included: bookshelves, grandchildren, snowmen.
_ENDINGS = (
    (re.compile(r"(lea|loa|shea|thie|hoo|scar|dwar|whar|shel|el|cal|hal|wol|kerchie)ves$"), r"\1f"),
    (re.compile(r"((?<!o)li|kni|wi)ves$"), r"\1fe"),  # not olives
    (re.compile(r"children$"), "child"),
    (re.compile(r"people$"), "person"),
    (re.compile(r"(?<=..)men$"), "man"),
    (re.compile(r"(?<=...)eaux$"), "eau"),
    (re.compile(r"(?<=...)ae$"), "a"),
)
# Singulars in -s. Those in -us need no table, but their plurals look like those of "muse".
_ENDING_IN_S = _table(
    """alias atlas bias canvas christmas clematis gas ibis iris lens mantis metropolis pancreas pelvis portcullis
    rhinoceros trellis"""
)
_ENDING_IN_USE = _table("abuse cayuse excuse fuse muse recluse refuse ruse use")
_ENDING_IN_SIS = _table(
    """analysis catharsis crisis diagnosis emphasis genesis hypothesis metamorphosis oasis parenthesis prosthesis
    synthesis thesis"""
)
_FROM_US_TO_I = _table("alumnus bacillus cactus focus fungus hippopotamus nucleus octopus radius stimulus syllabus")
# Their plurals look like singulars in -is and -us.
_ENDING_IN_I_OR_U = _table(
    """alibi bikini bonsai emoji graffiti jacuzzi kiwi martini okapi rabbi safari salami samurai ski taxi tsunami yeti
    zucchini bureau caribou bayou emu gnu guru haiku menu plateau tutu"""
)


@lru_cache(1 << 16)
def singular(word: str) -> str:
    """One form for a word in small letters and its plurals."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    word = _without_s(word)
    for pattern, ending in _ENDINGS:
        word = pattern.sub(ending, word)
    if len(word) > 3:
        # "movies" could come from "movie" or "movy", "axes" from "axe" or "ax", "heroes" from "hero" or "heroe".
        word = re.sub(r"ie$", "y", word)
        word = re.sub(r"([oxz]|ch|sh|ss)e$", r"\1", word)
    return re.sub(r"zz$", "z", word)


def _without_s(word: str) -> str:
    if not word.endswith("s"):
        return word[:-1] + "us" if word.endswith("i") and word[:-1] + "us" in _FROM_US_TO_I else word
    if word in _ENDING_IN_S or word.endswith("ss"):
        return word
    if word.endswith("es") and word[:-2] in _ENDING_IN_S:
        return word[:-2]
    if word.endswith("es") and word[:-2] + "is" in _ENDING_IN_SIS:
        return word[:-2] + "is"
    if len(word) <= 3:
        return word if re.search("[aeiou]", word) else word[:-1]  # TVs
    if word.endswith(("us", "is")):
        return word[:-1] if word[:-1] in _ENDING_IN_I_OR_U else word
    if re.search(r"(?<![ao])uses$", word) and word[:-1] not in _ENDING_IN_USE:
        return word[:-2]
    if any(pattern.search(word) for pattern, _ in _ENDINGS[:2]):
        return word
    return word[:-1]
