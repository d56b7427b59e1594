"""Captions are short, distinct, and true of the picture that was chosen."""

from pathlib import Path

import pytest

from composer.article.model import Section
from composer.pipeline.captions import printed_captions, propose_captions, subject, translate
from composer.pipeline.conversation import reading
from composer.pipeline.facts import Fact
from composer.pipeline.prompts import load_prompts
from image_db.metadata.record import ImageRecord
from tests.composer.scripted_model import ScriptedModel, question
from vision.interfaces import Prompt, Sampling

EN = load_prompts("en")
SICKLE = Fact("sickle", "an edge tool for cutting grass or crops; has a curved blade and a short handle", "a test")
SECTIONS = [Section("Hens scratch in the yard."), Section("Cows graze."), Section("More hens come.")]


def propose(answer) -> tuple[list[str], ScriptedModel]:
    model = ScriptedModel(answer)
    conversation, _ = reading(EN, model, "Farm", SECTIONS)
    return propose_captions(model, EN, conversation, SECTIONS, [0, 1, 2]), model


def test_a_caption_is_the_first_clause_without_wrapping() -> None:
    captions, _ = propose(
        lambda p, s: ' "three hens in a yard". They peck.\nMore' if "Hens" in question(p) else " a cow"
    )
    assert captions[:2] == ["three hens in a yard", "a cow"]


def test_a_repeated_caption_is_asked_again_with_the_earlier_ones_named() -> None:
    def answer(prompt: Prompt, sampling: Sampling) -> str:
        asked = question(prompt)
        if "something else than" in asked:
            return " a red barn door"
        return " a cow" if "Cows" in asked else " brown hens in the yard"

    captions, model = propose(answer)
    assert captions == ["brown hens in the yard", "a cow", "a red barn door"]
    assert "something else than: brown hens in the yard; a cow" in question(model.asked[-1])


def test_a_model_that_keeps_repeating_itself_yields_to_the_heading() -> None:
    model = ScriptedModel(lambda p, s: " brown hens in the yard")
    sections = [*SECTIONS[1:], Section("## How they all live together\n\nDucks swim.")]
    conversation, _ = reading(EN, model, "Farm", sections)
    captions = propose_captions(model, EN, conversation, sections, [0, 2])
    assert captions == ["brown hens in the yard", "How they all live together"]


def test_a_heading_that_names_a_thing_is_what_its_picture_should_show() -> None:
    model = ScriptedModel(lambda p, s: " something else")
    sections = [Section(f"## {name}\n\nText.") for name in ("The Duck Pond", "Fishing Boats", "灯塔")]
    conversation, _ = reading(EN, model, "Farm", sections)
    assert propose_captions(model, EN, conversation, sections, [0, 1, 2]) == ["The Duck Pond", "Fishing Boats", "灯塔"]
    assert model.asked == []
    assert propose_captions(model, EN, conversation, sections, [1], ["fishing boats"]) == ["something else"]


def test_where_the_model_is_silent_the_section_speaks_for_itself() -> None:
    captions, _ = propose(lambda p, s: "")
    assert captions[1] == "Cows graze."


def test_all_questions_share_the_article_as_their_prefix() -> None:
    _, model = propose(lambda p, s: " x y z")
    assert len({prompt[:-2] for prompt in model.asked}) == 1


def picture(caption: str, **more) -> ImageRecord:
    return ImageRecord(id=caption or "none", path=Path("/p.jpg"), width_px=9, height_px=9, caption=caption, **more)


def settle(record: ImageRecord, answer: str = "", language: str = "en", fact: Fact | None = None) -> tuple[str, str]:
    model = ScriptedModel(lambda p, s: answer)
    return printed_captions(model, load_prompts(language), language, [(record, fact)])[0]


def test_the_librarys_words_are_printed_as_they_are() -> None:
    assert settle(picture("a hen", alt="a brown hen on straw")) == ("A hen", "A brown hen on straw")


def test_a_picture_that_nobody_described_has_no_words() -> None:
    """A wish printed under it would be a lie, told to those who cannot see it."""
    assert settle(picture("")) == ("", "")
    assert settle(picture(""), fact=SICKLE) == ("", "")


def test_a_caption_says_what_the_thing_is_and_the_alt_text_what_is_to_be_seen() -> None:
    caption, alt = settle(picture("A sickle"), fact=SICKLE)
    assert caption == "A sickle: an edge tool for cutting grass or crops"
    assert alt == "A sickle"
    assert settle(picture("A pig"), fact=Fact("pig", "domestic swine", "a test")) == ("A pig", "A pig")


def test_the_articles_language_decides_which_caption_counts() -> None:
    record = picture("a hen", alt="a hen", captions=(("zh", "一只母鸡"),))
    assert settle(record, "", "zh") == ("一只母鸡", "一只母鸡")


def test_words_in_another_language_are_translated() -> None:
    assert settle(picture("a hen"), "一只母鸡。", "zh") == ("一只母鸡", "一只母鸡")
    assert settle(picture("一只母鸡"), " A hen.", "en") == ("A hen", "A hen")


def test_words_in_another_language_stand_where_the_model_is_silent() -> None:
    assert settle(picture("a hen"), "", "zh") == ("A hen", "A hen")


def test_translations_fall_back_to_the_text_itself() -> None:
    model = ScriptedModel(lambda p, s: " A dog" if "狗" in question(p) else "")
    assert translate(model, load_prompts("zh"), ["一只狗", "猫"]) == ["A dog", "猫"]


@pytest.mark.parametrize(
    ("caption", "about"),
    [
        ("Chickens on the grass", "chickens"),
        ("A head of broccoli", "broccoli"),
        ("The Taj Mahal, India", "The Taj Mahal"),
        ("A brown hen", "brown hen"),
        ("橘色小猫", "橘色小猫"),
    ],
)
def test_the_subject_of_a_caption(caption: str, about: str) -> None:
    assert subject(caption) == about
