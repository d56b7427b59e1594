"""Names, numbers and dates in a text: what a model without sources most often gets wrong.

Told by capitals, digits and number words, in Chinese by digits, numerals with a unit, and the dot within foreign names.
Words that merely open a sentence, days, months, and adjectives of places ("French", "Roman") are no names.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_UNIT = r"%|‰|°C?F?|[kcm]?m²?|k?g|km/h|per ?cent|million|billion|BCE?|CE|AD"
_NUMBER = re.compile(
    rf"(?:\d[\d.,:/–-]*\d|\d)(?:\s?(?:{_UNIT})(?!\w))?(?:s|st|nd|rd|th)?"
    r"|\b(?:\w+teenth|\w+tieth|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)"
    r"[-\s]century\b"
    r"|\b(?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-\w+)?"
    r"|(?:(?:a|one|two|three|several) )?(?:hundred|thousand|million|billion)s?|dozens?)\b"
    r"|[一二三四五六七八九十百千万亿两〇零]+[多余]?(?:年代?|世纪|公里|千米|米|厘米|公斤|千克|克|吨|度|小时|分钟|岁|座|倍)"
    r"|百分之[一二三四五六七八九十百]+",
    re.IGNORECASE,
)
_LETTER = r"[^\W\d_\u3040-\u9fff]"
_CAPITAL = r"[A-ZÀ-ÞŁŠŽА-Я]"
_WORD = rf"{_CAPITAL}(?:{_LETTER}|[\d'’-])*"
_NAME = re.compile(rf"{_WORD}(?:(?: (?:of|de|du|la|von|van|the|and) | ){_WORD})*")
# What comes before or after a foreign name in Chinese more often than within one.
_HAN_OF_NAMES = r"[^\W\x00-\u4dff由是的在和与为等人于设计建造写作发说]"
_HAN_NAME = re.compile(rf"{_HAN_OF_NAMES}{{1,6}}(?:·{_HAN_OF_NAMES}{{1,8}})+|《[^》]{{1,30}}》")
_OPENS = re.compile(r"(?:\A|[.!?:…]|\n)[\s\"“‘'(*_>#-]*\Z")
_ADJECTIVE = re.compile(r"\w+(?:ish|ese|ian|ean|can|oman|erman|tch|ench|reek)s?\Z")
_CALENDAR = re.compile(
    r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?|January|February|March|April|May|June|July|August|September|October"
    r"|November|December|Christmas|Easter|I|God|English|French|Dutch|Swiss|Welsh|Internet|Earth|Sun|Moon"
)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\]\([^)]*\)|<[^>]*>|https?://\S+", re.DOTALL)
_LIST_NUMBER = re.compile(r"^[ \t]*\d+[.)] ", re.MULTILINE)
_FUNCTION_WORDS = """
the a an in on at of to for from by with and but or when while if as it its this that these those they he she we
"""
_OPENERS = frozenset(_FUNCTION_WORDS.split())


def claims_in(text: str, given: Collection[str] = ()) -> tuple[str, ...]:
    """The claims of a Markdown text as they stand in it, in order, each once.

    ``given`` are texts that a person wrote, such as the instruction: what they say is not the model's claim.
    """
    prose = _CODE.sub(lambda match: " " * len(match.group()), text)
    prose = _LIST_NUMBER.sub(lambda match: " " * len(match.group()), prose)
    heading = re.match(r"#{1,6} .*", prose)
    body = heading.end() if heading else 0  # capitals of a heading say nothing
    found = [(m.start(), m.group().strip()) for m in _NUMBER.finditer(prose, body)]
    found += [(m.start(), m.group()) for m in _HAN_NAME.finditer(prose, body)]
    known = " ".join(given).casefold()
    for match in _NAME.finditer(prose, body):
        name, start = match.group(), match.start()
        if _OPENS.search(prose[:start]) and re.search(r"[a-z]", name):
            # The sentence's first word may have its capital from there; what follows it in capitals has not.
            first, _, rest = name.partition(" ")
            if not rest or first.casefold() in _OPENERS:
                start, name = start + len(first) + 1, re.sub(r"^(?:of|the|and) ", "", rest)
        name = re.sub(r"['’]s?\Z", "", name)
        if len(name) > 1 and not _CALENDAR.fullmatch(name) and not (" " not in name and _ADJECTIVE.match(name)):
            found.append((start, name))
    unique = dict.fromkeys(claim for _, claim in sorted(found) if claim and claim in text)
    return tuple(claim for claim in unique if claim.casefold() not in known)
