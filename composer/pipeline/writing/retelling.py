"""Retells passages: a sentence or two of a passage at a time, in other words, supported by it and cited.

A small model that is given passages and a section to write copies, and joins what does not belong together. Asked for a
sentence or two at a time, with a worked example, it says them in its own words. Several drafts of each are made as one
batch; a sentence stands where its passage supports it (``composer.sources.support``) and it copies no long run. What
is left without a sentence is drafted again; then a sentence of the passage is quoted where it can stand alone, or the
part is dropped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from composer.article.citation import Citation, Passage
from composer.article.language import count_words, detect_language
from composer.pipeline.prompts import Prompts
from composer.pipeline.writing.seeds import derive_seed
from composer.pipeline.writing.sentence_filter import is_chatter
from composer.settings import WritingSettings
from composer.sources.fragments import Fragment, fragments_of
from composer.sources.passages import sentences_of
from composer.sources.support import COVERED, MOST_COPIED, copied_run, keeps_relations, support, unsupported
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

DRAFTS_A_ROUND = 3
ROUNDS = 2
QUOTED = 0.4  # of a section's words at most
FEWEST_QUOTED, MOST_QUOTED = 6, 42  # words of a quotation
YIELD = 0.6  # of the fragments give a sentence
WORDS_A_FRAGMENT = 19
SAID_BEFORE = 0.75  # cosine of two sentences that say the same
FEWEST_WORDS, MOST_WORDS = 5, 45
OVERSHOOT = 1.1
MOST_SHARED = 5  # words in a row of a quotation and what stands already
RETELL_TOKENS = 90
LEANS = re.compile(
    r"(?:this|these|that|those|such|then|here|there|it|its|they|their|he|she|his|her|them|both|(?:some )?others?"
    r"|another|each|still|instead|however|but|so|yet|also|exceptions?|for example|for instance|as a result|in addition"
    r"|additionally|furthermore|moreover|the (?:two|three|four|other|former|latter|same))\b"
    r"|[这那它他她]|其中|例如|比如|然后|但|因此|所以|此外|另外",
    re.IGNORECASE,
)
_LEAD_IN = re.compile(
    r"^(?:however|additionally|furthermore|moreover|in addition|also|for example|for instance"
    r"|此外|另外|例如|比如|然而),?，?\s*",
    re.IGNORECASE,
)
# Points at what stands elsewhere in the source; a quotation has nothing around it that it could mean.
_POINTS = re.compile(
    r"\b(?:(?:described|mentioned|discussed|listed|shown|given) (?:above|below|earlier|before)|the (?:ones|above)"
    r"|in (?:this|these|that|those|such)|(?:all|most|some|many|each|both) of (?:these|those|them|this))\b"
    r"|上述|以上|下列",
    re.IGNORECASE,
)
_OF_ITSELF = re.compile(
    r"\b(?:the|this) (?:text|passage|part|source|author|narrator|article|speaker|paragraph|excerpt)\b"
    r"|\b(?:I|we|our|you|your)\b|原文|作者|文中|本文|这段|这一部分|[我你您]",
    re.IGNORECASE,
)
# What would be read as formatting, or as a quotation within the quotation.
_MARKS = re.compile(r"[*_`#\[\]<>|\\~^$\"“”„«»「」『』…]|\.\.\.|^[^\w]|\([^)]*$")
_WHOLE = (".", "!", "。", "！", "”", '"', ".”")


@dataclass(frozen=True, slots=True)
class Retold:
    """A sentence, the fragment that it is from, how well that supports it, and the longest run of words they share."""

    text: str
    fragment: Fragment
    support: float
    copied: int

    @property
    def citation(self) -> Citation:
        return Citation(self.text, (self.fragment.passage,), round(self.support, 4))


class Reteller:
    """Retells passages in one language. ``likeness`` gives cosines (n, m) of sentences; where ``compares`` is false it
    cannot compare meanings, and shared words alone decide.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        prompts: Prompts,
        settings: WritingSettings,
        likeness: Callable[[Sequence[str], Sequence[str]], np.ndarray],
        passages: Sequence[Passage],
        language: str,
        *,
        compares: bool = True,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._settings = settings
        self._likeness = likeness
        self._passages = passages
        self._language = language
        self._compares = compares
        self._common = _common_words(passages)

    def section(
        self,
        title: str,
        heading: str,
        positions: Sequence[int],
        words: int,
        said: Sequence[str],
        used: set[tuple[int, int]],
        seed: int,
        tone: str,
    ) -> list[Retold]:
        """Sentences of about ``words`` words in the order of the sources."""
        waiting = [f for f in fragments_of(self._passages, sorted(positions)) if f.place not in used]
        if not waiting:
            return []
        worth = self._likeness([f"{title}: {heading}" if heading else title], [f.text for f in waiting])[0]
        ranked = [waiting[i] for i in np.argsort(-worth, kind="stable")]
        kept: list[Retold] = []
        tries: Counter[tuple[int, int]] = Counter()
        while (missing := words - words_of(kept)) > WORDS_A_FRAGMENT // 2:
            done = {one.fragment.place for one in kept}
            open_ = [f for f in ranked if f.place not in done and tries[f.place] < ROUNDS]
            if not open_:
                break
            # What was tried least comes first: another fragment is likelier to give a sentence than a further try.
            batch = sorted(open_, key=lambda f: tries[f.place])[: max(1, round(missing / (WORDS_A_FRAGMENT * YIELD)))]
            for fragment, drafts in zip(batch, self._retell(batch, title, heading, seed, tries, tone), strict=True):
                tries[fragment.place] += 1
                best = self._best(fragment, drafts, [*said, *(one.text for one in kept)])
                if best and words_of(kept) + sum(count_words(one.text) for one in best) <= OVERSHOOT * words + 5:
                    kept += best
        room = min(words - words_of(kept), QUOTED * words)
        places = [fragment.place for fragment in waiting]
        done = {one.fragment.place for one in kept}
        left = [fragment for fragment in ranked if fragment.place not in done]
        known = [*said, *(one.text for one in kept)]
        kept += quotations(left, places, room, known, self._likeness, self._language)
        kept.sort(key=lambda one: one.fragment.place)
        return readable(kept)

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

    def _best(self, fragment: Fragment, drafts: Sequence[str], said: Sequence[str]) -> list[Retold]:
        """The sentences of the draft that says most of the fragment, all of them supported and in other words."""
        candidates: dict[str, tuple[int, int]] = {}  # sentence to (draft, copied words)
        for number, draft in enumerate(drafts):
            for raw in sentences_of(draft):
                text = _clean(raw)
                if text in candidates or not self._may_stand(text, fragment):
                    continue
                if not keeps_relations(text, fragment.text):
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
        supports = [support(t, fragment.text, a if self._compares else None) for t, a in zip(texts, alike, strict=True)]
        by_draft: dict[int, list[Retold]] = {}
        for text, value in zip(texts, supports, strict=True):
            number, copied = candidates[text]
            if value >= COVERED:
                by_draft.setdefault(number, []).append(Retold(text, fragment, value, copied))
        if not by_draft:
            return []
        return max(by_draft.values(), key=lambda found: max(one.support - 0.02 * one.copied for one in found))[:2]

    def _may_stand(self, text: str, fragment: Fragment) -> bool:
        if not text.endswith(_WHOLE) or not FEWEST_WORDS <= count_words(text) <= MOST_WORDS:
            return False
        if _OF_ITSELF.search(text) or _POINTS.search(text) or is_chatter(text) or text.startswith(("#", "-", "*")):
            return False
        if detect_language(text) != self._language:
            return False
        named = f"{fragment.before}\n{fragment.passage.text}\n{fragment.passage.heading}"
        return not unsupported(text, fragment.text, named, self._common)

    def _copies_elsewhere(self, text: str, fragment: Fragment) -> bool:
        position = fragment.place[0]
        near = [p.text for p in self._passages[max(0, position - 1) : position + 2]]
        return copied_run(text, near) > MOST_COPIED


