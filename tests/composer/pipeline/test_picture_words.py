"""What is printed under a picture says more than its label, and nothing that is not known."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from composer.article.model import Section
from composer.pipeline.picture_words import (
    DRAFTS,
    PictureWords,
    ShownPicture,
    content_words,
    may_stand,
    one_sentence,
    printed_words,
    sentences_about,
    supported,
)
from composer.pipeline.prompts import load_prompts
from composer.pipeline.writing.facts import Fact
from image_db.metadata.record import ImageRecord
from tests.composer.scripted_model import ScriptedModel, question
from vision.interfaces import Prompt, Sampling

RAKE = Fact(
    "rake", "a long-handled tool with a row of teeth at its head; for gathering leaves or loosening soil", "a test"
)
BESIDE = Section(
    "## Autumn\n\nLeaves fall on the lawn. A rake gathers them without harm to the grass. Children jump in."
)
ELSEWHERE = Section("Nobody is at home today.")


def picture(caption: str, path: str = "/IMG_1.jpg", **more) -> ImageRecord:
    return ImageRecord(id=caption or "none", path=Path(path), width_px=9, height_px=9, caption=caption, **more)


def settle(
    record: ImageRecord,
    answers: Sequence[str] = ("",),
    language: str = "en",
    fact: Fact | None = None,
    section: Section = ELSEWHERE,
    odds: dict[str, float] | None = None,
) -> PictureWords:
    said = list(answers) * DRAFTS

    def answer(prompt: Prompt, sampling: Sampling) -> str:
        return said.pop(0)

    def scores(prompt: Prompt, options: Sequence[str]) -> list[float]:
        return [next((v for text, v in (odds or {}).items() if text in question(prompt)), 1.0), 0.0]

    model = ScriptedModel(answer, scores)
    return printed_words(model, load_prompts(language), language, [ShownPicture(record, section, fact)])[0]


def texts(words: PictureWords) -> tuple[str, str]:
    return words.caption, words.alt


def test_the_librarys_words_are_printed_as_they_are() -> None:
    words = settle(picture("a hen", alt="a brown hen on straw"))
    assert words == PictureWords("A hen", "A brown hen on straw", "metadata", "metadata")


def test_a_picture_that_nobody_described_has_no_words() -> None:
    """A wish printed under it would be a lie, told to those who cannot see it."""
    assert settle(picture(""), fact=RAKE, section=BESIDE) == PictureWords()


def test_a_section_that_only_mentions_what_a_picture_shows_lends_it_no_words() -> None:
    keel = Section("## Keel\n\nThe keel is the long beam (or plates) of a vessel. It steadies the ship in the wind.")
    draft = " The keel is a beam of plates."
    assert settle(picture("A white plate"), [draft], section=keel).caption == "A white plate"


def test_a_caption_ties_the_picture_to_its_section_and_the_alt_text_says_what_is_to_be_seen() -> None:
    words = settle(picture("A rake"), [" With its row of teeth a rake gathers leaves."], fact=RAKE, section=BESIDE)
    assert words == PictureWords("With its row of teeth a rake gathers leaves", "A rake", "drafted", "metadata")


@pytest.mark.parametrize(
    "draft",
    [
        "Rakes made of bamboo gather leaves",  # nobody said bamboo
        "Children rake the lawn with teeth",  # each word is known, what they say together is not
        "A rake gathers leaves with its teeth",  # as if the picture showed it
        "Rakes are rakes",  # the label again
        "Leaves fall on the lawn",  # not about the picture
        "A rake gathers them without harm to the grass",  # the article's own sentence
        "A rake gathers leaves. It is a long-handled tool",  # two sentences
        "Gathering leaves, rakes do no harm to grass",  # what the reader has just read
    ],
)
def test_a_draft_that_says_what_is_not_known_or_nothing_new_does_not_stand(draft: str) -> None:
    words = settle(picture("A rake"), [f" {draft}."], fact=RAKE, section=BESIDE)
    assert words.caption == "A rake: a long-handled tool with a row of teeth at its head"
    assert words.caption_origin == "metadata", "put together without a model"


def test_of_several_drafts_the_one_that_the_model_trusts_most_stands() -> None:
    first, second = "Rakes gather leaves with a row of teeth", "With its teeth, the rake is for gathering leaves"
    drafts = [first, second, second, first]
    chosen = settle(picture("A rake"), drafts, fact=RAKE, section=BESIDE, odds={first: 0.5, second: 2.0})
    assert chosen.caption == second
    none = settle(picture("A rake"), drafts, fact=RAKE, section=BESIDE, odds={first: -0.5, second: -2.0})
    assert none.caption_origin == "metadata"


def test_neighbouring_words_have_to_belong_together_in_a_source() -> None:
    sources = ["Oak piles carry the house.", "Two walls hide a well."]
    assert supported("Oak piles carrying a house", sources, set())
    assert not supported("The house is hidden in oak piles", sources, set())
    assert content_words("Filters filtering and filtered") == ["filter"] * 3


def test_a_draft_of_an_individual_names_it() -> None:
    section = Section("## Windsor Castle\n\nThe castle stands on a chalk hill above the river.")
    words = PictureWords("Windsor Castle in the evening", "Windsor Castle")
    assert may_stand("Windsor Castle stands on a hill above the river", words, None, section)
    assert not may_stand("The castle stands on a hill of chalk by the river", words, None, section)


def test_what_a_caption_is_drafted_from_names_the_subject() -> None:
    assert sentences_about("A rake", BESIDE) == ["A rake gathers them without harm to the grass.", "Children jump in."]
    assert sentences_about("A hen", BESIDE) == []


def test_one_sentence_without_quotes() -> None:
    assert one_sentence(' "A hen in the yard."') == "A hen in the yard"
    assert one_sentence(" A hen. A cow.") == ""


def test_the_second_of_a_kind_is_introduced_to_nobody() -> None:
    shown = [ShownPicture(picture(label), ELSEWHERE, RAKE) for label in ("A rake", "A red rake")]
    captions = [w.caption for w in printed_words(ScriptedModel(lambda p, s: ""), load_prompts("en"), "en", shown)]
    assert captions == ["A rake: a long-handled tool with a row of teeth at its head", "A red rake"]
    assert settle(picture("A pig"), fact=Fact("pig", "domestic swine", "a test")).caption == "A pig"
    tall = Fact("giraffe", "tallest living quadruped; having a very long neck; of savannahs of Africa", "a test")
    said = "A giraffe: tallest living quadruped, having a very long neck"
    assert settle(picture("A giraffe"), fact=tall).caption == said


def test_a_chinese_caption_has_the_clause_that_names_the_thing() -> None:
    record = picture("A hen", alt="A hen", captions=(("zh", "草地上的母鸡"),))
    section = Section("院子不大。在我们家，母鸡每天早上第一个出来找虫吃。")
    assert settle(record, language="zh", section=section) == PictureWords(
        "草地上的母鸡：母鸡每天早上第一个出来找虫吃", "草地上的母鸡", "drafted", "metadata"
    )


def test_the_articles_language_decides_which_caption_counts() -> None:
    record = picture("a hen", alt="a hen", captions=(("zh", "一只母鸡"),))
    assert texts(settle(record, language="zh")) == ("一只母鸡", "一只母鸡")


def test_words_in_another_language_are_translated_by_the_model() -> None:
    words = settle(picture("a hen"), ["一只母鸡。"], "zh")
    assert words == PictureWords("一只母鸡", "一只母鸡", "drafted", "drafted")
    assert texts(settle(picture("一只母鸡"), [" A hen."], "en")) == ("A hen", "A hen")


def test_words_in_another_language_stand_where_the_model_is_silent() -> None:
    assert texts(settle(picture("a hen"), [""], "zh")) == ("A hen", "A hen")


def test_an_individual_without_a_definition_is_told_of_in_the_sections_own_words() -> None:
    section = Section("## Windsor Castle\n\nThe castle is old. Windsor Castle stands on a hill above the river.")
    words = settle(picture("Windsor Castle in the evening"), section=section)
    assert words.caption == "Windsor Castle in the evening: Windsor Castle stands on a hill above the river"
    assert words.caption_origin == "drafted"
    opened = Section("## Windsor Castle\n\nA moat surrounds the castle on every side.")
    told = settle(picture("Windsor Castle in the evening"), section=opened).caption
    assert told == "Windsor Castle in the evening: a moat surrounds the castle on every side"
    headed = Section("## Windsor Castle\n\nOak gates close its yard at night, as they always did.")
    told = settle(picture("Windsor Castle in the evening"), section=headed).caption
    assert told == "Windsor Castle in the evening: oak gates close its yard at night, as they always did"
