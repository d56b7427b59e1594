"""Writes an article from a user's sources: which passages belong to the subject, grouped under headings that they give,
and of each group what ``composer.pipeline.writing.retelling`` makes of it, every sentence with its citation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from composer.article.language import count_words, sentence_gap
from composer.article.markdown import parse_markdown
from composer.article.model import Section
from composer.errors import WritingFailed
from composer.pipeline.captions import clean_caption, generate
from composer.pipeline.events import TextDelta
from composer.pipeline.prompts import Prompts
from composer.pipeline.writing.facts import shares_of_characters
from composer.pipeline.writing.planning import MAX_HEADING_CHARS, MAX_TITLE_CHARS
from composer.pipeline.writing.retelling import Reteller, Retold
from composer.pipeline.writing.seeds import derive_seed
from composer.pipeline.writing.sentence_filter import strip_quotes
from composer.pipeline.writing.writer import INTRO_WORDS
from composer.settings import WritingSettings
from composer.sources.collection import SourceCollection
from composer.sources.outline import group, passages_for
from composer.sources.support import covered, unsupported
from vision.interfaces import JointEncoder, Message, VisionLanguageModel

SECTION_WORDS = 110
HEADING_TOKENS = 16
TITLE_TOKENS = 24
HEADING_COVERED = 0.5  # of a heading's words stand in its passages
NOTES_CHARS = 160  # of each passage, for a section's heading


@dataclass(frozen=True, slots=True)
class CitedPlan:
    """A title, and for each section a heading and the positions of its passages; those of the introduction first."""

    title: str
    headings: tuple[str, ...]
    passages: tuple[tuple[int, ...], ...]


class CitingWriter:
    """Writes one article from one collection of sources."""

    def __init__(
        self,
        model: VisionLanguageModel,
        prompts: Prompts,
        settings: WritingSettings,
        encoder: JointEncoder,
        sources: SourceCollection,
        language: str,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._settings = settings
        self._encoder = encoder
        self._sources = sources
        self._language = language
        self._reteller = Reteller(
            model, prompts, settings, self._likeness, sources.passages, language, compares=sources.vectors is not None
        )

    def plan(self, instruction: str, words: int) -> CitedPlan:
        """Subject first, then what the sources have: the passages on the subject, grouped, each group with a heading.

        Raises UsageError where the sources say nothing of the subject.
        """
        chosen, relevance = passages_for(instruction, self._sources, self._encoder, words)
        count = max(1, min(12, round(words / SECTION_WORDS), len(chosen) // 2))
        groups = group(chosen, self._sources, count)
        headings = self._headings(instruction, groups) if len(groups) > 1 else [""]
        prompt = self._prompts.sources_title.format(
            headings="; ".join(filter(None, headings)) or self._sources.passages[chosen[0]].text[:NOTES_CHARS],
            instruction=instruction.strip(),
        )
        asked = (Message.of("user", prompt), Message.of("assistant", self._prompts.sources_title_prefix))
        title = clean_caption(generate(self._model, [asked], TITLE_TOKENS)[0])
        if (
            not title
            or len(title) > MAX_TITLE_CHARS
            or unsupported(title.lower(), f"{instruction}\n{self._all_text(chosen)}")
        ):
            title = strip_quotes(instruction)[:MAX_TITLE_CHARS]
        # What an introduction says is what the sources say of the subject itself.
        first = tuple(sorted(chosen, key=lambda i: -relevance[i])[:2]) if len(groups) > 1 else ()
        return CitedPlan(title, tuple(headings), (first, *map(tuple, groups)))

    def _headings(self, instruction: str, groups: Sequence[Sequence[int]]) -> list[str]:
        asked = []
        for members in groups:
            passages = [self._sources.passages[i] for i in members]
            notes = "\n".join(
                f"- {p.heading}: {p.text[:NOTES_CHARS]}" if p.heading else f"- {p.text[:NOTES_CHARS]}" for p in passages
            )
            question = self._prompts.sources_heading.format(title=instruction.strip(), notes=notes)
            asked.append((Message.of("user", question), Message.of("assistant", self._prompts.sources_heading_prefix)))
        found: list[str] = []
        for members, answer in zip(groups, generate(self._model, asked, HEADING_TOKENS), strict=True):
            heading = clean_caption(answer)
            own = Counter(h for i in members if (h := self._sources.passages[i].heading)).most_common()
            known = {h.casefold() for h in found}
            text = self._all_text(members)
            usable = 1 < len(heading) <= MAX_HEADING_CHARS and heading.casefold() not in known
            # In title case names cannot be told: a heading has to have its words from the passages.
            if not usable or unsupported(heading.capitalize(), text, text) or covered(heading, text) < HEADING_COVERED:
                heading = next((h for h, _ in own if h.casefold() not in known and len(h) <= MAX_HEADING_CHARS), "")
            found.append(heading or _first_words(self._sources.passages[members[0]].text))
        return found

    def _all_text(self, positions: Iterable[int]) -> str:
        return "\n".join(f"{self._sources.passages[i].heading}\n{self._sources.passages[i].text}" for i in positions)

    def write(
        self, plan: CitedPlan, words: int, seed: int, tone: str = ""
    ) -> Generator[TextDelta, None, tuple[Section, ...]]:
        """Yields the text as it stands, title line first, and returns its sections with their citations.

        Raises WritingFailed where no sentence may stand.
        """
        yield TextDelta(f"# {plan.title}\n\n")
        introduced = len(plan.headings) > 1
        intro = min(INTRO_WORDS, words // 8) if introduced else 0
        parts = [("", plan.passages[0], intro)] if introduced else []
        share = (words - intro) // len(plan.headings)
        parts += [(heading, own, share) for heading, own in zip(plan.headings, plan.passages[1:], strict=True)]
        blocks: list[tuple[str, list[Retold]]] = []
        said: list[str] = []
        used: set[tuple[int, int]] = set()
        left = words
        for number, (heading, own, wanted) in enumerate(parts):
            room = wanted if introduced and number == 0 else max(wanted // 2, left // (len(parts) - number))
            sentences = self._reteller.section(
                plan.title, heading, own, room, said, used, derive_seed(seed, f"cited {number}"), tone
            )
            if not sentences:
                continue
            body = sentence_gap(self._language).join(one.text for one in sentences)
            text = f"## {heading}\n\n{body}" if heading else body
            blocks.append((text, sentences))
            said += [one.text for one in sentences]
            used |= {one.fragment.place for one in sentences}
            left -= count_words(body)
            yield TextDelta(f"{text}\n\n")
        if not blocks:
            raise WritingFailed("nothing_written")
        parsed = parse_markdown("".join(f"{text}\n\n" for text, _ in blocks)).sections
        everything = [one.citation for _, sentences in blocks for one in sentences]
        last = len(parsed) - 1
        return tuple(
            replace(section, gap="\n" if i == last else "\n\n", citations=tuple(everything))
            for i, section in enumerate(parsed)
        )

    def _likeness(self, one: Sequence[str], other: Sequence[str]) -> np.ndarray:
        if self._sources.vectors is None:
            return shares_of_characters(one, other)
        vectors: np.ndarray = self._encoder.encode_sentences([*one, *other])
        return vectors[: len(one)] @ vectors[len(one) :].T


def _first_words(text: str) -> str:
    return " ".join(text.split()[:5]).rstrip(",.;:")[:MAX_HEADING_CHARS]
