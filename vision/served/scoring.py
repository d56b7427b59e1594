"""Log-probabilities of given texts as answers, from the little that servers tell.

A server lists the likeliest first tokens of an answer. An option is followed token by token, always along the longest
listed token that it begins with; for what is not listed there is only a bound, which is taken. Where the model cannot
be made to go on from a text, an option counts as the tokens that are it, whatever their case and spaces. Where a
server lists nothing, answers are drawn and counted (Krichevsky and Trofimov, 1981).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

DRAWS = 8
DRAWN_TOKENS = 8

Listed: TypeAlias = Callable[[str], Awaitable[Mapping[str, float]]]  # the likeliest tokens after a text, by their text


async def follow(options: Sequence[str], listed: Listed) -> list[float]:
    """The log-probability of each option, summed over its tokens."""
    after: dict[str, Mapping[str, float]] = {}  # options that begin alike are asked about together
    scores = []
    for option in options:
        total, said = 0.0, ""
        while said != option:
            if said not in after:
                after[said] = await listed(said)
            rest = option[len(said) :]
            token = max((token for token in after[said] if token and rest.startswith(token)), key=len, default=None)
            if token is None:
                total += unlisted(after[said])
                break
            total += after[said][token]
            said += token
        scores.append(total)
    return scores


def whole_answers(options: Sequence[str], listed: Mapping[str, float]) -> list[float]:
    """The log-probability of answering with each option, from the first tokens alone.

    A token that several options begin with, and that is none of them, is shared among these.
    """
    plain = [option.strip().casefold() for option in options]
    found = [0.0] * len(options)
    for token, log_prob in listed.items():
        word = token.strip().casefold()
        meant = [i for i, option in enumerate(plain) if option == word]
        meant = meant or [i for i, option in enumerate(plain) if word and option.startswith(word)]
        for i in meant:
            found[i] += math.exp(log_prob) / len(meant)
    least = unlisted(listed)
    return [math.log(share) if share > 0 else least for share in found]


def counted(options: Sequence[str], answers: Sequence[str]) -> list[float]:
    """The log-probability of each option, from answers that were drawn at temperature 1."""
    plain = [option.strip().casefold() for option in options]
    given: Counter[str] = Counter()
    for answer in answers:
        said = answer.strip().casefold()
        given[max((option for option in plain if option and said.startswith(option)), key=len, default="")] += 1
    return [math.log((given[option] + 0.5) / (len(answers) + 0.5 * (len(options) + 1))) for option in plain]


def unlisted(listed: Mapping[str, float]) -> float:
    """The most that a token can have which is not listed."""
    if not listed:
        return 0.0
    left = 1.0 - sum(math.exp(value) for value in listed.values())
    return min(*listed.values(), math.log(max(left, 1e-9)))
