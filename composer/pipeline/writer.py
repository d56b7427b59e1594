"""Writes an article from an instruction: plans a title and headings, then writes section after section.

The headings are put into the model's own turn, so the structure is certain and the key-value cache grows without a
re-read. What streams out has passed ``SentenceFilter``: it is what the article will hold.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from composer.article.language import HAN_PER_WORD, count_words
from composer.article.markdown import make_sections, parse_markdown
from composer.article.model import Section
from composer.errors import WritingFailed
from composer.pipeline.conversation import Conversation
from composer.pipeline.events import TextDelta
from composer.pipeline.prompts import Prompts
from composer.pipeline.sentence_filter import SentenceFilter, split_sentences, strip_quotes
from composer.settings import WritingSettings
from vision.interfaces import Chunk, Message, Prompt, Sampling, VisionLanguageModel

WORDS_PER_SECTION = 110
THIN_WORDS = 55  # a section with fewer is continued once
INTRO_WORDS = 60
MAX_TITLE_CHARS = 80
MAX_HEADING_CHARS = 60
# Tokens a word, generously: English 1.35, and a Chinese character 0.75 of a token.
TOKENS_PER_WORD = 1.5
PARAGRAPH_ENDS = ("\n\n", "\n#")


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
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of the article: what is printed before it, what the model finds there, and how to draw each attempt."""

    lead: str
    named: str
    intro: bool
    samplings: tuple[Sampling, ...]


class _Answers:
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


# The first draft of a part by its number, given the model's own turn so far.
Drafts: TypeAlias = Callable[[int, str], Iterator[Chunk]]


class Writer:
    """Writes one article at a time with one model."""

    def __init__(self, model: VisionLanguageModel, prompts: Prompts, settings: WritingSettings) -> None:
        self._model = model
        self._prompts = prompts
        self._settings = settings

    def plan(self, instruction: str, words: int, hints: Sequence[str], seed: int) -> Plan:
        """Title and headings for about ``words`` words. ``hints`` are captions of pictures that are at hand."""
        count = _section_count(words)
        turns = self._plan_turns(instruction, count, hints)
        prompt = (*turns, Message.of("assistant", self._prompts.plan_prefix))
        for attempt in range(3):
            sampling = self._sampling(seed, f"plan {attempt}", 40 + 24 * count)
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
    ) -> Generator[TextDelta, None, Written]:
        """Yields the text as it stands, title line first, and returns it whole. Raises WritingFailed for no text.

        ``fast`` writes all sections at once, each knowing the outline but not what the others say.
        """
        headings = plan.headings if len(plan.headings) > 1 else ()
        share = words // (len(headings) or 1)
        turns = (
            *self._plan_turns(instruction, _section_count(words), hints),
            Message.of("assistant", _plan_text(self._prompts, plan)),
            Message.of("user", writing_question(self._prompts, plan.title, headings, share, language)),
        )
        parts = self._parts(headings, share, seed)
        title_line = f"# {plan.title}\n\n"
        drafts = self._parallel_drafts(turns, title_line, parts) if fast else self._sequential_drafts(turns, parts)
        # What is printed, and the model's own turn: there the introduction has a heading, or the model would add one.
        text = in_turn = title_line
        yield TextDelta(text)
        sentences = SentenceFilter()
        for number, part in enumerate(parts):
            body = yield from self._write_part(turns, part, drafts(number, in_turn), in_turn, sentences, language)
            if body:
                text += part.lead + body + "\n\n"
                in_turn += part.named + body + "\n\n"
                yield TextDelta("\n\n")
        sections = parse_markdown(text).sections
        if not sections:
            raise WritingFailed("nothing_written")
        conversation = Conversation((*turns, Message.of("assistant", in_turn.strip())))
        return Written(plan.title, make_sections([s.text for s in sections]), conversation)

    def _sequential_drafts(self, turns: Prompt, parts: Sequence[_Part]) -> Drafts:
        """Each part's first draft is begun when those before it stand, and knows them."""
        return lambda number, in_turn: self._draft(turns, in_turn + parts[number].named, parts[number].samplings[0])

    def _parallel_drafts(self, turns: Prompt, title_line: str, parts: Sequence[_Part]) -> Drafts:
        """All parts' first drafts are begun at once, each after the title line."""
        asked = [(*turns, Message.of("assistant", title_line + part.named)) for part in parts]
        answers = _Answers(self._model.stream_batch(asked, [part.samplings[0] for part in parts]))
        return lambda number, _: answers.of(number)

    def _draft(self, turns: Prompt, in_turn: str, sampling: Sampling) -> Iterator[Chunk]:
        return self._model.stream((*turns, Message.of("assistant", in_turn)), sampling)

    def _write_part(
        self,
        turns: Prompt,
        part: _Part,
        draft: Iterator[Chunk],
        in_turn: str,
        sentences: SentenceFilter,
        language: str,
    ) -> Generator[TextDelta, None, str]:
        """Yields one part and returns its body, empty where nothing may stand. A thin one is continued."""
        body = ""
        for attempt, sampling in enumerate(part.samplings):
            if attempt:
                draft = self._draft(turns, in_turn + part.named + body, sampling)
            join = "" if not body or language == "zh" else " "
            for piece in _passage(draft, sentences):
                yield TextDelta(join + piece if body else part.lead + piece)
                body += join + piece if body else piece
                join = ""
            if count_words(body) >= (1 if part.intro else THIN_WORDS):
                break
        return body

    def _parts(self, headings: Sequence[str], share: int, seed: int) -> list[_Part]:
        """The introduction, where sections follow it, and a part a heading."""
        parts = []
        for number, heading in enumerate(["", *headings]):
            intro = bool(headings) and not heading
            lead = f"## {heading}\n\n" if heading else ""
            purpose = f"section {number}" if headings else "whole"
            limit = token_limit(INTRO_WORDS if intro else share)
            samplings = [self._sampling(seed, f"{purpose} {attempt}", limit) for attempt in range(2)]
            parts.append(_Part(lead, f"## {self._prompts.intro}\n\n" if intro else lead, intro, tuple(samplings)))
        return parts

    def _sampling(self, seed: int, purpose: str, max_tokens: int) -> Sampling:
        stop = PARAGRAPH_ENDS if purpose.startswith("section") else ("\n\n\n",)
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


def writing_question(prompts: Prompts, title: str, headings: Sequence[str], words: int, language: str) -> str:
    """What asks for an article: each of its sections, or all of it where there are no headings, of about ``words``."""
    count = round(words * HAN_PER_WORD) if language == "zh" else words
    if not headings:
        return prompts.write_bare.format(title=title, words=count)
    listed = "\n".join(f"## {heading}" for heading in (prompts.intro, *headings))
    return prompts.write.format(title=title, headings=listed, words=count)


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


def _passage(chunks: Iterator[Chunk], sentences: SentenceFilter) -> Iterator[str]:
    """One paragraph, as far as it stands."""
    finish = "length"
    for chunk in chunks:
        finish = chunk.finish or finish
        if out := sentences.feed(chunk.text):
            yield out
    if rest := sentences.finish(complete=finish == "stop"):
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
