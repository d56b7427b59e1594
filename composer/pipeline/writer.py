"""Writes an article from an instruction: plans a title and headings, then writes section after section.

The headings are put into the model's own turn, so the structure is certain and the key-value cache grows without a
re-read. What is known of the things they name stands in the question (``composer.pipeline.facts``). Each section is
drafted several times as one batch, and the paragraph that stands is put together from the drafts' good sentences
(``composer.pipeline.drafting``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from composer.article.language import HAN_PER_WORD, count_words
from composer.article.markdown import make_sections, parse_markdown
from composer.article.model import Section
from composer.errors import WritingFailed
from composer.pipeline.drafting import (
    SAID_BEFORE,
    assemble,
    is_risky,
    paragraph_of,
    read_drafts,
    shared_names,
    worth_of,
)
from composer.pipeline.events import TextDelta
from composer.pipeline.facts import Fact, named_things, shares_of_characters
from composer.pipeline.prompts import Prompts
from composer.pipeline.sentence_filter import split_sentences, strip_quotes
from composer.settings import WritingSettings
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

WORDS_PER_SECTION = 110
MIN_SECTION_WORDS = 40
INTRO_WORDS = 50
ROUNDS = 2  # of drafts for a section, where the first does not fill it
ENOUGH = 0.8  # of the words asked for
MAX_TITLE_CHARS = 80
MAX_HEADING_CHARS = 60
# Tokens a word, generously: English 1.35, and a Chinese character 0.75 of a token.
TOKENS_PER_WORD = 1.5
PARAGRAPH_ENDS = ("\n\n", "\n#")
_PAIRS = re.compile(r"\b(?:and|&|versus|vs)\b|[和与及]", re.IGNORECASE)
_ABSTRACT = re.compile(
    r"\b(?:introduction|conclusion|overview|importance|benefits?|history|summary|tips|basics|types|role|life|future)\b"
    r"|引言|结语|总结|重要性|意义|概述|历史",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A title and the sections' headings; no headings where the model gave none that can be used."""

    title: str
    headings: tuple[str, ...]

    @property
    def title_line(self) -> str:
        return f"# {self.title}\n\n"


