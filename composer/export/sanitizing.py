"""Text of unknown origin made fit for every format: what no format can hold goes, everything readable stays.

Lone surrogates cannot be written as UTF-8, XML has no place for most control characters and for U+FFFE and U+FFFF, and
a terminal obeys escape sequences. Each exporter starts from ``printable_article``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import Literal

from composer.article.citation import Citation
from composer.article.language import UNDETERMINED
from composer.article.model import Article, Placement, Section
from composer.request import LANGUAGE_TAG
from image_db.metadata.record import ImageRecord

_SURROGATE = re.compile(r"[\ud800-\udfff]")
# C0 and C1 controls but for tab and line ends.
_CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_UNUSABLE = re.compile(
    "[\x00\ufdd0-\ufdef\ufffe\uffff"
    + "".join(f"{chr(p * 0x10000 + 0xFFFE)}{chr(p * 0x10000 + 0xFFFF)}" for p in range(1, 17))
    + "]"
)
REPLACEMENT = "\ufffd"


def encodable(text: str) -> str:
    """The text with each lone surrogate as U+FFFD and nothing else changed, so that it can be written as UTF-8."""
    return _SURROGATE.sub(REPLACEMENT, text)


def printable(text: str) -> str:
    """``encodable`` text without control characters; NUL and noncharacters become U+FFFD, other controls go."""
    return _UNUSABLE.sub(REPLACEMENT, _CONTROL.sub("", encodable(text)))


def one_line(text: str) -> str:
    """Printable text with every run of white space as one space."""
    return " ".join(printable(text).split())


def printable_article(article: Article) -> Article:
    """The article with every text that an export prints made printable. Pictures keep their ids and paths."""
    return replace(
        article,
        title=printable(article.title),
        language=language_tag(article.language),
        preamble=printable(article.preamble),
        sections=tuple(
            Section(printable(s.text), printable(s.gap), citations=tuple(map(_citation, s.citations)))
            for s in article.sections
        ),
        placements=tuple(_placement(placement) for placement in article.placements),
        sources=tuple(
            replace(s, file=one_line(s.file), title=one_line(s.title), author=one_line(s.author))
            for s in article.sources
        ),
    )


def language_tag(language: str) -> str:
    """A BCP 47 tag such as ``en`` or ``zh-Hans``; ``und`` (undetermined) for anything else."""
    return language if LANGUAGE_TAG.fullmatch(language) else UNDETERMINED


def direction(text: str) -> Literal["ltr", "rtl", ""]:
    """The direction of the first letter that has one; empty where none has."""
    for char in text:
        found = unicodedata.bidirectional(char)
        if found in ("L", "R", "AL"):
            return "ltr" if found == "L" else "rtl"
    return ""


def is_right_to_left(text: str) -> bool:
    return direction(text) == "rtl"


def _citation(citation: Citation) -> Citation:
    passages = tuple(
        replace(p, page=one_line(p.page), heading=one_line(p.heading), text=printable(p.text))
        for p in citation.passages
    )
    return replace(citation, sentence=printable(citation.sentence), passages=passages)


def _placement(placement: Placement) -> Placement:
    return replace(
        placement,
        caption=one_line(placement.caption),
        alt=one_line(placement.alt),
        credit=one_line(placement.credit),
        chosen=_record(placement.chosen) if placement.chosen is not None else None,
    )


def _record(record: ImageRecord) -> ImageRecord:
    return replace(record, caption=one_line(record.caption), source_url=printable(record.source_url))
