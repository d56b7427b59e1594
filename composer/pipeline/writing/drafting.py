"""From several drafts of a section to the paragraph that stands: good sentences of all drafts, put together.

A small model writes true and empty and invented sentences side by side. What tells them apart is whether other drafts
say the same (SelfCheckGPT, arXiv:2303.08896), whether a sentence is made of the known facts' words, stock phrases, and
length; the weights are fitted on labelled sentences. What the model itself says of their truth tells nothing (area
under the curve .49 on 192 of them). Numbers, dates and names that most drafts do not share never stand. Figures:
docs/research/writing.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from composer.article.language import count_words, sentence_gap
from composer.pipeline.writing.sentence_filter import is_chatter, split_sentences
from composer.sources.support import stems
from retrieval.tokens import terms

# Cosines (or shares of characters, see ``shares_of_characters``) from which two sentences say the same: in whatever
# words, and in words of which the shorter has half in common besides the subject's name.
SAME = 0.8
SAME_IN_WORDS, COMMON_WORDS = 0.6, 0.5
WITHIN = 0.9  # of the shorter one's words, four at least: whatever their likeness, it adds nothing
TELLS = 0.65  # cosine of a sentence and a clause of a fact that it tells
OVERSHOOT = 1.12  # of the words asked for
FEWEST_WORDS, MOST_WORDS = 4, 45  # of a sentence
SHARED_NAME = 0.5  # of the drafts must have a name that is not given
LONG_WORDS = 18
LEAST_ODDS = 0.8
USUAL_AGREEMENT = 0.7  # where there is one draft only
FEWEST_WITNESSES = 5  # other drafts that all say the same, for a sentence that no source tells
FEWEST_LED_TO, MOST_BESIDE = 3, 5  # things named by a sentence that leads to them; its words that say something else


# Log-odds that a reader finds a sentence fine, of the columns of ``features_of`` and a constant. Fitted on 921 labelled
# sentences of 40 sections (docs/research/draft-labels.jsonl) by ``composer.evaluation.fit_drafting``.
WEIGHTS = np.array([3.18, 3.6, -0.31, -0.4])
BIAS = -1.87


_NUMBER = re.compile(
    r"\d|\b(?:centur(?:y|ies)|decades?|millennia|dozens|hundreds|thousands|millions|billions)\b"
    r"|世纪|年代|公元|[一二三四五六七八九十百千万亿两]+(?:年|米|公里|公斤|千克|吨|度|小时|分钟|万|多种|余)"
)
_STOCK = re.compile(
    r"\b(?:play\w* (?:an? )?(?:\w+ )?(?:role|part)|(?:each|every)(?: \w+)? with (?:its|their) own|various|variety of"
    r"|(?:wide|vast|diverse) (?:range|array|variety)|unique|essential|crucial|vital|fundamental|iconic|stunning"
    r"|magnificent|fascinating|breathtaking|impressive|remarkable|beautiful\w*|renowned|famous|popular|testament"
    r"|symbols? of|masterpiece|foundation of|heart (?:and soul )?of|one of the|most \w+|versatile|valuable"
    r"|known for (?:its|their)|important|rich history|for centuries|throughout history|overall|ensur\w+|enhanc\w+"
    r"|contribut\w+|characteristics|ecosystems?|understanding|come in|different (?:types|kinds|sizes|shapes)|amazing"
    r"|perfect|incredible|delicious|enjoy\w*|memorable|experience|journey|atmosphere|tranquil\w*|captivat\w+"
    r"|key component|rich and|dynamic|backbone)\b"
    r"|至关重要|重要(?:的)?(?:组成)?部分|重要(?:的)?(?:意义|作用|角色)|不可或缺|必不可少|独特|丰富多彩|各种各样|众所周知"
    r"|令人|美丽|迷人|著名|闻名|象征|之一|不仅|充满|享受|非常|最[\u4e00-\u9fff]",
    re.IGNORECASE,
)
# Begins as an opening clause does and ends before what it opens: "In the process of making cheese."
_FRAGMENT = re.compile(
    r"(?:in|on|at|by|with|without|from|for|after|before|during|through|as|to|of) "
    r"(?!.*\b(?:is|are|was|were|has|have|had|do|does|can|may|must|will|should|\w+(?<![s'’])s|\w+ed)\b)[^,]*$",
    re.IGNORECASE,
)
# Cannot be understood without the very sentence before it.
_LEANS = re.compile(
    r"(?:this|these|that|those|such|then|next|here|there|the (?:resulting|process|former|latter|same)|once|after that"
    r"|first|second|another|other|both|as a result|for example|for instance|instead|however|but|so|yet|exceptions?"
    r"|distinct from|although the|in (?:this|that|such|these))\b"
    r"|[这那]|其中|例如|比如|然后|接着|但|所以|因此|于是|首先|其次|最后|只有这样|如果",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"(?:they|it|its|their|he|she|his|her|them)\b|[它他她]", re.IGNORECASE)
_LEAD_IN = re.compile(
    r"^(?:additionally|furthermore|moreover|in addition|also|finally|overall|in conclusion|in general|generally|in fact"
    r"|此外|另外|同时|总之|总的来说|一般来说),?，?\s*",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u4e00-\u9fff]")
_LABEL = re.compile(r"^(?:[-*•]\s+|\d+[.)、]\s*)?\*\*[^*]+\*\*[:：]?\s*")
_ITEM = re.compile(r"^(?:[-*•]\s+|\d+[.)、]\s*)")
_FOREIGN = re.compile(r"[A-Za-z]{3,}")  # in a Chinese sentence
_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][\w'’-]+")
# A definition or a label taken over from the facts, and no sentence.
_DICTIONARY = re.compile(r";|\b(?:esp|e\.g|i\.e)\.|^[\w' -]{2,30}: ")
_OPENER = re.compile(r"^(?:the |a |an )?(\w+(?:[ -]\w+)?)", re.IGNORECASE)
_DEFINES = re.compile(r"^(?:the |a |an )?[\w -]{3,40}? (?:is|are) (?:an? |the )", re.IGNORECASE)


# The end of an enumeration that nothing joins: "gazelles, impalas, dik-diks."
_ITEM_OF_LIST = r"(?!(?:and|or|an?|the)\b)[\w'’-]+(?: (?!and\b|or\b)[\w'’-]+){0,2}"
_UNJOINED = re.compile(rf"((?:, {_ITEM_OF_LIST}){{2,}}), ({_ITEM_OF_LIST}\.)$")


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """A sentence of a draft. ``leans`` on the sentence before it; ``refers`` to the paragraph's subject by pronoun."""

    text: str
    draft: int
    position: int
    leans: bool
    refers: bool


