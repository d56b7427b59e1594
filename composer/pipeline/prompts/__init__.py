"""What the models are asked, one TOML file a language. Strict: every file has every key and every field.

Knows no model and no article; ``Prompts`` is a bag of templates that ``composer.pipeline.conversation`` fills.
"""

from __future__ import annotations

import string
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

# The fields each template must use, so that a translation cannot lose one.
_FIELDS: dict[str, frozenset[str]] = {
    "plan": frozenset({"instruction", "sections", "hints"}),
    "hints": frozenset({"captions"}),
    "write": frozenset({"title", "headings", "words"}),
    "write_bare": frozenset({"title", "words"}),
    "suits": frozenset({"instruction", "thing"}),
    "read": frozenset({"article"}),
    "caption": frozenset({"opening"}),
    "recaption": frozenset({"opening", "earlier"}),
    "choose": frozenset({"opening", "caption"}),
    "standing": frozenset({"opening"}),
    "localise": frozenset({"text"}),
    "translate": frozenset({"text"}),
    "edit_rewrite": frozenset({"title", "tone", "text"}),
    "edit_expand": frozenset({"title", "tone", "text"}),
    "edit_shorten": frozenset({"title", "tone", "text"}),
    "edit_translate": frozenset({"text"}),
    "suggest": frozenset({"shown"}),
    "suggest_seen": frozenset({"shown", "opening"}),
    "suggest_other": frozenset({"earlier"}),
}


@dataclass(frozen=True, slots=True)
class Prompts:
    """Templates in one language. Those ending in ``_prefix`` start the model's own answer."""

    system: str
    plan: str
    example_wish: str
    example_plan: str
    plan_prefix: str
    hints: str
    suits: str
    suits_prefix: str
    suits_yes: str
    suits_no: str
    write: str
    intro: str
    write_bare: str
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
    edit_rewrite: str
    edit_expand: str
    edit_shorten: str
    edit_translate: str
    suggest: str
    suggest_seen: str
    suggest_other: str
    suggest_prefix: str
    untitled: str

    def __post_init__(self) -> None:
        for item in fields(self):
            used = {name for _, name, _, _ in string.Formatter().parse(getattr(self, item.name)) if name}
            wanted = _FIELDS.get(item.name, frozenset())
            if used != wanted:
                raise ValueError(f"prompt {item.name} uses the fields {sorted(used)}, not {sorted(wanted)}")


@cache
def load_prompts(language: str) -> Prompts:
    """Templates of a language Vignette writes in."""
    text = (resources.files("composer.pipeline.prompts") / f"{language}.toml").read_text(encoding="utf-8")
    values = {key: value.strip("\n") for key, value in tomllib.loads(text).items()}
    return Prompts(**values)
