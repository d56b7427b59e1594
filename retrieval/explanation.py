"""One short sentence on why a picture is proposed. Knows the scores, not how they were made or weighed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from image_db.metadata.record import ImageRecord
from retrieval.candidates import Query
from retrieval.tokens import CJK_RUN, STOP_CHARACTERS, terms

SHOWN_CHARACTERS = 60  # of the query
SHOWN_WORDS = 3


@dataclass(frozen=True, slots=True)
class Wording:
    """The templates of one language; every part of a reason is one of them."""

    told: str
    guessed: str
    shared: str
    looks: str
    looks_too: str
    example: str
    nothing: str
    comma: str
    semicolon: str


WORDINGS = {
    "en": Wording(
        told="its caption matches “{wanted}” ({score:.2f})",
        guessed="what a classifier saw in it matches “{wanted}” ({score:.2f})",
        shared="shared words: {words}",
        looks="its looks match “{wanted}” ({score:.2f})",
        looks_too="the picture itself {score:.2f}",
        example="looks like the example ({score:.2f})",
        nothing="nothing definite matches",
        comma=", ",
        semicolon="; ",
    ),
    "zh": Wording(
        told="图片说明与“{wanted}”相符（{score:.2f}）",
        guessed="分类器辨认出的内容与“{wanted}”相符（{score:.2f}）",
        shared="相同的词：{words}",
        looks="画面与“{wanted}”相符（{score:.2f}）",
        looks_too="画面本身{score:.2f}",
        example="与示例图片相似（{score:.2f}）",
        nothing="没有明确相符之处",
        comma="、",
        semicolon="；",
    ),
}


def explain(
    query: Query, record: ImageRecord, *, visual: float | None, textual: float | None, example: float | None
) -> str:
    """What matched, with its cosines; None where there was nothing of the kind to compare.

    In the query's language, English where there are no words for that one. What was compared is quoted as the person
    said it, not in the English that an encoder was given.
    """
    say = WORDINGS.get(query.language, WORDINGS["en"])
    wanted = _clipped(query.wording if query.language == "en" else query.caption or query.english)
    parts = []
    if textual is not None:
        told = record.caption or record.alt or record.tags or record.captions
        parts.append((say.told if told else say.guessed).format(wanted=wanted, score=textual))
    # The person's own words first; those of their translation only where none of these is shared.
    shared = (shared_words(query.caption, record.text) or shared_words(query.english, record.text))[:SHOWN_WORDS]
    if shared:
        parts.append(say.shared.format(words=say.comma.join(shared)))
    if visual is not None:
        parts.append((say.looks_too if parts else say.looks).format(wanted=wanted, score=visual))
    if example is not None:
        parts.append(say.example.format(score=example))
    return say.semicolon.join(parts) or say.nothing


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
