"""What an encyclopedia's entry says itself of a section's subject, where the drafts said too little of it.

Sentences of the entry stand in quotation marks; a pronoun that opens one stands before the marks, or the subject in its
place where nothing before it names that: The leopard “has a pale yellowish to dark golden fur.” What the entry defines
comes first, and each sentence of the writer's own stands where the entry tells the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from composer.article.language import count_words
from composer.pipeline.writing.encyclopedia import Entry, key_of
from composer.pipeline.writing.facts import Fact, singular
from composer.pipeline.writing.retelling import (
    FEWEST_QUOTED,
    LEANS,
    MOST_QUOTED,
    MOST_SHARED,
    SAID_BEFORE,
    may_be_quoted,
)
from composer.sources.passages import sentences_of
from composer.sources.support import copied_run, covered

TELLS = 0.5  # more of one's words than that has the other, of an own sentence and the entry's that it tells
POOR = 0.35  # less of the words of an entry's sentence has an own one that says too little of it
BEHIND = 0.3  # cosine behind the nearest sentence: it is on something else

# "It is believed that …" speaks of nothing before it.
_PRONOUN = re.compile(
    r"(?:It(?! (?:is|was|has been) (?:\w+ )?(?:\w+ed|thought|known|said|likely|possible|unclear) that)|They|Its|Their)"
    r"(?= )"
)
# A pronoun after an opening clause: "In use since antiquity, they …".
_LATER_PRONOUN = re.compile(r"^[^,]*, (?:it|they|its|their)\b|^\w+ (?:it|they) ")
_POSSESSIVE = ("Its", "Their")
_OPENING = re.compile(r"(?:(An?|The) )?([\w'’-]+(?: [\w'’-]+){0,3}?)(?=,| (?:is|are|was|were|has|have)\b)")


@dataclass(frozen=True, slots=True)
class _Told:
    """A sentence of an entry, by its place there: a pronoun that opens it, the subject instead of that, and the words
    that stand between the marks.
    """

    place: int
    pronoun: str
    subject: str
    words: str

    def printed(self, follows: bool) -> str:
        """``follows`` says whether the sentence that stands before it in the entry does so here; empty where it must
        and does not.
        """
        if not self.pronoun:
            return f"“{self.words}”"
        before = self.pronoun if follows else self.subject
        return f"{before} “{self.words}”" if before else ""


def with_quotations(
    own: Sequence[str],
    fact: Fact,
    room: float,
    said: Sequence[str],
    about: str,
    likeness: Callable[[Sequence[str], Sequence[str]], np.ndarray],
) -> list[str]:
    """A section's ``own`` sentences in the order of the fact's entry, and of that about ``room`` words which neither
    they nor what was ``said`` before tell: its definition, and then what is nearest to what the section is ``about``.
    Of an entry on another thing it is only the sentence that is the fact.
    """
    entry = fact.entry
    assert entry is not None
    sentences = sentences_of(entry.extract)
    blocks = _blocks(own, sentences)
    places = Counter(place for place, _ in blocks)
    # Own sentences that tell little of what the entry's says: that stands instead, where it may.
    poor = {
        place: texts[0]
        for place, texts in blocks
        if len(texts) == places[place] == 1 and place < len(sentences) and covered(sentences[place], texts[0]) < POOR
    }
    found: list[_Told] = []
    for one in _nearest(_quotable(entry, sentences), about, likeness):
        size = count_words(one.words)
        known = [*said, *(text for text in own if text != poor.get(one.place))]
        if fact.mentioned and sentences[one.place] != fact.text:
            continue
        if one.place in places.keys() - poor.keys() or not FEWEST_QUOTED <= size <= min(
            MOST_QUOTED, room + FEWEST_QUOTED
        ):
            continue
        # Sentences of one entry are alike in what they are about, and do not say the same.
        if copied_run(one.words, [*known, *(other.words for other in found)]) > MOST_SHARED:
            continue
        if known and likeness([one.words], known).max() >= SAID_BEFORE:
            continue
        found.append(one)
        room -= size
    printed: list[str] = []
    instead = {one.place for one in found} & poor.keys()
    standing = [block for block in blocks if block[0] not in instead]
    parts: list[tuple[int, list[str] | _Told]] = [*standing, *((one.place, one) for one in found)]
    parts.sort(key=lambda pair: pair[0])
    before = None  # the place of the quotation that stands before
    for place, part in parts:
        if isinstance(part, _Told):
            printed += filter(None, [part.printed(follows=before == place - 1)])
            before = place
        else:
            printed += part
            before = None
    return printed


@cache  # asked again before every section
def words_to_quote(entry: Entry) -> int:
    """How many words of an entry could stand in quotation marks."""
    return sum(count_words(one.words) for one in _quotable(entry, sentences_of(entry.extract)))


def adding_article(entry: Entry) -> Callable[[str], str]:
    """Puts the article before what an entry is on, where that is counted and a sentence of a small model begins without
    one: "Zebra is …", of "Zebras are …" or "The zebra is …".
    """
    subject = _subject(entry, next(iter(sentences_of(entry.extract)), ""))
    noun = subject.removeprefix("The ")
    if noun == subject:
        if not noun.endswith("s"):
            return str  # bread, or Rome
        noun = noun.lower()
    names = f"{re.escape(noun)}|{re.escape(singular(noun))}"
    begins = re.compile(rf"(?:{names}) (?:is|was|has|can|may|lives|eats|feeds)\b", re.IGNORECASE)
    return lambda sentence: f"The {noun[:1]}{sentence[1:]}" if begins.match(sentence) else sentence


def _nearest(
    quotable: Sequence[_Told], about: str, likeness: Callable[[Sequence[str], Sequence[str]], np.ndarray]
) -> list[_Told]:
    """The definition first, then the nearest to what the section is ``about``, without those that are far behind."""
    if not quotable:
        return []
    near = likeness([f"{one.subject} {one.words}" for one in quotable], [about])[:, 0]
    order = sorted(range(len(quotable)), key=lambda i: (quotable[i].place > 0, -near[i]))
    return [quotable[i] for i in order if quotable[i].place == 0 or near[i] >= near.max() - BEHIND]


def _blocks(own: Sequence[str], sentences: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The own sentences with what leans on them, and the place in the entry of what each tells, after all for none."""
    blocks: list[tuple[int, list[str]]] = []
    for text in own:
        if blocks and LEANS.match(text):
            blocks[-1][1].append(text)
            continue
        shares = [max(covered(text, sentence), covered(sentence, text)) for sentence in sentences]
        place = int(np.argmax(shares)) if max(shares, default=0.0) > TELLS else len(sentences)
        blocks.append((place, [text]))
    return blocks


