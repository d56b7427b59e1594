"""Prompts as token ids, positions and pixels, with the place of every picture known.

Two prompts share a key-value cache as far as their token ids and their pictures agree; this module says how far.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from PIL import Image

from vision.errors import ModelError
from vision.huggingface.chat_template import ChatTemplate, RenderedPrompt
from vision.huggingface.picture_features import PictureFeatures
from vision.interfaces import Message, Prompt

_REMEMBERED_PROMPTS = 4  # counting a prompt and then reading it should prepare its pictures once
_REMEMBERED_PICTURES = 64


@dataclass(frozen=True, slots=True)
class PictureSpan:
    """Tokens ``start`` to ``end`` stand for the picture of this fingerprint."""

    start: int
    end: int
    fingerprint: bytes


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPrompt:
    """``ids`` of length L; ``positions`` (L,), or (axes, L) where pictures have rows and columns.

    ``aligned`` holds further inputs with one value a token, (1, L), ``pixels`` those of all pictures.
    ``continued`` are the ids of an assistant turn that is being continued.
    """

    ids: tuple[int, ...]
    positions: torch.Tensor
    spans: tuple[PictureSpan, ...]
    images: tuple[Image.Image, ...]
    aligned: dict[str, torch.Tensor]
    pixels: dict[str, torch.Tensor]
    continued: tuple[int, ...]

    @property
    def pictures_end(self) -> int:
        """Number of tokens up to the end of the last picture; 0 without pictures."""
        return self.spans[-1].end if self.spans else 0

    def spans_before(self, end: int) -> tuple[PictureSpan, ...]:
        return tuple(picture for picture in self.spans if picture.end <= end)


def shared_length(
    ids: Sequence[int], spans: Sequence[PictureSpan], other: EncodedPrompt, limit: int | None = None
) -> int:
    """Number of leading tokens, at most ``limit``, that mean the same in both; never part of a picture."""
    longest = min(len(ids), len(other.ids), len(ids) if limit is None else limit)
    shared = next((i for i in range(longest) if ids[i] != other.ids[i]), longest)
    for position in range(max(len(spans), len(other.spans))):
        mine = spans[position] if position < len(spans) else None
        theirs = other.spans[position] if position < len(other.spans) else None
        starts = [span.start for span in (mine, theirs) if span is not None]
        if min(starts) >= shared:
            break
        if mine != theirs or mine is None or mine.end > shared:
            return min(starts)
    return shared


class PromptEncoder:
    """Turns prompts into model inputs. ``processor`` is None for a model that reads text only.

    ``opening`` are ids that stand before every prompt, whatever its template: the virtual tokens of prompt tuning.
    """

    def __init__(self, processor: Any, tokenizer: Any, model: Any, chat: ChatTemplate, name: str) -> None:
        self.opening: tuple[int, ...] = ()
        self._processor = processor
        self._tokenizer = tokenizer
        self._architecture = getattr(model, "model", model)
        self._features = PictureFeatures.of_model(model)
        self._chat = chat
        self._name = name
        self._placeholder = self._find_placeholder() if processor is not None else ""
        self._prompts: OrderedDict[tuple[object, ...], EncodedPrompt] = OrderedDict()
        self._picture_ids: OrderedDict[bytes, tuple[int, ...]] = OrderedDict()

    def forget(self) -> None:
        self._prompts.clear()
        if self._features is not None:
            self._features.forget()

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        rendered = self._chat.render(prompt)
        fingerprints = [_fingerprint(image) for image in rendered.images]
        key = (rendered.text, rendered.continued, self.opening, *fingerprints)
        if key in self._prompts:
            self._prompts.move_to_end(key)
            return self._prompts[key]
        encoded = self._encode_mixed(rendered, fingerprints) if fingerprints else self._encode_text(rendered)
        encoded = self._opened(encoded) if self.opening else encoded
        self._prompts[key] = encoded
        if len(self._prompts) > _REMEMBERED_PROMPTS:
            self._prompts.popitem(last=False)
        return encoded

    def _opened(self, encoded: EncodedPrompt) -> EncodedPrompt:
        count = len(self.opening)
        first = torch.arange(count).expand(*encoded.positions.shape[:-1], count)
        return replace(
            encoded,
            ids=(*self.opening, *encoded.ids),
            positions=torch.cat([first, encoded.positions + count], dim=-1),
            spans=tuple(replace(span, start=span.start + count, end=span.end + count) for span in encoded.spans),
            aligned={name: torch.nn.functional.pad(value, (count, 0)) for name, value in encoded.aligned.items()},
        )

    def encode_answer(self, text: str, *, closed: bool) -> tuple[int, ...]:
        """Ids of an answer to learn, where a prompt ends; ``closed`` adds what ends the turn."""
        ids = self.encode_continuation(text)
        return (*ids, *self._ids(self._chat.end_of_turn())[:1]) if closed else ids

    def encode_continuation(self, text: str) -> tuple[int, ...]:
        """Ids of text that goes on where a prompt ends; sentencepiece's leading blank is not part of it."""
        anchor = self._ids("\n")
        anchored = self._ids("\n" + text)
        return anchored[len(anchor) :] if anchored[: len(anchor)] == anchor else self._ids(text)

    def pictures_between(self, encoded: EncodedPrompt, start: int, end: int) -> dict[str, Any]:
        """Inputs of the pictures that stand at positions ``start`` to ``end``: their features, or their pixels."""
        if len(encoded.spans) < len(encoded.images):
            return encoded.pixels
        pairs = zip(encoded.images, encoded.spans, strict=True)
        here = [(image, span.fingerprint) for image, span in pairs if start <= span.start < end]
        if self._features is not None:
            return self._features.of([(print_, partial(self._pixels, image)) for image, print_ in here])
        if len(here) == len(encoded.images):
            return encoded.pixels
        inputs = self._process(self._placeholder * len(here), [image for image, _ in here], special=False)
        return _split(inputs)[1]

    def _encode_text(self, rendered: RenderedPrompt) -> EncodedPrompt:
        ids = self._ids(rendered.text, special=self._needs_special(rendered.text))
        continued = self._ids(rendered.continued) if rendered.continued else ()
        return EncodedPrompt(ids, torch.arange(len(ids)), (), (), {}, {}, continued)

    def _encode_mixed(self, rendered: RenderedPrompt, fingerprints: list[bytes]) -> EncodedPrompt:
        special = self._needs_special(rendered.text)
        inputs = self._process(rendered.text, rendered.images, special=special)
        ids = tuple(inputs["input_ids"][0].tolist())
        aligned, pixels = _split(inputs)
        spans = self._spans(rendered, fingerprints, ids, special)
        continued = self._ids(rendered.continued) if rendered.continued else ()
        return EncodedPrompt(ids, self._positions(inputs), spans, rendered.images, aligned, pixels, continued)

    def _spans(
        self, rendered: RenderedPrompt, fingerprints: list[bytes], ids: tuple[int, ...], special: bool
    ) -> tuple[PictureSpan, ...]:
        """Where each picture stands, found by writing the prompt piece by piece.

        Where the pieces do not add up to the whole (a processor that treats several pictures unlike one),
        everything from the first picture to the end counts as one picture, which costs reuse, not correctness.
        """
        texts = rendered.text.split(self._placeholder)
        pieces = list(self._ids(texts[0], special=special))
        first = len(pieces)
        spans = []
        if len(texts) == len(fingerprints) + 1:
            for image, fingerprint, text in zip(rendered.images, fingerprints, texts[1:], strict=True):
                start = len(pieces)
                pieces += self._ids_of_picture(image, fingerprint)
                spans.append(PictureSpan(start, len(pieces), fingerprint))
                pieces += self._ids(text)
            if tuple(pieces) == ids:
                return tuple(spans)
        start = first if tuple(pieces[:first]) == ids[:first] else 0
        whole = hashlib.blake2b(b"".join(fingerprints), digest_size=16).digest()
        return (PictureSpan(start, len(ids), whole),)

    def _ids_of_picture(self, image: Image.Image, fingerprint: bytes) -> tuple[int, ...]:
        if fingerprint not in self._picture_ids:
            inputs = self._process(self._placeholder, [image], special=False)
            self._picture_ids[fingerprint] = tuple(inputs["input_ids"][0].tolist())
            if len(self._picture_ids) > _REMEMBERED_PICTURES:
                self._picture_ids.popitem(last=False)
        return self._picture_ids[fingerprint]

    def _pixels(self, image: Image.Image) -> dict[str, torch.Tensor]:
        return _split(self._process(self._placeholder, [image], special=False))[1]

    def _positions(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        length = inputs["input_ids"].shape[1]
        index = getattr(self._architecture, "get_rope_index", None)
        if index is None:
            return torch.arange(length)
        known = inspect.signature(index).parameters
        positions, _ = index(**{name: value for name, value in inputs.items() if name in known})
        return positions[:, 0, :]

    def _process(self, text: str, images: Sequence[Image.Image], *, special: bool) -> dict[str, torch.Tensor]:
        pictures = [image if image.mode == "RGB" else image.convert("RGB") for image in images]
        try:
            inputs = self._processor(text=[text], images=[pictures], return_tensors="pt", add_special_tokens=special)
        except (ValueError, TypeError, IndexError) as error:
            raise ModelError("pictures_refused", model=self._name, reason=str(error)) from error
        tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
        if "cross_attention_mask" in tensors:
            raise ModelError("cross_attention_unsupported", model=self._name)
        return tensors

    def _find_placeholder(self) -> str:
        """What the template writes for a picture and the processor replaces."""
        turn = self._chat.render([Message("user", (Image.new("RGB", (8, 8)),))]).text
        for name in ("boi_token", "image_token"):
            token = getattr(self._processor, name, None)
            if token and str(token) in turn:
                return str(token)
        raise ModelError("template_without_pictures", model=self._name)

    def _needs_special(self, text: str) -> bool:
        """Whether the template leaves the start token to the tokenizer (as transformers decides it)."""
        start = self._tokenizer.bos_token
        return self._processor is not None and not (start is not None and text.startswith(start))

    def _ids(self, text: str, *, special: bool = False) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=special)["input_ids"])


def _split(inputs: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Inputs with one value a token, other than ids and mask, and inputs that belong to pictures."""
    shape = inputs["input_ids"].shape
    aligned: dict[str, torch.Tensor] = {}
    pixels: dict[str, torch.Tensor] = {}
    for name, value in inputs.items():
        if name in ("input_ids", "attention_mask"):
            continue
        (aligned if value.shape == shape and not value.is_floating_point() else pixels)[name] = value
    return aligned, pixels


def _fingerprint(image: Image.Image) -> bytes:
    seal = hashlib.blake2b(f"{image.mode} {image.size}".encode(), digest_size=16)
    seal.update(image.tobytes())
    return seal.digest()
