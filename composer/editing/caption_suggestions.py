"""Words under a picture that the language model proposes on request.

The model is told what the library says of the picture, and looks at it where it can.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from composer.article.language import detect_language
from composer.article.model import Article
from composer.editing.lookup import shown_picture
from composer.editing.pictures import set_alt, set_caption
from composer.errors import WritingFailed
from composer.pipeline.captions import CAPTION_TOKENS, clean_caption
from composer.pipeline.conversation import opening
from composer.pipeline.picture_words import translated_words
from composer.pipeline.prompts import Prompts, load_prompts
from composer.pipeline.reranking import LOOK_PX
from composer.pipeline.writing.seeds import derive_seed
from vision.errors import ImageError
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

if TYPE_CHECKING:
    from PIL.Image import Image

    from image_db.metadata.record import ImageRecord

ATTEMPTS = 4
_QUOTED = re.compile(r"""\s*["“「](.+?)["”」]""")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Words that the model proposes for a picture; ``take`` puts them in place."""

    caption: str
    alt: str


def take(article: Article, placement: int, suggestion: Suggestion) -> Article:
    """Print the suggested caption, and the alternative text where there was none: a person has read them."""
    captioned = set_caption(article, placement, suggestion.caption)
    return captioned if captioned.placements[placement].alt else set_alt(captioned, placement, suggestion.alt)


def suggest_caption(
    model: VisionLanguageModel, article: Article, placement: int, earlier: Sequence[str] = ()
) -> Suggestion:
    """A caption unlike ``earlier`` ones, and the alt text that goes with the picture, in the article's language.

    Raises EditError where no picture is shown and WritingFailed where the model has no other words.
    """
    target = shown_picture(article, placement)
    record = target.chosen
    assert record is not None
    prompts, language = load_prompts(article.writing_language), article.writing_language
    words = translated_words(model, prompts, language, record)
    known = {_key(text) for text in earlier}
    begin = opening(article.sections[target.slot.after_section])
    told = [words.caption or begin, record.alt, ", ".join(record.tags or record.guessed_tags)]
    prompt = _prompt(model, prompts, record, "; ".join(dict.fromkeys(filter(None, told))), begin, earlier)
    for attempt in range(ATTEMPTS):
        # The most likely caption first; after that others are wanted, and the model has to be let wander.
        sampling = Sampling(
            CAPTION_TOKENS,
            temperature=0.0 if attempt == 0 and not earlier else 0.5 + 0.15 * attempt,
            seed=derive_seed(len(earlier), f"suggest {record.id} {attempt}"),
            stop=("\n",),
        )
        answer = "".join(chunk.text for chunk in model.stream(prompt, sampling))
        quoted = _QUOTED.match(answer)  # a model that quotes its caption may go on to praise it
        caption = clean_caption(quoted[1] if quoted else answer)
        caption = caption[:1].upper() + caption[1:]
        if caption and _key(caption) not in known and detect_language(caption) == language:
            return Suggestion(caption, target.alt or words.alt or caption)
    raise WritingFailed("no_other_caption")


def _prompt(
    model: VisionLanguageModel,
    prompts: Prompts,
    record: ImageRecord,
    shown: str,
    begin: str,
    earlier: Sequence[str],
) -> Prompt:
    from vision.images import load_image

    picture: Image | None = None
    if model.sees_images:
        with suppress(ImageError):  # then the library's words have to do
            picture = load_image(record.path, target_px=LOOK_PX)
    # What is written around it leads a model that cannot see to claim that the picture shows it.
    asked = prompts.suggest_seen.format(shown=shown, opening=begin) if picture else prompts.suggest.format(shown=shown)
    said = [text for text in dict.fromkeys(earlier) if text.strip()]
    if said:
        asked += " " + prompts.suggest_other.format(earlier="; ".join(said))
    question = Message("user", (picture, asked)) if picture else Message.of("user", asked)
    return (question, Message.of("assistant", prompts.suggest_prefix))


def _key(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