@dataclass(frozen=True, slots=True)
class Written:
    """A finished text, and what was known of its headings' things when it was written."""

    title: str
    sections: tuple[Section, ...]
    facts: Mapping[str, Sequence[Fact]] = field(default_factory=dict, hash=False)  # by heading


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of the article: what is printed before it, what the model finds there, and how to draw each attempt."""

    heading: str
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


class Knowledge(Protocol):
    """What the writer may look up and compare with; ``composer.pipeline.facts.Glossary`` is one."""

    def facts(self, title: str, headings: Sequence[str]) -> list[list[Fact]]:
        """What is known of the things that each heading names."""
        ...

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
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._settings = settings
        self._knowledge = knowledge
        self._likeness = knowledge.likeness if knowledge else shares_of_characters

    def plan(self, instruction: str, words: int, hints: Sequence[str], seed: int) -> Plan:
        """Title and headings for about ``words`` words: the best of several plans.

        ``hints`` are captions of pictures that are at hand and belong to the subject.
        """
        count = _section_count(words)
        turns = self._plan_turns(instruction, count, hints)
        prompt = (*turns, Message.of("assistant", self._prompts.plan_prefix))
        samplings = [self._sampling(seed, f"plan {n}", 40 + 24 * count) for n in range(self._settings.drafts)]
        plans = []
        for answer, finish in self._answers([prompt] * len(samplings), samplings):
            if finish == "length":
                answer = answer.rpartition("\n")[0]  # a heading cut short is none
            plans.append(_without(parse_plan(answer, count), self._prompts.example_plan))
        plan = max(plans, key=lambda plan: plan_worth(plan, instruction, hints))
        # The reader's own words always make an honest title, and what the library shows makes sections.
        title = plan.title or strip_quotes(instruction)[:MAX_TITLE_CHARS]
        return Plan(title, plan.headings or tuple(hint[:1].upper() + hint[1:] for hint in hints[:count]))

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
    ) -> Generator[TextDelta, None, Written]:
        """Yields the text as it stands, title line first, and returns it whole. Raises WritingFailed for no text.

        ``fast`` drafts all sections at once, each knowing the outline but not what the others say.
        """
        headings = plan.headings if len(plan.headings) > 1 else ()
        facts = self._knowledge.facts(plan.title, [*headings, plan.title]) if self._knowledge else []
        known = dict(zip((*headings, ""), facts, strict=True)) if facts else {}
        share = words // (len(headings) or 1)
        question = writing_question(self._prompts, plan.title, headings, share, language, kind)
        if instruction.casefold() != plan.title.casefold():
            question += f"\n\n{self._prompts.wish.format(instruction=instruction.strip())}"
        parts = [
            _Section(plan.title, part, known.get(part.heading, []), language, kind, question)
            for part in self._parts(headings, words, seed)
        ]
        first = self._draft(parts, [plan.title_line] * len(parts), 0) if fast else None
        # A story goes on from what was told; a section that explains is better off without the others before its eyes,
        # or a small model says of the sheep what it said of the cows.
        text = plan.title_line
        yield TextDelta(text)
        said: list[str] = []
        left = words
        for number, section in enumerate(parts):
            part = section.part
            room = part.words if part.intro else left // (len(parts) - number)
            section = replace(section, part=replace(part, words=max(MIN_SECTION_WORDS, min(room, 2 * part.words))))
            before = text if kind == "story" else plan.title_line
            body = self._write_part(section, before, said, first[number] if first else None)
            if body:
                text += part.lead + body + "\n\n"
                said += split_sentences(body)
                left -= count_words(body)
                yield TextDelta(part.lead + body)
                yield TextDelta("\n\n")
        sections = parse_markdown(text).sections
        if not sections:
            raise WritingFailed("nothing_written")
        return Written(plan.title, make_sections([s.text for s in sections]), known)

    def _draft(self, sections: Sequence[_Section], before: Sequence[str], round_: int) -> list[list[str]]:
        """Drafts of each section, all as one batch; ``before`` is what the model's own turn begins with."""
        count = self._settings.drafts
        prompts: list[Prompt] = []
        samplings: list[Sampling] = []
        for section, told in zip(sections, before, strict=True):
            facts = "\n".join(f"- {fact}" for fact in section.facts)
            asked = f"{section.question}\n\n{self._prompts.facts.format(facts=facts)}" if facts else section.question
            prompt = (
                Message.of("system", self._prompts.system),
                Message.of("user", asked),
                Message.of("assistant", told + section.part.named),
            )
            prompts += [prompt] * count
            samplings += section.part.samplings[round_ * count : (round_ + 1) * count]
        answers = [text for text, _ in self._answers(prompts, samplings)]
        return [answers[i : i + count] for i in range(0, len(answers), count)]

    def _answers(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> list[tuple[str, str]]:
        """Text and finish reason of each prompt's continuation."""
        texts, finishes = [""] * len(prompts), ["length"] * len(prompts)
        for chunk in self._model.stream_batch(prompts, samplings):
            texts[chunk.index] += chunk.text
            finishes[chunk.index] = chunk.finish or finishes[chunk.index]
        return list(zip(texts, finishes, strict=True))

    def _write_part(self, section: _Section, before: str, said: Sequence[str], drafts: list[str] | None) -> str:
        """One part's body, empty where nothing may stand. A thin one is continued once."""
        part = section.part
        body = ""
        join = "" if section.language == "zh" else " "
        for round_ in range(ROUNDS):
            if round_ or drafts is None:
                named = replace(section, part=replace(part, named=part.named + body))
                drafts = self._draft([named], [before], round_)[0]
            missing = part.words - count_words(body)
            added = self._choose(section, drafts, missing, [*said, *split_sentences(body)], body)
            body = f"{body}{join}{added}" if body and added else body or added
            if count_words(body) >= (1 if part.intro else ENOUGH * part.words):
                break
        return body

    def _choose(self, section: _Section, drafts: Sequence[str], words: int, said: Sequence[str], before: str) -> str:
        """The paragraph that the drafts' good sentences make; see ``composer.pipeline.drafting``."""
        pool = read_drafts(drafts)
        facts = [str(fact) for fact in section.facts]
        if section.kind != "story":
            told = " ".join([section.title, section.part.heading, *facts])
            given = frozenset(word.lower() for word in re.findall(r"[\w'’-]+", told))
            shared = shared_names(drafts)
            pool = [entry for entry in pool if not is_risky(entry.text, given, shared)]
        if not pool:
            return ""
        texts = [entry.text for entry in pool]
        alike = self._likeness(texts, texts)
        to_facts = self._likeness(texts, facts).max(axis=1) if facts else np.zeros(len(texts))
        worth = worth_of(pool, alike, to_facts)
        if said:
            worth = np.where(self._likeness(texts, said).max(axis=1) >= SAID_BEFORE, -np.inf, worth)
        return paragraph_of(assemble(pool, worth, alike, words, before), section.language)

    def _parts(self, headings: Sequence[str], words: int, seed: int) -> list[_Part]:
        """The introduction, where sections follow it, and a part a heading."""
        parts = []
        intro_words = min(INTRO_WORDS, words // 6) if headings else 0
        share = (words - intro_words) // (len(headings) or 1)
        for number, heading in enumerate(["", *headings]):
            intro = bool(headings) and not heading
            lead = f"## {heading}\n\n" if heading else ""
            purpose = f"section {number}" if headings else "whole"
            limit = token_limit(intro_words if intro else share)
            count = ROUNDS * self._settings.drafts
            samplings = [self._sampling(seed, f"{purpose} {n}", limit) for n in range(count)]
            named = f"## {self._prompts.intro}\n\n" if intro else lead
            parts.append(_Part(heading, lead, named, intro, intro_words if intro else share, tuple(samplings)))
        return parts

    def _sampling(self, seed: int, purpose: str, max_tokens: int) -> Sampling:
        stop = () if purpose.startswith("plan") else PARAGRAPH_ENDS
        return sampling_of(self._settings, max_tokens, derive_seed(seed, purpose), stop)

    def _plan_turns(self, instruction: str, count: int, hints: Sequence[str]) -> tuple[Message, ...]:
        shown = self._prompts.hints.format(captions="; ".join(hints)) if hints else ""
        question = self._prompts.plan.format(instruction=instruction.strip(), sections=count, hints=shown)
        # An example as a conversation of its own: inside the question small models copy it.
        example = self._prompts.plan.format(instruction=self._prompts.example_wish, sections=3, hints="")
        return (
            Message.of("system", self._prompts.system),
            Message.of("user", example),
            Message.of("assistant", self._prompts.example_plan),
            Message.of("user", question),
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


def plan_worth(plan: Plan, instruction: str, hints: Sequence[str]) -> float:
    """How good an outline is: headings that name one thing each, can be seen, differ, and lead to pictures at hand."""
    known = {name for hint in hints for name in named_things(hint)} | {hint.casefold() for hint in hints}
    subject = set(named_things(instruction))
    worth = 2.0 * bool(plan.title) + len(plan.headings)
    heads: set[str] = set()
    for heading in plan.headings:
        things = set(named_things(heading))
        worth += 0.5 * bool(things - subject or not heading.isascii()) + 0.5 * bool(things & known)
        worth -= 1.0 * bool(_PAIRS.search(heading)) + 0.7 * bool(_ABSTRACT.search(heading))
        head = heading.split()[-1].casefold().rstrip("s") if heading.isascii() else heading[-2:]
        worth -= 0.5 * (head in heads) + 0.3 * (count_words(heading) > 4)
        heads.add(head)
    return worth


def token_limit(words: int) -> int:
    """Tokens that a text of about so many words may take."""
    return round(TOKENS_PER_WORD * words * 1.5) + 40


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
    return max(2, min(12, round(words / WORDS_PER_SECTION)))


def parse_plan(answer: str, count: int) -> Plan:
    """Title and headings from a model's answer, whose first line goes on where "Title:" stood."""
    lines = [strip_quotes(line) for line in answer.splitlines()]
    lines = [line for line in lines if line]
    title = lines[0].rstrip(".。:：") if lines else ""
    title = re.sub(r"^(?:title|标题)\s*[:：]\s*", "", title, flags=re.IGNORECASE)
    headings: dict[str, None] = {}
    for line in lines[1:]:
        heading = re.split(r"\s[-–—]\s|:\s|：", line)[0].strip(" .。:：")
        known = {h.casefold() for h in headings} | {title.casefold()}
        if 1 < len(heading) <= MAX_HEADING_CHARS and heading.casefold() not in known:
            headings[heading] = None
    if len(title) > MAX_TITLE_CHARS or len(split_sentences(title)) > 1:
        title = ""
    return Plan(title, tuple(headings)[:count])


def _without(plan: Plan, example: str) -> Plan:
    """The plan less what a small model copied from the question's example."""
    known = example.casefold()
    headings = tuple(heading for heading in plan.headings if heading.casefold() not in known)
    return Plan("" if plan.title.casefold() in known else plan.title, headings)


def derive_seed(seed: int, purpose: str) -> int:
    """A seed of its own for each use, the same on every machine and run."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
