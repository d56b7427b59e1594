"""A language model whose scores are kept in a file: a measurement that was cut off goes on where it was.

One line a prompt, keyed by the weights' hash, the prompt with its pictures, and the options.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from vision.interfaces import Chunk, Prompt, Sampling, VisionLanguageModel


class ScoreCache:
    """The model behind it, except that ``score`` and ``score_batch`` ask it only what the file does not hold."""

    def __init__(self, model: VisionLanguageModel, file: Path) -> None:
        self._model, self._file = model, file
        self.identity = model.identity
        self.sees_images = model.sees_images
        self.context_tokens = model.context_tokens
        self.usage = model.usage
        self._known: dict[str, list[float]] = {}
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                if line.endswith("}"):  # a line cut off by a kill is asked again
                    row = json.loads(line)
                    self._known[row["key"]] = row["scores"]

    def count_tokens(self, prompt: Prompt) -> int:
        return self._model.count_tokens(prompt)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return self._model.stream(prompt, sampling)

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        return self._model.stream_batch(prompts, samplings)

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self.score_batch([prompt], [options])[0]

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        keys = [self._key(prompt, several) for prompt, several in zip(prompts, options, strict=True)]
        new = [i for i, key in enumerate(keys) if key not in self._known]
        if new:
            scores = self._model.score_batch([prompts[i] for i in new], [options[i] for i in new])
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as out:
                for i, row in zip(new, scores, strict=True):
                    self._known[keys[i]] = list(row)
                    # The line feed leads, so that a line cut off by a kill spoils none after it.
                    out.write("\n" + json.dumps({"key": keys[i], "scores": list(row)}))
        return [self._known[key] for key in keys]

    def _key(self, prompt: Prompt, options: Sequence[str]) -> str:
        digest = hashlib.sha256(self._model.identity.sha256.encode())
        for message in prompt:
            digest.update(f"\0{message.role}".encode())
            for part in message.content:
                digest.update(b"\1" + (part.encode() if isinstance(part, str) else _pixels(part)))
        for option in options:
            digest.update(b"\2" + option.encode())
        return digest.hexdigest()[:32]


def _pixels(image: object) -> bytes:
    from PIL.Image import Image

    assert isinstance(image, Image)  # the only other part of a message
    return f"{image.mode}{image.size}".encode() + image.tobytes()
