"""The conversation about an article as JSON values, so that it lasts as long as its draft. Knows no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from composer.article.serialization import record_from_json, record_to_json
from composer.studio.job_queue import Job

if TYPE_CHECKING:
    from image_db.metadata.record import ImageRecord

KEPT_QUESTIONS = 100


@dataclass(slots=True)
class Said:
    """A question and what has been answered so far. ``picture`` is what it was about, None for the article.

    ``note`` is a key of the page's words.
    """

    question: str
    picture: ImageRecord | None = None
    answer: str = ""
    note: str = ""
    trouble: Exception | None = None
    job: Job | None = None
    over: bool = False


def talk_to_json(talk: Sequence[Said]) -> list[dict[str, Any]]:
    """The latest questions, each with its answer as far as it goes."""
    return [
        {
            "question": said.question,
            "answer": said.answer,
            "note": said.note,
            "over": said.over,
            "picture": None
            if said.picture is None
            else {"id": said.picture.id, **record_to_json(said.picture, said.picture.path.name)},
        }
        for said in talk[-KEPT_QUESTIONS:]
    ]


def talk_from_json(values: Sequence[Mapping[str, Any]]) -> list[Said]:
    """Read what ``talk_to_json`` wrote; an answer that was still being given says that it was cut off."""
    talk = []
    for entry in values:
        picture = entry["picture"]
        talk.append(
            Said(
                entry["question"],
                None if picture is None else record_from_json(picture["id"], picture),
                entry["answer"],
                entry["note"] if entry["over"] else "answer_cut",
                over=True,
            )
        )
    return talk
