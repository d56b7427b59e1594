"""What sections are about that the library can show: where pictures belong, and what each should show.

A section's subject is told from the words of a picture: a label names a kind ("A claw hammer with a red handle") or one
individual ("Schwerin Palace"), and a section is about it where the kind's noun, or the individual's name, stands in its
heading, opens it or keeps coming back. "Mysore Palace" is no picture for a section on Schwerin's, however alike they
look. English grammar is read from articles and capitals, Chinese from the end of a noun phrase, where its noun is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from composer.article.markdown import plain_text
from composer.article.model import Section
from composer.pipeline.selection import Considered, assign
from composer.pipeline.writing.facts import is_english_word, named_things, singular
from composer.pipeline.writing.sentence_filter import split_sentences
from image_db.metadata.names import caption_of_name
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from vision.interfaces import JointEncoder

MOST_PHRASES = 12  # that a section is searched for
LEAST_SALIENCE = 1.0
LEAST_OF_SECTION, LEAST_OF_TITLE = 0.42, 0.4  # cosines of a picture's words and title and heading, or the title alone
FEWEST_WITH_INTRODUCTION = 3  # sections
REQUIRED = 4.0
NAMED = 2.0  # log-odds for a picture that shows what the section names
OTHER_INDIVIDUAL = 4.0  # log-odds against one of something else where an individual is wanted
IN_HEADING, OPENED_BY, INTRODUCING, OPENING, RECURRING, PASSING = 3.0, 2.4, 2.2, 2.0, 1.2, 0.5
SUBJECT_WORDS = 4  # of a sentence, within which its subject stands
_COUNTED = r"(?:an?|the|one|two|three|several|some|many) "
_COLLECTION = re.compile(
    rf"^(?:{_COUNTED})?(?:heads?|pairs?|bunch(?:es)?|bowls?|groups?|rows?|shoals?|herds?|flocks?|piles?|slices?) of ",
    re.IGNORECASE,
)
_ARTICLE = re.compile(rf"^{_COUNTED}", re.IGNORECASE)
_PREPOSITION = (
    "on|in|at|under|above|with|near|from|against|among|by|to|for|across|behind|over|through|between|inside|beside|into"
)
# What says where and how, not what: a preposition, or a participle after the noun. "Red and blue" is before one.
_CIRCUMSTANCE = re.compile(
    rf",| (?:{_PREPOSITION}|or|which|that|its|lit|seen|built|made|stands?|grown|eating|bearing|carrying|holding)\b"
    rf"| and (?=(?:an?|the) |\S+$)| \w{{2,}}(?:ing|ed)(?= (?:{_PREPOSITION}|an?|the|its|down|up|together)\b|$)"
)
_NAME = re.compile(r"[^\W\d_a-z][\w'’-]+(?: (?:(?:of|de|the|du|la|von|van) ){0,2}[^\W\d_a-z][\w'’-]+)*")
_OPENER = re.compile(rf"^(?:the|an?|but|and|when|while|since|although|after|before|{_PREPOSITION}) ", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W\d_][\w'’-]*")
_HAN_RUN = re.compile(r"[\u4e00-\u9fff]{2,}")
LEAST_HAN, HEADING_HAN = 2, 12  # characters: of a noun, within which a heading names its subject
LONGER_NOUN = 0.1


@dataclass(frozen=True, slots=True)
class Subject:
    """What a section is about: ``name`` as a wish says it, how much the section is about it, and what the library
    says of the picture that shows it.
    """

    section: int
    name: str
    salience: float
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A picture's words as grammar has them: the ``noun`` of a kind, or the ``names`` that tell an individual."""

    words: tuple[str, ...]
    noun: str
    names: tuple[str, ...]


