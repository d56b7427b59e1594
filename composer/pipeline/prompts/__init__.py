"""What the models are asked, one TOML file a language; every file has the same keys and fields."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Prompts:
    """Templates in one language. Those ending in ``_prefix`` start the model's own answer; ``tones`` and ``manners``
    (of kinds of text) are by name."""

    system: str
    plan: str
    example_wish: str
    example_plan: str
    plan_prefix: str
    hints: str
    belongs: str
    meant: str
    odds_prefix: str
    odds_yes: str
    odds_no: str
    write: str
    intro: str
    lead: str
    example_lead: str
    write_bare: str
    wish: str
    facts: str
    sources_heading: str
    sources_heading_prefix: str
    sources_title: str
    sources_title_prefix: str
    retell: str
    retell_before: str
    retell_example_topic: str
    retell_example_before: str
    retell_example_part: str
    retell_example: str
    read: str
    read_answer: str
    caption: str
    caption_prefix: str
    recaption: str
    choose: str
    choose_prefix: str
    choose_yes: str
    choose_no: str
    standing: str
    standing_answer: str
    localise: str
    localise_prefix: str
    translate: str
    translate_prefix: str
    from_english: str
    term: str
    term_asked: str
    term_examples: str
    edit_rewrite: str
    edit_expand: str
    edit_shorten: str
    edit_translate: str
    edit_revise: str
    suggest: str
    suggest_seen: str
    suggest_other: str
    suggest_prefix: str
    draft_caption: str
    example_shown: str
    example_fact: str
    example_said: str
    example_caption: str
    caption_check: str
    untitled: str
    chat_system: str
    chat_article: str
    chat_words: str
    chat_captions: str
    chat_picture: str
    tones: Mapping[str, str] = field(hash=False)
    manners: Mapping[str, str] = field(hash=False)

    def with_tone(self, wish: str, tone: str) -> str:
        """What is asked of the writer, with the tone that is wanted."""
        return f"{wish}\n\n{self.tones[tone]}" if tone else wish


@cache
def load_prompts(language: str) -> Prompts:
    """Templates of a language Vignette writes in."""
    text = (resources.files("composer.pipeline.prompts") / f"{language}.toml").read_text(encoding="utf-8")
    values = tomllib.loads(text)
    tables = {name: values.pop(name) for name in ("tones", "manners")}
    return Prompts(**{key: value.strip("\n") for key, value in values.items()}, **tables)
