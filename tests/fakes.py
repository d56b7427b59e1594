"""Small stand-ins that honour the real protocols, for tests that need no weights."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from vision.interfaces import EncoderIdentity

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (40, 70, 210),
    "yellow": (240, 220, 40),
    "orange": (245, 140, 20),
    "purple": (130, 40, 160),
    "pink": (245, 150, 190),
    "brown": (120, 75, 40),
    "cyan": (60, 210, 220),
    "white": (250, 250, 250),
    "grey": (128, 128, 128),
    "black": (10, 10, 10),
}
_OTHER_DIM = 12
_WORD = re.compile(r"[㐀-鿿]|[^\W_㐀-鿿]+")


def words_of(text: str) -> list[str]:
    """Lower-case words; each Chinese character is one."""
    return _WORD.findall(text.lower())


class ColourEncoder:
    """A joint encoder that knows twelve colours and nothing else.

    A picture becomes the shares of its pixels that are nearest to each colour, plus a faint trace of where light
    and hue lie, so that two different pictures differ. A text becomes the colours it names; one that names none
    points into the trace, away from every colour. Sentences are hashed bags of words. Deterministic.

    ``seen`` counts what was encoded, so that a test can tell work from no work.
    """

    def __init__(self, name: str = "colours", textual_dim: int = 64, languages: Sequence[str] | None = ("en",)) -> None:
        digest = hashlib.sha256(f"{name}/{textual_dim}".encode()).hexdigest()
        self.identity = EncoderIdentity(name, digest, len(PALETTE) + _OTHER_DIM, textual_dim)
        self.languages = None if languages is None else frozenset(languages)
        self.seen = {"images": 0, "texts": 0, "sentences": 0}

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.seen["images"] += len(images)
        palette = np.array(list(PALETTE.values()), np.float32)
        vectors = np.zeros((len(images), self.identity.visual_dim), np.float32)
        for vector, image in zip(vectors, images, strict=True):
            assert image.mode == "RGB", f"an encoder takes RGB pictures, not {image.mode}"
            pixels = np.asarray(image.resize((16, 16), Image.Resampling.BOX), np.float32)
            nearest = ((pixels.reshape(-1, 1, 3) - palette) ** 2).sum(-1).argmin(1)
            vector[: len(PALETTE)] = np.bincount(nearest, minlength=len(PALETTE)) / len(nearest)
            quarters = pixels.reshape(2, 8, 2, 8, 3).mean((1, 3)) / 255
            vector[len(PALETTE) :] = 0.1 * quarters.reshape(-1)
        return _unit(vectors)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self.seen["texts"] += len(texts)
        names = list(PALETTE)
        vectors = np.zeros((len(texts), self.identity.visual_dim), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in words_of(text):
                if word in PALETTE:
                    vector[names.index(word)] += 1
            if not vector.any():
                for word in words_of(text) or [""]:
                    vector[len(PALETTE) + zlib.crc32(word.encode()) % _OTHER_DIM] += 1
        return _unit(vectors)

    def encode_sentences(self, texts: Sequence[str]) -> np.ndarray:
        self.seen["sentences"] += len(texts)
        vectors = np.zeros((len(texts), self.identity.textual_dim), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in words_of(text) or [""]:
                vector[zlib.crc32(word.encode()) % self.identity.textual_dim] += 1
        return _unit(vectors)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(norms > 0, norms, 1), dtype=np.float32)
