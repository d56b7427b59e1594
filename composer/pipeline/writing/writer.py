"""Writes an article from an instruction: plans a title and headings, then writes section after section.

The headings are put into the model's own turn, so the structure is certain and the key-value cache grows without a
re-read. What is known of the things they name stands in the question (``composer.pipeline.writing.facts``). Each
section is drafted several times as one batch, and the paragraph that stands is put together from the drafts' good
sentences (``composer.pipeline.writing.drafting``).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from composer.article.citation import Citation, Source
from composer.article.language import HAN_PER_WORD, count_words, sentence_gap
from composer.article.markdown import make_sections, parse_markdown
from composer.article.model import Section
from composer.errors import WritingFailed
from composer.pipeline.events import TextDelta
from composer.pipeline.prompts import Prompts
from composer.pipeline.writing.drafting import (
    FEWEST_LED_TO,
    MOST_WORDS,
    agreed,
    assemble,
    is_praise,
    is_risky,
    lead_in,
    paragraph_of,
    read_drafts,
    repeats,
    says_nothing,
    shared_names,
    tell_the_same,
    worth_of,
)
from composer.pipeline.writing.encyclopedia import Entry
from composer.pipeline.writing.facts import (
    Fact,
    begins_as_note,
    cited,
    grouped_clauses,
    is_told,
    misspells,
    shares_of_characters,
    told_by,
)
from composer.pipeline.writing.planning import MAX_TITLE_CHARS, Plan, agree, names_a_thing, parse_plan, without
from composer.pipeline.writing.quoting import adding_article, with_quotations, words_to_quote
from composer.pipeline.writing.seeds import derive_seed
from composer.pipeline.writing.sentence_filter import split_sentences, strip_quotes
from composer.pipeline.writing.translation import Translator
from composer.settings import WritingSettings
from composer.sources.support import MOST_COPIED, copied_run, covered
from retrieval.tokens import terms
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

WORDS_PER_SECTION = 50  # true sentences of one thing are soon told
MIN_SECTION_WORDS = 35
MOST_SECTIONS = 16
PLANS = 6
STRICTNESS = 0.4  # nats, with sentences on what dictionaries tell of
LENIENCE = 0.4  # nats, with sentences made of an encyclopedia's words, and those of which all drafts have the like
TOLD_TOKENS = 85  # of a draft on what an encyclopedia tells of: all drafts agree on little more than their beginnings
TIE = 1e-6  # what is as good as the median stands
INTRO_WORDS = 50
ROUNDS = 2  # of drafts for a section, where the first does not fill it
ENOUGH = 0.5  # of the words asked for
MOST_OF_SHARE = 1.6  # of its share of the words, where other sections stayed short or much is known
MOST_OF_SUBJECT = 3.0  # of the introduction's, where an encyclopedia tells of the subject and of few of the sections
THIN_WORDS = 15  # of a section's only sentence, below which a spare section takes its place
LACKING = 1.5  # times the last section's words still missing before it: a spare section comes first
MISSING = 0.1  # of the article's words still missing after it: a spare section follows
# Tokens a word, generously: English 1.35, and a Chinese character 0.75 of a token.
TOKENS_PER_WORD = 1.5
# Asks for a course of things, whose order is the plan's.
_COURSE = re.compile(
    r"\b(?:how|why|days?|mornings?|evenings?|nights?|weeks?|years?|journey|trip|tour|walk|visit|steps?|making|building)\b",
    re.IGNORECASE,
)
_HOW = re.compile(r"\s*(?:how|why)\b", re.IGNORECASE)  # asks for a course of things, not for things
PARAGRAPH_ENDS = ("\n\n", "\n#")


@dataclass(frozen=True, slots=True)
class Written:
    """A finished text, what was known of its headings' things when it was written, and the sources that it cites."""

    title: str
    sections: tuple[Section, ...]
    facts: Mapping[str, Sequence[Fact]] = field(default_factory=dict, hash=False)  # by heading
    citations: tuple[Citation, ...] = ()

    @property
    def told(self) -> list[dict[str, str]]:
        """What the writer was given, as the article's provenance tells it."""
        return [
            {"section": heading, "name": fact.name, "text": fact.text, "source": fact.source}
            for heading, known in self.facts.items()
            for fact in known
        ]

    def without_text(self, headings: Sequence[str]) -> list[str]:
        """Those of the headings under which nothing stands."""
        standing = {section.heading for section in self.sections}
        return [heading for heading in headings if heading not in standing]

    @property
    def sources(self) -> tuple[Source, ...]:
        cited = {passage.source for citation in self.citations for passage in citation.passages}
        entries = (fact.entry.source for known in self.facts.values() for fact in known if fact.entry)
        return tuple(dict.fromkeys(source for source in entries if source.id in cited))


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of the article: its heading, ``name`` in the language of the drafts, what is printed before it, what
    the model finds there, and how to draw each attempt.
    """

    heading: str
    name: str
    lead: str
    named: str
    intro: bool
    words: int
    samplings: tuple[Sampling, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    """What choosing among drafts of a part depends on."""

    title: str
    part: _Part
    facts: Sequence[Fact]
    language: str
    kind: str
    question: str
    prompts: Prompts

    @property
    def most(self) -> int:
        """Words that it can be expected to have at most: its share, or what an encyclopedia tells of it."""
        most = round(MOST_OF_SHARE * self.part.words)
        told = sum(map(words_to_quote, self.entries)) if self.entries else most
        return max(MIN_SECTION_WORDS, min(most, told))

    @property
    def entries(self) -> list[Entry]:
        """What an encyclopedia tells of it; nothing binds a story, which need not be so."""
        return [fact.entry for fact in self.from_entries if fact.entry and not fact.mentioned]

    @property
    def from_entries(self) -> list[Fact]:
        """Of what is known that which an encyclopedia tells; a story has none."""
        return [] if self.kind == "story" else [fact for fact in self.facts if fact.entry]


class Knowledge(Protocol):
    """What the writer may look up and compare with; ``composer.pipeline.writing.facts.Glossary`` is one."""

    def facts(self, title: str, headings: Sequence[str]) -> list[list[Fact]]:
        """What is known of the things that each heading names."""
        ...

    def subjects(self, subject: str) -> list[str]:
        """Things that belong to an English subject, of which something is known."""
        ...

    def informed(self, headings: Sequence[str]) -> list[bool]:
        """Whether more than a definition is known of what each heading names."""
        ...

    def continents(self, headings: Sequence[str]) -> list[frozenset[str]]:
        """The continents that what is known of each heading's thing names."""
        ...

    def alike_together(self, headings: Sequence[str]) -> list[str]:
        """The headings, each before the one whose thing is most like its own."""
        ...

    def relevance(self, subject: str, headings: Sequence[str]) -> np.ndarray:
        """(n,) how near to an English subject is what each heading names, 0 to 1."""
        ...

    reads_language: bool  # whether ``likeness`` compares by meaning, not by characters

    def likeness(self, one: Sequence[str], other: Sequence[str]) -> np.ndarray:
        """(n, m) cosines of sentences, or what serves for them."""
        ...