def _quotable(entry: Entry, sentences: Sequence[str]) -> list[_Told]:
    subject = _subject(entry, sentences[0]) if sentences else ""
    found, passage = [], entry.passage
    for place, sentence in enumerate(sentences):
        pronoun = _PRONOUN.match(sentence)
        words = sentence[pronoun.end() + 1 :] if pronoun else sentence
        if entry.is_dull(sentence, place) or not may_be_quoted(words, passage, "en", whole=pronoun is None):
            continue
        named = ""
        if not pronoun and _LATER_PRONOUN.match(sentence):
            continue
        if pronoun and subject and subject.endswith("s") == pronoun[0].startswith("Th"):
            named = subject + (("’" if subject.endswith("s") else "’s") if pronoun[0] in _POSSESSIVE else "")
        found.append(_Told(place, pronoun[0] if pronoun else "", named, words))
    return found


def _subject(entry: Entry, definition: str) -> str:
    """What the entry's first sentence defines, as a sentence can begin with it: "The lion", "Bread", "Owls"."""
    begins = _OPENING.match(definition)
    own = set(key_of(entry.name).split())
    if not begins or not own & {form for word in key_of(begins[2]).split() for form in (word, word.removesuffix("s"))}:
        return ""
    return f"The {begins[2]}" if begins[1] else begins[2]
