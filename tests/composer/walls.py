"""A library of walls in plain colours, a text about them, and an article made of both without a real model."""

from __future__ import annotations

from collections.abc import Iterator

from composer.article.model import Article
from composer.pipeline import events
from composer.pipeline.pipeline import Pipeline
from composer.pipeline.prompts import load_prompts
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, Settings
from tests.composer.scripted_model import question
from vision.interfaces import Prompt, Sampling

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink")
WALLS = Settings("test", pictures=IllustrationSettings(min_fused=0.05, judge_weight=0.0, candidates=4))
TEXT = "\n\n".join(
    f"The {colour} wall was painted long ago by people who liked the {colour} light of the evening sun very much."
    for colour in ("red", "green", "blue", "yellow", "purple", "brown")
)


def answer(prompt: Prompt, sampling: Sampling) -> str:
    asked = question(prompt)
    if prompt[-1].text == load_prompts("en").caption_prefix:
        for colour in (*COLOURS, "brown"):
            if f"The {colour} wall" in asked:
                return f" a {colour} door" if "something else than" in asked else f" a {colour} wall"
    return ""


def finished(running: Iterator[events.Event]) -> tuple[Article, list[events.Event]]:
    seen = list(running)
    done = seen[-1]
    assert isinstance(done, events.Done)
    started = [e.stage for e in seen if isinstance(e, events.StageStarted)]
    ended = [e.stage for e in seen if isinstance(e, events.StageFinished)]
    assert started == ended, "every stage that starts ends"
    return done.article, seen


def make(pipeline: Pipeline, images: int) -> Article:
    return finished(pipeline.events(ComposeRequest(text=TEXT, images=images)))[0]


def shown(article: Article) -> dict[int, str]:
    return {p.slot.after_section: p.chosen.path.stem for p in article.placements if p.chosen}


def unique(article: Article) -> bool:
    ids = [record.id for record in article.pictures]
    return len(ids) == len(set(ids))