def is_praise(sentence: str) -> bool:
    """Whether a sentence has so many stock phrases that it says nothing else."""
    return len(_STOCK.findall(sentence)) > 1


def says_nothing(sentence: str, about: str) -> bool:
    """Whether a sentence has next to no word besides stock phrases and what it is ``about``, title and heading.

    Of 921 labelled sentences 13 have one such word at most, all of them empty: "Tongs are a crucial tool in the
    blacksmith's workshop."
    """
    beside = set(stems(_STOCK.sub(" ", sentence))) - set(stems(about))
    return len(beside) <= 1 + bool(_STOCK.search(sentence))


def read_drafts(drafts: Sequence[str]) -> list[DraftSentence]:
    """Whole sentences of prose in the order of drafts; chatter, headings and lists' labels are left out."""
    found = []
    for number, draft in enumerate(drafts):
        position = 0
        for raw in split_sentences(draft):
            if _LABEL.match(raw):
                position += 1
                continue
            text = _ITEM.sub("", raw.replace("**", "").strip())
            text = _UNJOINED.sub(r"\1 and \2", _LEAD_IN.sub("", text))
            text = text[:1].upper() + text[1:]
            whole = text.endswith((".", "!", "。", "！", "”", '"')) and not _FRAGMENT.match(text)
            if not whole or text.startswith("#") or is_chatter(text):
                position += 1  # what leans on it must not stand either
                continue
            if FEWEST_WORDS <= count_words(text) <= MOST_WORDS and not _DICTIONARY.search(text):
                leans, refers = _LEANS.match(text) is not None, _PRONOUN.match(text) is not None
                found.append(DraftSentence(text, number, position, leans, refers))
            position += 1
    return found


def is_risky(sentence: str, given: frozenset[str], shared: frozenset[str]) -> bool:
    """Whether it has a number, a date, or a name that is neither given nor shared by most drafts."""
    if _NUMBER.search(sentence) or (not sentence.isascii() and _HAN.search(sentence) and _FOREIGN.search(sentence)):
        return True
    return any(name.lower() not in given and name not in shared for name in _NAME.findall(sentence))


