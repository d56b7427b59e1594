"""The outline of an article: several plans of the model become one title and the headings they agree on.

What most plans have belongs to the subject; what the library shows counts only among those, so that a tool shed full
of hammers does not put one into a gardener's hands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from composer.article.language import count_words
from composer.pipeline.writing.facts import named_things
from composer.pipeline.writing.sentence_filter import split_sentences, strip_quotes
from retrieval import plurals

MAX_TITLE_CHARS = 80
MAX_HEADING_CHARS = 60
BELONGING_SPAN = 1.2  # nats: a gorilla is farther behind a zebra in the savanna
# Above the mean of many: what belongs differs by some tenths where things are of one kind (falcons and ravens among
# birds of prey), and by nats where they are not (flour and biscuits of bread).
BELONGING_DEVIATIONS = 0.4
BELONGING_BEST = 3  # behind which of many the span is
SUBJECT_SPAN = 1.0  # nats before that one: the subject itself under another name
FEWEST_OF_A_CONTINENT = 4  # headings whose entries name it, before it tells what is out of place
MOST_NAMING_WORDS = 2
SPARE = 5  # headings that stand ready where the others fill too little
_PAIRS = re.compile(r"\b(?:and|&|versus|vs)\b|[和与及]", re.IGNORECASE)
_ABSTRACT = re.compile(
    r"\b(?:introduction|conclusion|overview|importance|benefits?|history|summary|tips|basics|types?|role|life|future"
    r"|architecture|process\w*|construction|materials?|ingredients?|equipment|storage|packaging|serving|variet\w+|features?"
    r"|safety|climate|biodiversity|conservation|era|ages?|periods?|renaissance|enlightenment|legacy|significance|efforts?"
    r"|education|culture|beauty|steps?|stages?|techniques?|methods?|care|health|research|science|hazards?|formation|movements?|systems?|design|styles?|kinds?|shapes?)\b"
    r"|引言|结语|总结|重要性|意义|概述|历史|时代|文化|环境|保护|生活|影响|作用",
    re.IGNORECASE,
)
_SMALL_WORDS = frozenset("the a an your our my of for in on at to with and or from by".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Plan:
    """A title and the sections' headings; no headings where the model gave none that can be used.

    ``spare`` are headings that fit as well, best first: for where the sections turn out short. One that was ``given``
    by a person is kept to even where it has a single heading.
    """

    title: str
    headings: tuple[str, ...]
    spare: tuple[str, ...] = ()
    given: bool = False

    @property
    def title_line(self) -> str:
        return f"# {self.title}\n\n"


def parse_plan(answer: str, count: int) -> Plan:
    """Title and headings from a model's answer, whose first line goes on where "Title:" stood."""
    lines = [strip_quotes(line) for line in answer.splitlines()]
    lines = [line for line in lines if line]
    title = lines[0].rstrip(".。:：") if lines else ""
    title = re.sub(r"^(?:title|标题)\s*[:：]\s*", "", title, flags=re.IGNORECASE)
    headings: dict[str, None] = {}
    for line in lines[1:]:
        heading = re.split(r"\s[-–—]\s|:\s|：|\s*[(（]", line)[0].strip(" .。:：")
        known = {h.casefold() for h in headings} | {title.casefold()}
        if 1 < len(heading) <= MAX_HEADING_CHARS and heading.casefold() not in known:
            headings[heading] = None
    if len(title) > MAX_TITLE_CHARS or len(split_sentences(title)) > 1:
        title = ""
    return Plan(title, tuple(headings)[:count])


def given_plan(title: str, headings: Sequence[str]) -> Plan:
    """A person's own outline."""
    return Plan(strip_quotes(title)[:MAX_TITLE_CHARS], tuple(headings), given=True)


def without(plan: Plan, example: str) -> Plan:
    """The plan less what a small model copied from the question's example."""
    known = example.casefold()
    headings = tuple(heading for heading in plan.headings if heading.casefold() not in known)
    return Plan("" if plan.title.casefold() in known else plan.title, headings)


