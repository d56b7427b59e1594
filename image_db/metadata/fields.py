"""What programs call the fields of a picture, and how a title, a description and the rest become one Description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from image_db.metadata.description import Description
from image_db.metadata.names import meant


@dataclass(frozen=True, slots=True)
class FoundWords:
    """The words of a picture as programs keep them apart; texts by language code, "x-default" where none is given."""

    titles: Mapping[str, str] = field(default_factory=dict)
    headline: str = ""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""
    alts: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    author: str = ""
    license: str = ""
    source_url: str = ""


def described(sources: Iterable[FoundWords]) -> Description:
    """One description of several sources, strongest first: each field of the first that has it, tags of all.

    A title and a headline lead the description where they say something else; people and places become tags. A
    comment, which is often a program's, stands in where there is nothing else.
    """
    sources = list(sources)

    def texts(name: str) -> dict[str, str]:
        for source in sources:
            found = {code: said for code, text in getattr(source, name).items() if (said := meant(text))}
            if found:
                return found
        return {}

    def text(name: str) -> str:
        return next((found for source in sources if (found := meant(getattr(source, name)))), "")

    titles, descriptions, alts = texts("titles"), texts("descriptions"), texts("alts")
    headline = text("headline")
    captions = {code: joined(titles.get(code, ""), descriptions.get(code, "")) for code in {**descriptions, **titles}}
    first = first_language(captions)
    captions[first] = joined(headline, captions.get(first, ""))
    tags = (tag for name in ("tags", "people", "places") for source in sources for tag in getattr(source, name))
    return Description(
        caption=captions[first] or text("comment"),
        alt=alts.get(first_language(alts), ""),
        tags=without_repeats(tags),
        author=next((source.author for source in sources if source.author), ""),
        license=next((source.license for source in sources if source.license), ""),
        source_url=next((source.source_url for source in sources if source.source_url), ""),
        captions=tuple(_by_code(captions, first)),
    )


def in_one_language(text: str) -> dict[str, str]:
    """A text whose language nobody says; empty for none."""
    return {"x-default": text} if text else {}


def first_language(texts: Mapping[str, str]) -> str:
    return next((key for key in texts if key.startswith("en")), next(iter(texts), ""))


def _by_code(texts: Mapping[str, str], first: str) -> list[tuple[str, str]]:
    """Texts by two-letter code, without the first, and without the default, which repeats one of the others."""
    found: dict[str, str] = {}
    for key, text in texts.items():
        code = key[:2].lower()
        if key != "x-default" and code != first[:2] and re.fullmatch("[a-z]{2}", code):
            found.setdefault(code, text)
    return list(found.items())


def joined(title: str, description: str) -> str:
    """Both as one caption, the title first; once where one repeats the other."""
    if not title or title.casefold() in description.casefold():
        return description
    if not description or description.casefold() in title.casefold():
        return title
    stop = "" if title[-1] in ".!?…:。！？：" else "。" if title[-1] > "\u2e80" else "."
    return f"{title}{stop}{'' if stop == '。' else ' '}{description}"


def without_repeats(tags: Iterable[str]) -> tuple[str, ...]:
    """Each tag once, whatever its case, as it was written first."""
    found: dict[str, str] = {}
    for tag in tags:
        if tag.strip():
            found.setdefault(tag.strip().casefold(), tag.strip())
    return tuple(found.values())


def clean(text: str) -> str:
    """One line without control characters and lone surrogates."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
