"""Texts drafted in English for languages in which neither facts are at hand nor sentences can be compared.

The facts are English, and so is what the small sentence encoder reads: a Chinese article that is drafted and chosen in
English and then put into Chinese sentence by sentence has far fewer errors than one drafted in Chinese (figures:
docs/research/writing.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from composer.pipeline.captions import generate
from composer.pipeline.prompts import Prompts, load_prompts
from composer.pipeline.writing.facts import named_things
from retrieval.cedict import ChineseDictionary
from vision.interfaces import Message, Prompt, VisionLanguageModel

SENTENCE_TOKENS = 110
NAME_TOKENS = 14
WISH_TOKENS = 120
_LATIN = re.compile(r"[A-Za-z]{3,}")
_DIGITS = re.compile(r"\d+")


class Translator:
    """To English and back, with the model that writes."""

    def __init__(
        self, model: VisionLanguageModel, prompts: Prompts, dictionary: ChineseDictionary | None = None
    ) -> None:
        self._model = model
        self._dictionary = dictionary
        self._prompts = prompts
        self.drafting = load_prompts("en")

    def names_in_english(self, title: str, headings: Sequence[str]) -> list[str]:
        """What each heading names: as the dictionary has it, else as the model says that is told the words in it."""
        known = [self._dictionary.meanings(heading) if self._dictionary else [] for heading in headings]
        open_ = [heading for heading, meanings in zip(headings, known, strict=True) if not meanings]
        answers = generate(self._model, [self._named(title, heading) for heading in open_], NAME_TOKENS)
        told = {heading: answer.strip(" .") or heading for heading, answer in zip(open_, answers, strict=True)}
        return [
            next((m for m in meanings if named_things(m)), meanings[0]) if meanings else told[heading]
            for heading, meanings in zip(headings, known, strict=True)
        ]

    def _named(self, title: str, heading: str) -> Prompt:
        p = self._prompts
        parts = self._dictionary.parts(heading) if self._dictionary else []
        hints = "".join(p.term.format(english=meaning, own=part) for part, meaning in parts if len(part) > 1)
        examples = (
            Message.of(role, p.term_asked.format(title=about, own=own, parts="") if role == "user" else english)
            for about, own, english in (line.split(" | ") for line in p.term_examples.splitlines())
            for role in ("user", "assistant")
        )
        return (*examples, Message.of("user", p.term_asked.format(title=title, own=heading, parts=hints)))

    def to_english(self, texts: Sequence[str]) -> list[str]:
        """One line a text; the text itself where the model gives nothing."""
        asked = [(Message.of("user", self.drafting.edit_translate.format(text=text)),) for text in texts]
        answers = generate(self._model, asked, WISH_TOKENS)
        return [answer.strip() or text for answer, text in zip(answers, texts, strict=True)]

    def from_english(self, sentences: Sequence[str], heading: tuple[str, str] = ("", "")) -> dict[str, str]:
        """Sentences by what they are in the article's language; ``heading`` is what they are about, in both.

        Those in which words stay English, or which get other numbers, are left out.
        """
        told = (
            self._prompts.term.format(english=heading[0], own=heading[1])
            if heading[0].isascii() and all(heading)
            else ""
        )
        asked = [
            (Message.of("user", self._prompts.from_english.format(text=sentence, term=told)),) for sentence in sentences
        ]
        answers = [answer.strip() for answer in generate(self._model, asked, SENTENCE_TOKENS)]
        return {
            answer: sentence
            for answer, sentence in zip(answers, sentences, strict=True)
            if answer.endswith(("。", "！", "？"))
            and answer not in told
            and set(_LATIN.findall(answer)) <= set(_LATIN.findall(heading[1]))
            and _DIGITS.findall(answer) == _DIGITS.findall(sentence)
        }
