"""Writes an article's text again around what a person wrote or locked, which stays word for word.

The structure stands: each open section gets another paragraph under its own heading, written in the model's turn after
everything before it, as ``composer.pipeline.writing.writer`` does. A section for which the model has nothing usable
keeps its text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from composer.article.claims import claims_in
from composer.article.language import count_words
from composer.article.markdown import is_paragraph
from composer.article.model import Article, Section
from composer.editing.proposals import stream_paragraph
from composer.errors import WritingFailed
from composer.pipeline.prompts import Prompts, load_prompts
from composer.pipeline.writing.seeds import derive_seed
from composer.pipeline.writing.sentence_filter import SentenceFilter
from composer.pipeline.writing.writer import sampling_of, token_limit, writing_question
from composer.settings import WritingSettings
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

LEAST_WORDS, MOST_WORDS = 60, 220  # of a section


def open_sections(article: Article) -> list[int]:
    """Those that may be written again: running text that is neither locked nor edited, nor cited from sources, which
    the model is not shown here."""
    return [
        i
        for i, s in enumerate(article.sections)
        if not s.locked_or_edited and not s.citations and s.body and is_paragraph(s.body)
    ]


def rewrite_article(
    model: VisionLanguageModel, settings: WritingSettings, article: Article, *, tone: str = "", seed: int = 0
) -> Iterator[Article]:
    """The article after each section that was written again. Closing the iterator cancels between tokens.

    The seed takes part with the text that stands: the same question twice gives two texts.
    """
    prompts = load_prompts(article.writing_language)
    request = _request(prompts, article, tone)
    open_ = set(open_sections(article))
    prose = SentenceFilter()
    for number, section in enumerate(article.sections):
        if number not in open_:
            prose.note(section.body)
    before = [f"# {article.title}\n\n"]
    headed = any(section.heading for section in article.sections)
    for number, section in enumerate(article.sections):
        lead = section.text[: len(section.text) - len(section.body)].rstrip() + "\n\n" if section.heading else ""
        # In the model's turn the introduction has a heading, or the model would add one.
        named = f"## {prompts.intro}\n\n" if headed and number == 0 and not lead else lead
        if number in open_:
            words = min(max(count_words(section.body), LEAST_WORDS), MOST_WORDS)
            own_seed = derive_seed(seed, f"anew {number} {_digest(section)}")
            sampling = sampling_of(settings, token_limit(words), own_seed)
            prompt = _prompt(model, request, [*before, named], sampling.max_tokens)
            if body := _body(model, prompt, sampling, prose, article.writing_language):
                claims = claims_in(lead + body, [article.title])
                section = replace(section, text=lead + body, unchecked=claims)
                sections = (*article.sections[:number], section, *article.sections[number + 1 :])
                article = replace(article, sections=sections)
                yield article
        before.append(named + section.body + "\n\n")


def _body(model: VisionLanguageModel, prompt: Prompt, sampling: Sampling, prose: SentenceFilter, language: str) -> str:
    """The paragraph, or nothing where the model gave none that may stand."""
    try:
        with closing(stream_paragraph(model, prompt, sampling, prose, language)) as pieces:  # type: ignore[type-var]
            return "".join(pieces)
    except WritingFailed:
        return ""


def _request(prompts: Prompts, article: Article, tone: str) -> tuple[Message, ...]:
    headings = [section.heading for section in article.sections if section.heading]
    words = sum(count_words(section.body) for section in article.sections) // max(1, len(article.sections))
    words = min(max(words, LEAST_WORDS), MOST_WORDS) * (1 if headings else len(article.sections))
    asked = writing_question(prompts, article.title, headings, words, article.writing_language)
    return (Message.of("system", prompts.system), Message.of("user", prompts.with_tone(asked, tone)))


def _prompt(model: VisionLanguageModel, request: tuple[Message, ...], before: list[str], answer_tokens: int) -> Prompt:
    """The request and the article so far; of a long one, as much of its end as the model can read."""
    for start in range(1, len(before) + 1):
        prompt = (*request, Message.of("assistant", before[0] + "".join(before[start:])))
        if start == len(before) or model.count_tokens(prompt) + answer_tokens < model.context_tokens:
            break
    return prompt


def _digest(section: Section) -> str:
    return hashlib.sha256(section.text.encode("utf-8", "replace")).hexdigest()[:16]
