"""Writes an article from an instruction: plans a title and headings, then writes section after section.

The headings are put into the model's own turn, so the structure is certain and the key-value cache grows without a
re-read. What streams out has passed ``ProseFilter``: it is what the article will hold. Knows no pictures beyond the
captions it may plan with.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from composer.article.language import HAN_PER_WORD, count_words
from composer.article.markdown import make_sections, parse_markdown
from composer.article.model import Section
from composer.errors import WritingFailed
from composer.pipeline.conversation import Dialogue
from composer.pipeline.prompts import Prompts
from composer.pipeline.sentence_filter import ProseFilter, split_sentences, strip_quotes
from composer.settings import WritingSettings
from vision.interfaces import Chunk, Message, Sampling, VisionLanguageModel

WORDS_PER_SECTION = 110
THIN_WORDS = 55  # a section with fewer is continued once
INTRO_WORDS = 60
MAX_TITLE_CHARS = 80
MAX_HEADING_CHARS = 60
# Tokens a word, generously: English 1.35, and a Chinese character 0.75 of a token.
TOKENS_PER_WORD = 1.5


@dataclass(frozen=True, slots=True)
class Plan:
    """A title and the sections' headings; no headings where the model gave none that can be used."""

    title: str
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A finished text, and the turns in which it was written, ready for questions about it."""

    title: str
    sections: tuple[Section, ...]
    dialogue: Dialogue


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of the article: what is printed before it, what the model finds there, and how to draw each attempt."""

    lead: str
    named: str
    intro: bool
    samplings: tuple[Sampling, ...]


