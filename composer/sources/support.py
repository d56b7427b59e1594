"""Whether a source says what a sentence says: numbers and names, the sentence's words, and likeness.

Each is a condition: a number, a date or a proper name that the source does not have never stands, nor does a sentence
most of whose words are not from what it retells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from composer.article.language import HAN_PER_WORD
from composer.sources.passages import sentences_of
from retrieval.tokens import terms

MOST_COPIED = 12  # words of a source in a row, outside quotation marks

_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:['’][^\W\d_]+)?")
_HAN = re.compile(r"[\u3400-\u9fff]")
_QUOTED = re.compile(r"“[^”]*”|\"[^\"]*\"|「[^」]*」|『[^』]*』|«[^»]*»")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_NUMBER_WORDS = {
    word: str(value)
    for value, words in {
        2: "two twice both double second",
        3: "three thrice triple third",
        4: "four fourth",
        5: "five fifth",
        6: "six sixth",
        7: "seven seventh",
        8: "eight eighth",
        9: "nine ninth",
        10: "ten tenth",
        11: "eleven eleventh",
        12: "twelve twelfth dozen",
        13: "thirteen",
        14: "fourteen",
        15: "fifteen",
        16: "sixteen",
        17: "seventeen",
        18: "eighteen",
        19: "nineteen",
        20: "twenty",
        30: "thirty",
        40: "forty",
        50: "fifty",
        60: "sixty",
        70: "seventy",
        80: "eighty",
        90: "ninety",
        100: "hundred",
        1000: "thousand",
        1_000_000: "million",
        1_000_000_000: "billion",
    }.items()
    for word in words.split()
}
# Said without counting anything: they are no claim of a number.
_UNCOUNTED = frozenset(("both", "double", "second", "third", "twice"))
_PERIODS = re.compile(
    r"\b(centur(?:y|ies)|decades?|millenni(?:um|a)|halves|half|quarters?|percent|per cent|dozens|hundreds|thousands"
    r"|millions|billions|majority|most|always|never|only|first|last|largest|smallest|oldest|best|worst)\b",
    re.IGNORECASE,
)
_HAN_NUMBER = re.compile(
    r"[一二三四五六七八九十百千万亿两]+(?=[年月日世个米公里斤吨度小时分钟倍成岁人次种])|百分之[一二三四五六七八九十百]+"
)
_MONTHS = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)\b"
)
_CAPITAL = re.compile(r"\b[A-Z][\w'’-]*|\b[a-z]+[A-Z]\w*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|[\"“(]\s*)$")
_STARTERS_TEXT = """
    a an and any as at after although another around because before being between both but by can despite during each
    either even every few first for from given having he her here his how however if in instead it its just like many
    more most much no nor not now of often on once one only or other over people rather several she similarly since so
    some sometimes still such than that the their them then there these they this those though through thus to today
    together too two under unlike until upon using usually we what when where whether which while who why with within
    without yet you your
"""
_STARTERS = frozenset(_STARTERS_TEXT.split())

STEM = 5  # letters by which words of one root are told: "deterioration", "deteriorates"
# Of 85 sentences that a reader labelled, 14 reach both, and all of these say nothing beyond their source. Either alone,
# or what the model says of them, tells far less; docs/research/writing.md.
COVERED = 0.85
ALIKE = 0.8  # cosine
RETOLD = 0.5  # of a sentence's words in the retelling: it is among what is retold
_QUALIFIES = re.compile(
    r"\b(?:may|might|could|can|would|should|must|seem\w*|appear\w*|tend\w*|suggest\w*|believ\w*|think\w*|thought|argue\w*"
    r"|claim\w*|likely|probably|perhaps|possibl[ey]|often|usually|generally|typically|sometimes|rarely|seldom|frequently"
    r"|mostly|mainly|largely|partly|almost|nearly|about|approximately|roughly|some|many|most|few|several|all|every|any"
    r"|least|more|less|main|major|not|no|never|nor|neither|without|cannot|only|one|another|other)\b|n['’]t\b"
    r"|可能|也许|或许|大概|似乎|看来|认为|往往|通常|一般|有时|经常|常常|很少|大多|主要|几乎|大约|左右|一些|许多|多数|少数|所有|不|没|未|无|只|仅|更|最",
    re.IGNORECASE,
)
_JOINS = re.compile(
    r"\b(?:because|since|therefore|thus|so|hence|due|caus\w+|lead\w*|led|result\w*|by|if|unless|until|although|though|but"
    r"|despite|while|whereas|instead|rather|than|after|before|when|through|make|makes|made|allow\w*|enabl\w*|help\w*"
    r"|ensur\w*|require\w*|prevent\w*|order)\b"
    r"|因为|由于|所以|因此|导致|使得?|如果|除非|虽然|尽管|但|却|而是|之后|之前|通过|为了",
    re.IGNORECASE,
)


def support(sentence: str, said: str, likeness: float | None) -> float:
    """How well what is ``said`` in the source supports a sentence, in [0, 1]: the share of the sentence's words that it
    has, 0 where their ``likeness``, a cosine, is too small. None stands for a language without sentence vectors.
    """
    return covered(sentence, said) if likeness is None or likeness >= ALIKE else 0.0


def stems(text: str) -> list[str]:
    """The words of a text that say something, cut to what those of one root share."""
    return [term[:STEM] for term in terms(text)]


def covered(sentence: str, passage: str) -> float:
    """The share of a sentence's words that a passage has in some form, in [0, 1]; 1 for a sentence without words."""
    mine, theirs = stems(sentence), set(stems(passage))
    return sum(term in theirs for term in mine) / len(mine) if mine else 1.0