def shared_names(drafts: Sequence[str]) -> frozenset[str]:
    """Names that at least half of the drafts have."""
    counts = Counter(name for draft in drafts for name in set(_NAME.findall(draft)))
    return frozenset(name for name, count in counts.items() if count >= max(2, SHARED_NAME * len(drafts)))


def lead_in(drafts: Sequence[str], title: str, things: Sequence[str]) -> str:
    """Of drafts of a sentence that leads into an article the one that says least beside naming ``FEWEST_LED_TO`` of the
    things that the article treats; empty where none does only that.
    """
    of_title = set(terms(title))
    by_thing = [set(terms(thing)) - of_title or set(terms(thing)) for thing in things]
    best: tuple[int, int, str] | None = None
    for number, entry in enumerate(read_drafts(drafts)):
        said = set(terms(entry.text))
        named = [words for words in by_thing if words <= said]
        beside = len(said - of_title - {word for words in named for word in words})
        if len(named) < min(FEWEST_LED_TO, len(things)) or beside > MOST_BESIDE or entry.leans or entry.refers:
            continue
        # A colon takes the verb's place: "Owls, hunters of the night: woods, sky and mice."
        if not _NUMBER.search(entry.text) and not _STOCK.search(entry.text) and not re.search("[:：]", entry.text):
            best = min(filter(None, (best, (beside - len(named), number, entry.text))))
    return best[2] if best else ""


def agreed(pool: Sequence[DraftSentence], alike: np.ndarray, drafts: int) -> np.ndarray:
    """(n,) whether each of at least six drafts says what a sentence says, and that in no stock phrase.

    Of the 113 labelled sentences of which that is so readers found 95 of 100 fine, and 4 false; ``alike`` (n, n).
    """
    said = _likest(pool, alike, range(drafts)) >= SAME
    plain = np.array([not _STOCK.search(entry.text) for entry in pool])
    return np.asarray(said.all(axis=0) & plain & (drafts > FEWEST_WITNESSES))


def _likest(pool: Sequence[DraftSentence], alike: np.ndarray, drafts: Iterable[int]) -> np.ndarray:
    """(d, n) likenesses of each sentence and the most like it in each draft; -1 where that has none."""
    own = [np.array([entry.draft == number for entry in pool]) for number in drafts]
    return np.array([alike[:, of_draft].max(axis=1, initial=-1.0) for of_draft in own])