class _SideBySide:
    """Answers that grow together, read one after the other; what comes early for a later one is kept."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self._kept: dict[int, deque[Chunk]] = {}

    def of(self, index: int) -> Iterator[Chunk]:
        mine = self._kept.setdefault(index, deque())
        finished = False
        while not finished:
            while not mine:
                chunk = next(self._chunks)
                self._kept.setdefault(chunk.index, deque()).append(chunk)
            finished = mine[0].finish is not None
            yield mine.popleft()


class Writer:
    """Writes one article at a time with one model."""

    def __init__(self, model: VisionLanguageModel, prompts: Prompts, settings: WritingSettings) -> None:
        self._model = model
        self._prompts = prompts
        self._settings = settings

    def plan(self, instruction: str, words: int, hints: Sequence[str], seed: int) -> Plan:
        """Title and headings for about ``words`` words. ``hints`` are captions of pictures that are at hand."""
        count = max(2, min(12, round(words / WORDS_PER_SECTION)))
        turns = self._plan_turns(instruction, count, hints)
        prompt = (*turns, Message.of("assistant", self._prompts.plan_prefix))
        for attempt in range(3):
            sampling = self._sampling(seed, f"plan {attempt}", max_tokens=40 + 24 * count)
            chunks = list(self._model.stream(prompt, sampling))
            answer = "".join(chunk.text for chunk in chunks)
            if chunks and chunks[-1].finish == "length":
                answer = answer.rpartition("\n")[0]  # a heading cut short is none
            plan = _without(parse_plan(answer, count), self._prompts.example_plan)
            if plan.title and plan.headings:
                return plan
        # The reader's own words always make an honest title, and what the library shows makes sections.
        title = plan.title or strip_quotes(instruction)[:MAX_TITLE_CHARS]
        return Plan(title, plan.headings or tuple(hint[:1].upper() + hint[1:] for hint in hints[:count]))

    def write(
        self,
        instruction: str,
        plan: Plan,
        words: int,
        language: str,
        hints: Sequence[str],
        seed: int,
        *,
        fast: bool = False,
    ) -> Iterator[str | Written]:
        """Yield Markdown as it stands, title line first, then one ``Written``. Raises WritingFailed for no text.

        ``fast`` writes all sections at once, each knowing the outline but not what the others say.
        """
        count = max(2, min(12, round(words / WORDS_PER_SECTION)))
        headings = plan.headings if len(plan.headings) > 1 else ()
        share = words // (len(headings) or 1)
        turns = (
            *self._plan_turns(instruction, count, hints),
            Message.of("assistant", _plan_text(self._prompts, plan)),
            Message.of("user", self._write_request(plan.title, headings, share, language)),
        )
        prose = ProseFilter()
        # What is printed, and the model's own turn: there the introduction has a heading, or the model would add one.
        text = told = f"# {plan.title}\n\n"
        yield text
        parts = self._parts(headings, share, seed)
        first: _SideBySide | None = None
        if fast:
            asked = [(*turns, Message.of("assistant", told + part.named)) for part in parts]
            first = _SideBySide(self._model.stream_batch(asked, [part.samplings[0] for part in parts]))
        for number, part in enumerate(parts):
            lead, named, intro = part.lead, part.named, part.intro
            body = ""
            for attempt, sampling in enumerate(part.samplings):
                if first is not None and attempt == 0:
                    chunks = first.of(number)
                else:
                    chunks = self._model.stream((*turns, Message.of("assistant", told + named + body)), sampling)
                join = "" if not body or language == "zh" else " "
                for piece in _passage(chunks, prose):
                    yield join + piece if body else lead + piece
                    body += join + piece if body else piece
                    join = ""
                if count_words(body) >= (1 if intro else THIN_WORDS):
                    break
            if body:
                text += lead + body + "\n\n"
                told += named + body + "\n\n"
                yield "\n\n"
        sections = parse_markdown(text).sections
        if not sections:
            raise WritingFailed(
                "the model wrote nothing usable; try another --seed, or say more exactly what the article is about",
                "nothing_written",
            )
        dialogue = Dialogue((*turns, Message.of("assistant", told.strip())))
        yield Written(plan.title, make_sections([s.text for s in sections]), dialogue)

    def _parts(self, headings: Sequence[str], share: int, seed: int) -> list[_Part]:
        """The introduction, where sections follow it, and a part a heading."""
        parts = []
        for number, heading in enumerate(["", *headings]):
            intro = bool(headings) and not heading
            lead = f"## {heading}\n\n" if heading else ""
            limit = round(TOKENS_PER_WORD * (INTRO_WORDS if intro else share) * 1.5) + 40
            purpose = f"section {number}" if headings else "whole"
            samplings = [self._sampling(seed, f"{purpose} {attempt}", max_tokens=limit) for attempt in range(2)]
            parts.append(_Part(lead, f"## {self._prompts.intro}\n\n" if intro else lead, intro, tuple(samplings)))
        return parts

    def _sampling(self, seed: int, purpose: str, max_tokens: int) -> Sampling:
        return Sampling(
            max_tokens=max_tokens,
            temperature=self._settings.temperature,
            top_p=self._settings.top_p,
            repetition_penalty=self._settings.repetition_penalty,
            seed=derive_seed(seed, purpose),
            stop=("\n\n", "\n#") if purpose.startswith("section") else ("\n\n\n",),
        )

    def _plan_turns(self, instruction: str, count: int, hints: Sequence[str]) -> tuple[Message, ...]:
        told = self._prompts.hints.format(captions="; ".join(hints)) if hints else ""
        question = self._prompts.plan.format(instruction=instruction.strip(), sections=count, hints=told)
        # An example as a conversation of its own: inside the question small models copy it.
        example = self._prompts.plan.format(instruction=self._prompts.example_wish, sections=3, hints="")
        return (
            Message.of("system", self._prompts.system),
            Message.of("user", example),
            Message.of("assistant", self._prompts.example_plan),
            Message.of("user", question),
        )

    def _write_request(self, title: str, headings: Sequence[str], share: int, language: str) -> str:
        count = round(share * HAN_PER_WORD) if language == "zh" else share
        if not headings:
            return self._prompts.write_bare.format(title=title, words=count)
        listed = "\n".join(f"## {heading}" for heading in (self._prompts.intro, *headings))
        return self._prompts.write.format(title=title, headings=listed, words=count)


def _passage(chunks: Iterator[Chunk], prose: ProseFilter) -> Iterator[str]:
    """One paragraph, as far as it stands."""
    finish = "length"
    for chunk in chunks:
        finish = chunk.finish or finish
        if out := prose.feed(chunk.text):
            yield out
    if rest := prose.finish(complete=finish == "stop"):
        yield rest


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


def _plan_text(prompts: Prompts, plan: Plan) -> str:
    lines = [f"{prompts.plan_prefix} {plan.title}"]
    lines += [f"{number}. {heading}" for number, heading in enumerate(plan.headings, start=1)]
    return "\n".join(lines)
