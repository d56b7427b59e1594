"""Definitions of the things a text names, from WordNet, which the writer is given as known facts.

timm, which Vignette needs anyway, carries the definitions of the 21,841 nouns of ImageNet-21k: animals, plants, tools,
food, buildings, landforms and people by occupation. A small language model asked about a sickle writes of blood cells;
given "an edge tool for cutting grass or crops; has a curved blade and a short handle" it writes of the tool.

Source: WordNet 3.0 (Princeton University, wordnetcode.princeton.edu; WordNet licence) as packaged by timm.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from composer.article.citation import Citation
from composer.pipeline.writing.dictionary import Dictionary, Part
from composer.pipeline.writing.encyclopedia import Encyclopedia, Entry, key_of, notes_of
from composer.sources.support import covered, keeps_relations
from retrieval import plurals

LONGEST_NAME = 4  # words
MOST_FACTS = 4  # of a heading
MOST_MENTIONS = 600  # a word that more definitions have says little
MOST_RELATED = 2  # definitions that mention what the heading names, where it has none of its own
LEAST_RELATED = 0.66  # cosine of such a definition and what the heading is about
LEAST_MENTIONED = 0.64  # cosine of a sentence that an entry on another thing has and what the heading is about
LEAST_LIKENESS = 0.15  # cosine of a definition and the subject, below which a sense belongs to something else
LEAST_TOLD = 0.43  # of an encyclopedia's entry
LEAST_SURE = 0.5  # of name, definition and subject, below which a definition is not printed
PERSON_PENALTY = 0.15
SPECIAL_PENALTY = 0.15
SAME_THING = 0.4  # cosine of the senses of a word in two sources: .45 and more where they are one, .33 and less else
MOST_ASKED = 5  # senses of a word that the model is asked about
MOST_ASKED_WORDS = 14  # of each
TELLS_ENOUGH = 30  # words of an entry beside which a dictionary is not needed
NOTE_OPENING = 3  # words by which a copied note is known
MISSPELT_LETTERS, MISSPELT = 7, 0.85  # of a word at least; share of letters that it has in common with the right one
CITED = 0.6  # of a sentence's words that an entry must have to be its source
GIST_WORDS = 40  # by which senses are compared: an encyclopedia's first sentence or two
# Of 83 words, many of them in an unusual sense (the nut and the bow of a violin, the sole in the sea), 62 get the right
# one, 18 none and 3 another; with no OF_SUBJECT, ODDS_WEIGHT .3 and no least likeness to the subject 66 and 17.
OF_SUBJECT = 0.35  # of a sense's worth is its cosine with the subject alone, the rest with subject and heading
LEAST_OF_SUBJECT = 0.22  # cosine of a sense and the subject alone, where a word has several
ODDS_WEIGHT = 0.1  # of the model's odds beside the cosine: they tell a cardinal from a cardinal
CLAUSE_SPAN = 0.25  # cosine behind a definition's nearest clause
LATER_SENSE = 0.02  # a place further down in the dictionary
MOST_NEAR = 120  # entries of an encyclopedia that are compared with a subject
MOST_SUBJECTS = 14
LEAST_NEAR = 0.45  # cosine of an entry and the subject that it belongs to
NEAR_SPAN = 0.22  # of it behind the nearest entry's, which is often that of the subject itself
LIVING = (("n01310000", "n02600000"), ("n11500000", "n13105000"))  # of animals, of plants
PEOPLE = ("n09600000", "n10800000")  # synsets of persons
ENCYCLOPEDIA = "Wikipedia"  # how the source of such a fact begins
_CONTINENT = re.compile(r"\b(Africa|Asia|Europe|Australia|America|Antarctica)")
# Nouns that are more often another part of speech, or too general for a definition to say anything.
_COMMON_WORDS = """
run set cut part back place time day way use light water air end side top body head face hand eye kind type form look
turn start stop show play work walk rest drop draw line point level mark store stock match well still order person man
woman child people thing object animal plant food area home house room world life year morning evening help cover hold
keep support control process step measure guide mix press roll spring fall fly fast break bear ring rock stand stick
tie train watch wave fit test do go need can must may make take will left right good best all one two three first
second third more most it he she an as at no so in
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_NO_PLURALS = frozenset(("does", "goes", "has", "was", "is", "his", "its", "this", "us", "as", "yes", "thus", "less"))
# Synsets that no photograph is of: acts, attributes (colours), and what is said or felt.
_NOT_SEEN = (("n00000000", "n01300000"), ("n04620000", "n06700000"), ("n13700000", "n14500000"))


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a thing. ``source`` names where from: "WordNet n04213353", or a picture's file; ``entry`` is the
    encyclopedia's that it is from: its subject, or what the entry of something else says of it in one sentence.
    """

    name: str
    text: str
    source: str
    entry: Entry | None = None
    mentioned: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def clauses_of(fact: Fact) -> list[str]:
    """The fact clause by clause, of which a sentence tells one; whole where its clauses are too short."""
    parts = [part.strip() for part in re.split(r"[.;]", fact.text)]
    return [f"{fact.name}: {part}" for part in parts if len(part.split()) > 3] or [str(fact)]


def told_by(fact: Fact) -> str:
    """All that is known of a thing where a fact is from."""
    return f"{fact.name} {fact.text} {fact.entry.extract}" if fact.entry and not fact.mentioned else str(fact)


def cited(sentences: Sequence[str], facts: Sequence[Fact]) -> list[Citation]:
    """Citations of those sentences most of whose words an encyclopedia's entry has."""
    found = []
    for sentence in sentences:
        if entries := _entries_with(sentence, facts):
            share, entry = max(entries, key=lambda pair: pair[0])
            found.append(Citation(sentence, (entry.passage,), round(share, 4)))
    return found


