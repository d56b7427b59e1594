"""A Chinese article is drafted in English, with English facts, and printed in Chinese with no word left in English."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from composer.pipeline.prompts import load_prompts
from composer.pipeline.writing.encyclopedia import Entry
from composer.pipeline.writing.facts import Fact
from composer.pipeline.writing.planning import Plan
from composer.pipeline.writing.translation import Translator
from composer.pipeline.writing.writer import Writer
from composer.settings import WritingSettings
from retrieval.cedict import ChineseDictionary
from tests.composer.pipeline.writing.test_writer import Known, returned
from tests.composer.scripted_model import ScriptedModel, question
from vision.interfaces import Prompt, Sampling

CHINESE = {
    "The claw hammer drives nails.": "羊角锤用来钉钉子。",
    "The saw cuts wood.": "saw用来锯木头。",
    "Two saws hang here.": "这里挂着3把锯子。",
    "Its teeth are steel.": "它的齿是钢的。",
    "Pigs sleep here.": "“Sty”译作“猪栏”。",
}
ENGLISH = {"工具": "Tools", "厨房里的工具": "Tools of the kitchen"}
NAMES = {"羊角锤": " The claw hammer.", "锯子": "Saw", "菜刀架": "Knife rack"}
CEDICT = """# CC-CEDICT
#! entries=5
菜刀 菜刀 [cai4 dao1] /vegetable knife/CL:把[ba3]/
架 架 [jia4] /to support/frame or rack/
鋸子 锯子 [ju4 zi5] /a saw/CL:把[ba3]/
水母 水母 [shui3 mu3] /jellyfish/medusa/
虎鯨 虎鲸 [hu3 jing1] /killer whale (Orcinus orca)/see 逆戟鯨|逆戟鲸[ni4 ji3 jing1]/
"""


def answer(prompt: Prompt, sampling: Sampling) -> str:
    asked = question(prompt)
    if asked.startswith("Translate into English"):
        return ENGLISH[asked.rpartition("\n\n")[2]]
    if "用英文怎么说" in asked:
        return next(name for own, name in NAMES.items() if f"“{own}”用" in asked)
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
    hammer, saw = "## 羊角锤\n\n羊角锤用来钉钉子。", "## 锯子\n\n它的齿是钢的。"
    assert [section.text for section in result.sections] == [hammer, saw]
    assert streamed == f"# 工具\n\n{hammer}\n\n{saw}\n\n"
    drafted = [prompt for prompt in model.asked if prompt[-1].text.endswith("## The claw hammer\n\n")]
    assert drafted
    assert all(question(prompt).isascii() for prompt in drafted)


def test_what_an_encyclopedia_knows_is_cited_in_the_articles_language() -> None:
    extract = "A saw cuts wood. Its teeth are of hard steel."
    entry = Entry("Saw", "", extract, extract)

    class Informed(Known):
        def facts(self, title: str, headings: Sequence[str]) -> list[list[Fact]]:
            return [[Fact("saw", extract, "Wikipedia Saw", entry)] if heading == "Saw" else [] for heading in headings]

    prompts = load_prompts("zh")
    model = ScriptedModel(answer)
    writer = Writer(model, prompts, WritingSettings(), Informed(), Translator(model, prompts))
    _, result = returned(writer.write("厨房里的工具", Plan("工具", ("羊角锤", "锯子")), 120, "zh", seed=0))
    assert [(citation.sentence, citation.passages) for citation in result.citations] == [
        ("它的齿是钢的。", (entry.passage,))
    ]
    assert result.sources == (entry.source,)


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
    teeth = "Its teeth are steel."
    sentences = ["The saw cuts wood.", "Two saws hang here.", teeth]
    assert translator.from_english(sentences, ("Saw", "锯子")) == {"它的齿是钢的。": teeth}
    assert all("“Saw”译作“锯子”" in question(prompt) for prompt in model.asked)
    assert translator.from_english(["Pigs sleep here.", teeth], ("Sty", "猪栏")) == {"它的齿是钢的。": teeth}
    translator.from_english([teeth], ("猪栏", "猪栏"))
    assert "译作" not in question(model.asked[-1])


def test_headings_are_named_by_the_dictionary_and_the_model_is_told_the_parts_of_others(tmp_path: Path) -> None:
    (tmp_path / "cedict.txt").write_text(CEDICT, encoding="utf-8")
    model = ScriptedModel(answer)
    translator = Translator(model, load_prompts("zh"), ChineseDictionary(tmp_path / "cedict.txt"))
    assert translator.names_in_english("工具", ["水母", "锯子", "菜刀架"]) == ["jellyfish", "a saw", "Knife rack"]
    (asked,) = map(question, model.asked)
    assert asked.endswith("《工具》的小标题“菜刀架”用英文怎么说？“vegetable knife”译作“菜刀”。")