def features_of(pool: Sequence[DraftSentence], alike: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(n, 4): how far the other drafts agree, the share of words that the known facts have beyond half, stock phrases,
    tens of words beyond ``LONG_WORDS``.

    ``alike`` (n, n) are likenesses among the sentences, ``given`` (n,) shares of words, see ``support.covered``.
    """
    drafts = sorted({entry.draft for entry in pool})
    likest = _likest(pool, alike, drafts)
    rows = []
    for i, entry in enumerate(pool):
        others = likest[[draft != entry.draft for draft in drafts], i]
        agreement = float(np.mean(others)) if others.size else USUAL_AGREEMENT
        rows.append(
            (
                np.clip(agreement, 0.4, 0.9),
                np.clip(given[i] - 0.5, 0.0, 0.5),
                min(2, len(_STOCK.findall(entry.text))),
                max(0, count_words(entry.text) - LONG_WORDS) / 10,
            )
        )
    return np.array(rows, dtype=float).reshape(-1, len(WEIGHTS))


def worth_of(pool: Sequence[DraftSentence], alike: np.ndarray, given: np.ndarray) -> np.ndarray:
    """How much each sentence is worth printing, (n,): the log-odds that it is true and says something, less what it
    must reach. Above 0 it may stand.
    """
    return np.asarray(features_of(pool, alike, given) @ WEIGHTS + BIAS - LEAST_ODDS)


def repeats(one: Sequence[str], other: Sequence[str], alike: np.ndarray, subject: str) -> np.ndarray:
    """(n, m) whether two sentences say the same of the subject; ``alike`` (n, m) are their likenesses.

    All sentences of a section are alike in what they are about, so its name does not count among the common words.
    """
    named = set(terms(subject))
    mine, theirs = [set(terms(text)) - named for text in one], [set(terms(text)) - named for text in other]
    common = np.array([[len(a & b) for b in theirs] for a in mine]).reshape(alike.shape)
    shorter = np.array([[min(len(a), len(b)) for b in theirs] for a in mine]).reshape(alike.shape)
    shares = common / np.maximum(1, shorter)
    same = (alike >= SAME_IN_WORDS) & (shares >= COMMON_WORDS)
    within = (shorter >= FEWEST_WORDS) & (shares >= WITHIN)
    return np.asarray(same | (alike >= SAME) | within)


def tell_the_same(to_clauses: np.ndarray, groups: Sequence[int]) -> np.ndarray:
    """(n, n) whether two sentences tell the same of the known facts, by their likenesses to the facts' clauses (n, c).

    ``groups`` (c,) number the clauses; those that say the same have one number, such as several sources' definitions.
    """
    nearest = to_clauses.argmax(axis=1)
    group = np.asarray(groups)[nearest]
    tells = to_clauses.max(axis=1) >= TELLS
    return np.asarray((group[:, None] == group[None, :]) & tells[:, None] & tells[None, :])


def assemble(
    pool: Sequence[DraftSentence], worth: np.ndarray, repeated: np.ndarray, words: int, before: str = ""
) -> list[DraftSentence]:
    """The paragraph of about ``words`` words: the draft of most worth, and what others add to it.

    ``repeated`` (n, n) tells which sentences say the same; ``before`` is what stands already where a paragraph is
    continued: then a first sentence may refer to its subject.
    """
    usable = {i for i in range(len(pool)) if worth[i] > 0}
    by_draft: dict[int, list[int]] = {}
    for i, entry in enumerate(pool):
        by_draft.setdefault(entry.draft, []).append(i)
    subjects = {draft: _subject(pool[members[0]].text) for draft, members in by_draft.items()}

    def stands(members: Sequence[int]) -> list[int]:
        """Those of one draft that can be read with what leads up to them missing."""
        kept: list[int] = []
        for i in members:
            entry = pool[i]
            previous = kept and pool[kept[-1]].position == entry.position - 1
            opens = not kept and not before
            if i in usable and not (entry.leans and not previous) and not (opens and entry.refers):
                kept.append(i)
        return kept

    runs = {draft: stands(members) for draft, members in by_draft.items()}
    runs = {draft: run for draft, run in runs.items() if run}
    if not runs:
        return []
    base = max(runs, key=lambda draft: (sum(min(worth[i], 1.0) for i in _within(pool, runs[draft], words)), -draft))
    chosen = _distinct(_within(pool, runs[base], words), repeated)
    length = sum(count_words(pool[i].text) for i in chosen)
    rest = sorted((i for run in runs.values() for i in run if i not in chosen), key=lambda i: (-worth[i], i))
    for i in rest:
        entry, size = pool[i], count_words(pool[i].text)
        if length >= words or length + size > OVERSHOOT * words:
            continue
        if any(repeated[i][j] for j in chosen) or (_DEFINES.match(entry.text) and entry.position == 0):
            continue
        if entry.leans:
            leader = next(
                (j for j in chosen if pool[j].draft == entry.draft and pool[j].position == entry.position - 1), None
            )
            if leader is None:
                continue
            chosen.insert(chosen.index(leader) + 1, i)
        elif entry.refers and subjects[entry.draft] != subjects[base]:
            continue
        else:
            chosen.append(i)
        length += size
    return [pool[i] for i in chosen]


def paragraph_of(sentences: Sequence[DraftSentence], language: str) -> str:
    return sentence_gap(language).join(entry.text for entry in sentences)


def _within(pool: Sequence[DraftSentence], run: Sequence[int], words: int) -> list[int]:
    """As much of the start of a run as the words allow."""
    kept: list[int] = []
    length = 0
    for i in run:
        size = count_words(pool[i].text)
        if kept and length + size > OVERSHOOT * words:
            break
        kept.append(i)
        length += size
    return kept


def _distinct(run: Sequence[int], repeated: np.ndarray) -> list[int]:
    kept: list[int] = []
    for i in run:
        if not any(repeated[i][j] for j in kept):
            kept.append(i)
    return kept


def _subject(text: str) -> str:
    match = _OPENER.match(text)
    return match.group(1).lower().rstrip("s") if match else ""
