"""Names and numbers of a text that nobody gave: the claims of a small model that are most often wrong.

In English a name is a capitalised word that does not begin its sentence, or that begins one and stands capitalised
within another; neighbouring ones are one name. A number is written in digits or as a word from "three" on, and
"century" counts as one. In Chinese, which has no capitals, names are titles in 《》, words in Latin letters, dynasties,
and the provinces, cities and countries listed here; numbers are digits and numerals before a unit. One, two and
ordinals in words say too little to count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from retrieval.plurals import singular

_ONES = (
    "three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: str(number) for number, word in enumerate(_ONES.split(), 3)}
_WORDS |= {word: str(10 * number) for number, word in enumerate(_TENS.split(), 2)}
_WORDS |= {word: word for word in ("dozen", "hundred", "thousand", "million", "billion", "century", "millennium")}
_PLURALS = {"dozens": "dozen", "centuries": "century", "millennia": "millennium"}
_PLURALS |= {f"{word}s": word for word in ("hundred", "thousand", "million", "billion")}

_TOKEN = re.compile(r"\d+(?:[.,:/]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")
_OPENS = re.compile(r"""[\s"'“‘(\[*_>-]*\Z""")  # all that stands before a sentence's first word
_QUOTE_OPENS = re.compile(r"""(?:[:;]\s*["“‘]?|["“‘(\[])\Z""")  # what may come before a capital within a sentence
_POSSESSIVE = re.compile(r"['’]s?\Z")
_NOT_NAMES = frozenset({"i", "i'm", "i'll", "i've", "i'd"})

_NUMERAL = "〇零一二两三四五六七八九十百千万亿"
_UNITS = (
    "世纪|年|个月|月|天|日|小时|分钟|秒|毫米|厘米|公里|千米|米|公斤|千克|毫克|克|吨|升|斤|摄氏度|度|岁|倍|次|层|步"
    "|种|个|只|条|座|章|块|片|瓣|人|成|元"
)
_HAN_NUMBER = re.compile(rf"(?<!第)\d+(?:[.,]\d+)*|(?<![第{_NUMERAL}])[{_NUMERAL}]+(?=多?(?:{_UNITS}))")
_PLACES = (
    "中国|美国|英国|法国|德国|日本|韩国|朝鲜|俄罗斯|印度|意大利|西班牙|葡萄牙|荷兰|瑞士|希腊|埃及|巴西|澳大利亚|加拿大|欧洲"
    "|亚洲|非洲|美洲|北京|上海|天津|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|广西"
    "|海南|四川|贵州|云南|西藏|陕西|甘肃|青海|宁夏|新疆|内蒙古|香港|澳门|台湾|杭州|苏州|南京|成都|西安|广州|武汉|长江|黄河"
)
_HAN_NAME = re.compile(
    rf"《[^》]+》|[A-Za-z]{{2,}}|(?:[夏商周秦汉晋隋唐宋元明清]|三国|春秋|战国|南北朝|魏晋|民国)(?:朝|代|时期|年间)|{_PLACES}"
)


def unsupported(
    sections: Sequence[Sequence[str]],
    given: Sequence[str],
    language: str,
    cited: Sequence[Sequence[Sequence[str]]] = (),
) -> list[list[list[str]]]:
    """Names and numbers without support, for each sentence of each section, as they stand there.

    The texts of ``given`` support every sentence, those of ``cited`` the one at their place: passages it is taken from.
    """
    cited = cited or [[()] * len(section) for section in sections]
    names = {_plain(name) for section in sections for sentence in section for name in _inner_names(sentence)}
    found = []
    for section, passages in zip(sections, cited, strict=True):
        own = zip(section, passages, strict=True)
        if language == "zh":
            found.append([_unsupported_han(sentence, "\n".join([*given, *texts])) for sentence, texts in own])
        else:
            found.append([_unsupported_latin(sentence, names, _supported([*given, *texts])) for sentence, texts in own])
    return found


def _supported(texts: Sequence[str]) -> set[str]:
    return {form for text in texts for token in _TOKEN.findall(text) for form in _forms(token)}


def _unsupported_latin(sentence: str, names: set[str], supported: set[str]) -> list[str]:
    found: list[str] = []
    name_end = -1  # of the name found last
    for match in _TOKEN.finditer(sentence):
        token = match.group()
        is_name = token[0].isupper() and _plain(token) in names
        if not (is_name or _number(token)) or _forms(token) & supported:
            continue
        if is_name and name_end >= 0 and not sentence[name_end : match.start()].strip(" -–"):
            found[-1] += f" {token}"
        else:
            found.append(token)
        name_end = match.end() if is_name else -1
    return found


def _inner_names(sentence: str) -> list[str]:
    """Capitalised words that do not begin the sentence, nor a quotation in it."""
    return [
        token
        for match in _TOKEN.finditer(sentence)
        if (token := match.group())[0].isupper()
        and len(token) > 1
        and token.lower().replace("’", "'") not in _NOT_NAMES
        and not _OPENS.fullmatch(sentence[: match.start()])
        and not _QUOTE_OPENS.search(sentence[: match.start()])
    ]


def _plain(word: str) -> str:
    return singular(_POSSESSIVE.sub("", word).lower())


def _number(token: str) -> str:
    """A number's value in digits, or its word where it has no single value; empty for other words."""
    if token[0].isdigit():
        return token.replace(",", "")
    word = token.lower()
    return _WORDS.get(_PLURALS.get(word, word), "")


def _forms(token: str) -> set[str]:
    return {_plain(token), _number(token)} - {""}


def _unsupported_han(sentence: str, known: str) -> list[str]:
    numbers = {_han_number(match.group()) for match in _HAN_NUMBER.finditer(known)}
    names = [name for name in _HAN_NAME.findall(sentence) if name not in known]
    found = (match.group() for match in _HAN_NUMBER.finditer(sentence))
    return names + [number for number in found if number not in "一两二" and _han_number(number) not in numbers]


def _han_number(numeral: str) -> str:
    """A Chinese numeral below a hundred million in digits; what is no number as it stands."""
    if numeral[0].isdigit() or "亿" in numeral:
        return numeral.replace(",", "")
    digits = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
    if not set(numeral) - set(digits):  # a year: 一九八四
        return str(int("".join(str(digits[character]) for character in numeral)))
    total = part = digit = 0
    for character in numeral:
        if character in digits:
            digit = digits[character]
        elif character == "万":
            total, part, digit = (total + part + digit) * 10_000, 0, 0
        else:
            part += (digit or 1) * {"十": 10, "百": 100, "千": 1000}[character]
            digit = 0
    return str(total + part + digit)
