"""What any model that sees says of pictures: a caption for each, and how well each goes with a text.

Works through ``VisionLanguageModel`` alone, whatever stands behind it. Knows no libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from vision.bridge import prompts as questions
from vision.errors import ModelError
from vision.interfaces import Sampling, VisionLanguageModel

if TYPE_CHECKING:
    from PIL.Image import Image

_CAPTION = Sampling(max_tokens=48, temperature=0.0, repetition_penalty=1.1, stop=("\n",))


def write_captions(model: VisionLanguageModel, images: Sequence[Image], sampling: Sampling = _CAPTION) -> list[str]:
    """One sentence for each picture, unfinished ends cut off. Raises ModelError where the model sees no pictures."""
    _must_see(model)
    prompts = [questions.describe(image) for image in images]
    texts = [""] * len(images)
    finished = [False] * len(images)
    for chunk in model.stream_batch(prompts, [sampling] * len(prompts)) if prompts else ():
        texts[chunk.index] += chunk.text
        finished[chunk.index] |= chunk.finish == "stop"
    return [_sentences(text.strip(), whole) for text, whole in zip(texts, finished, strict=True)]


def score_pictures(
    model: VisionLanguageModel, text: str, images: Sequence[Image], references: Sequence[str] = ()
) -> list[float]:
    """How much rather each picture stands beside ``text`` than beside ``references``, in nats; best first is highest.

    log p(text | picture) less the mean of log p(reference | picture), each for its length in characters: a picture
    that makes any text likely gains nothing by it. Without references, log p(text | picture) less log p(text), which
    ranks pictures as log p(text | picture) does. A picture's score does not depend on the others. Good references
    are the other sections of the article. Raises ModelError where the model sees no pictures.
    """
    _must_see(model)
    texts = [text.strip(), *(reference.strip() for reference in references)]
    if not all(texts):
        raise ModelError("an empty text cannot be scored beside a picture; leave it out")
    prompts = [questions.speaks_of(image) for image in images]
    if not references:
        blind = model.score(questions.speaks_of(""), texts)[0]
        return [row[0] - blind for row in model.score_batch(prompts, [texts] * len(prompts))]
    found = model.score_batch(prompts, [texts] * len(prompts))
    rates = [[value / len(said) for value, said in zip(row, texts, strict=True)] for row in found]
    return [len(texts[0]) * (row[0] - fmean(row[1:])) for row in rates]


def _sentences(text: str, whole: bool) -> str:
    """Without the sentence that the limit cut off, where another stands before it."""
    if whole or not text:
        return text
    end = max(text.rfind(mark) for mark in (". ", "! ", "? ", "。", "!", "?"))
    return text[: end + 1] if end > 0 else text


def _must_see(model: VisionLanguageModel) -> None:
    if not model.sees_images:
        raise ModelError(f"{model.identity.name} reads text only; name a vision-language model or a bridge")
