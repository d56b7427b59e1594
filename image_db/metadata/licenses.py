"""Licences by their names, SPDX identifiers and addresses: one spelling, and whether a filter lets one through.

Creative Commons is recognised in the languages its deeds are written in; any other licence is compared word by word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Elements of Creative Commons' licences as they are named in full, without regard to case.
_ELEMENTS = {
    "BY": r"attribution|namensnennung|paternité|atribución|reconocimiento|attribuzione|atribuição|署名|姓名標示|表示",
    "NC": r"non-?\s?commercial|nicht[-\s]kommerziell|keine kommerzielle nutzung|pas d.utilisation commerciale|"
    r"no\s?comercial|non commerciale|não\s?comercial|非商业性使用|非商业|非商業性|非営利",
    "ND": r"no-?\s?deriv\w*|keine bearbeitung\w*|pas de modification|sin ?(?:obra)?\s?derivad\w*|"
    r"non opere derivate|sem derivaç\w*|禁止演绎|禁止改作|改変禁止",
    "SA": r"share-?\s?alike|weitergabe unter gleichen bedingungen|partage (?:dans les mêmes conditions|à l.identique)|"
    r"compartir\s?igual|condividi allo stesso modo|compartilha\s?igual|相同方式共享|相同方式分享|継承",
}
_NAMED = {element: re.compile(pattern, re.IGNORECASE) for element, pattern in _ELEMENTS.items()}
_JOINT = r"[\s_,–—‐‑-]*"
_CODES = rf"(?:BY|NC|ND|SA)(?:{_JOINT}(?:BY|NC|ND|SA))*"
_SHORT = re.compile(rf"\b(?:CC|creative commons){_JOINT}({_CODES})\b", re.IGNORECASE)
_BARE = re.compile(rf"({_CODES})(?:{_JOINT}\d\.\d)?", re.IGNORECASE)
_ADDRESS = re.compile(r"creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero|mark))(?:/(\d\.\d))?", re.I)
_ZERO = re.compile(r"\bCC[\s_-]?(?:0|zero)(?![.\d])|creative commons zero", re.IGNORECASE)
_PUBLIC = re.compile(r"\bpublic[\s-]domain(?: mark)?\b|\bgemeinfrei\b|\bPDM\b|公有领域|公共领域", re.IGNORECASE)
_VERSION = re.compile(r"(?<![\d.])([1-4](?:\.\d)?)(?![\d.])")
_COMMONS = re.compile(r"\bCC\b|creative\s*commons|知识共享|創用", re.IGNORECASE)
_ORDER = ("BY", "NC", "ND", "SA")
# What may stand around the name of a licence without saying more.
_FILLER = re.compile(
    r"\b(?:licen[sc]ed?|lizenz|licence|under|unter|an?|the|international|unported|generic|deed|legal ?code|works|"
    r"obras?|universal|dedication|https?|www|creative|commons|cc|v|en|zh|de|by)\b|许可协议|国际|知识共享|协议",
    re.IGNORECASE,
)
_ALTERNATIVES = re.compile(r"\s(?:or|oder|ou|o)\s|[/|;]|或", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_EXCEPTED = re.compile(
    r"\b(?:except|excluding|unless|not for|permission|sauf|hormis|außer|ausgenommen|salvo|excepto)\b"
    r"|除了|除外|例外|不得",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class License:
    """A licence that is recognised. ``elements`` are "BY", "NC", "ND", "SA", "0" or "PD"; ``version`` may be empty."""

    elements: frozenset[str]
    version: str = ""

    def __str__(self) -> str:
        if self.elements == {"PD"}:
            return f"Public Domain Mark {self.version}" if self.version else "Public domain"
        named = "CC0" if self.elements == {"0"} else "CC " + "-".join(e for e in _ORDER if e in self.elements)
        return f"{named} {self.version}".strip()


def parse_license(text: str) -> License | None:
    """The licence that a text names, with the conditions of all where it names several; None for none that is known."""
    text = " ".join(text.split())
    found = _VERSION.search(text)
    version = found[1] if found else ""
    limits = {element for element in ("NC", "ND") if _NAMED[element].search(text)}
    addresses = _ADDRESS.findall(text)
    codes = [code for code, _, _ in addresses if code] + _SHORT.findall(text)
    codes += [bare[1] for bare in (_BARE.fullmatch(text),) if bare]
    elements = {element for code in codes for element in re.findall("BY|NC|ND|SA", code.upper())}
    if elements:
        return License(frozenset(elements | limits), next((v for _, _, v in addresses if v), version))
    for _, dedication, number in addresses:
        if dedication:
            return License(frozenset({"0" if dedication.lower() == "zero" else "PD"}), number)
    if _ZERO.search(text):
        return License(frozenset({"0"}), version)
    named = {element for element, pattern in _NAMED.items() if pattern.search(text)}
    alone = not _rest(text) and (len(named) > 1 or version or "licen" in text.casefold())
    if "BY" in named and (_COMMONS.search(text) or alone):
        return License(frozenset(named), version)
    mark = "mark" in text.casefold() or "pdm" in text.casefold()
    return License(frozenset({"PD"}), version if mark else "") if _PUBLIC.search(text) else None


def license_name(text: str) -> str:
    """One spelling of a licence: "CC BY-SA 4.0" for its address, SPDX identifier or full name; other text as it is."""
    text = " ".join(text.split())
    known = parse_license(text)
    return str(known) if known is not None and (_ADDRESS.search(text) or not _rest(text)) else text


@lru_cache(maxsize=4096)
def allows(wanted: str, license_: str) -> bool:
    """Whether a filter for the licence ``wanted`` lets a picture of ``license_`` through.

    "CC BY" means that licence in any version and no other: one that forbids commercial use or changes is let through
    only where that is named, by "CC" as well. Of a text that offers several licences one must fit. Any other filter
    is a beginning that ends at a word: "GPL" lets "GPL-2+" through.
    """
    asked = parse_license(wanted)
    begun = _WORD.findall(wanted.casefold())
    any_commons = begun in (["cc"], ["creative", "commons"])
    for offered in _offers(license_):
        known = parse_license(offered)
        if known is not None and _EXCEPTED.search(offered):
            continue  # for this picture other terms may hold, which nobody but a person reads
        if any_commons:
            fits = known is not None and known.elements != {"PD"} and not known.elements & {"NC", "ND"}
        elif asked is not None:
            fits = known is not None and asked.elements == known.elements and known.version.startswith(asked.version)
        else:
            fits = bool(begun) and _WORD.findall(offered.casefold())[: len(begun)] == begun
        if fits:
            return True
    return False


def _offers(text: str) -> list[str]:
    """The licences that a text offers to choose from; an address stays whole."""
    return [text] if _ADDRESS.search(text) else _ALTERNATIVES.split(text)


def _rest(text: str) -> bool:
    """Whether more stands in a text than the name of a licence."""
    for pattern in (_ADDRESS, _SHORT, *_NAMED.values(), _ZERO, _PUBLIC, _VERSION, _FILLER):
        text = pattern.sub(" ", text)
    return _WORD.search(_BARE.sub("", text)) is not None
