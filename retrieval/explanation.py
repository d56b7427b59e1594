"""Why a picture is proposed, as keys and values of ``composer.i18n``."""

from __future__ import annotations

import re

from image_db.metadata.record import ImageRecord
from retrieval.candidates import Query
from retrieval.tokens import CJK_RUN, HEAD, STOP_CHARACTERS, folded, indexed_terms, spelled_terms
from vision.errors import Phrase

SHOWN_CHARACTERS = 60  # of the query
SHOWN_WORDS = 3


def explain(
    query: Query, record: ImageRecord, *, visual: float | None, textual: float | None, example: float | None
) -> tuple[Phrase, ...]:
    """What matched, with its cosines; None where there was nothing of the kind to compare.

    What was compared is quoted as the person said it, not in the English that an encoder was given.
    """
    wanted = _clipped(query.caption or query.english)
    parts: list[Phrase] = []
    if textual is not None:
        described = record.caption or record.alt or record.tags or record.captions
        key = "caption_matches" if described else "guess_matches"
        parts.append(Phrase(key, {"wanted": wanted, "score": textual}))
    # The person's own words first; those of their translation only where none of these is shared.
    shared = (shared_words(query.caption, record.text) or shared_words(query.english, record.text))[:SHOWN_WORDS]
    if shared:
        parts.append(Phrase("words_shared", {"words": shared}))
    if visual is not None:
        too = Phrase("looks_too", {"score": visual})
        parts.append(too if parts else Phrase("looks_match", {"wanted": wanted, "score": visual}))
    if example is not None:
        parts.append(Phrase("looks_like_example", {"score": example}))
    return tuple(parts) or (Phrase("nothing_matches"),)


def shared_words(query: str, text: str) -> list[str]:
    """Words of the query, as it spells them, that the text has as well, longest first; of Chinese, the longest common
    runs.
    """
    held = set(indexed_terms(text))
    asked = spelled_terms(CJK_RUN.sub(" ", query))
    words = [spelling for term, spelling, denied in asked if term in held and not denied]
    for run in CJK_RUN.findall(query):
        words += _common_runs(run, folded(text), held)
    return sorted(dict.fromkeys(words), key=len, reverse=True)


def _common_runs(run: str, text: str, held: set[str]) -> list[str]:
    """Stretches of at least two characters of ``run`` that occur in ``text``, taken greedily from the left; or all of
    it where it is one character and a word of the text.
    """
    alike = folded(run)
    if len(alike) != len(run):
        run = alike
    if len(run) == 1:
        return [run] if alike + HEAD in held else []
    found = []
    start = 0
    while start < len(run) - 1:
        end = start
        while end < len(run) and alike[start : end + 1] in text:
            end += 1
        common = run[start:end].strip("".join(STOP_CHARACTERS))
        if len(common) >= 2:
            found.append(common)
        start = max(end, start + 1)
    return found


def _clipped(text: str) -> str:
    flat = re.sub(r"\s+", " ", text).strip()
    return flat if len(flat) <= SHOWN_CHARACTERS else flat[: SHOWN_CHARACTERS - 1].rstrip() + "…"