def read_label(label: str) -> Label:
    """The subject of an English label.

    >>> read_label("A claw hammer with a red handle")
    Label(words=('claw', 'hammer'), noun='hammer', names=())
    >>> read_label("The Taj Mahal, India").names
    ('taj', 'mahal')
    """
    whole = _COLLECTION.sub("", label.strip(" .。"))
    definite = whole.lower().startswith("the ")
    bare = _ARTICLE.sub("", whole)
    subject = _cut(bare)
    head, _, of = subject.partition(" of ")
    tokens = _TOKEN.findall(subject)
    if not tokens:
        return Label((), "", ())
    nouns = _TOKEN.findall(head) or tokens
    noun, opens = nouns[-1], bare == whole
    # "Chickens": a first word without an article has its capital from the sentence.
    capital = noun[:1].isupper() and not (opens and len(nouns) == 1 and is_english_word(noun))
    of_a_name = definite and any(token[:1].isupper() for token in _TOKEN.findall(of))
    names: tuple[str, ...] = ()
    if capital or of_a_name:
        names = _distinctive(tokens) or _distinctive(_TOKEN.findall(bare)) or _capitalised(tokens)
    content = [folded(token) for token in nouns]
    return Label(tuple(content), singular(folded(noun)), names)


def _cut(label: str) -> str:
    """The label up to where circumstances begin; its first word always stays."""
    first = _TOKEN.match(label)
    start = first.end() if first else 0
    found = _CIRCUMSTANCE.search(label, start)
    return label[: found.start()] if found else label


def _distinctive(tokens: Sequence[str]) -> tuple[str, ...]:
    return tuple(folded(t) for t in tokens if t[:1].isupper() and not is_english_word(t))


def _capitalised(tokens: Sequence[str]) -> tuple[str, ...]:
    return tuple(folded(token) for token in tokens if token[:1].isupper())


def folded(word: str) -> str:
    """Lower case, without accents and a possessive's ending."""
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return re.sub(r"['’]s?$", "", plain.casefold())


@dataclass(frozen=True, slots=True)
class SectionWords:
    """A section as it is compared with labels: its words with where they stand."""

    heading: frozenset[str]
    headed: tuple[str, ...]  # the heading's words in their order
    first: tuple[str, ...]
    counts: dict[str, int]
    names: frozenset[str]  # words with a capital, folded
    text: str


def words_of(section: Section) -> SectionWords:
    body = plain_text(section.body)
    sentences = split_sentences(body)
    counts: dict[str, int] = {}
    for token in _TOKEN.findall(f"{section.heading}. {body}"):
        word = singular(folded(token))
        counts[word] = counts.get(word, 0) + 1
    names = frozenset(folded(t) for t in _TOKEN.findall(f"{section.heading} {body}") if t[:1].isupper())
    headed = tuple(singular(folded(token)) for token in _TOKEN.findall(section.heading))
    return SectionWords(
        frozenset(headed),
        headed,
        tuple(singular(folded(token)) for token in _TOKEN.findall(sentences[0] if sentences else "")),
        counts,
        names,
        f"{section.heading} {body}",
    )


def named(record: ImageRecord, language: str, words: SectionWords) -> tuple[float, float]:
    """How much of what the picture shows a section names (0: not its subject), and how salient that is in it."""
    share, salience = 0.0, 0.0
    for label in _labels(record, language):
        match = _han_named(label, words) if _HAN_RUN.search(label) else _named(read_label(label), words)
        share, salience = max((share, salience), match)
    return share, salience


def _labels(record: ImageRecord, language: str) -> list[str]:
    """What the library says that a picture shows; what its file is called where it says nothing."""
    said = dict.fromkeys(filter(None, (record.caption_in(language), record.caption, record.alt)))
    return list(said) or [name for name in (caption_of_name(record.path.stem),) if name]


def _named(label: Label, words: SectionWords) -> tuple[float, float]:
    if label.names:
        if not all(name in words.names for name in label.names):
            return 0.0, 0.0
        told = [word in words.names or word in words.counts for word in label.words]
        return sum(told) / len(told), max(_salience(singular(name), words) for name in label.names)
    if not label.noun or label.noun not in words.counts:
        return 0.0, 0.0
    if _another_kind(label, words):
        return 0.0, 0.0
    said = [singular(word) in words.counts for word in label.words]
    return sum(said) / len(said), _salience(label.noun, words)


