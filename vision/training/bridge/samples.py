"""Illustrated articles as questions about pictures with their answers, in the very tokens a model meets in use.

A picture is the number of its row in the cached grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.huggingface.captioning import SYSTEM, describe
from vision.interfaces import Message
from vision.training.dataset import Figure, TrainingArticle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.interfaces import Prompt

_OPENING_TOKENS = 16
_MAX_PLACES = 12
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Sample:
    """``ids`` with ``answer`` tokens at their end that are learned; ``pictures`` are rows of the grids, in order."""

    ids: tuple[int, ...]
    answer: int
    pictures: tuple[int, ...]
    task: str


class SampleMaker:
    """``processor`` and ``chat`` are those of the bridged model."""

    def __init__(self, processor: Any, chat: Any) -> None:
        self._processor, self._chat = processor, chat
        self._tokenizer = processor.tokenizer
        self._stop = self._ids(chat.end_of_turn())[:1]

    def sample(self, prompt: Prompt, answer: str, pictures: Sequence[int], task: str, max_tokens: int) -> Sample:
        """``prompt`` holds ``MARK`` where pictures stand. The end of the turn is part of the answer unless cut."""
        text = self._chat.render(prompt).text
        pieces = text.split(self._processor.image_token)
        assert len(pieces) == len(pictures) + 1
        ids: list[int] = []
        for number, piece in enumerate(pieces):
            ids += [self._processor.picture_id] * self._processor.picture_tokens if number else []
            ids += self._ids(piece)
        learned = self._ids(answer)
        learned = [*learned, *self._stop] if len(learned) <= max_tokens else learned[:max_tokens]
        return Sample((*ids, *learned), len(learned), tuple(pictures), task)

    def cut(self, text: str, max_tokens: int) -> str:
        """The last tokens of a text, from the beginning of a word."""
        ids = self._ids(text)
        if len(ids) <= max_tokens:
            return text
        tail: str = self._tokenizer.decode(ids[-max_tokens:])
        return tail.partition(" ")[2]

    def head(self, text: str, max_tokens: int) -> str:
        ids = self._ids(text)
        return text if len(ids) <= max_tokens else f"{self._tokenizer.decode(ids[:max_tokens]).rpartition(' ')[0]} …"

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


class PictureMark:
    """Stands for a picture in a prompt of training; the chat template sees only that it is not text."""


MARK: Any = PictureMark()


def _asked(*content: Any) -> Prompt:
    return (Message.of("system", SYSTEM), Message("user", content))


def descriptions(
    figures: Sequence[Figure], maker: SampleMaker, max_tokens: int, caption_chance: float, seed: int
) -> list[Sample]:
    """One for each figure with words: its alt text or, by chance, its caption."""
    generator = np.random.default_rng(seed)
    samples = []
    for row, figure in enumerate(figures):
        said = figure.caption if figure.caption and generator.random() < caption_chance else figure.alt
        if said := said or figure.caption:
            samples.append(maker.sample(describe(MARK), said, [row], "describe", max_tokens))
    return samples


def captions(figures: Sequence[Figure], maker: SampleMaker, max_tokens: int, section_tokens: int) -> list[Sample]:
    """The caption, knowing the section before it."""
    samples = []
    for row, figure in enumerate(figures):
        if figure.caption and figure.before:
            section = maker.cut(figure.section, section_tokens).strip()
            prompt = _asked(f"{section}\n\nWrite the caption of the photograph that stands here.\n", MARK)
            samples.append(maker.sample(prompt, figure.caption, [row], "caption", max_tokens))
    return samples


def choices(
    figures: Sequence[Figure],
    maker: SampleMaker,
    lookalikes: NDArray[np.integer],
    candidates: int,
    section_tokens: int,
    seed: int,
) -> list[Sample]:
    """The true picture among its nearest look-alikes (n, at least ``candidates`` - 1), in a random order."""
    generator = np.random.default_rng(seed)
    samples = []
    for row, figure in enumerate(figures):
        if not figure.before:
            continue
        rows = np.array([row, *lookalikes[row, : candidates - 1]])[generator.permutation(candidates)]
        section = maker.cut(figure.section, section_tokens).strip()
        parts = [f"{section}\n\nWhich of these photographs belongs here?\nA. ", MARK]
        for letter in _LETTERS[1:candidates]:
            parts += [f"\n{letter}. ", MARK]
        answer = _LETTERS[int(np.flatnonzero(rows == row)[0])]
        samples.append(maker.sample(_asked(*parts, "\n"), answer, [int(r) for r in rows], "choose", 1))
    return samples


def places(articles: Sequence[TrainingArticle], rows: dict[object, int], maker: SampleMaker, seed: int) -> list[Sample]:
    """After which of a window of paragraphs does a figure stand? ``rows``: image path → row."""
    generator = np.random.default_rng(seed)
    samples = []
    for article in articles:
        paragraphs = [i for i, block in enumerate(article.blocks) if block.kind == "paragraph"]
        for index, block in enumerate(article.blocks):
            before = [n for n, i in enumerate(paragraphs) if i < index]
            if block.image not in rows or not before or len(paragraphs) < 3:
                continue
            start = max(0, min(before[-1] - int(generator.integers(_MAX_PLACES)), len(paragraphs) - _MAX_PLACES))
            window = paragraphs[start : start + _MAX_PLACES]
            openings = (maker.head(article.blocks[i].text, _OPENING_TOKENS) for i in window)
            lines = "\n".join(f"{number}. {opening}" for number, opening in enumerate(openings, 1))
            prompt = _asked(f"{lines}\n\nAfter which of these paragraphs does the photograph belong?\n", MARK)
            answer = str(before[-1] - start + 1)
            samples.append(maker.sample(prompt, answer, [rows[block.image]], "place", 3))
    return samples
