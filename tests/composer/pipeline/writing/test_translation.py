"""A Chinese article is drafted in English, with English facts, and printed in Chinese without a word left in English."""

from __future__ import annotations

from composer.pipeline.prompts import load_prompts
from composer.pipeline.writing.planning import Plan
from composer.pipeline.writing.translation import Translator
from composer.pipeline.writing.writer import Writer
from composer.settings import WritingSettings
from tests.composer.pipeline.writing.test_writer import returned
from tests.composer.scripted_model import ScriptedModel, question
from vision.interfaces import Prompt, Sampling

CHINESE = {
    "The claw hammer drives nails.": "羊角锤用来钉钉子。",
    "The saw cuts wood.": "saw用来锯木头。",
    "Two saws hang here.": "这里挂着3把锯子。",
    "Its teeth are steel.": "它的齿是钢的。",
}
ENGLISH = {"工具": "Tools", "厨房里的工具": "Tools of the kitchen", "羊角锤": "The claw hammer.", "锯子": "Saw"}


def answer(prompt: Prompt, sampling: Sampling) -> str:
    asked = question(prompt)
    if asked.startswith("Translate into English"):
        return ENGLISH[asked.rpartition("\n\n")[2]]
    if "译成" in asked:
        return CHINESE.get(asked.rpartition("\n\n")[2], "")
    heading = prompt[-1].text.rpartition("## ")[2].split("\n")[0]
    return {
        "The claw hammer": "The claw hammer drives nails.",
        "Saw": "The saw cuts wood. Its teeth are steel.",
    }.get(heading, "")


def test_sections_are_drafted_in_english_under_english_headings_and_printed_in_the_articles_language() -> None:
    prompts = load_prompts("zh")
    model = ScriptedModel(answer)
    writer = Writer(model, prompts, WritingSettings(), None, Translator(model, prompts))
    streamed, result = returned(writer.write("厨房里的工具", Plan("工具", ("羊角锤", "锯子")), 120, "zh", seed=0))
    assert [section.text for section in result.sections] == ["## 羊角锤\n\n羊角锤用来钉钉子。", "## 锯子\n\n它的齿是钢的。"]
    assert streamed == "# 工具\n\n## 羊角锤\n\n羊角锤用来钉钉子。\n\n## 锯子\n\n它的齿是钢的。\n\n"
    drafted = [prompt for prompt in model.asked if prompt[-1].text.endswith("## The claw hammer\n\n")]
    assert drafted
    assert all(question(prompt).isascii() for prompt in drafted)


def test_a_story_is_told_in_its_own_language() -> None:
    prompts = load_prompts("zh")
    model = ScriptedModel(lambda prompt, sampling: "老人慢慢走进了厨房，拿起了一把很重的旧锤子。")
    writer = Writer(model, prompts, WritingSettings(), None, Translator(model, prompts))
    _, result = returned(writer.write("厨房", Plan("厨房", ()), 60, "zh", seed=0, kind="story"))
    assert "厨房" in result.sections[0].text
    assert not any("译成" in question(prompt) for prompt in model.asked)


def test_sentences_with_words_left_in_english_or_other_numbers_are_left_out_and_the_heading_helps() -> None:
    model = ScriptedModel(answer)
    translator = Translator(model, load_prompts("zh"))
    paragraph = "The saw cuts wood. Two saws hang here. Its teeth are steel."
    assert translator.from_english(paragraph, ("Saw", "锯子")) == "它的齿是钢的。"
    assert all("“Saw”译作“锯子”" in question(prompt) for prompt in model.asked)
