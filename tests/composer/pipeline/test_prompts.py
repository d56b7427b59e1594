"""Every language has every prompt, with the same fields, so that a translation cannot lose one."""

from __future__ import annotations

import string
from dataclasses import fields

import pytest

from composer.pipeline.prompts import Prompts, load_prompts
from composer.request import KINDS, LANGUAGES, TONES


def used(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_prompt_has_the_same_fields_in_every_language(language: str) -> None:
    english, other = load_prompts("en"), load_prompts(language)
    for name in (item.name for item in fields(Prompts) if item.name not in ("tones", "manners")):
        assert used(getattr(other, name)) == used(getattr(english, name)), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_text_can_be_asked_for(language: str) -> None:
    assert set(load_prompts(language).manners) == set(KINDS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_tone_can_be_asked_for(language: str) -> None:
    prompts = load_prompts(language)
    assert tuple(prompts.tones) == TONES
    assert prompts.with_tone("Cats", "plain") == f"Cats\n\n{prompts.tones['plain']}"
    assert prompts.with_tone("Cats", "") == "Cats"