def is_told(sentence: str, facts: Sequence[Fact]) -> bool:
    """Whether most of a sentence's words are an entry's, joined and qualified as they are there. Of sentences that are
    not, on subjects that an encyclopedia has, readers found half untrue.
    """
    return any(keeps_relations(sentence, entry.extract) for _, entry in _entries_with(sentence, facts))


def _entries_with(sentence: str, facts: Sequence[Fact]) -> list[tuple[float, Entry]]:
    """The entries that have most of a sentence's words, and the share of these that each has."""
    shares = [(covered(sentence, f"{fact.name} {fact.entry.extract}"), fact.entry) for fact in facts if fact.entry]
    return [(share, entry) for share, entry in shares if share >= CITED]


def misspells(sentence: str, known: Iterable[str]) -> bool:
    """Whether a sentence has a word that is none, but nearly one of the ``known`` ones: "hipopotamus"."""
    long = [word for word in known if len(word) >= MISSPELT_LETTERS]
    return any(
        word not in long and not is_english_word(word) and bool(get_close_matches(word, long, 1, MISSPELT))
        for word in re.findall(r"[a-z]+", sentence.lower())
        if len(word) >= MISSPELT_LETTERS
    )


def begins_as_note(sentence: str, facts: Sequence[Fact]) -> bool:
    """Whether a sentence begins as a note does that has no subject: "Made in various sizes and …"."""
    opening = sentence.lower().split()[:NOTE_OPENING]
    notes = (note for fact in facts if fact.entry for note in fact.text.split("; "))
    return any(note[:1].islower() and note.lower().split()[:NOTE_OPENING] == opening for note in notes)


def grouped_clauses(facts: Sequence[Fact]) -> tuple[list[str], list[int]]:
    """The clauses of facts, and a number for each: one for all first clauses on a name, which define it, its own for
    any other.
    """
    clauses: list[str] = []
    groups: list[int] = []
    names = list(dict.fromkeys(fact.name for fact in facts))
    for fact in facts:
        for place, clause in enumerate(clauses_of(fact)):
            clauses.append(clause)
            groups.append(len(clauses) if place else -1 - names.index(fact.name))
    return clauses, groups


@cache
def _glossary() -> dict[str, tuple[tuple[str, str], ...]]:
    """(synset, definition) of every lemma, lower case, in timm's order."""
    folder = _wordnet()
    definitions = dict(_pairs(folder / "imagenet_synset_to_definition.txt"))
    found: dict[str, list[tuple[str, str]]] = {}
    for synset, lemmas in _pairs(folder / "imagenet_synset_to_lemma.txt"):
        for lemma in lemmas.split(","):
            found.setdefault(lemma.strip().lower(), []).append((synset, definitions[synset]))
    return {lemma: tuple(senses) for lemma, senses in found.items()}


