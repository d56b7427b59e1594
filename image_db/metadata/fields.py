"""What programs call the fields of a picture, and how a title, a description and the rest become one Description."""

from __future__ import annotations

import difflib
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from importlib.resources import files

from image_db.metadata.capture import UNKNOWN, Capture
from image_db.metadata.description import Description
from image_db.metadata.names import meant

DOCUMENTED = (  # keys of a sidecar
    "caption", "alt", "tags", "author", "license", "source_url", "captions", "date", "places", "camera",
)  # fmt: skip
_FIELDS = (
    "file", "caption", "title", "alt", "tags", "people", "places", "author", "license", "source_url",
    "date", "digitised", "camera", "maker", "latitude", "longitude",
)  # fmt: skip
_IN_LANGUAGE = re.compile(r"(.+?)[\s_.(\[-]+([a-z]{2})[)\]]?")
# Controls, surrogates, separators of lines; marks that turn or hide what follows.
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff\\ud800-\\udfff]")


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
    credit: str = ""
    source: str = ""
    license: str = ""
    source_url: str = ""
    capture: Capture = UNKNOWN


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
    tags = [tag for source in sources for tag in (split_tags(source.tags[0]) if len(source.tags) == 1 else source.tags)]
    tags += [tag for name in ("people", "places") for source in sources for tag in getattr(source, name)]
    return Description(
        caption=captions[first] or text("comment"),
        alt=alts.get(first_language(alts), ""),
        tags=without_repeats(tags),
        author=_credited(sources),
        license=next((source.license for source in sources if source.license), ""),
        source_url=next((source.source_url for source in sources if source.source_url), ""),
        captions=tuple(_by_code(captions, first)),
        places=without_repeats(place for source in sources for place in source.places),
        capture=reduce(Capture.over, (source.capture for source in sources), UNKNOWN),
    )


def _credited(sources: Iterable[FoundWords]) -> str:
    """Creator and credit as agencies print them ("Anna Miller / Reuters"); the source where neither is named."""
    author, credit, origin = (
        next((found for source in sources if (found := getattr(source, name))), "")
        for name in ("author", "credit", "source")
    )
    if not author or not credit or author.casefold() in credit.casefold():
        return credit or author or origin
    return author if credit.casefold() in author.casefold() else f"{author} / {credit}"


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
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


@cache
def _field_names() -> Mapping[str, str]:
    table = tomllib.loads(files("image_db.metadata").joinpath("field_names.toml").read_text(encoding="utf-8"))
    return {_plain(name): field for field in _FIELDS for name in table[field].split()}


def field_of(name: str) -> tuple[str, str] | None:
    """Which field a key or a column names, and the language of a caption's; None for another program's own."""
    names = _field_names()
    if (known := names.get(_plain(name))) is not None:
        return known, ""
    in_language = _IN_LANGUAGE.fullmatch(name.strip().casefold())
    if in_language is not None and names.get(_plain(in_language[1])) == "caption":
        return "caption", in_language[2]
    return None


def file_field(values: Iterable[str]) -> list[str]:
    """The keys of a row that may name its file, the likeliest first."""
    order = list(_field_names())
    named = [key for key in values if key is not None and field_of(key) == ("file", "")]
    return sorted(named, key=lambda key: order.index(_plain(key)))[:1]


def misspelt_field(name: str) -> str:
    """The documented key that a name was likely meant to be; empty where it resembles none."""
    near = difflib.get_close_matches(_plain(name), DOCUMENTED, 1, cutoff=0.8)
    return near[0] if near else ""


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", unicodedata.normalize("NFC", name).casefold().rpartition(":")[2])


def split_tags(text: str) -> list[str]:
    """Tags in one text: separated by semicolons or bars, else by commas, Chinese ones included."""
    return re.split(r"[;；|\n]", text) if re.search(r"[;；|\n]", text) else re.split(r"[,，、]", text)
