"""Captions from any model that sees, a sentence for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vision.errors import ModelError
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

if TYPE_CHECKING:
    from PIL.Image import Image

SYSTEM = "You look at photographs for an editor."
_CAPTION = Sampling(max_tokens=48, temperature=0.0, repetition_penalty=1.1, stop=("\n",))


def describe(picture: Image) -> Prompt:
    """What does the picture show? A bridge is trained with the same words."""
    return (Message.of("system", SYSTEM), Message("user", ("Describe the photograph.\n", picture)))


def write_captions(model: VisionLanguageModel, images: Sequence[Image], sampling: Sampling = _CAPTION) -> list[str]:
    """One sentence for each picture, unfinished ends cut off. Raises ModelError where the model sees no pictures."""
    if not model.sees_images:
        raise ModelError("model_sees_nothing", model=model.identity.name)
    prompts = [describe(image) for image in images]
    texts = [""] * len(images)
    finished = [False] * len(images)
    for chunk in model.stream_batch(prompts, [sampling] * len(prompts)) if prompts else ():
        texts[chunk.index] += chunk.text
        finished[chunk.index] |= chunk.finish == "stop"
    return [_sentences(text.strip(), whole) for text, whole in zip(texts, finished, strict=True)]


def _sentences(text: str, whole: bool) -> str:
    """Without the sentence that the limit cut off, where another stands before it."""
    if whole or not text:
        return text
    end = max(text.rfind(mark) for mark in (". ", "! ", "? ", "。", "!", "?"))
    return text[: end + 1] if end > 0 else text
