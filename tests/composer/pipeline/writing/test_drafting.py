"""Which sentences of several drafts stand, and how they are put together."""

from __future__ import annotations

import numpy as np
import pytest

from composer.pipeline.writing.drafting import (
    DraftSentence,
    assemble,
    is_praise,
    is_risky,
    lead_in,
    paragraph_of,
    read_drafts,
    repeats,
    says_nothing,
    shared_names,
    tell_the_same,
    worth_of,
)


def texts(sentences: list[DraftSentence]) -> list[str]:
    return [entry.text for entry in sentences]


def test_chatter_labels_headings_and_unfinished_sentences_are_left_out() -> None:
    draft = "Sure, here it is. **Nest:** a place for eggs.\nHens lay eggs in nests. Also, they eat some grain. They run"
    assert texts(read_drafts([draft])) == ["Hens lay eggs in nests.", "They eat some grain."]


@pytest.mark.parametrize(
    ("sentence", "risky"),
    [
        ("The tower was built in 1890.", True),
        ("It stood for centuries.", True),
        ("这座塔建于十八世纪。", True),
        ("Camels live in Africa.", False),
        ("It was designed by Vespasian.", True),
        ("The Colosseum stands in Rome.", False),
        ("Hens lay eggs.", False),
    ],
)
def test_numbers_dates_and_names_that_nobody_gave_never_stand(sentence: str, risky: bool) -> None:
    assert is_risky(sentence, frozenset({"colosseum", "rome"}), frozenset({"Africa"})) is risky


def test_a_name_that_most_drafts_have_is_shared() -> None:
    assert shared_names(["It is in Rome.", "See it in Rome, by Titus.", "Here in Athens."]) == frozenset({"Rome"})


def test_what_is_a_dictionarys_line_and_no_sentence_is_left_out() -> None:
    draft = "Foredeck: The deck above the main deck. A deck is a floor; a platform. The deck is the floor of a ship."
    assert texts(read_drafts([draft])) == ["The deck is the floor of a ship."]


def test_what_other_drafts_say_too_is_worth_more_and_stock_phrases_less() -> None:
    same = "Hens lay eggs in a nest of straw."
    pool = read_drafts([same, same, same, same, "Hens play an important role in life."])
    alike = np.where(np.outer([1, 1, 1, 1, 0], [1, 1, 1, 1, 0]), 1.0, 0.2)
    worth = worth_of(pool, alike, np.full(5, 0.6))
    assert worth[0] == worth[3] > 0 > worth[4]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("In the process of making cheese.", False),
        ("In the process of making cheese whey is drained.", True),
        ("In autumn, bees store honey.", True),
        ("On the moor grouse nest in heather that burns.", True),
        ("Milk and rennet make curd.", True),
    ],
)
def test_an_opening_clause_is_no_sentence(text: str, whole: bool) -> None:
    assert bool(read_drafts([text])) is whole


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "They include addax, impalas, elands, small dik-diks.",
            "They include addax, impalas, elands and small dik-diks.",
        ),
        ("They include gazelles, impalas and dik-diks.", "They include gazelles, impalas and dik-diks."),
        ("The lion, a large cat, native to Africa, hunts.", "The lion, a large cat, native to Africa, hunts."),
    ],
)
def test_the_last_of_an_enumeration_is_joined(said: str, meant: str) -> None:
    assert [entry.text for entry in read_drafts([said])] == [meant]


@pytest.mark.parametrize(
    ("drafts", "lead"),
    [
        (["Lions, zebras and giraffes share the savanna."], "Lions, zebras and giraffes share the savanna."),
        (["Lions and zebras share the savanna."], ""),  # too few
        (["Lions, zebras and giraffes are a fascinating part of the savanna."], ""),
        (["They are lions, zebras and giraffes."], ""),  # who?
        (["Animals of the savanna: lions, zebras and giraffes."], ""),  # no sentence
        (["Lions hunt zebras by night while giraffes browse the tall acacias beside dry river beds."], ""),
        (
            [
                "Lions, zebras and giraffes graze and roam widely.",
                "Lions, zebras, giraffes and owls share the savanna.",
            ],
            "Lions, zebras, giraffes and owls share the savanna.",
        ),
    ],
)
def test_what_leads_into_an_article_names_its_things_and_says_nothing_else(drafts: list[str], lead: str) -> None:
    assert lead_in(drafts, "Animals of the Savanna", ["Lion", "Zebra", "Giraffes", "Owls"]) == lead


