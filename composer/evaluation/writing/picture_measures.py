"""Whether pictures stand where they belong, by words, and whether their captions and alt texts say anything.

Pictures that nobody described cannot be told, and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from composer.article.language import detect_language
from composer.article.markdown import plain_text
from composer.article.model import Article, Placement
from composer.pipeline.captions import subject
from composer.pipeline.writing.facts import named_things
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Query
from retrieval.search import Searcher
from retrieval.tokens import is_character, terms

_LOOKED_AT = 5  # of the library's pictures for a section without one


def on_subject(article: Article) -> list[bool]:
    """For each picture with words, whether the section before it names what they say it shows."""
    found = []
    for placement in article.placements:
        shown = placement.chosen and _label(placement, article.writing_language)
        if shown:
            section = article.sections[placement.slot.after_section]
            found.append(_treats(plain_text(section.text), shown))
    return found


def bare_sections(article: Article, searcher: Searcher, least_fused: float) -> list[bool]:
    """For each section with a heading, whether it has no picture although the library has one of its subject.

    A picture is of the section's subject where its fused score is at least ``least_fused`` and its words name what the
    heading names. Pictures that stand elsewhere in the article do not count.
    """
    headed = [index for index, section in enumerate(article.sections) if section.heading]
    illustrated = {p.slot.after_section for p in article.placements if p.chosen is not None}
    bare = [index for index in headed if index not in illustrated]
    used = frozenset(record.id for record in article.pictures)
    queries = [Query(caption=article.sections[index].heading, exclude=used) for index in bare]
    had = set()
    answers = searcher.search_batch(queries, _LOOKED_AT, explained=False) if queries else []
    for index, candidates in zip(bare, answers, strict=False):
        near = (candidate.record for candidate in candidates if candidate.fused >= least_fused)
        labels = filter(None, (_words(record, article.writing_language) for record in near))
        if any(_treats(article.sections[index].heading, label) for label in labels):
            had.add(index)
    return [index in had for index in headed]


def captions_beyond_label(article: Article) -> list[bool]:
    """For each picture with words, whether its caption has a word that the library's own words do not have."""
    return [
        not set(terms(placement.caption)) <= set(terms(placement.chosen.text))
        for placement in article.placements
        if placement.chosen is not None and placement.chosen.is_described
    ]


def alts_beyond_caption(article: Article) -> list[bool]:
    """For each picture with words, whether it has an alt text that is not the caption again."""
    return [
        bool(terms(placement.alt)) and terms(placement.alt) != terms(placement.caption)
        for placement in article.placements
        if placement.chosen is not None and placement.chosen.is_described
    ]


def _label(placement: Placement, language: str) -> str:
    """What the library says the picture shows, or the caption's first part where it says so in another language."""
    assert placement.chosen is not None
    return _words(placement.chosen, language) or re.split(r"[:：]", placement.caption)[0].strip()


def _words(record: ImageRecord, language: str) -> str:
    said = (record.caption_in(language), record.alt)
    return next((text for text in said if text and detect_language(text) == language), "")


def _treats(text: str, label: str) -> bool:
    """Whether a text names what a label is about: its last word, or a thing that WordNet knows by that name."""
    there = set(terms(text))
    about = subject(label)
    if about.isascii():
        names = [set(terms(name)) for name in named_things(about)]
        return any(name and name <= there for name in [*names, set(terms(about)[-1:])])
    return not there.isdisjoint(_pairs(terms(about)))


def _pairs(found: Iterable[str]) -> set[str]:
    return {term for term in found if not is_character(term)}
