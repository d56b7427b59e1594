"""The language model judges the candidates of every slot, in the article's context.

A model that reads words is asked about all slots as one batch over the article, and only about pictures that somebody
described: by a classifier's guesses, or words that a model drafted, it tells pictures apart no better than the search
did (docs/research/choosing.md, docs/research/seeing.md). One
that sees is asked slot by slot: it looks at the candidates, and the pictures chosen so far stand in the conversation,
each named by its place, so that it can tell what the article shows already. They stand after the article rather than
within it: the article then stays the prefix that the key-value cache holds, and every further picture adds to it. Knows
no library and no settling of which picture goes where (``composer.pipeline.selection``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from composer.article.model import Section
from composer.pipeline.conversation import Conversation, opening
from composer.pipeline.prompts import Prompts
from composer.pipeline.selection import Considered, worth
from composer.settings import IllustrationSettings
from retrieval.candidates import Candidate
from retrieval.rerank import Question, rerank
from vision.errors import ImageError
from vision.images import load_image
from vision.interfaces import Message, VisionLanguageModel

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

    from image_db.metadata.record import ImageRecord

LOOK_PX = 448  # shorter side at which a model looks at a picture that it is to talk about
# That at which it judges candidates, of which there are many: a processor reads half as much. LLaVA-1.5 sees no more.
JUDGE_PX = 336


def judge_candidates(
    model: VisionLanguageModel,
    prompts: Prompts,
    settings: IllustrationSettings,
    language: str,
    sections: Sequence[Section],
    conversation: Conversation,
    found: Sequence[Considered],
    may_be_shown: Callable[[Candidate], bool],
) -> list[Considered]:
    """Slots, in the article's order, with the model's log-probabilities of their candidates and of showing nothing.

    Of a picture that may not be shown anyway the model is not asked, nor of one of which it knows nothing: it stays
    an alternative without a judgement.
    """

    def question(entry: Considered, turns: tuple[Message, ...]) -> Question:
        return slot_question(prompts, language, opening(sections[entry.slot.after_section]), entry.slot.caption, turns)

    def may_be_judged(candidate: Candidate) -> bool:
        return may_be_shown(candidate) and (model.sees_images or candidate.record.has_given_words)

    asked = [[candidate for candidate in entry.candidates if may_be_judged(candidate)] for entry in found]
    if not model.sees_images:
        questions = [
            (question(entry, conversation.turns), several) for entry, several in zip(found, asked, strict=True)
        ]
        judgements = rerank(model, questions)
        return [entry.judged(j.candidates, j.none_log_prob) for entry, j in zip(found, judgements, strict=True)]

    turns = conversation.turns
    judged: list[Considered] = []
    taken: set[str] = set()
    for entry, several in zip(found, asked, strict=True):
        images = look_at((candidate.record for candidate in several), JUDGE_PX)
        (judgement,) = rerank(model, [(question(entry, turns), several)], images=images)
        judged.append(entry.judged(judgement.candidates, judgement.none_log_prob))
        chosen = provisional(judgement.candidates, judgement.none_log_prob, settings, taken)
        if chosen is not None:
            taken.add(chosen.id)
            place = opening(sections[entry.slot.after_section])
            turns += _standing(prompts, place, chosen.caption_in(language), images.get(chosen.id))
    return judged


def slot_question(prompts: Prompts, language: str, place: str, caption: str, turns: tuple[Message, ...]) -> Question:
    """Does a picture fit where ``caption`` is wanted, after the paragraph that begins like ``place``?"""
    return Question(
        before=prompts.choose.format(opening=place, caption=caption),
        answer_prefix=prompts.choose_prefix,
        caption_language=language,
        turns=turns,
        yes=prompts.choose_yes,
        no=prompts.choose_no,
    )


def look_at(records: Iterable[ImageRecord], side_px: int) -> dict[str, Image]:
    """Pictures by record id, ``side_px`` on the shorter side; what cannot be read any more is judged by its words."""
    images: dict[str, Image] = {}
    for record in records:
        with suppress(ImageError):
            images[record.id] = seen(record.path, side_px)
    return images


def seen(path: Path, side_px: int) -> Image:
    """A picture as a model sees it: no larger than ``side_px`` on the shorter side. Raises ImageError."""
    image = load_image(path, target_px=side_px)  # at up to twice that
    scale = side_px / min(image.size)
    return image if scale >= 1 else image.resize((round(scale * image.width), round(scale * image.height)))


def provisional(
    candidates: Sequence[Candidate], none_log_prob: float | None, settings: IllustrationSettings, taken: set[str]
) -> ImageRecord | None:
    """The picture that would be shown if slots were filled in order; the joint choice may still differ."""
    free = [candidate for candidate in candidates if candidate.record.id not in taken]
    best = max(free, key=lambda candidate: worth(candidate, none_log_prob, settings), default=None)
    return best.record if best is not None and worth(best, none_log_prob, settings) > 0 else None


def _standing(prompts: Prompts, place: str, caption: str, image: Image | None) -> tuple[Message, Message]:
    said = prompts.standing.format(opening=place)
    shown: tuple[str | Image, ...] = (f"{said}\n", *((image,) if image is not None else ()), f" {caption}".rstrip())
    return Message("user", tuple(part for part in shown if part)), Message.of("assistant", prompts.standing_answer)