def _another_kind(label: Label, words: SectionWords) -> bool:
    """Whether the heading has the label's noun with another word before it: a fire truck is no food truck."""
    before = singular(label.words[-2]) if len(label.words) > 1 else ""
    if not before or f"{before} {label.noun}" not in named_things(f"{before} {label.noun}"):
        return False  # "red cloth" is of no kind of its own
    pairs = list(pairwise(words.headed))
    return (before, label.noun) not in pairs and any(noun == label.noun for _, noun in pairs)


def _salience(word: str, words: SectionWords) -> float:
    if word in words.heading:
        return IN_HEADING
    opens = words.first[:1] in (("the",), ("a",), ("an",)) and words.first[1:2] == (word,)
    if opens:
        return OPENED_BY
    if word in words.first[:SUBJECT_WORDS] and words.counts.get(word, 0) > 1:
        return INTRODUCING
    if word in words.first:
        return OPENING - 0.8 * words.first.index(word) / len(words.first)
    return RECURRING if words.counts.get(word, 0) > 1 else PASSING


def _han_named(label: str, words: SectionWords) -> tuple[float, float]:
    """The longest end of a Chinese noun phrase that the section has: of "草地上的绵羊" the "绵羊"."""
    phrase = label.rsplit("的", 1)[-1].strip(" 。，")
    for start in range(len(phrase) - LEAST_HAN + 1):
        end = phrase[start:]
        at = words.text.find(end)
        if at >= 0:
            begins = at <= len(words.text.split("。", 1)[0])
            often = RECURRING if words.text.count(end) > 1 else PASSING
            salience = IN_HEADING if at < HEADING_HAN else OPENING - at / 100 if begins else often
            salience += LONGER_NOUN * len(end)  # "荷兰风车" says more than "风车"
            return len(end) / len(phrase), salience
    return 0.0, 0.0


def phrases_of(section: Section) -> list[str]:
    """What a section may be searched for, the most telling first: its heading, the names and the things in it."""
    text = plain_text(section.body)
    sentences = split_sentences(text)
    found = [section.heading] if section.heading else []
    for part in (section.heading, sentences[0] if sentences else "", text):
        found += [*proper_names(part), *named_things(part)]
    if not text.isascii() and _HAN_RUN.search(text):
        found += [section.heading, *(sentences[:2])]
    return [phrase for phrase in dict.fromkeys(found) if phrase][:MOST_PHRASES]


def proper_names(text: str) -> list[str]:
    """Runs of capitalised words that begin with no ordinary word of a sentence's start."""
    found = []
    for match in _NAME.finditer(text):
        name = match.group()
        opens = match.start() == 0 or text[: match.start()].rstrip()[-1:] in ".!?:"
        if opens and " " not in name and is_english_word(name):
            continue
        found.append(_OPENER.sub("", name))
    return found


def supported_subjects(
    sections: Sequence[Section],
    places: Sequence[int],
    language: str,
    search: Callable[[Sequence[str]], Sequence[Sequence[Candidate]]],
    avoid: Sequence[str] = (),
    required: frozenset[str] = frozenset(),
) -> dict[int, Subject]:
    """By section, the subject that the library has pictures of and the section is about, the surest first.

    Each picture counts once. ``search`` finds candidates for each of several phrases. ``avoid`` are wishes that
    something else is wanted than, ``required`` ids of pictures that must appear, if only a word in passing names them.
    """
    phrases = [(place, phrase) for place in places for phrase in phrases_of(sections[place])]
    if not phrases:
        return {}
    results = search([phrase for _, phrase in phrases])
    values: dict[int, dict[str, float]] = {place: {} for place in places}
    subjects: dict[tuple[int, str], Subject] = {}
    said = {place: words_of(sections[place]) for place in places}
    unwanted = {wish.casefold() for wish in avoid}
    for (place, phrase), found in zip(phrases, results, strict=True):
        for candidate in found:
            id_ = candidate.record.id
            if (place, id_) in subjects:
                continue
            share, salience = named(candidate.record, language, said[place])
            must = id_ in required
            introduces = place == 0 and len(sections) >= FEWEST_WITH_INTRODUCTION and not sections[0].heading
            name = wish_of(candidate.record, language, said[place]) or phrase
            sure = salience >= OPENED_BY or (share == 1 and (" " in name or salience >= INTRODUCING))
            if introduces and not sure:
                continue  # an introduction names what the others tell: a picture would be missing there
            if not share or (salience < LEAST_SALIENCE and not must):
                continue
            if name.casefold() in unwanted:
                continue
            shown = next(iter(_labels(candidate.record, language)), "")
            subjects[place, id_] = Subject(place, name, salience, shown)
            values[place][id_] = salience + share + candidate.fused + REQUIRED * must
    chosen = assign([values[place] for place in places])
    found_at = {place: id_ for place, id_ in zip(places, chosen, strict=True) if id_ is not None}
    order = sorted(found_at, key=lambda place: (-values[place][found_at[place]], place))
    # Of several sections on the same thing, the later ones come after all that have a subject of their own.
    seen: dict[str, int] = {}
    for place in order:
        seen.setdefault(subjects[place, found_at[place]].name.casefold(), place)
    order.sort(key=lambda place: seen[subjects[place, found_at[place]].name.casefold()] != place)
    return {place: subjects[place, found_at[place]] for place in order}


