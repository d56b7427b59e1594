"""Places and wishes come from what a section names and the library shows, not from what looks alike."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from composer.article.model import Section, Slot
from composer.pipeline.selection import Considered
from composer.pipeline.subjects import (
    IN_HEADING,
    OPENED_BY,
    Subject,
    different,
    named,
    naming,
    of_headings,
    phrases_of,
    proper_names,
    read_label,
    supported_subjects,
    words_of,
)
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from tests.fakes import ColourEncoder


def picture(caption: str, **more) -> ImageRecord:
    return ImageRecord(id=caption, path=Path("/p.jpg"), width_px=9, height_px=9, caption=caption, **more)


@pytest.mark.parametrize(
    ("label", "noun", "names"),
    [
        ("A garden rake with a long handle", "rake", ()),
        ("Ponies grazing on a hill", "pony", ()),
        ("A red and white lighthouse", "lighthouse", ()),
        ("A bag and a stick", "bag", ()),
        ("A pile of oranges", "orange", ()),
        ("A bent carving knife", "knife", ()),
        ("Windsor Castle in the evening", "castle", ("windsor",)),
        ("The cathedral of Chartres", "cathedral", ("chartres",)),
        ("The Old Bridge in Heidelberg", "bridge", ("heidelberg",)),
        ("The planet Mercury", "mercury", ("mercury",)),
        ("A Shetland pony", "pony", ()),
        ("", "", ()),
    ],
)
def test_a_label_names_a_kind_or_an_individual(label: str, noun: str, names: tuple[str, ...]) -> None:
    read = read_label(label)
    assert (read.noun, read.names) == (noun, names)


def share(label: str, text: str, language: str = "en") -> float:
    return named(picture(label), language, words_of(Section(text)))[0]


def test_a_section_is_about_a_kind_whose_noun_it_has_and_about_an_individual_whose_name_it_has() -> None:
    assert share("A garden rake", "Rakes gather leaves.") == 0.5
    assert share("A garden rake", "Garden rakes gather leaves.") == 1.0
    assert share("A garden rake", "The garden is full of leaves.") == 0.0
    assert share("Windsor Castle", "The castle has a moat.") == 0.0
    assert share("Windsor Castle", "## Windsor\n\nThe castle has a moat.") == 1.0
    assert share("Windsor Castle", "## Windsor\n\nThe park is large.") == 0.5
    assert share("Worms Cathedral", "Worms live under the cathedral.") == 0.0
    assert share("草地上的绵羊", "绵羊在山上吃草。", "zh") == 1.0
    assert share("草地上的绵羊", "草地很大。", "zh") == 0.0


def test_what_opens_a_section_matters_more_than_what_it_mentions() -> None:
    words = words_of(Section("Rakes gather leaves that fall from the tree. A ladder helps. A ladder is dear."))
    order = [named(picture(label), "en", words)[1] for label in ("A rake", "A tree", "A ladder")]
    assert order == sorted(order, reverse=True)
    assert named(picture("A rake"), "en", words_of(Section("## The rake\n\nIt gathers leaves.")))[1] > order[0]
    passing = words_of(Section("Leaves fall. They are many. A rake gathers them."))
    assert named(picture("A rake"), "en", passing)[1] < 1


def test_names_are_told_from_words_that_open_a_sentence() -> None:
    assert proper_names("Towers rise. Near Windsor Castle runs the Thames.") == ["Windsor Castle", "Thames"]
    assert "Windsor Castle" in phrases_of(Section("Near Windsor Castle a rake leans on a wall."))
    assert "rake" in phrases_of(Section("Near Windsor Castle a rake leans on a wall."))


def library(*labels: str):
    """A search that finds every picture for every phrase, as one that looks only at looks might."""

    def search(phrases: Sequence[str]) -> list[list[Candidate]]:
        return [[Candidate(picture(label), 0.3, 0.3, 0.5) for label in labels] for _ in phrases]

    return search


YARD = [
    Section("Our small yard has more to it than one would think from outside."),
    Section("The hens scratch for worms from morning until night."),
    Section("A horse looks over the fence, and waits for an apple."),
    Section("Nobody works here on Sundays."),
]


def test_places_are_where_the_library_has_the_subject() -> None:
    found = supported_subjects(YARD, range(4), "en", library("A brown hen", "A horse", "A cow"))
    assert {place: subject.name for place, subject in found.items()} == {1: "hen", 2: "horse"}


def test_a_picture_counts_for_one_section_only_the_one_that_is_most_about_it() -> None:
    sections = [*YARD[:3], Section("## The horse\n\nIt pulled a plough for years.")]
    found = supported_subjects(sections, range(4), "en", library("A horse", "A hen"))
    assert set(found) == {1, 3}
    assert next(iter(found)) == 3, "what a heading names is surest"


def test_the_second_section_on_a_thing_comes_after_those_with_one_of_their_own() -> None:
    sections = [Section("## The horse\n\nIt eats."), Section("## The horse at work\n\nIt pulls."), YARD[1]]
    found = supported_subjects(sections, range(3), "en", library("A brown horse", "A horse", "A hen"))
    assert list(found) == [0, 2, 1]
    assert different(found.values()) == 2
    assert different([Subject(0, "Hen", 1), Subject(1, "hen", 1)]) == 1


def test_something_else_than_what_is_to_be_avoided_and_what_must_appear_even_in_passing() -> None:
    assert supported_subjects(YARD[1:2], [0], "en", library("A hen"), avoid=["hen"]) == {}
    passing = [Section("Leaves fall in October. They are many. Somebody takes a rake.")]
    assert supported_subjects(passing, [0], "en", library("A rake")) == {}
    assert supported_subjects(passing, [0], "en", library("A rake"), required=frozenset(["A rake"]))[0].name == "rake"


def test_an_introduction_is_a_place_only_for_what_it_is_all_about() -> None:
    search = library("A horse", "A hen")
    assert 0 not in supported_subjects([Section("Hens and horses live in our yard."), *YARD], range(5), "en", search)
    opened = [Section("The horse is old."), Section("It rains."), Section("The sun shines.")]
    assert set(supported_subjects(opened, range(3), "en", search)) == {0}
    whole = [Section("The horse is old. A horse eats much."), Section("It rains."), Section("The sun shines.")]
    assert set(supported_subjects(whole, range(3), "en", search)) == {0}


def test_what_has_the_headings_word_and_nothing_of_the_article_is_no_subject() -> None:
    headings = ("A Nut", "Violin Strings", "Lessons")
    sections = [Section(f"## {heading}\n\nIt is small.") for heading in headings]
    subjects = {
        0: Subject(0, "nut", IN_HEADING, "Kiwi fruit"),
        1: Subject(1, "string", IN_HEADING, "Strings of a violin"),
        2: Subject(2, "lesson", OPENED_BY - 1, "A violin lesson"),  # which is only mentioned there
    }
    assert list(of_headings(subjects, sections, "Inside a violin", ColourEncoder())) == [1]
    assert list(of_headings(subjects, sections, "Inside a violin", ColourEncoder(languages=("de",)))) == [0, 1]
    mentioned = {2: subjects[2]}
    assert list(of_headings(mentioned, sections, "Inside a violin", ColourEncoder())) == [2], "nothing better is there"


def test_another_individual_is_not_wanted_and_the_named_one_is() -> None:
    labels = ("Windsor Castle", "Warwick Castle", "A castle on a hill")
    candidates = tuple(Candidate(picture(label), 0.3, 0.3, 0.5) for label in labels)
    section = Section("## Windsor Castle\n\nThe castle stands above the river.")
    weighed = naming(Considered(Slot(0, "Windsor Castle"), candidates), section, "en").naming
    assert weighed["Windsor Castle"] > weighed["A castle on a hill"]
    assert weighed["Warwick Castle"] < 0


def test_a_fire_truck_is_no_food_truck_and_a_red_cloth_is_a_cloth() -> None:
    trucks = "## Food Trucks\n\nA food truck is a kitchen on wheels. Trucks stand on the square at noon."
    assert share("A fire truck", trucks) == 0
    assert share("A fire truck", trucks.replace("Food Trucks", "Trucks")) > 0
    assert share("A red cloth", "## Cotton Cloth\n\nCotton cloth is woven from cotton.") > 0
