"""Sequences of pictures against the true ones: Edit and Kendall of RAG-IGBench (arXiv:2512.05119), repaired.

What its published code (github.com/zry13/RAG-IGBench, score/eval.py) does differently, and why not here:

- Two empty lists divide by zero; a bare ``except`` then drops the article from the mean. Here nothing to show and
  nothing shown is a perfect answer, and no article is ever dropped. So too an empty reference with one picture shown.
- Kendall divides by the pairs of the answer alone, so two right pictures out of ten score 1. Here the pairs of
  the longer list count, so what is missing costs as much as what is too many.
- Kendall with one reference picture, or one answered, is a share of set members: showing the right picture five times
  scores 1. Here a repeated picture counts once, where it first stands, and its repetitions make the list longer.
- Kendall is then scaled by the number of candidates, so that a perfect answer scores at most 1 and mostly less,
  differently for every article. Here perfect is 1.
- Answers that name unknown pictures or break the format leave the mean; picture 0 passes as known. Here a score
  belongs to every article. (Its integrated score also counts alignment twice and leaves the text's score out.)

"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations


def edit_similarity(answer: Sequence[Hashable], reference: Sequence[Hashable]) -> float:
    """1 less the Levenshtein distance over the longer list's length, in [0, 1]; 1 for equal lists, empty ones too."""
    longest = max(len(answer), len(reference))
    if not longest:
        return 1.0
    row = list(range(len(reference) + 1))
    for i, shown in enumerate(answer, 1):
        before, row[0] = row[0], i
        for j, true in enumerate(reference, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (shown != true))
    return 1 - row[-1] / longest


def kendall_agreement(answer: Sequence[Hashable], reference: Sequence[Hashable]) -> float:
    """Share of the longer list's pairs that both lists hold in the same order, in [0, 1]; reversed lists score 0.

    Where the longer list has a single item there are no pairs: then 1 for equal lists and 0 for others.
    """
    longest = max(len(answer), len(reference))
    if longest < 2:
        return float(list(answer) == list(reference))
    rank = {item: i for i, item in reversed(list(enumerate(reference)))}
    common = [rank[item] for item in dict.fromkeys(answer) if item in rank]
    agreeing = sum(one < other for one, other in combinations(common, 2))
    return agreeing / (longest * (longest - 1) / 2)


def f1_within(predicted: Sequence[int], true: Sequence[int], tolerance: int) -> float:
    """F1 of positions, each matched to at most one at most ``tolerance`` away; 1 where there are none on both sides."""
    if not predicted and not true:
        return 1.0
    left, hits = sorted(true), 0
    for position in sorted(predicted):
        # Both sides rise, so the earliest match leaves the most for later positions.
        match = next((t for t in left if abs(t - position) <= tolerance), None)
        if match is not None:
            left.remove(match)
            hits += 1
    return 2 * hits / (len(predicted) + len(true))
