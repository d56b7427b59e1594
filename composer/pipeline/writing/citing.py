"""Writes an article from a user's sources: each sentence retells a sentence or two of a passage, and cites it.

A small model that is given passages and a section to write copies, and joins what does not belong together. Asked for a
sentence or two at a time, with a worked example, it says them in its own words. Several drafts of each are made as one
batch; a sentence stands where its passage supports it (``composer.sources.support``) and it copies no long run. What
is left without a sentence is drafted again, then dropped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from composer.article.citation import Citation, Passage
from composer.article.language import count_words, detect_language
from composer.article.markdown import parse_markdown
from composer.article.model import Section
from composer.errors import WritingFailed
from composer.pipeline.captions import clean_caption, generate
from composer.pipeline.events import TextDelta
from composer.pipeline.prompts import Prompts
from composer.pipeline.writing.facts import shares_of_characters
from composer.pipeline.writing.planning import MAX_HEADING_CHARS, MAX_TITLE_CHARS
from composer.pipeline.writing.sentence_filter import is_chatter, strip_quotes
from composer.pipeline.writing.writer import INTRO_WORDS, derive_seed
from composer.settings import WritingSettings
from composer.sources.collection import SourceCollection
from composer.sources.fragments import Fragment, fragments_of
from composer.sources.outline import group, passages_for
from composer.sources.passages import sentences_of
from composer.sources.support import COVERED, MOST_COPIED, copied_run, covered, support, unsupported
from vision.interfaces import JointEncoder, Message, Prompt, Sampling, VisionLanguageModel

SECTION_WORDS = 110
DRAFTS_A_ROUND = 3
ROUNDS = 3
YIELD = 0.6  # of the fragments give a sentence
WORDS_A_FRAGMENT = 19
SAID_BEFORE = 0.75  # cosine of two sentences that say the same
FEWEST_WORDS, MOST_WORDS = 5, 45
OVERSHOOT = 1.1
RETELL_TOKENS = 90
HEADING_TOKENS = 16
TITLE_TOKENS = 24
HEADING_COVERED = 0.5  # of a heading's words stand in its passages
NOTES_CHARS = 160  # of each passage, for a section's heading
_LEANS = re.compile(
    r"(?:this|these|that|those|such|then|here|there|it|its|they|their|he|she|his|her|them|both|another|other|instead"
    r"|however|but|so|yet|also|for example|for instance|as a result|in addition|additionally|furthermore|moreover)\b"
    r"|[这那它他她]|其中|例如|比如|然后|但|因此|所以|此外|另外",
    re.IGNORECASE,
)
_LEAD_IN = re.compile(
    r"^(?:however|additionally|furthermore|moreover|in addition|also|for example|for instance"
    r"|此外|另外|例如|比如|然而),?，?\s*",
    re.IGNORECASE,
)
_OF_ITSELF = re.compile(
    r"\b(?:the|this) (?:text|passage|part|source|author|narrator|article|speaker|paragraph|excerpt)\b"
    r"|\b(?:I|we|our|you|your)\b|原文|作者|文中|本文|这段|这一部分|[我你您]",
    re.IGNORECASE,
)
_WHOLE = (".", "!", "。", "！", "”", '"', ".”")


@dataclass(frozen=True, slots=True)
class CitedPlan:
    """A title, and for each section a heading and the positions of its passages; those of the introduction first."""

    title: str
    headings: tuple[str, ...]
    passages: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    fragment: Fragment
    support: float
    copied: int


class CitingWriter:
    """Writes one article from one collection of sources. ``short_of`` tells afterwards how many words were not had."""

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
        self._common = _common_words(sources.passages)

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
        blocks: list[tuple[str, list[_Sentence]]] = []
        said: list[str] = []
        used: set[tuple[int, int]] = set()
        left = words
        for number, (heading, own, wanted) in enumerate(parts):
            room = wanted if introduced and number == 0 else max(wanted // 2, left // (len(parts) - number))
            sentences = self._section(
                plan.title, heading, own, room, said, used, derive_seed(seed, f"cited {number}"), tone
            )
            if not sentences:
                continue
            body = ("" if self._language == "zh" else " ").join(one.text for one in sentences)
            text = f"## {heading}\n\n{body}" if heading else body
            blocks.append((text, sentences))
            said += [one.text for one in sentences]
            used |= {one.fragment.place for one in sentences}
            left -= count_words(body)
            yield TextDelta(f"{text}\n\n")
        if not blocks:
            raise WritingFailed("nothing_written")
        parsed = parse_markdown("".join(f"{text}\n\n" for text, _ in blocks)).sections
        everything = [
            Citation(one.text, (one.fragment.passage,), round(one.support, 4))
            for _, sentences in blocks
            for one in sentences
        ]
        last = len(parsed) - 1
        return tuple(
            replace(section, gap="\n" if i == last else "\n\n", citations=tuple(everything))
            for i, section in enumerate(parsed)
        )

    def _section(
        self,
        title: str,
        heading: str,
        positions: Sequence[int],
        words: int,
        said: Sequence[str],
        used: set[tuple[int, int]],
        seed: int,
        tone: str,
    ) -> list[_Sentence]:
        """Sentences of about ``words`` words in the order of the sources."""
        waiting = [f for f in fragments_of(self._sources.passages, sorted(positions)) if f.place not in used]
        if not waiting:
            return []
        worth = self._likeness([f"{title}: {heading}" if heading else title], [f.text for f in waiting])[0]
        ranked = [waiting[i] for i in np.argsort(-worth, kind="stable")]
        kept: list[_Sentence] = []
        tries: Counter[tuple[int, int]] = Counter()
        while (missing := words - _length(kept)) > WORDS_A_FRAGMENT // 2:
            done = {one.fragment.place for one in kept}
            open_ = [f for f in ranked if f.place not in done and tries[f.place] < ROUNDS]
            if not open_:
                break
            # What was tried least comes first: another fragment is likelier to give a sentence than a further try.
            batch = sorted(open_, key=lambda f: tries[f.place])[: max(1, round(missing / (WORDS_A_FRAGMENT * YIELD)))]
            for fragment, drafts in zip(batch, self._retell(batch, title, heading, seed, tries, tone), strict=True):
                tries[fragment.place] += 1
                best = self._best(fragment, drafts, [*said, *(one.text for one in kept)])
                if best and _length(kept) + sum(count_words(one.text) for one in best) <= OVERSHOOT * words + 5:
                    kept += best
        kept.sort(key=lambda one: one.fragment.place)
        return _readable(kept)

    def _retell(
        self,
        fragments: Sequence[Fragment],
        title: str,
        heading: str,
        seed: int,
        tries: Counter[tuple[int, int]],
        tone: str,
    ) -> list[list[str]]:
        p = self._prompts
        manner = f" {p.tones[tone]}" if tone else ""

        def question(topic: str, before: str, part: str, manner: str) -> str:
            told = p.retell_before.format(before=before) + "\n" if before else ""
            return p.retell.format(topic=topic, before=told, part=part, manner=manner)

        example = (
            Message.of("system", p.system),
            Message.of("user", question(p.retell_example_topic, p.retell_example_before, p.retell_example_part, "")),
            Message.of("assistant", p.retell_example),
        )
        prompts: list[Prompt] = []
        samplings: list[Sampling] = []
        for fragment in fragments:
            topic = fragment.passage.heading or heading or title
            asked = question(topic, fragment.before, fragment.text, manner)
            prompts += [(*example, Message.of("user", asked))] * DRAFTS_A_ROUND
            purposes = [f"{fragment.place} {tries[fragment.place]} {n}" for n in range(DRAFTS_A_ROUND)]
            samplings += [
                Sampling(
                    RETELL_TOKENS,
                    self._settings.temperature,
                    self._settings.top_p,
                    seed=derive_seed(seed, purpose),
                    stop=("\n",),
                )
                for purpose in purposes
            ]
        answers = [""] * len(prompts)
        for chunk in self._model.stream_batch(prompts, samplings):
            answers[chunk.index] += chunk.text
        return [answers[i : i + DRAFTS_A_ROUND] for i in range(0, len(answers), DRAFTS_A_ROUND)]

    def _best(self, fragment: Fragment, drafts: Sequence[str], said: Sequence[str]) -> list[_Sentence]:
        """The sentences of the draft that says most of the fragment, all of them supported and in other words."""
        candidates: dict[str, tuple[int, int]] = {}  # sentence to (draft, copied words)
        for number, draft in enumerate(drafts):
            for raw in sentences_of(draft):
                text = _clean(raw)
                if text in candidates or not self._may_stand(text, fragment):
                    continue
                copied = copied_run(text, [fragment.text, fragment.passage.text])
                if copied <= MOST_COPIED and not self._copies_elsewhere(text, fragment):
                    candidates[text] = (number, copied)
        if said and candidates:
            known = self._likeness(list(candidates), said).max(axis=1)
            candidates = {t: c for (t, c), k in zip(candidates.items(), known, strict=True) if k < SAID_BEFORE}
        if not candidates:
            return []
        texts = list(candidates)
        alike = self._likeness(texts, [fragment.text, *sentences_of(fragment.text)]).max(axis=1)
        compared = self._sources.vectors is not None
        supports = [support(t, fragment.text, a if compared else None) for t, a in zip(texts, alike, strict=True)]
        by_draft: dict[int, list[_Sentence]] = {}
        for text, value in zip(texts, supports, strict=True):
            number, copied = candidates[text]
            if value >= COVERED:
                by_draft.setdefault(number, []).append(_Sentence(text, fragment, value, copied))
        if not by_draft:
            return []
        return max(by_draft.values(), key=lambda found: max(one.support - 0.02 * one.copied for one in found))[:2]

    def _may_stand(self, text: str, fragment: Fragment) -> bool:
        if not text.endswith(_WHOLE) or not FEWEST_WORDS <= count_words(text) <= MOST_WORDS:
            return False
        if _OF_ITSELF.search(text) or is_chatter(text) or text.startswith(("#", "-", "*")):
            return False
        if detect_language(text) != self._language:
            return False
        named = f"{fragment.before}\n{fragment.passage.text}\n{fragment.passage.heading}"
        return not unsupported(text, fragment.text, named, self._common)

    def _copies_elsewhere(self, text: str, fragment: Fragment) -> bool:
        position = fragment.place[0]
        near = [p.text for p in self._sources.passages[max(0, position - 1) : position + 2]]
        return copied_run(text, near) > MOST_COPIED

    def _likeness(self, one: Sequence[str], other: Sequence[str]) -> np.ndarray:
        if self._sources.vectors is None:
            return shares_of_characters(one, other)
        vectors: np.ndarray = self._encoder.encode_sentences([*one, *other])
        return vectors[: len(one)] @ vectors[len(one) :].T


def _clean(raw: str) -> str:
    text = _LEAD_IN.sub("", raw.replace("**", "").strip())
    return text[:1].upper() + text[1:]


def _length(sentences: Sequence[_Sentence]) -> int:
    return sum(count_words(one.text) for one in sentences)


def _readable(sentences: Sequence[_Sentence]) -> list[_Sentence]:
    """Without those that lean on a sentence which is not there, or copy a long run together with the one before."""
    kept: list[_Sentence] = []
    for one in sentences:
        before = kept[-1].fragment.place if kept else (-1, -1)
        follows = before in ((one.fragment.place[0], one.fragment.place[1] - 1), one.fragment.place)
        run = copied_run(f"{kept[-1].text} {one.text}", [one.fragment.passage.text]) if kept else 0
        if run <= MOST_COPIED and (follows or not _LEANS.match(one.text)):
            kept.append(one)
    return kept


def _common_words(passages: Iterable[Passage]) -> frozenset[str]:
    """Words that stand somewhere in lower case: at the start of a sentence they are no names."""
    return frozenset(word for passage in passages for word in re.findall(r"\b[a-zäöüß][\w'’-]*", passage.text))


def _first_words(text: str) -> str:
    return " ".join(text.split()[:5]).rstrip(",.;:")[:MAX_HEADING_CHARS]
