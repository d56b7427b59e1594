"""One paragraph from the language model, whole sentences at a time, in the language it is wanted in.

Knows no article and no prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from composer.article.language import detect_language
from composer.pipeline.sentence_filter import ProseFilter
from composer.request import LANGUAGES
from vision.interfaces import Prompt, Sampling, VisionLanguageModel

LEAST_TOLD = 12  # characters from which the language of an answer can be told


class Unfit(Exception):
    """The answer does not do what was asked; says why."""


def paragraph(
    model: VisionLanguageModel, prompt: Prompt, sampling: Sampling, prose: ProseFilter, language: str
) -> Iterator[str]:
    """The answer's first paragraph in pieces; what follows it is not asked for.

    Raises Unfit where there is none, or as soon as it turns out to be in another language.
    """
    answer, told, finish = "", "", "length"
    with closing(model.stream(prompt, sampling)) as chunks:  # type: ignore[type-var]
        for chunk in chunks:
            finish = chunk.finish or finish
            if not (piece := prose.feed(chunk.text)):
                continue
            answer += piece
            paragraph, over = _first_paragraph(answer)
            _check_language(paragraph, language)
            if len(paragraph) > len(told):
                yield paragraph[len(told) :]
                told = paragraph
            if over:
                break
    rest = prose.finish(complete=finish == "stop")
    paragraph, _ = _first_paragraph(answer + rest)
    _check_language(paragraph, language)
    if len(paragraph) > len(told):
        yield paragraph[len(told) :]
    if not paragraph.strip():
        raise Unfit("the model gave nothing usable")


def _first_paragraph(answer: str) -> tuple[str, bool]:
    """The first line that is no lead-in, without a sentence that leads to what follows it, and whether it is over."""
    lines = [line for line in answer.split("\n") if line.strip()]
    while lines and lines[0].rstrip().endswith((":", "：")):
        lines.pop(0)
    return (lines[0], len(lines) > 1) if lines else ("", False)


def _check_language(told: str, language: str) -> None:
    if len(told) >= LEAST_TOLD and detect_language(told) != language:
        raise Unfit(f"the model did not answer in {LANGUAGES[language]}")