class Writer:
    """Writes one article at a time with one model."""

    def __init__(
        self,
        model: VisionLanguageModel,
        prompts: Prompts,
        settings: WritingSettings,
        knowledge: Knowledge | None = None,
        translator: Translator | None = None,
    ) -> None:
        """With a ``translator`` what explains is drafted in English, and printed in the language of ``prompts``."""
        self._model = model
        self._prompts = prompts
        self._translator = translator
        self._settings = settings
        self._knowledge = knowledge
        self._likeness = knowledge.likeness if knowledge else shares_of_characters

    def plan(
        self,
        instruction: str,
        words: int,
        seed: int,
        *,
        required: Sequence[str] = (),
        illustrated: Callable[[Sequence[str]], Sequence[bool]] | None = None,
        belonging: Callable[[Sequence[str]], Sequence[float]] | None = None,
        kind: str = "explanation",
    ) -> Plan:
        """Title and headings for about ``words`` words, from several plans; of a story the fullest one as it is.

        ``required`` are what pictures show that must appear; ``illustrated`` tells of headings whether the library has
        their subject, ``belonging`` the model's log-odds that the article must treat them.
        """
        count = _section_count(words)
        english = instruction.isascii()
        prompt = self._plan_prompt(instruction, count, required)
        samplings = [self._sampling(seed, f"plan {n}", 40 + 24 * count) for n in range(PLANS)]
        plans = []
        for answer, finish in self._answers([prompt] * len(samplings), samplings):
            if finish == "length":
                answer = answer.rpartition("\n")[0]  # a heading cut short is none
            plans.append(without(parse_plan(answer, count), self._prompts.example_plan))
        if kind == "story":
            plan = max(plans, key=lambda plan: len(plan.headings))
        else:
            ask: dict[str, Any] = {"illustrated": illustrated} if illustrated else {}
            ask |= {"belonging": belonging} if belonging else {}
            if self._knowledge and english:
                if not _HOW.match(instruction):
                    plans.append(Plan("", tuple(self._knowledge.subjects(instruction))))
                ask["relevance"] = partial(self._knowledge.relevance, instruction)
                ask["informed"] = self._knowledge.informed
                ask["continents"] = self._knowledge.continents
            plan = agree(plans, instruction, count, **ask)
            if self._knowledge and english and not required and not _COURSE.search(instruction):
                plan = replace(plan, headings=tuple(self._knowledge.alike_together(plan.headings)))
        # The reader's own words always make an honest title, and what must be shown makes sections.
        title = plan.title or strip_quotes(instruction)[:MAX_TITLE_CHARS]
        headings = plan.headings or tuple(thing[:1].upper() + thing[1:] for thing in required[:count])
        return Plan(title, headings, plan.spare)

    def write(
        self,
        instruction: str,
        plan: Plan,
        words: int,
        language: str,
        seed: int,
        *,
        kind: str = "explanation",
        fast: bool = False,
        standing: Sequence[Section] = (),
    ) -> Generator[TextDelta, None, Written]:
        """Yields the text as it stands, title line first, and returns it whole. Raises WritingFailed for no text.

        ``fast`` drafts all sections at once, each knowing the outline but not what the others say. ``standing`` are
        sections that stand already: the first headings of the plan are theirs, and what follows is written after them.
        """
        headings = plan.headings if len(plan.headings) > 1 or standing or plan.given else ()
        written = sum(bool(section.heading) for section in standing)
        spare = plan.spare if headings and kind != "story" else ()
        translator = self._translator if kind != "story" else None
        drafting, title, names = self._prompts, plan.title, {heading: heading for heading in (*headings, *spare)}
        if translator:
            drafting, language = translator.drafting, "en"
            named = translator.names_in_english(title, list(names))
            title, instruction = translator.to_english([title, instruction])
            names = dict(zip(names, named, strict=True))
        title_line = f"# {title}\n\n"
        wanted = (*headings[written:], *spare)
        # What is known of the subject itself is told first.
        facts = self._knowledge.facts(title, [title, *(names[own] for own in wanted)]) if self._knowledge else []
        known = dict(zip(("", *wanted), facts, strict=True)) if facts else {}
        share = words // (len(headings) or 1)
        question = writing_question(drafting, title, [names[own] for own in headings], share, language, kind)
        if instruction.casefold() != title.casefold():
            question += f"\n\n{drafting.wish.format(instruction=instruction.strip())}"
        parts = deque(
            _Section(title, part, known.get(part.heading, []), language, kind, question, drafting)
            for part in self._parts(headings, spare, words, seed, names, drafting)[1 + written if standing else 0 :]
        )
        reserve = deque(parts.pop() for _ in spare)
        reserve.reverse()
        first = deque(self._draft(parts, [title_line] * len(parts), 0)) if fast else deque[list[str]]()
        # A story goes on from what was told; a section that explains is better off without the others before its eyes,
        # or a small model says of the sheep what it said of the cows.
        text = plan.title_line + "".join(f"{section.text}\n\n" for section in standing)
        yield TextDelta(text)
        # Drafts that are translated afterwards cannot be compared with what stands.
        told = [] if translator else [said for section in standing for said in split_sentences(section.body)]
        citations: list[Citation] = []
        left = words - sum(count_words(section.body) for section in standing)
        while parts:
            if len(parts) == 1 and reserve and left > LACKING * parts[0].part.words:
                parts.appendleft(reserve.popleft())
                first.appendleft([])
            section, drafts = parts.popleft(), first.popleft() if first else []
            part = section.part
            section = replace(section, part=replace(part, words=_room(section, parts, left)))
            before = text if kind == "story" else title_line
            body = self._write_part(section, before, told, drafts)
            sentences = split_sentences(body)
            is_thin = kind != "story" and len(sentences) == 1 and count_words(body) < THIN_WORDS
            if is_thin and part.heading and (reserve or part.heading in spare):
                body, sentences = "", []  # another heading has more to tell
                if not parts and reserve:
                    parts.append(reserve.popleft())
            told += sentences
            if part.intro and kind != "story" and not standing:
                # It names things and tells nothing of them.
                lead = self._lead_in(drafting, title, [names[own] for own in headings], seed)
                body = sentence_gap(language).join(filter(None, (body, lead)))
                sentences = split_sentences(body)
            printed = {sentence: sentence for sentence in sentences}
            if translator:
                printed = translator.from_english(sentences, (names.get(part.heading, ""), part.heading))
                body = "".join(printed)
            citations += [
                replace(citation, sentence=own)
                for own, sentence in printed.items()
                for citation in cited([sentence], section.from_entries)
            ]
            if body:
                text += part.lead + body + "\n\n"
                left -= count_words(body)
                yield TextDelta(part.lead + body)
                yield TextDelta("\n\n")
            if not parts and reserve and left > MISSING * words:
                parts.append(reserve.popleft())
        sections = parse_markdown(text).sections
        if not sections:
            raise WritingFailed("nothing_written")
        notes = tuple(citations)
        made = make_sections([section.text for section in sections])
        return Written(plan.title, tuple(replace(section, citations=notes) for section in made), known, notes)

    def _draft(self, sections: Sequence[_Section], before: Sequence[str], round_: int) -> list[list[str]]:
        """Drafts of each section, all as one batch; ``before`` is what the model's own turn begins with."""
        count = self._settings.drafts
        prompts: list[Prompt] = []
        samplings: list[Sampling] = []
        for section, told in zip(sections, before, strict=True):
            facts = "\n".join(f"- {fact}" for fact in section.facts)
            asked = f"{section.question}\n\n{section.prompts.facts.format(facts=facts)}" if facts else section.question
            prompts += [section_prompt(section.prompts, asked, told + section.part.named)] * count
            mine = section.part.samplings[round_ * count : (round_ + 1) * count]
            if section.entries:
                mine = tuple(replace(sampling, max_tokens=min(TOLD_TOKENS, sampling.max_tokens)) for sampling in mine)
            samplings += mine
        answers = [text for text, _ in self._answers(prompts, samplings)]
        return [answers[i : i + count] for i in range(0, len(answers), count)]

    def _lead_in(self, prompts: Prompts, title: str, things: Sequence[str], seed: int) -> str:
        """A sentence that names what the sections treat, or none. What cannot be seen and kinds of what the title names
        are left out: brass instruments, of those of an orchestra.
        """
        of_title = set(terms(title))
        things = [thing for thing in things if names_a_thing(thing) and not set(terms(thing.split()[-1])) <= of_title]
        if len(things) < FEWEST_LED_TO:
            return ""
        example = parse_plan(prompts.example_plan, MOST_SECTIONS).headings
        example_asked, asked = (
            prompts.lead.format(title=of, things=", ".join(sections))
            for of, sections in ((prompts.example_wish, example), (title, things))
        )
        prompt = (
            Message.of("system", prompts.system),
            Message.of("user", example_asked),
            Message.of("assistant", prompts.example_lead),
            Message.of("user", asked),
        )
        samplings = [
            self._sampling(seed, f"lead {number}", token_limit(MOST_WORDS)) for number in range(self._settings.drafts)
        ]
        drafts = [text for text, _ in self._answers([prompt] * len(samplings), samplings)]
        return lead_in(drafts, title, things)

    def _answers(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> list[tuple[str, str]]:
        """Text and finish reason of each prompt's continuation."""
        texts, finishes = [""] * len(prompts), ["length"] * len(prompts)
        for chunk in self._model.stream_batch(prompts, samplings):
            texts[chunk.index] += chunk.text
            finishes[chunk.index] = chunk.finish or finishes[chunk.index]
        return list(zip(texts, finishes, strict=True))

    def _write_part(self, section: _Section, before: str, said: Sequence[str], drafts: Sequence[str]) -> str:
        """One part's body, empty where nothing may stand. A thin one is continued once."""
        part = section.part
        body = ""
        join = sentence_gap(section.language)
        for round_ in range(ROUNDS):
            if round_ or not drafts:
                named = replace(section, part=replace(part, named=part.named + body))
                drafts = self._draft([named], [before], round_)[0]
            missing = part.words - count_words(body)
            added = self._choose(section, drafts, missing, [*said, *split_sentences(body)], body)
            body = f"{body}{join}{added}" if body and added else body or added
            if section.entries or count_words(body) >= (1 if part.intro else ENOUGH * part.words):
                break
        if section.from_entries and section.kind != "guide" and not self._translator:
            body = join.join(self._with_quotations(section, split_sentences(body), said))
        return body

    def _with_quotations(self, section: _Section, own: list[str], said: Sequence[str]) -> list[str]:
        """A section's own sentences and what the encyclopedia says itself, where they say too little of it."""
        about = f"{section.title}: {section.part.name}"
        for fact in section.from_entries:
            room = section.part.words - sum(map(count_words, own))
            own = with_quotations(own, fact, room, said, about, self._likeness)
        return own

    def _choose(self, section: _Section, drafts: Sequence[str], words: int, said: Sequence[str], before: str) -> str:
        """The paragraph that the drafts' good sentences make; see ``composer.pipeline.writing.drafting``."""
        pool = read_drafts(drafts)
        story = section.kind == "story"
        if not story:
            told = " ".join([section.title, section.part.name, *map(str, section.facts)])
            words_given = frozenset(word.lower() for word in re.findall(r"[\w'’-]+", told))
            shared = shared_names(drafts)
            words_told = set(re.findall(r"[a-z]+", " ".join(map(told_by, section.facts)).lower()))
            for add_article in map(adding_article, section.entries):
                pool = [replace(one, text=add_article(one.text)) for one in pool]
            lent = [fact.entry.extract for fact in section.from_entries if fact.entry]
            pool = [
                entry
                for entry in pool
                if not is_risky(entry.text, words_given, shared)
                and copied_run(entry.text, lent) <= MOST_COPIED
                and not begins_as_note(entry.text, section.facts)
                and not is_praise(entry.text)
                and not says_nothing(entry.text, f"{section.title} {section.part.name}")
                and not misspells(entry.text, words_told)
            ]
        if not pool:
            return ""
        subject = section.part.name or section.title
        texts = [entry.text for entry in pool]
        alike = self._likeness(texts, texts)
        known = " ".join([section.title, section.part.name, *map(told_by, section.facts)])
        given = np.array([covered(text, known) for text in texts])
        # What a story tells need not be so: its fullest draft stands.
        worth = np.ones(len(pool)) if story else worth_of(pool, alike, given)
        if section.facts and not section.entries and not story:
            # Of a thing that is known what is true has words of what is known: of labelled sentences 89 of 100 instead
            # of 86 are fine, with hardly a section less.
            worth = np.where(agreed(pool, alike, len(drafts)), worth, worth - STRICTNESS)
        if section.entries:
            sure = agreed(pool, alike, len(drafts)) | [is_told(text, section.facts) for text in texts]
            worth = np.where(sure, worth + LENIENCE, -np.inf)
        if self._knowledge is None or not self._knowledge.reads_language:
            # The fit is on cosines of sentences: of another measure the better half stands.
            worth -= np.median(worth) - TIE
        if said:
            worth = np.where(repeats(texts, said, self._likeness(texts, said), subject).any(axis=1), -np.inf, worth)
        repeated = repeats(texts, texts, alike, subject)
        if section.facts and not story:
            clauses, groups = grouped_clauses(section.facts)
            repeated |= tell_the_same(self._likeness(texts, clauses), groups)
        chosen = assemble(pool, worth, repeated, words, before)
        return paragraph_of(chosen, section.language)

    def _parts(
        self,
        headings: Sequence[str],
        spare: Sequence[str],
        words: int,
        seed: int,
        names: Mapping[str, str],
        prompts: Prompts,
    ) -> list[_Part]:
        """The introduction, where sections follow it, a part a heading, and one for each spare heading.

        ``names`` are the headings in the language of ``prompts``, in which the drafts are made.
        """
        parts = []
        intro_words = min(INTRO_WORDS, words // 6) if headings else 0
        share = (words - intro_words) // (len(headings) or 1)
        for number, heading in enumerate(["", *headings, *spare]):
            intro = bool(headings) and not heading
            size = intro_words if intro else share
            purpose = f"section {number}" if headings else "whole"
            count = ROUNDS * self._settings.drafts
            samplings = [self._sampling(seed, f"{purpose} {n}", token_limit(size)) for n in range(count)]
            name = prompts.intro if intro else names.get(heading, "")
            lead, named = (f"## {said}\n\n" if said else "" for said in (heading, name))
            parts.append(_Part(heading, names.get(heading, ""), lead, named, intro, size, tuple(samplings)))
        return parts

    def _sampling(self, seed: int, purpose: str, max_tokens: int) -> Sampling:
        stop = () if purpose.startswith("plan") else PARAGRAPH_ENDS
        return sampling_of(self._settings, max_tokens, derive_seed(seed, purpose), stop)

    def _plan_prompt(self, instruction: str, count: int, required: Sequence[str]) -> Prompt:
        shown = self._prompts.hints.format(captions="; ".join(required)) if required else ""
        question = self._prompts.plan.format(instruction=instruction.strip(), sections=count, hints=shown)
        # An example as a conversation of its own: inside the question small models copy it.
        lines = self._prompts.example_plan.count("\n")
        example = self._prompts.plan.format(instruction=self._prompts.example_wish, sections=lines, hints="")
        return (
            Message.of("system", self._prompts.system),
            Message.of("user", example),
            Message.of("assistant", self._prompts.example_plan),
            Message.of("user", question),
            Message.of("assistant", self._prompts.plan_prefix),
        )


def _room(section: _Section, after: Sequence[_Section], left: int) -> int:
    """Words for a section, where ``left`` are those that it and the ones ``after`` it have together."""
    if not section.part.intro:
        return max(MIN_SECTION_WORDS, level(left, [section.most, *(one.most for one in after)]))
    # What an encyclopedia tells of the subject itself stands in the introduction, all of it where it tells of little
    # else.
    alone = 2 * sum(bool(one.entries) for one in after) < len(after)
    told_there = (MOST_OF_SUBJECT if alone else MOST_OF_SHARE) if section.entries else 1.0
    return max(MIN_SECTION_WORDS, round(told_there * section.part.words))


def level(words: int, most: Sequence[int]) -> int:
    """The room for each of several sections of which none takes more than its ``most`` words, so that all of them
    together have so many ``words``; the largest of ``most`` where they cannot have as many.
    """
    room, left = 0, words
    for number, size in enumerate(sorted(most)):
        room = max(room, min(size, left // (len(most) - number)))
        left -= min(size, room)
    return room


def section_prompt(prompts: Prompts, question: str, begun: str) -> Prompt:
    """Asks to go on writing where ``begun`` ends: a title line, and the heading of the section that is wanted."""
    return (
        Message.of("system", prompts.system),
        Message.of("user", question),
        Message.of("assistant", begun),
    )


def writing_question(
    prompts: Prompts, title: str, headings: Sequence[str], words: int, language: str, kind: str = "explanation"
) -> str:
    """What asks for an article: each of its sections, or all of it where there are no headings, of about ``words``."""
    count = round(words * HAN_PER_WORD) if language == "zh" else words
    manner = prompts.manners[kind]
    if not headings:
        return prompts.write_bare.format(title=title, words=count, manner=manner)
    listed = "\n".join(f"## {heading}" for heading in (prompts.intro, *headings))
    return prompts.write.format(title=title, headings=listed, words=count, manner=manner)


def token_limit(words: int) -> int:
    """Tokens that a text of about so many words may take."""
    return round(TOKENS_PER_WORD * words * 1.3) + 30


def sampling_of(
    settings: WritingSettings, max_tokens: int, seed: int, stop: tuple[str, ...] = PARAGRAPH_ENDS
) -> Sampling:
    return Sampling(
        max_tokens=max_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        repetition_penalty=settings.repetition_penalty,
        seed=seed,
        stop=stop,
    )


def _section_count(words: int) -> int:
    return max(2, min(MOST_SECTIONS, round(words / WORDS_PER_SECTION)))