def agree(
    plans: Sequence[Plan],
    instruction: str,
    count: int,
    illustrated: Callable[[Sequence[str]], Sequence[bool]] = lambda headings: [False] * len(headings),
    relevance: Callable[[Sequence[str]], Sequence[float]] = lambda headings: [0.0] * len(headings),
    belonging: Callable[[Sequence[str]], Sequence[float]] = lambda headings: [0.0] * len(headings),
    informed: Callable[[Sequence[str]], Sequence[bool]] = lambda headings: [False] * len(headings),
    continents: Callable[[Sequence[str]], Sequence[frozenset[str]]] = lambda headings: [frozenset()] * len(headings),
) -> Plan:
    """One plan of up to ``count`` headings: those that most plans have, that name one thing which can be seen, and that
    the library can show, in the order in which the plans have them.

    ``relevance`` tells of headings how near what they name is to the subject, 0 to 1, ``belonging`` the log-odds that
    the article must treat them: what is far behind the best ones' is left out, and of more than are needed also what
    is below their mean, or well below it where most plans have it or too little else is left. Of what is ``informed``
    an encyclopedia tells more than a definition; where most of what is told of has one of the ``continents`` in
    common, what is of others alone is left out: kangaroos, among the animals of the savanna.
    """
    votes: dict[str, list[float]] = {}  # places in the plans, 0 to 1, by what the headings name
    wordings: dict[str, list[str]] = {}
    told = set(_key(instruction, set()).split())
    for plan in plans:
        for place, heading in enumerate(plan.headings):
            key = _key(heading, told)
            if set(key.split()) <= told and len(plan.headings) > 1:
                continue  # the subject itself, of which the introduction tells
            wordings.setdefault(key, []).append(heading)
            votes.setdefault(key, []).append(place / max(1, len(plan.headings) - 1))
    # In one number where the plans allow it: no owls among giraffe, lion and zebra.
    several = [_is_plural(heading) for found in wordings.values() for heading in found]
    plural = sum(several) > len(several) / 2
    words = {
        key: min(found, key=lambda heading: (_is_plural(heading) is not plural, len(heading)))
        for key, found in wordings.items()
    }
    headings = list(words.values())
    subject = set(named_things(instruction))
    worth: dict[str, float] = {}
    behind: dict[str, float] = {}  # of what stands only where too little else is left
    odds = np.asarray(belonging(headings) if headings else [], dtype=float)
    # The very best may be the subject itself: musical instruments, of those of an orchestra.
    leading = np.sort(odds)[: -max(1, min(BELONGING_BEST, len(odds) // 4)) - 1 : -1]
    least = of_most = of_few = min(leading, default=-np.inf) - BELONGING_SPAN
    if len(odds) > count:
        above = BELONGING_DEVIATIONS if len(odds) > 2 * count else 0.0
        of_few, of_most = (max(least, odds.mean() + part * odds.std()) for part in (above, -BELONGING_DEVIATIONS))
    found = continents(headings)
    counts = Counter(name for names in found for name in names)
    most = max(FEWEST_OF_A_CONTINENT, sum(map(bool, found)) / 2)
    usual = {name for name, times in counts.items() if times >= most}
    foreign = set(counts) - usual if usual else set()
    asked = (illustrated(headings), relevance(headings), odds, informed(headings), found)
    for (key, places), heading, shown, near, belongs, told_of, found_on in zip(
        votes.items(), headings, *asked, strict=True
    ):
        if found_on & foreign and not found_on & usual:
            continue
        is_subject = _last(heading) in told and belongs > min(leading) + SUBJECT_SPAN
        if belongs < of_most or is_subject:
            continue
        most_have_it = len(places) > max(1, len(plans) / 2)
        (worth if most_have_it or belongs >= of_few else behind)[key] = (
            2.0 * len(places) / len(plans)
            + 0.8 * (bool(_thing(heading) - subject) or not heading.isascii())
            + 0.4 * shown
            + 0.6 * near
            + 0.8 * told_of
            + 1.0 * belongs
            - 1.0 * bool(_PAIRS.search(heading))
            - 0.7 * bool(_ABSTRACT.search(heading))
            - 0.3 * max(0, count_words(heading) - 2)
        )
    chosen: list[str] = []
    named: set[str] = set()
    while worth and len(chosen) < count + SPARE:
        # Two castles, or the hens and the hen house, are one too many where other things are at hand.
        best = max(worth, key=lambda key: worth[key] - 0.5 * bool(_words(key) & named))
        chosen.append(best)
        named |= (taken := _words(best))
        # Of ovens and their heat, or hazards and volcanic hazards, one is enough.
        worth, behind = (
            {key: value for key, value in held.items() if key != best and not _nested(_words(key), taken)}
            for held in (worth, behind)
        )
        worth = worth or (behind if len(chosen) < count else {})
    titles = [plan.title for plan in plans if plan.title]
    title = max(titles, key=lambda t: (titles.count(t), -len(t)), default="")
    in_order = sorted(chosen[:count], key=lambda key: sum(votes[key]) / len(votes[key]))
    return Plan(title, tuple(words[key] for key in in_order), tuple(words[key] for key in chosen[count:]))


def names_a_thing(heading: str) -> bool:
    """Whether an English heading names a thing that can be seen: no "Materials", no "Umbrellas and Beaches"."""
    named = bool(_thing(heading)) and len(heading.split()) <= MOST_NAMING_WORDS
    return named and not _ABSTRACT.search(heading) and not _PAIRS.search(heading)


def _thing(heading: str) -> set[str]:
    """What the heading names with its last word, if that can be seen: nothing for "Stone Work"."""
    last = heading.casefold().split()[-1]
    return {name for name in named_things(heading) if last.startswith(name.split()[-1][:-1])}


def _key(heading: str, told: set[str]) -> str:
    """The words that count, in one form and order: of "Toys for the Cat" that is "toy" where the article is on cats."""
    words = [plurals.singular(word) for word in re.findall(r"\w+", heading.casefold()) if word not in _SMALL_WORDS]
    return " ".join(sorted(set(words) - told or set(words))) or heading.casefold()


def _is_plural(heading: str) -> bool:
    return _last(heading) != heading.casefold().split()[-1]


def _last(heading: str) -> str:
    return plurals.singular(heading.casefold().split()[-1])


def _nested(one: set[str], other: set[str]) -> bool:
    return bool(one and other) and (one <= other or other <= one)


def _words(key: str) -> set[str]:
    return set(key.split()) if key.isascii() else {key[i : i + 2] for i in range(len(key) - 1)}