def _wordnet() -> Path:
    timm = find_spec("timm")  # found, not imported: that takes seconds, and torch
    assert timm is not None
    assert timm.origin is not None
    return Path(timm.origin).parent / "data" / "_info"


def _pairs(file: Path) -> Iterable[tuple[str, str]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        synset, _, rest = line.partition("\t")
        yield synset, rest


def named_things(text: str, also: Container[str] = ()) -> list[str]:
    """Lemmas of the glossary, and names that are ``also`` known, that an English text names, longest match first come,
    each once.

    Plurals count as their singular: "Claw hammers and rakes" names "claw hammer" and "rake".
    """
    known = _glossary()
    words = key_of(text).split()
    found: dict[str, None] = {}
    at = 0
    while at < len(words):
        for length in range(min(LONGEST_NAME, len(words) - at), 0, -1):
            head, last = words[at : at + length - 1], words[at + length - 1]
            forms = [" ".join((*head, form)) for form in _singulars(last)]
            lemma = next((name for name in forms if name in known), "") or next((n for n in forms if n in also), "")
            if lemma and not (length == 1 and (lemma in _COMMON or len(lemma) < 3)):
                found[lemma] = None
                at += length
                break
        else:
            at += 1
    return list(found)


def is_english_word(word: str) -> bool:
    """Whether a word, whatever its case and number, is an ordinary one: a lemma's, or one that definitions use."""
    return any(form in _vocabulary() for form in _singulars(word.casefold()))


@cache
def _vocabulary() -> frozenset[str]:
    words: set[str] = set()
    for file in ("imagenet_synset_to_lemma.txt", "imagenet_synset_to_definition.txt"):
        for _, text in _pairs(_wordnet() / file):
            # A capital within a lemma or a definition is a name's.
            words.update(re.findall(r"(?<![\w'-])[a-z][a-z'-]+", text))
    return frozenset(words | _COMMON)


def singular(word: str) -> str:
    """One form for a lower-case word and its plural: "knives" and "knife" give the same."""
    if word in _NO_PLURALS:
        return word
    known = _vocabulary()
    return next((form for form in reversed(_singulars(word)[1:]) if form in known), word)


def _singulars(word: str) -> tuple[str, ...]:
    forms = [word]
    if word.endswith("ies") and len(word) > 4:
        forms.append(word[:-3] + "y")
    if word.endswith("ves"):
        forms += [word[:-3] + "f", word[:-3] + "fe"]
    if word.endswith("es"):
        forms.append(word[:-2])
    if word.endswith("s") and not word.endswith("ss"):
        forms.append(word[:-1])
    return tuple(forms)


def _verbs(text: str) -> list[str]:
    """What a heading says is done: knead of "Kneading the dough"."""
    found: dict[str, None] = {}
    for word in re.findall(r"\b([a-z]{3,})ing\b", text.lower()):
        found |= dict.fromkeys((word, word + "e", word[:-1] if word[-1] == word[-2] else word))
    return list(found)


class Glossary:
    """Looks up what headings name, and compares sentences: what the writer needs to know.

    ``encode`` gives unit vectors (n, d) of English sentences; ``english`` puts other texts into English, one a text.
    Where ``reads_language`` is false the encoder cannot compare the article's own sentences, and shared characters do.
    ``odds(about, definitions)`` are the model's that each definition is what a section about that treats.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[str]], np.ndarray],
        english: Callable[[Sequence[str]], Sequence[str]] | None = None,
        *,
        reads_language: bool = True,
        dictionary: Dictionary | None = None,
        encyclopedia: Encyclopedia | None = None,
        odds: Callable[[str, Sequence[str]], Sequence[float]] | None = None,
    ) -> None:
        self._vectors: dict[str, np.ndarray] = {}
        self._encoder = encode
        self._dictionary = dictionary
        self._encyclopedia = encyclopedia
        self._titles: Container[str] = encyclopedia or ()
        self._odds = odds
        self._english = english or (lambda texts: texts)
        self.reads_language = reads_language

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d); each text is encoded once, since an article's sentences are compared with every later one."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors.update(zip(new, self._encoder(new), strict=True))
        return np.stack([self._vectors[text] for text in texts]) if texts else np.zeros((0, 0), np.float32)

    def facts(self, title: str, headings: Sequence[str]) -> list[list[Fact]]:
        """The definitions of what each heading names, or, where there is none, of what mentions it."""
        said = list(self._english([title, *headings]))
        subject, found, known = said[0], [], set[str]()
        for heading in said[1:]:
            about = f"{subject}: {heading}"
            own = self._own(heading, about, subject)
            beside = [] if own else related(heading, about, self._encode)[:MOST_RELATED]
            if not any(fact.entry for fact in own):
                beside = [*self._mentions(heading, subject), *beside]
            facts = {fact.text: fact for fact in [*own, *beside] if fact.text not in known}
            found.append(list(facts.values())[:MOST_FACTS])
            known.update(fact.text for fact in found[-1])
        return found

    def _own(self, heading: str, about: str, subject: str) -> list[Fact]:
        """What the dictionary and WordNet say of the things and doings that a heading names, in the sense meant."""
        words = re.findall(r"[a-z]+", heading.lower())
        whole = " ".join(map(singular, words))
        names = named_things(heading, self._titles) or words[-1:]
        if whole in self._titles and whole not in names:
            names = [whole]  # birds of prey, not birds and prey
        kinds = (f"{whole} {singular(word)}" for word in key_of(subject).split())
        if whole not in self._titles and (kind := next((kind for kind in kinds if kind in self._titles), "")):
            names = [kind]  # percussion, of the instruments of an orchestra
        if len(words) == len(names) == 2:
            names = names[1:]  # a litter box is a box, and no litter
        found: list[Fact] = []
        for name in names:
            senses = [Fact(name, text, f"WordNet {synset}") for synset, text in _glossary().get(name, ())]
            found += self._meant([*self._told_of(name), *self._entries_of(name, "n"), *senses], about, subject)
        for verb in _verbs(heading):
            found += self._meant(self._entries_of(verb, "v"), about, subject)
        return found

    def _entries_of(self, word: str, part: Part) -> list[Fact]:
        senses = self._dictionary.senses(word, part) if self._dictionary else ()
        return [Fact(word, f"{sense.text}. {sense.note}".strip(" ."), f"GCIDE {word}") for sense in senses]

    def _told_of(self, name: str) -> list[Fact]:
        if self._encyclopedia is None:
            return []
        entries = self._encyclopedia.entries(name)
        if not entries:  # cows are cattle: it may have another name of the thing
            others = (lemma for synset, _ in _glossary().get(name, ()) for lemma in _lemmas().get(synset, ()))
            entries = [entry for known in dict.fromkeys(others) for entry in self._encyclopedia.entries(known)]
        return [Fact(name, notes_of(entry), f"{ENCYCLOPEDIA} {entry.title}", entry) for entry in entries]

    def _mentions(self, heading: str, subject: str) -> list[Fact]:
        """What the encyclopedia says elsewhere of what a heading names: under cheese, of rennet."""
        words, around = ([singular(word) for word in key_of(text).split()] for text in (heading, subject))
        if self._encyclopedia is None or not words:
            return []
        found = self._encyclopedia.mentioning(words, [word for word in around if len(word) > 3], MOST_NEAR)
        if not found:
            return []
        near = self._encode([sentence for _, sentence in found]) @ self._encode([f"{subject}: {heading}"])[0]
        best = [int(i) for i in np.argsort(-near, kind="stable")[:MOST_RELATED] if near[i] >= LEAST_MENTIONED]
        name = " ".join(words)
        return [
            Fact(name, found[i][1], f"{ENCYCLOPEDIA} {found[i][0].title}", found[i][0], mentioned=True) for i in best
        ]

    def _meant(self, senses: Sequence[Fact], about: str, subject: str) -> list[Fact]:
        """Of the senses of one word the one that is meant, from the dictionary and from WordNet where both have it.

        None where the best is none of the subject's: of the nut of a violin the dictionary knows nothing, and much of
        those that grow on trees.
        """
        if not senses:
            return []
        gists = [_shortened(sense.text, GIST_WORDS) for sense in senses]
        vectors = self._encode(gists)
        near = vectors @ self._encode([about])[0]
        of_subject = vectors @ self._encode([subject])[0]
        worth = (1 - OF_SUBJECT) * near + OF_SUBJECT * of_subject
        places = Counter[str]()
        for i, sense in enumerate(senses):
            source, _, synset = sense.source.partition(" ")
            # A dictionary begins with what is meant most often; a sheep is rarely "a timid defenseless simpleton".
            worth[i] -= min(LATER_SENSE * places[source], SPECIAL_PENALTY) if source == "GCIDE" else 0.0
            worth[i] -= PERSON_PENALTY * (source == "WordNet" and PEOPLE[0] <= synset < PEOPLE[1])
            places[source] += 1
        # Of what an entry is about much is quoted: that of safety says nothing of volcanoes' safety.
        kept = (worth >= LEAST_LIKENESS) & ((near >= LEAST_TOLD) | [sense.entry is None for sense in senses])
        kept &= of_subject >= (LEAST_OF_SUBJECT if len(senses) > 1 else LEAST_LIKENESS)
        order = [int(i) for i in np.argsort(-worth, kind="stable") if kept[i]][:MOST_ASKED]
        if self._odds is not None and len(order) > 1:
            asked = self._odds(about, [_shortened(gists[i], MOST_ASKED_WORDS) for i in order])
            worth[order] += ODDS_WEIGHT * np.asarray(asked)
            order.sort(key=lambda i: -worth[i])
        best: dict[str, int] = {}  # the first of each source, by its name
        for i in order:
            best.setdefault(senses[i].source.split()[0], i)
        best = {name: i for name, i in best.items() if vectors[i] @ vectors[order[0]] >= SAME_THING}
        if (known := best.get("WordNet")) is not None and _is_living(senses[known].source):
            best.pop("GCIDE", None)  # what naturalists said in 1913
        if (told := best.get(ENCYCLOPEDIA)) is not None:  # the others say less of the same
            best.pop("WordNet", None)
            if len(senses[told].text.split()) >= TELLS_ENOUGH:
                best.pop("GCIDE", None)
        return [
            replace(fact, text=fitting)
            for fact in (senses[i] for i in sorted(best.values()))
            if (fitting := self._fitting(fact.name, fact.text, about))
        ]

    def _fitting(self, name: str, text: str, about: str) -> str:
        """The clauses of a definition that belong to what the text is about: of a pedal not that it opens the pipes of
        an organ, where a bicycle is meant.
        """
        clauses = re.split(r"(?<=[.;])\s+", text)
        if len(clauses) == 1:
            return text
        near = self._encode([f"{name}: {clause}" for clause in clauses]) @ self._encode([about])[0]
        kept = [clause for clause, value in zip(clauses, near, strict=True) if value >= max(near) - CLAUSE_SPAN]
        return " ".join(kept).strip(" .;")

    def subjects(self, subject: str) -> list[str]:
        """What the encyclopedia has that belongs to an English subject, nearest first: the falcon of birds of prey."""
        if self._encyclopedia is None:
            return []
        words = [singular(word) for word in key_of(subject).split()]
        entries = self._encyclopedia.on([word for word in words if len(word) > 3], MOST_NEAR)
        if not entries:
            return []
        gists = [f"{entry.title}: {entry.kind}. {_shortened(entry.text, GIST_WORDS)}" for entry in entries]
        near = self._encode(gists) @ self._encode([subject])[0]
        least = max(LEAST_NEAR, float(near.max()) - NEAR_SPAN)
        order = [int(i) for i in np.argsort(-near, kind="stable")[:MOST_SUBJECTS] if near[i] >= least]
        own = {entries[i].name: {singular(word) for word in key_of(entries[i].name).split()} for i in order}
        return [name for name, named in own.items() if not named <= set(words)]

    def informed(self, headings: Sequence[str]) -> list[bool]:
        """Whether the encyclopedia has an entry on what each heading names last: the falcon of "Peregrine Falcon"."""
        return [bool(told) for told in map(self._told_last, headings)]

    def continents(self, headings: Sequence[str]) -> list[frozenset[str]]:
        """The continents that the encyclopedia names where it tells of what each heading names last."""
        told = (" ".join(map(told_by, self._told_last(heading)[:1])) for heading in headings)
        return [frozenset(_CONTINENT.findall(text)) for text in told]

    def alike_together(self, headings: Sequence[str]) -> list[str]:
        """The headings, each followed by the one whose thing is most like its own: leopards by lions, and no flute
        between two strings. The first stays first.
        """
        known = (next(iter(self._told_last(heading)), heading) for heading in headings)
        vectors = self._encode([_shortened(str(fact), GIST_WORDS) for fact in known])
        alike = vectors @ vectors.T
        order, left = [0][: len(headings)], list(range(1, len(headings)))
        while left:
            order.append(max(left, key=lambda i: (alike[order[-1], i], -i)))
            left.remove(order[-1])
        return [headings[i] for i in order]

    def _told_last(self, heading: str) -> list[Fact]:
        return [fact for name in named_things(heading, self._titles)[-1:] for fact in self._told_of(name)]

    def relevance(self, subject: str, headings: Sequence[str]) -> np.ndarray:
        """(n,) cosines of an English subject and the nearest definition of what each heading names, 0 without one."""
        senses: list[str] = []
        owner: list[int] = []
        for number, heading in enumerate(headings):
            for name in named_things(heading, self._titles) or re.findall(r"[a-z]+", heading.lower())[-1:]:
                known = [text for _, text in _glossary().get(name, ())]
                known += [sense.text for sense in self._dictionary.senses(name, "n")] if self._dictionary else []
                known += [_shortened(fact.text, GIST_WORDS) for fact in self._told_of(name)]
                senses += [f"{name}: {text}" for text in known]
                owner += [number] * len(known)
        found = np.zeros(len(headings))
        if senses:
            np.maximum.at(found, owner, self._encode(senses) @ self._encode([subject])[0])
        return found

    def definition_of(self, thing: Sequence[str], about: str, said: str = "") -> Fact | None:
        """The definition of what the words of an English label name, the longest name that its end makes.

        Of "claw hammer" that of the claw hammer, of "brown hen" that of the hen; nothing where the sense is not sure.
        ``said`` is what the article says beside it.
        """
        known = _glossary()
        # A black rhino is a black rhinoceros, and no rhino of any kind.
        last = [lemma for synset, _ in known.get(thing[-1], ()) for lemma in _lemmas()[synset]] if thing else []
        names = (
            " ".join((*thing[start:-1], form)) for start in range(len(thing)) for form in (thing[-1], *sorted(last))
        )
        name = next((name for name in names if name in known), "")
        if not name or (name in _COMMON and len(thing) > 1):
            return None
        return define(name, about, self._encode, said=_shortened(said, GIST_WORDS))

    def likeness(self, one: Sequence[str], other: Sequence[str]) -> np.ndarray:
        """(n, m) cosines of sentences; shared characters where the encoder does not read the language."""
        if not self.reads_language:
            return shares_of_characters(one, other)
        return self._encode(list(one)) @ self._encode(list(other)).T


def define(
    name: str,
    subject: str,
    encode: Callable[[Sequence[str]], np.ndarray],
    least: float = LEAST_SURE,
    said: str = "",
) -> Fact | None:
    """The definition of a name in the sense that a picture can show and that belongs to the subject and to what is
    ``said`` of it; none where neither is near enough. ``encode`` gives unit vectors (n, d) of sentences.
    """
    senses = [
        sense for sense in _glossary().get(name, ()) if not any(first <= sense[0] < end for first, end in _NOT_SEEN)
    ]
    if not senses:
        return None
    likeness = encode([f"{name}: {text}" for _, text in senses]) @ encode([subject])[0]
    # A sheep is rarely "a timid defenseless simpleton": people come after what shares their name.
    likeness = likeness - [PERSON_PENALTY * (PEOPLE[0] <= synset < PEOPLE[1]) for synset, _ in senses]
    # A hammer is first of all the hand tool, not the "power hammer" that is also called hammer.
    likeness = likeness - [SPECIAL_PENALTY * (synset in _special_senses(name)) for synset, _ in senses]
    # The crabs of a rock pool are no lice, and its anemones no flowers.
    to_said = encode([text for _, text in senses]) @ encode([said])[0] if said else np.zeros(len(senses))
    best = int(np.argmax(likeness + to_said))
    if max(likeness[best], to_said[best]) < least:
        return None
    synset, text = senses[best]
    return Fact(name, text, f"WordNet {synset}")


def _is_living(source: str) -> bool:
    return any(first <= source.partition(" ")[2] < end for first, end in LIVING)


@cache
def _lemmas() -> dict[str, tuple[str, ...]]:
    """All names of a thing, lower case, by synset."""
    file = _wordnet() / "imagenet_synset_to_lemma.txt"
    return {synset: tuple(name.strip().lower() for name in names.split(",")) for synset, names in _pairs(file)}


@cache
def _special_senses(name: str) -> frozenset[str]:
    """Senses of a name that another of their lemmas qualifies: "power saw" of saw."""
    synsets = {synset for synset, _ in _glossary().get(name, ())}
    qualified = (other for other in _glossary() if other != name and f" {name}" in other and len(other.split()) == 2)
    return frozenset(synset for other in qualified for synset, _ in _glossary()[other] if synset in synsets)


def related(heading: str, about: str, encode: Callable[[Sequence[str]], np.ndarray]) -> list[Fact]:
    """Definitions that mention what the heading names and are close to what it is ``about``: "layer: a hen that lays
    eggs" for hens in a yard.
    """
    mentions = _mentions()
    synsets: set[str] = set()
    for word in _stems(heading) - _COMMON_STEMS:
        mentioning = mentions.get(word, frozenset())
        if len(mentioning) <= MOST_MENTIONS:
            synsets |= mentioning
    entries = [(synset, *_entries()[synset]) for synset in sorted(synsets) if not PEOPLE[0] <= synset < PEOPLE[1]]
    if not entries:
        return []
    likeness = encode([f"{name}: {text}" for _, name, text in entries]) @ encode([about])[0]
    order = sorted(range(len(entries)), key=lambda i: (-likeness[i], entries[i][0]))
    near = [entries[i] for i in order if likeness[i] >= LEAST_RELATED]
    return [Fact(name, text, f"WordNet {synset}") for synset, name, text in near[:MOST_FACTS]]


@cache
def _entries() -> dict[str, tuple[str, str]]:
    """First lemma and definition by synset."""
    found: dict[str, tuple[str, str]] = {}
    for lemma, senses in _glossary().items():
        for synset, text in senses:
            found.setdefault(synset, (lemma, text))
    return found


@cache
def _mentions() -> dict[str, frozenset[str]]:
    """Synsets whose lemma or definition has a word, by its stem."""
    found: dict[str, set[str]] = {}
    for synset, (lemma, text) in _entries().items():
        for word in _stems(f"{lemma} {text}"):
            found.setdefault(word, set()).add(synset)
    return {word: frozenset(synsets) for word, synsets in found.items()}


def _stems(text: str) -> set[str]:
    """Its words in one form for singular and plural."""
    return {plurals.singular(word) for word in re.findall(r"[a-z][a-z'-]{2,}", text.lower())}


_COMMON_STEMS = frozenset(map(plurals.singular, _COMMON))


def _shortened(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def shares_of_characters(one: Sequence[str], other: Sequence[str]) -> np.ndarray:
    """Likeness (n, m) in [0, 1] for languages the encoder does not read: shared pairs of characters (Dice)."""
    left, right = [_pairs_of(text) for text in one], [_pairs_of(text) for text in other]
    found = np.zeros((len(one), len(other)))
    for i, mine in enumerate(left):
        for j, theirs in enumerate(right):
            total = sum(mine.values()) + sum(theirs.values())
            found[i, j] = 2 * sum((mine & theirs).values()) / total if total else 0.0
    # Sentences that say the same share about half of their pairs, where vectors have a cosine of .8.
    return np.minimum(1.0, 1.35 * found)


def _pairs_of(text: str) -> Counter[str]:
    plain = re.sub(r"\W", "", text.lower())
    return Counter(plain[i : i + 2] for i in range(len(plain) - 1))
