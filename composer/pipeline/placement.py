"""Where pictures belong: every boundary is scored, positions are chosen by dynamic programming.

Scores are those of ``composer.pipeline.placement_model`` and what the library can show at a place beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from composer.article.language import count_words
from composer.article.markdown import block_kind, plain_text
from composer.article.model import Section

# A block with fewer words than this is a caption, a lead-in or a formula: no place for a picture of its own.
MIN_WORDS = 12
# Books let pictures stand closer than evenly: half a step instead costs 4 points of F1 on the train split.
LEAST_STEP = 0.25


def eligible(sections: Sequence[Section], at_least: int = 1) -> list[int]:
    """Indices of sections that a picture may follow: paragraphs and quotes of some length.

    Where these are fewer than ``at_least``, those that lead on to what follows as well, then short ones, then lists,
    tables, code and bare headings. A block without words, such as a picture alone, is no place: nothing could be
    searched for.
    """
    kinds = [block_kind(section.text) for section in sections]
    running = [i for i, kind in enumerate(kinds) if kind in ("paragraph", "quote")]
    long = [i for i in running if count_words(plain_text(sections[i].body)) >= MIN_WORDS]
    prose = [i for i in long if not plain_text(sections[i].body).endswith((":", "："))]
    worded = [i for i, kind in enumerate(kinds) if kind != "nothing"]
    wider = (places for places in (prose, long, running) if len(places) >= at_least)
    return next(wider, worded)


def number_of_pictures(sections: Sequence[Section], words_per_picture: int) -> int:
    """How many pictures a text of this length carries when it is left to us: one at least, but at most one a place."""
    words = sum(count_words(plain_text(section.body)) for section in sections)
    return min(len(eligible(sections)), max(1, round(words / words_per_picture)))


def choose_places(places: Sequence[int], scores: Sequence[float], count: int, sections: int) -> list[int]:
    """``count`` of ``places`` (sorted section indices) with the greatest total score and room between them.

    Neighbouring pictures are kept at least ``LEAST_STEP`` of an even step apart where that is possible; where it is
    not, as far apart as possible. In range, unique, sorted, and exactly min(count, len(places)).
    """
    count = min(count, len(places))
    if count <= 0:
        return []
    gap = max(1, round(LEAST_STEP * sections / count))
    while gap > 1:
        if (chosen := _best(places, scores, count, gap)) is not None:
            return chosen
        gap -= 1
    chosen = _best(places, scores, count, 1)
    assert chosen is not None  # distinct places are at least 1 apart
    return chosen


def _best(places: Sequence[int], scores: Sequence[float], count: int, gap: int) -> list[int] | None:
    """Dynamic programme over (place, pictures so far); None where ``gap`` leaves too few places."""
    n = len(places)
    best: list[list[float]] = [[-math.inf] * n for _ in range(count)]
    back: list[list[int]] = [[-1] * n for _ in range(count)]
    best[0] = list(scores)
    for k in range(1, count):
        reach, reach_value = -1, -math.inf
        j = 0
        for i in range(n):
            while j < i and places[i] - places[j] >= gap:
                if best[k - 1][j] > reach_value:
                    reach, reach_value = j, best[k - 1][j]
                j += 1
            if reach >= 0:
                best[k][i] = reach_value + scores[i]
                back[k][i] = reach
    end = max(range(n), key=lambda i: best[count - 1][i])
    if best[count - 1][end] == -math.inf:
        return None
    chosen = [end]
    for k in range(count - 1, 0, -1):
        chosen.append(back[k][chosen[-1]])
    return [places[i] for i in reversed(chosen)]