@pytest.mark.parametrize(
    ("sentence", "nothing"),
    [
        ("Tongs are a crucial tool in the blacksmith's workshop.", True),
        ("Blacksmiths need various tongs in the workshop.", True),
        ("Tongs hold hot metal in the blacksmith's workshop.", False),
        ("Tongs are a crucial tool to hold hot metal.", False),
    ],
)
def test_a_sentence_of_the_titles_and_the_headings_words_says_nothing(sentence: str, nothing: bool) -> None:
    assert says_nothing(sentence, "The Blacksmith's Workshop Tongs") is nothing


def test_what_is_nothing_but_stock_phrases_is_praise() -> None:
    assert is_praise("Drums are a key component of the orchestra, adding a rich and dynamic sound.")
    assert not is_praise("Drums are a popular instrument with a skin that is struck.")


def test_what_is_made_of_known_words_is_worth_more_and_long_sentences_less() -> None:
    long = "Hens give " + "a lot of milk and " * 8 + "cheese."
    pool = read_drafts(["Hens lay eggs in nests.", "Hens give milk in barns.", long])
    worth = worth_of(pool, np.eye(3), np.array([0.8, 0.3, 0.3]))
    assert worth[0] > worth[1] > worth[2]


def test_two_sentences_that_tell_the_same_of_what_is_known_do_not_both_count() -> None:
    """Clauses 0 and 2 both define, clause 1 says something else; the last sentence tells none of them."""
    to_clauses = np.array([[0.9, 0.1, 0.2], [0.1, 0.2, 0.8], [0.1, 0.7, 0.1], [0.3, 0.2, 0.3]])
    assert tell_the_same(to_clauses, (-1, 2, -1)).tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, False],
        [False, False, False, False],
    ]


def test_sentences_repeat_each_other_by_meaning_or_in_words_that_are_not_the_subjects_name() -> None:
    said = ["An anvil is a block of iron.", "The anvil's face is flat and hard.", "A block of iron serves as an anvil."]
    alike = np.where(np.eye(3), 1.0, 0.7)
    assert repeats(said, said, alike, "The Anvil").tolist() == [
        [True, False, True],
        [False, True, False],
        [True, False, True],
    ]
    assert repeats(said[:1], said[1:2], np.array([[0.85]]), "The Anvil").tolist() == [[True]]
    assert repeats(said[:1], [], np.zeros((1, 0)), "The Anvil").shape == (1, 0)


def test_a_paragraph_takes_the_best_draft_and_what_others_add_to_it() -> None:
    pool = read_drafts(
        [
            "Hens lay eggs in nests. They eat grain and worms.",
            "Hens lay their eggs in nests. Foxes hunt hens at night.",
        ]
    )
    same = np.eye(4, dtype=bool)
    same[0, 2] = same[2, 0] = True
    chosen = assemble(pool, np.array([1.0, 0.8, 0.9, 0.5]), same, 20)
    assert paragraph_of(chosen, "en") == "Hens lay eggs in nests. They eat grain and worms. Foxes hunt hens at night."


def test_a_sentence_that_leans_on_one_left_out_is_left_out_too() -> None:
    pool = read_drafts(["Hens need a dry house. It has a golden roof. This roof keeps the rain out."])
    chosen = assemble(pool, np.array([1.0, -1.0, 1.0]), np.eye(3, dtype=bool), 40)
    assert texts(chosen) == ["Hens need a dry house."]


def test_no_paragraph_opens_with_a_pronoun_and_none_is_much_too_long() -> None:
    pool = read_drafts(["They eat grain and worms. Hens lay eggs in nests. Hens run about in the yard all day."])
    assert texts(assemble(pool, np.ones(3), np.eye(3, dtype=bool), 5)) == ["Hens lay eggs in nests."]
    assert assemble(pool, -np.ones(3), np.eye(3, dtype=bool), 50) == []
