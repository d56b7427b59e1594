"""One short sentence on why a picture is proposed. Knows the scores, not how they were made or weighed."""

from __future__ import annotations

import re

from image_db.records import ImageRecord
from retrieval.candidates import Query
from retrieval.tokens import CJK_RUN, STOP_CHARACTERS, terms

SHOWN_CHARACTERS = 60  # of the query
SHOWN_WORDS = 3


def explain(
    query: Query, record: ImageRecord, *, visual: float | None, textual: float | None, example: float | None
) -> str:
    """What matched, with its cosines; None where there was nothing of the kind to compare."""
    wanted = _clipped(query.wording)
    parts = []
    if textual is not None:
        told = record.caption or record.alt or record.tags or record.captions
        owner = "its caption matches" if told else "what a classifier saw in it matches"
        parts.append(f"{owner} “{wanted}” ({textual:.2f})")
    shared = shared_words(f"{query.caption}\n{query.english}", record.text)[:SHOWN_WORDS]
    if shared:
        parts.append(f"shared words: {', '.join(shared)}")
    if visual is not None:
        parts.append(f"the picture itself {visual:.2f}" if parts else f"its looks match “{wanted}” ({visual:.2f})")
    if example is not None:
        parts.append(f"looks like the example ({example:.2f})")
    return "; ".join(parts) or "nothing definite matches"


def shared_words(query: str, text: str) -> list[str]:
    """Words of the query that the text has as well, longest first; of Chinese, the longest common runs."""
    held = set(terms(text))
    words = [term for term in dict.fromkeys(terms(CJK_RUN.sub(" ", query))) if term in held]
    for run in CJK_RUN.findall(query):
        words += _common_runs(run, text)
    return sorted(dict.fromkeys(words), key=len, reverse=True)


def _common_runs(run: str, text: str) -> list[str]:
    """Stretches of at least two characters of ``run`` that occur in ``text``, taken greedily from the left."""
    found = []
    start = 0
    while start < len(run) - 1:
        end = start
        while end < len(run) and run[start : end + 1] in text:
            end += 1
        common = run[start:end].strip("".join(STOP_CHARACTERS))
        if len(common) >= 2:
            found.append(common)
        start = max(end, start + 1)
    return found


def _clipped(text: str) -> str:
    flat = re.sub(r"\s+", " ", text).strip()
    return flat if len(flat) <= SHOWN_CHARACTERS else flat[: SHOWN_CHARACTERS - 1].rstrip() + "…"