def of_headings(
    subjects: Mapping[int, Subject], sections: Sequence[Section], title: str, encoder: JointEncoder
) -> dict[int, Subject]:
    """The subjects of sections that we wrote: these are about what their headings say, or where the library has nothing
    of that, about what they mention.

    Left out is also what has the heading's word and nothing to do with the article: a kiwi fruit, for a violin's nut.
    Of the 44 pictures of nine articles, on which the bounds were chosen, that is all 7 wrong ones and one other.
    """
    kept = {place: found for place, found in subjects.items() if found.salience >= OPENED_BY} or dict(subjects)
    reads = encoder.languages is None or "en" in encoder.languages
    if not kept or not reads or not all(text.isascii() for text in (title, *(found.shown for found in kept.values()))):
        return kept
    of_title, *of_sections = encoder.encode_sentences([title, *(f"{title}: {sections[i].heading}" for i in kept)])
    shown = encoder.encode_sentences([found.shown for found in kept.values()])
    return {
        place: found
        for (place, found), vector, of_section in zip(kept.items(), shown, of_sections, strict=True)
        if vector @ of_section >= LEAST_OF_SECTION or vector @ of_title >= LEAST_OF_TITLE
    }


def different(subjects: Iterable[Subject]) -> int:
    """How many of them there are, each name once."""
    return len({subject.name.casefold() for subject in subjects})


def naming(entry: Considered, section: Section, language: str) -> Considered:
    """The entry with what speaks for pictures whose subject the section names, and against other individuals."""
    words, wanted = words_of(section), read_label(entry.slot.caption).names
    odds: dict[str, float] = {}
    for candidate in entry.candidates:
        record = candidate.record
        share, salience = named(record, language, words)
        if share:
            sure = salience >= LEAST_SALIENCE and (not wanted or bool(read_label(record.caption).names))
            odds[record.id] = NAMED * share * (1.0 if sure else 0.5)
        elif wanted and record.caption and not set(wanted) & set(read_label(record.caption).names):
            odds[record.id] = -OTHER_INDIVIDUAL
    return replace(entry, naming=odds)


def wish_of(record: ImageRecord, language: str, words: SectionWords) -> str:
    """What the picture shows in words that the section has too: of "A stone windmill at the harbour" the windmill."""
    for label in _labels(record, language):
        if _HAN_RUN.search(label):
            phrase = label.rsplit("的", 1)[-1].strip(" 。，")
            ends = (phrase[start:] for start in range(len(phrase) - LEAST_HAN + 1))
            if end := next((end for end in ends if end in words.text), ""):
                return end
            continue
        read = read_label(label)
        if not _named(read, words)[0]:
            continue
        bare = _cut(_ARTICLE.sub("", _COLLECTION.sub("", label.strip(" .。"))))
        if read.names:
            return bare
        kept = [word for word in _TOKEN.findall(bare.partition(" of ")[0]) if singular(folded(word)) in words.counts]
        return " ".join(kept).lower()
    return ""
