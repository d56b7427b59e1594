"""The tasks of composing as InternLM-XComposer was trained on them: where pictures stand, what they show, which one.

Words and order are the original's (``prompts/xcomposer.toml``). It draws an answer and parses it; here every possible
answer is scored.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING

from composer.article.markdown import plain_text
from composer.article.model import Section
from composer.pipeline.captions import CAPTION_TOKENS, clean_caption
from composer.pipeline.reranking import LOOK_PX, look_at, provisional
from composer.pipeline.selection import Considered
from composer.settings import IllustrationSettings
from retrieval.candidates import Candidate, log_odds
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

if TYPE_CHECKING:
    from PIL.Image import Image

TRAINED_KIND = "xcomposer"  # of ``LanguageSettings.kind``
_PLACE_TOKENS = 12
_CHARS = (400, 200, 100, 50)


@cache
def _words() -> Mapping[str, str]:
    file = resources.files("composer.pipeline.prompts") / "xcomposer.toml"
    words: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))
    return words


def places_prompt(sections: Sequence[Section], count: int | None, chars: int | None = None) -> Prompt:
    """Which ``count`` paragraphs should a picture follow (None: as many as fit)?"""
    words = _words()
    asked = words["places"].format(article=_numbered(sections, chars), count="" if count is None else count)
    return (Message.of("user", asked), Message.of("assistant", words["places_prefix"]))


def score_places(
    model: VisionLanguageModel, sections: Sequence[Section], places: Sequence[int], count: int | None
) -> list[float]:
    """Log-odds of each of ``places`` being the answer, among them all."""
    prompt = _fitting(model, lambda chars: places_prompt(sections, count, chars), _PLACE_TOKENS)
    scores = model.score(prompt, [_words()["place"].format(number=place) for place in places])
    return [log_odds(math.exp(value)) for value in _normalised(scores)]


def caption_prompt(
    sections: Sequence[Section], place: int, earlier: Sequence[tuple[int, str]], chars: int | None = None
) -> Prompt:
    """What should the picture after ``place`` show, given the captions of earlier places?

    The article is shown up to the paragraph after that place.
    """
    words = _words()
    said = "".join(
        words["earlier_next" if number else "earlier_first"].format(number=other, caption=caption)
        for number, (other, caption) in enumerate(earlier)
    )
    asked = words["caption"].format(
        article=_numbered(sections[: place + 2], chars),
        earlier=said + words["earlier_end"] if said else "",
        number=place,
    )
    return (Message.of("user", asked), Message.of("assistant", words["caption_prefix"]))


def caption_places(model: VisionLanguageModel, sections: Sequence[Section], places: Sequence[int]) -> list[str]:
    """A caption a place, each knowing the earlier ones; a paragraph's beginning where the model gives none."""
    end = _words()["caption_end"]
    sampling = Sampling(max_tokens=CAPTION_TOKENS, temperature=0.0, stop=("\n", end))
    earlier: list[tuple[int, str]] = []
    for place in places:
        build = partial(caption_prompt, sections, place, tuple(earlier))
        answer = "".join(chunk.text for chunk in model.stream(_fitting(model, build, CAPTION_TOKENS), sampling))
        earlier.append((place, clean_caption(answer) or clean_caption(plain_text(sections[place].body))))
    return [caption for _, caption in earlier]


def choose_prompt(before: Sequence[str | Image], images: Sequence[Image]) -> Prompt:
    """Which of ``images`` belongs after ``before``, the article so far with the pictures chosen for it?"""
    words = _words()
    named: list[str | Image] = []
    for number, image in enumerate(images):
        named += [("\n" if number else "") + f"{_letter(number)}.", image]
    content = (words["choose"], *before, words["choose_among"], *named)
    return (Message("user", content), Message.of("assistant", words["choose_prefix"]))


def judge_by_letter(
    model: VisionLanguageModel,
    settings: IllustrationSettings,
    sections: Sequence[Section],
    found: Sequence[Considered],
    may_be_judged: Callable[[Candidate], bool],
) -> list[Considered]:
    """Slots, in the article's order, with the model's log-probabilities of their candidates, seen all at once.

    The original knows no "none": showing nothing counts as much as a candidate of average fit. A candidate whose
    file cannot be read any more is not judged, nor are the last ones of a slot where all do not fit the context.
    """
    judged: list[Considered] = []
    before: list[str | Image] = []
    taken: set[str] = set()
    told = 0
    for entry in found:
        place = entry.slot.after_section + 1
        before.append("".join(f"{plain_text(section.text)}\n" for section in sections[told:place]))
        told = place
        images = look_at((c.record for c in entry.candidates if may_be_judged(c)), LOOK_PX)
        several = [candidate for candidate in entry.candidates if candidate.record.id in images]
        prompt = choose_prompt(before, [images[candidate.record.id] for candidate in several])
        while several and model.count_tokens(prompt) >= model.context_tokens:
            several = several[:-1]
            prompt = choose_prompt(before, [images[candidate.record.id] for candidate in several])
        if not several:
            judged.append(entry)
            continue
        scores = model.score(prompt, [_letter(number) for number in range(len(several))])
        *logs, none = _normalised([*scores, _log_sum(scores) - math.log(len(scores))])
        candidates = tuple(replace(candidate, log_prob=log) for candidate, log in zip(several, logs, strict=True))
        judged.append(entry.judged(candidates, none))
        chosen = provisional(candidates, none, settings, taken)
        if chosen is not None:
            taken.add(chosen.id)
            before.append(images[chosen.id])
    return judged


def _numbered(sections: Sequence[Section], chars: int | None) -> str:
    line = _words()["paragraph"]
    return "".join(line.format(number=i, text=plain_text(section.text)[:chars]) for i, section in enumerate(sections))


def _fitting(model: VisionLanguageModel, build: Callable[[int | None], Prompt], room: int) -> Prompt:
    """The prompt with each paragraph's first characters, as many as leave room for the answer."""
    prompt = build(None)
    for chars in _CHARS:
        if model.count_tokens(prompt) + room <= model.context_tokens:
            break
        prompt = build(chars)
    return prompt


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs))


def _normalised(logs: Sequence[float]) -> list[float]:
    total = _log_sum(logs)
    return [value - total for value in logs]