def quotations(
    ranked: Sequence[Fragment],
    places: Sequence[tuple[int, int]],
    room: float,
    said: Sequence[str],
    likeness: Callable[[Sequence[str], Sequence[str]], np.ndarray],
    language: str,
) -> list[Retold]:
    """What passages say themselves, of about ``room`` words, in quotation marks: the best fragments first, no two that
    follow each other in ``places``, nothing that was ``said``.
    """
    order = {place: number for number, place in enumerate(places)}
    found: list[Retold] = []
    for fragment in ranked:
        left = room - words_of(found)
        if left < FEWEST_QUOTED:
            break
        if any(abs(order[fragment.place] - order[one.fragment.place]) == 1 for one in found):
            continue
        known = [*said, *(one.text for one in found)]
        for text in map(str.strip, sentences_of(fragment.text)):
            if count_words(text) > left + FEWEST_QUOTED or not may_be_quoted(text, fragment.passage, language):
                continue
            if copied_run(text, known) > MOST_SHARED:
                continue
            if not known or float(likeness([text], known).max()) < SAID_BEFORE:
                found.append(Retold(f"“{text}”", fragment, 1.0, 0))
                break
    return found


def may_be_quoted(text: str, passage: Passage, language: str, *, whole: bool = True) -> bool:
    """Whether a sentence stands so in the passage, and can be quoted alone; not ``whole`` where its subject is left."""
    if not text.endswith((".", "。")) or not FEWEST_QUOTED <= count_words(text) <= MOST_QUOTED:
        return False
    if text not in passage.text or (whole and (not text[0].isupper() or LEANS.match(text))) or _MARKS.search(text):
        return False
    if _POINTS.search(text) or re.search(r"\b(?:this|these)\b|[这那]", text):
        return False
    return not _OF_ITSELF.search(text) and detect_language(text) == language


def _clean(raw: str) -> str:
    text = _LEAD_IN.sub("", raw.replace("**", "").strip())
    return text[:1].upper() + text[1:]


def words_of(sentences: Sequence[Retold]) -> int:
    return sum(count_words(one.text) for one in sentences)


def readable(sentences: Sequence[Retold]) -> list[Retold]:
    """Without those that lean on a sentence which is not there, or copy a long run together with the one before."""
    kept: list[Retold] = []
    for one in sentences:
        before = kept[-1].fragment.place if kept else (-1, -1)
        follows = before in ((one.fragment.place[0], one.fragment.place[1] - 1), one.fragment.place)
        run = copied_run(f"{kept[-1].text} {one.text}", [one.fragment.passage.text]) if kept else 0
        if run <= MOST_COPIED and (follows or not LEANS.match(one.text)):
            kept.append(one)
    return kept


def _common_words(passages: Iterable[Passage]) -> frozenset[str]:
    """Words that stand somewhere in lower case: at the start of a sentence they are no names."""
    return frozenset(word for passage in passages for word in re.findall(r"\b[a-zäöüß][\w'’-]*", passage.text))
