"""What an encyclopedia's entry says itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from composer.pipeline.writing.encyclopedia import Entry
from composer.pipeline.writing.facts import Fact
from composer.pipeline.writing.quoting import adding_article, with_quotations

LEOPARD = (
    "The leopard is a large spotted cat of the genus Panthera.",
    "It has a pale yellowish to dark golden fur with dark spots grouped in rosettes.",
    "It is sometimes believed that melanistic leopards are another kind of cat.",
    "Its body is slender and muscular, reaching a length of 92–183 cm.",
    "The species was described by Linnaeus in a taxonomic work of his own.",
    "It is the only living cat in its superfamily, as far as anybody knows.",
    "However, males are heavier than females in all of the places where they live.",
)


def unlike(one: Sequence[str], other: Sequence[str]) -> np.ndarray:
    return np.zeros((len(one), len(other)))


def about(name: str, extract: str) -> Fact:
    return Fact(name.lower(), extract, f"Wikipedia {name}", Entry(name, "", extract, extract))


def quoted(own: Sequence[str], room: float, sentences: Sequence[str] = LEOPARD, name: str = "Leopard") -> list[str]:
    extract = " ".join(sentences)
    return with_quotations(own, about(name, extract), room, [], "", unlike)


def test_a_pronoun_stands_before_the_quotation_marks_where_its_sentence_follows_the_one_it_points_to() -> None:
    assert quoted([], 25) == [
        "“The leopard is a large spotted cat of the genus Panthera.”",
        "It “has a pale yellowish to dark golden fur with dark spots grouped in rosettes.”",
    ]


def test_the_subject_stands_before_the_quotation_marks_where_that_sentence_is_missing() -> None:
    own = ["Leopards are cats, large and spotted, of the genus Panthera."]
    assert quoted(own, 40) == [
        *own,
        "The leopard “has a pale yellowish to dark golden fur with dark spots grouped in rosettes.”",
        "The leopard’s “body is slender and muscular, reaching a length of 92–183 cm.”",
    ]


def test_own_sentences_stand_where_the_entry_tells_the_same_with_what_leans_on_them() -> None:
    own = ["Dark spots grouped in rosettes mark the golden fur.", "They hide the cat in high grass."]
    assert quoted(own, 12) == ["“The leopard is a large spotted cat of the genus Panthera.”", *own]


def test_a_definition_in_more_words_stands_where_the_entry_defines() -> None:
    own = ["The leopard is a large spotted cat of the genus Panthera that climbs, swims and hunts many kinds of game."]
    assert quoted(own, 12)[0] == own[0]


def test_what_an_own_sentence_says_too_little_of_is_quoted_instead() -> None:
    owl = "Owls are birds of the night with an upright stance, a large, broad head, sharp talons and silent feathers."
    assert quoted(["Owls are birds."], 30, (owl,), "Owl") == [f"“{owl}”"]
    assert quoted(["Owls are birds."], 2, (owl,), "Owl") == ["Owls are birds."]


def test_of_what_there_is_no_room_for_the_farthest_from_the_subject_is_left_out() -> None:
    def near(one: Sequence[str], other: Sequence[str]) -> np.ndarray:
        return np.array([[0.5 * ("body" in a and "climbing" in b) for b in other] for a in one])

    extract = " ".join(LEOPARD)
    printed = with_quotations([], about("Leopard", extract), 60, [], "Leopards: climbing", near)
    assert printed == [
        "“The leopard is a large spotted cat of the genus Panthera.”",
        "The leopard’s “body is slender and muscular, reaching a length of 92–183 cm.”",
    ]


def test_nothing_is_quoted_where_the_section_is_full_or_says_the_same() -> None:
    assert quoted(["Leopards hunt at night."], 0) == ["Leopards hunt at night."]
    extract = " ".join(LEOPARD[:1])
    alike = with_quotations([], about("Leopard", extract), 50, ["Said."], "", lambda a, b: unlike(a, b) + 0.9)
    assert alike == []


def test_that_sentences_of_one_entry_are_alike_keeps_none_of_them_out() -> None:
    def alike(one: Sequence[str], other: Sequence[str]) -> np.ndarray:
        return np.full((len(one), len(other)), 0.9)

    extract = " ".join(LEOPARD[:2])
    assert len(with_quotations([], about("Leopard", extract), 60, [], "", alike)) == 2
    assert with_quotations([], about("Leopard", extract), 60, ["Cats have spots."], "", alike) == []


@pytest.mark.parametrize(
    ("sentences", "name"),
    [
        (("They are the tallest animals that live on land today.",), "Giraffe"),  # of whom?
        (("The two groups are not closely related to each other.",), "Porcupine"),
        (("In use since antiquity, they have been built of clay and stone.",), "Oven"),
        (("71, is a ballet by Pyotr Ilyich Tchaikovsky in two acts.",), "The Nutcracker"),
        (("The term is derived from a word of a much older language.",), "Oven"),
    ],
)
def test_what_nobody_could_understand_alone_is_not_quoted(sentences: Sequence[str], name: str) -> None:
    assert quoted([], 100, sentences, name) == []


def test_a_pronoun_is_not_resolved_where_the_entry_begins_with_something_else() -> None:
    own = ["Herds of giraffes are towers."]
    sentences = ("A herd of giraffes is a tower or a journey.", "It has no leader for long at all.")
    assert quoted(own, 40, sentences, "Savanna") == own


def test_of_an_entry_on_another_thing_only_the_sentence_is_quoted_that_names_it() -> None:
    cheese = Entry("Cheese", "", "", "Cheese is made of milk and rennet. The solid curds are separated from the whey.")
    curds = Fact("curd", "The solid curds are separated from the whey.", "Wikipedia Cheese", cheese, mentioned=True)
    assert with_quotations(["Curds are soft."], curds, 60, [], "", unlike) == [f"“{curds.text}”", "Curds are soft."]


@pytest.mark.parametrize(
    ("name", "definition", "sentence", "meant"),
    [
        ("Leopard", "The leopard is a cat.", "Leopard is a spotted cat.", "The leopard is a spotted cat."),
        ("Zebra", "Zebras are African equines.", "Zebra has black stripes.", "The zebra has black stripes."),
        ("Zebra", "Zebras are African equines.", "Zebras are African.", "Zebras are African."),
        ("Zebra", "Zebras are African equines.", "Zebra stripes differ.", "Zebra stripes differ."),
        ("Nile", "The Nile is a river in Africa.", "Nile is a river.", "The Nile is a river."),
        ("Bread", "Bread is a baked food.", "Bread is eaten everywhere.", "Bread is eaten everywhere."),
    ],
)
def test_what_is_counted_gets_the_article_that_was_left_out(
    name: str, definition: str, sentence: str, meant: str
) -> None:
    assert adding_article(Entry(name, "", definition, definition))(sentence) == meant
