"""InternLM-XComposer is asked where pictures stand, what they show and which fits in the words of its training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL.Image import Image

from composer.article.model import Section
from composer.pipeline.pipeline import Pipeline
from composer.pipeline.prompts.trained_tasks import (
    caption_places,
    caption_prompt,
    choose_prompt,
    places_prompt,
    score_places,
)
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, LanguageSettings, Settings
from retrieval.search import Searcher
from tests.composer.scripted_model import ScriptedModel
from tests.composer.small_pipeline import make_library
from tests.fakes import ColourEncoder
from tests.vision.tiny_bridge import picture
from vision.interfaces import Prompt, Sampling

SECTIONS = tuple(Section(f"第{number}段讲的是红墙。") for number in "一二三")
SETTINGS = Settings(
    "test",
    writer=LanguageSettings(kind="xcomposer"),
    pictures=IllustrationSettings(min_fused=0.0, judge_weight=1.0, candidates=3, library_weight=0.0),
)


def words(prompt: Prompt) -> list[tuple[str, str]]:
    """Roles and texts; a picture is its place."""
    return [
        (message.role, "".join(part if isinstance(part, str) else "<ImageHere>" for part in message.content))
        for message in prompt
    ]


def test_places_are_asked_for_by_numbered_paragraphs() -> None:
    article = "<Seg0> 第一段讲的是红墙。\n<Seg1> 第二段讲的是红墙。\n<Seg2> 第三段讲的是红墙。\n"
    answer = ("assistant", "适合插入图像的行是")
    assert words(places_prompt(SECTIONS, 2)) == [
        ("user", f'给定文章"{article}" 根据上述文章，选择适合插入图像的2行'),
        answer,
    ]
    assert words(places_prompt(SECTIONS, None))[0][1].endswith("选择适合插入图像的行")


def test_places_are_scored_among_each_other() -> None:
    odds = {"<Seg0>": -3.0, "<Seg2>": -1.0}
    model = ScriptedModel(lambda *_: "", lambda prompt, options: [odds[option] for option in options])
    first, third = score_places(model, SECTIONS, [0, 2], 1)
    assert third == pytest.approx(2.0)
    assert first == pytest.approx(-2.0)


def test_a_caption_is_asked_for_with_the_article_up_to_its_place_and_earlier_captions() -> None:
    article = "<Seg0> 第一段讲的是红墙。\n<Seg1> 第二段讲的是红墙。\n"
    assert words(caption_prompt(SECTIONS, 0, ())) == [
        ("user", f'给定文章"{article}" 给出适合在<Seg0>后插入的图像对应的标题。'),
        ("assistant", '标题是"'),
    ]
    asked = words(caption_prompt(SECTIONS, 2, ((0, "红墙"), (1, "蓝墙"))))[0][1]
    assert asked.endswith(
        '" 现在<Seg0>后插入图像对应的标题是"红墙"， <Seg1>后插入图像对应的标题是"蓝墙"。'
        "给出适合在<Seg2>后插入的图像对应的标题。"
    )


def test_captions_know_the_earlier_ones_and_end_at_the_quote() -> None:
    def answer(prompt: Prompt, sampling: Sampling) -> str:
        return '红墙" 多余' if "<Seg0>后插入的" in prompt[0].text else ""

    model = ScriptedModel(answer)
    assert caption_places(model, SECTIONS, [0, 2]) == ["红墙", "第三段讲的是红墙"]
    assert '标题是"红墙"' in model.asked[1][0].text


def test_a_long_article_is_shortened_to_fit() -> None:
    sections = tuple(Section("word " * 300) for _ in range(3))
    model = ScriptedModel(lambda *_: "", context_tokens=300)
    score_places(model, sections, [0, 1], 1)
    assert model.count_tokens(model.asked[0]) < 300


def test_candidates_stand_before_it_all_at_once_after_the_article_so_far() -> None:
    red, blue = picture("red"), picture("blue")
    assert words(choose_prompt(["第一段。\n", red, "第二段。\n"], [blue, red])) == [
        (
            "user",
            "根据给定上下文和候选图像，选择合适的配图：第一段。\n<ImageHere>第二段。\n"
            "候选图像包括: A.<ImageHere>\nB.<ImageHere>",
        ),
        ("assistant", "最合适的图是"),
    ]


def test_a_request_goes_through_all_three(tmp_path: Path) -> None:
    def scores(prompt: Prompt, options: Sequence[str]) -> list[float]:
        if options[0].startswith("<Seg"):
            return [0.0 if option in ("<Seg0>", "<Seg2>") else -9.0 for option in options]
        return [-float(number) for number in range(len(options))]

    model = ScriptedModel(lambda prompt, sampling: 'red wall"', scores, context_tokens=10_000)
    model.sees_images = True
    encoder = ColourEncoder()
    with make_library(tmp_path, encoder, ("red", "blue", "green")) as library:
        pipeline = Pipeline(SETTINGS, model, encoder, library, Searcher(library, encoder))
        text = "\n\n".join(f"第{number}段讲的是一面很旧的红墙，它立在老城里已经有很多很多年了。" for number in "一二三")
        article = pipeline.compose(ComposeRequest(text=text, images=2, language="zh"))
        english = pipeline.compose(ComposeRequest(text=text, images=2, language="zh"))
    assert [placement.slot.after_section for placement in article.placements] == [0, 2]
    assert [placement.slot.caption for placement in article.placements] == ["red wall", "red wall"]
    for placement in article.placements:
        logs = [candidate.log_prob for candidate in placement.candidates]
        assert logs == sorted(logs, reverse=True)  # A, then B, then C
        assert math.fsum(math.exp(value) for value in logs if value is not None) == pytest.approx(3 / 4, abs=0.01)
    chosen = [prompt for prompt in model.asked if prompt[-1].text == "最合适的图是"]
    pictures = [sum(isinstance(part, Image) for part in prompt[0].content) for prompt in chosen[:2]]
    assert pictures == [3, 4]  # the second time the first choice stands in the article
    assert english.placements == article.placements


def test_candidates_that_do_not_fit_the_context_are_left_unjudged(tmp_path: Path) -> None:
    model = ScriptedModel(lambda prompt, sampling: 'red wall"', context_tokens=10_000)
    model.sees_images = True
    model.count_tokens = lambda prompt: (
        9000
        * sum(  # type: ignore[method-assign]
            isinstance(part, Image) for message in prompt for part in message.content
        )
    )
    encoder = ColourEncoder()
    settings = replace(SETTINGS, pictures=replace(SETTINGS.pictures, candidates=3))
    with make_library(tmp_path, encoder, ("red", "blue", "green")) as library:
        pipeline = Pipeline(settings, model, encoder, library, Searcher(library, encoder))
        text = "这一段讲的是一面很旧的红墙，它立在老城里已经有很多很多年了。"
        article = pipeline.compose(ComposeRequest(text=text, images=1, language="zh"))
    judged = [candidate.log_prob is not None for candidate in article.placements[0].candidates]
    assert sum(judged) == 1
    assert len(judged) == 3