def keeps_relations(sentence: str, said: str) -> bool:
    """Whether a retelling joins its statements by nothing but what the source joins them by, and qualifies and denies
    what the source does: "seem", "often", "not", "some" are neither lost nor added.
    """
    qualified = _words(_QUALIFIES, sentence)
    if not (_words(_JOINS, sentence) <= _words(_JOINS, said) and qualified <= _words(_QUALIFIES, said)):
        return False
    return all(_words(_QUALIFIES, one) <= qualified for one in sentences_of(said) if covered(one, sentence) >= RETOLD)


def _words(pattern: re.Pattern[str], text: str) -> set[str]:
    return {match.lower()[:STEM] for match in pattern.findall(text)}


def unsupported(sentence: str, said: str, named: str = "", common: frozenset[str] = frozenset()) -> list[str]:
    """Numbers, dates and proper names of a sentence that its source does not have, as they are written.

    Numbers must stand in ``said``, what the sentence retells; names may stand in ``named``, around it. ``common``
    are words known to be no names, lower case.
    """
    found = [token for token, value in _numbers(sentence) if value not in {v for _, v in _numbers(said)}]
    found += [word for word in _HAN_NUMBER.findall(sentence) if word not in said]
    around = f"{said}\n{named}"
    found += [word for word in _MONTHS.findall(sentence) if word not in said]
    known = {token.lower() for token in _TOKEN.findall(around.replace("-", " "))}
    for match in _CAPITAL.finditer(sentence):
        word = match.group()
        parts = [_bare(part) for part in word.lower().split("-")]
        if all(part in known or _bare(part) in known or _plural_known(part, known) for part in parts):
            continue
        starts = _SENTENCE_START.search(sentence[: match.start()]) is not None
        if starts and (parts[0] in _STARTERS or parts[0] in common or word.lower() in common):
            continue
        if word not in found:
            found.append(word)
    return found


def _bare(word: str) -> str:
    return re.sub(r"['’]s?$", "", word)


def _plural_known(word: str, known: set[str]) -> bool:
    return word.removesuffix("s") in known or f"{word}s" in known


def _numbers(text: str) -> list[tuple[str, str]]:
    """Numbers as they are written, and their values in one form: "1,000", "Twelve", "1990s" as 1000, 12, 1990."""
    found = [(token, _value(token)) for token in _DIGITS.findall(text)]
    words = re.findall(r"[A-Za-z]+", text)
    found += [
        (word, _NUMBER_WORDS[word.lower()])
        for word in words
        if word.lower() in _NUMBER_WORDS and word.lower() not in _UNCOUNTED
    ]
    found += [(match, match.lower()) for match in _PERIODS.findall(text)]
    return found


def _value(token: str) -> str:
    plain = re.sub(r",(?=\d{3}\b)", "", token)
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def copied_run(sentence: str, passages: Iterable[str]) -> int:
    """The longest run of words that the sentence has in common with one of the passages, outside quotation marks.

    Chinese characters count as words of 1.6 characters.
    """
    told = [_tokens(passage) for passage in passages]
    return max((_longest(mine, theirs) for mine in _unquoted(sentence) for theirs in told), default=0)


def _unquoted(sentence: str) -> list[tuple[str, ...]]:
    return [_tokens(piece) for piece in _QUOTED.split(sentence)]


@lru_cache(maxsize=4096)
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(token.lower() for token in _TOKEN.findall(text))


def _longest(mine: Sequence[str], theirs: Sequence[str]) -> int:
    """Length of the longest common run, in words."""
    best = 0.0
    before = [0] * (len(theirs) + 1)
    for i, token in enumerate(mine):
        row = [0] * (len(theirs) + 1)
        for j, other in enumerate(theirs):
            if token == other:
                run = row[j + 1] = before[j] + 1
                if run > best:
                    piece = mine[i - run + 1 : i + 1]
                    han = sum(1 for part in piece if _HAN.match(part))
                    best = max(best, len(piece) - han + han / HAN_PER_WORD)
        before = row
    return round(best)
