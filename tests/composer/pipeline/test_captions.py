"""What a picture should show is short, distinct, and of its section."""

import pytest

from composer.article.model import Section
from composer.pipeline.captions import propose_captions, subject, translate
from composer.pipeline.conversation import reading
from composer.pipeline.prompts import load_prompts
from tests.composer.scripted_model import ScriptedModel, question
from vision.interfaces import Prompt, Sampling

EN = load_prompts("en")
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
            return " hens at a red barn door"
        return " a cow" if "Cows" in asked else " brown hens in the yard"

    captions, model = propose(answer)
    assert captions == ["brown hens in the yard", "a cow", "hens at a red barn door"]
    assert "something else than: brown hens in the yard; a cow" in question(model.asked[-1])


def test_a_model_that_keeps_repeating_itself_yields_to_what_the_sections_name() -> None:
    model = ScriptedModel(lambda p, s: " brown hens in the yard")
    sections = [*SECTIONS[1:], Section("## How they all live together\n\nNobody is alone.")]
    conversation, _ = reading(EN, model, "Farm", sections)
    captions = propose_captions(model, EN, conversation, sections, [0, 1, 2])
    assert captions == ["cows", "brown hens in the yard", "How they all live together"]


def test_what_a_picture_should_show_is_never_the_same_twice_and_of_its_own_section() -> None:
    model = ScriptedModel(lambda p, s: " a bird on a branch")
    sections = [Section(f"{text} the rest.") for text in ("This is", "Here is", "Nails, hammers and")]
    conversation, _ = reading(EN, model, "Farm", sections)
    captions = propose_captions(model, EN, conversation, sections, [0, 1, 2])
    assert len(set(captions)) == 3
    assert captions[2] == "nail"


def test_a_subject_that_the_library_has_is_what_is_asked_for() -> None:
    model = ScriptedModel(lambda p, s: " a cow in a meadow")
    conversation, _ = reading(EN, model, "Farm", SECTIONS)
    captions = propose_captions(model, EN, conversation, SECTIONS, [0, 1], subjects={0: "brown hen"})
    assert captions == ["brown hen", "a cow in a meadow"]
    assert len(model.asked) == 1


def test_a_heading_that_names_a_thing_is_what_its_picture_should_show() -> None:
    model = ScriptedModel(lambda p, s: " something of the text")
    sections = [Section(f"## {name}\n\nText.") for name in ("The Duck Pond", "Fishing Boats", "灯塔")]
    conversation, _ = reading(EN, model, "Farm", sections)
    assert propose_captions(model, EN, conversation, sections, [0, 1, 2]) == ["The Duck Pond", "Fishing Boats", "灯塔"]
    assert model.asked == []
    assert propose_captions(model, EN, conversation, sections, [1], ["fishing boats"]) == ["something of the text"]


def test_where_the_model_is_silent_the_section_speaks_for_itself() -> None:
    captions, _ = propose(lambda p, s: "")
    assert captions == ["hen", "cows", "More hens come."]


def test_all_questions_share_the_article_as_their_prefix() -> None:
    _, model = propose(lambda p, s: " x y z")
    assert len({prompt[:-2] for prompt in model.asked}) == 1


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
