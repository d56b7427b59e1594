"""Prompts of InternLM-XComposer as ids, with pictures as vectors that are made once and kept."""

from __future__ import annotations

from collections import OrderedDict

import torch
from PIL import Image

from vision.huggingface.chat_template import ChatTemplate, RenderedPrompt
from vision.huggingface.prompt_encoding import EncodedPrompt, PictureSpan, PromptEncoder
from vision.xcomposer.model import XComposerCausalLM
from vision.xcomposer.pictures import PictureLayout
from vision.xcomposer.tokenizer import PLACEHOLDER, InternLM2Tokenizer

_REMEMBERED_PLACES = 16384  # of pictures: 256 MB at 4096 float32 values a place


class XComposerPromptEncoder(PromptEncoder):
    """Encodes text piece by piece between the pictures, as the original does, the first piece with the start token."""

    def __init__(self, tokenizer: InternLM2Tokenizer, model: XComposerCausalLM, chat: ChatTemplate, name: str) -> None:
        super().__init__(tokenizer, tokenizer, model, chat, name)
        self._model = model
        self._layout = PictureLayout(model.settings)
        self._vectors: OrderedDict[tuple[bytes, int], torch.Tensor] = OrderedDict()

    def pictures_between(self, encoded: EncodedPrompt, start: int, end: int) -> dict[str, torch.Tensor]:
        """``picture_vectors`` of the pictures at positions ``start`` to ``end``: only those have to be looked at."""
        most = self._layout.most_tiles(len(encoded.images))
        pairs = zip(encoded.images, encoded.spans, strict=True)
        return {
            "picture_vectors": torch.cat(
                [self._seen(image, span.fingerprint, most) for image, span in pairs if start <= span.start < end]
            )
        }

    def _encode_mixed(self, rendered: RenderedPrompt, fingerprints: list[bytes]) -> EncodedPrompt:
        most = self._layout.most_tiles(len(fingerprints))
        texts = rendered.text.split(PLACEHOLDER)
        ids = list(self._ids(texts[0], special=True))
        spans = []
        for image, fingerprint, text in zip(rendered.images, fingerprints, texts[1:], strict=True):
            places = self._layout.tokens(image.size, most)
            spans.append(PictureSpan(len(ids), len(ids) + places, fingerprint))
            ids += [self._model.picture_id] * places
            ids += self._ids(text)
        continued = self._ids(rendered.continued) if rendered.continued else ()
        positions = torch.arange(len(ids))
        return EncodedPrompt(tuple(ids), positions, tuple(spans), rendered.images, {}, {}, continued)

    @torch.inference_mode()
    def _seen(self, image: Image.Image, fingerprint: bytes, most: int) -> torch.Tensor:
        key = (fingerprint, most)
        if key not in self._vectors:
            self._vectors[key] = self._model.see(self._layout.pixels(image, most))
            while len(self._vectors) > 1 and sum(map(len, self._vectors.values())) > _REMEMBERED_PLACES:
                self._vectors.popitem(last=False)
        self._vectors.move_to_end(key)
        return self._vectors[key]
