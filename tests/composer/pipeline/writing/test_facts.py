"""Definitions of what a heading names, in the sense that belongs to the subject."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from composer.pipeline.writing.dictionary import Sense
from composer.pipeline.writing.encyclopedia import Encyclopedia, Entry, notes_of
from composer.pipeline.writing.facts import (
    Fact,
    Glossary,
    begins_as_note,
    cited,
    define,
    is_told,
    misspells,
    named_things,
    related,
    shares_of_characters,
    told_by,
)

ROOT = Path(__file__).resolve().parents[4]


def words_in_common(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors in which texts are near that share words."""
    found = np.zeros((len(texts), 512), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().replace(":", " ").replace(";", " ").split():
            found[row, sum(map(ord, word)) % 512] += 1
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Claw Hammers", ["claw hammer"]),
        ("The sickle and the hay", ["sickle", "hay"]),
        ("Loaves of bread", ["loaf", "bread"]),
        ("A Day at Work", []),
        ("如何养猫", []),
    ],
)
def test_things_are_found_by_their_longest_name_in_either_number(text: str, names: list[str]) -> None:
    assert named_things(text) == names


def test_the_sense_that_belongs_to_the_subject_is_taken() -> None:
    harbour = define("crane", "A harbour: machine that lifts heavy objects", words_in_common, least=0.0)
    marsh = define("crane", "A marsh: large wading bird with a long neck", words_in_common, least=0.0)
    assert harbour is not None
    assert marsh is not None
    assert "lifts and moves heavy objects" in harbour.text
    assert "wading bird" in marsh.text
    assert marsh.source.startswith("WordNet n")


def test_what_is_said_of_a_thing_tells_its_sense_and_makes_it_sure() -> None:
    """A red crab on a rock: "a louse that infests …", stood under one."""
    said = "A long-necked bird of a marsh is large and wades in many parts of the plains of the world."
    bird = define("crane", "A red one on a machine", words_in_common, said=said, least=0.5)
    assert bird is not None
    assert "wading bird" in bird.text
    assert define("crane", "A red one on a machine", words_in_common, said="Nobody was there.", least=0.5) is None


def test_the_plain_sense_comes_before_one_that_is_also_called_so() -> None:
    saw = define("saw", "A carpenter's workshop: saw, a tool", words_in_common, least=-1.0)
    assert saw is not None
    assert saw.text.startswith("hand tool")


def test_what_belongs_to_a_thing_is_found_where_its_definition_mentions_it() -> None:
    facts = related("Hens", "a hen that lays eggs", words_in_common)
    assert any(fact.name == "layer" for fact in facts)


def test_facts_are_said_once_over_all_headings_and_looked_up_in_english() -> None:
    glossary = Glossary(words_in_common, lambda texts: ["adult female chicken", "hen", "hen"])
    first, second = glossary.facts("农场", ["母鸡", "母鸡"])
    assert "adult female chicken" in {fact.text for fact in first}
    assert not {fact.text for fact in first} & {fact.text for fact in second}


SUMMARIES = {
    "Crane (machine)": {
        "title": "Crane (machine)",
        "extract": "A crane is a machine that lifts heavy objects (up to 50 t) at a harbour. The first stood in 1850."
        ' A boom carries the load over the ship. Its name is from the "bird".',
        "description": "Type of machine",
        "topic": "Technology",
    },
    "Crane (bird)": {
        "title": "Crane (bird)",
        "extract": "Cranes are long-legged wading birds of the marsh.",
        "description": "Family of birds",
        "topic": "Biology",
    },
    "Château d'If": {"title": "Château d'If", "extract": "The château is a fortress.", "description": "", "topic": ""},
    "Old": {"title": "Old", "extract": "It was built in 1900.", "description": "", "topic": ""},
}


@pytest.fixture
def encyclopedia(tmp_path: Path) -> Encyclopedia:
    file = tmp_path / "summaries.json"
    file.write_text(json.dumps(SUMMARIES), encoding="utf-8")
    return Encyclopedia(file)


def test_an_encyclopedia_is_read_without_numbers_brackets_and_words_about_words(encyclopedia: Encyclopedia) -> None:
    machine, bird = encyclopedia.entries("crane")
    assert (machine.title, bird.title) == ("Crane (machine)", "Crane (bird)")
    assert machine.text == (
        "A crane is a machine that lifts heavy objects at a harbour. A boom carries the load over the ship."
    )
    assert "1850" in machine.extract
    assert "50 t" not in machine.extract
    assert encyclopedia.entries("chateau d'if")[0].kind == ""
    assert encyclopedia.entries("old") == encyclopedia.entries("new") == []


def test_notes_have_no_subject_of_their_own_unless_it_is_another(encyclopedia: Encyclopedia) -> None:
    lion = Entry("Lion", "", "The lion is a large cat of the genus Panthera. Adult males are larger than females.", "")
    assert notes_of(lion) == "a large cat of the genus Panthera; Adult males are larger than females"
    duck = Entry("Duck", "", "Ducks are aquatic birds, which are found in fresh water. They have short necks.", "")
    assert notes_of(duck) == "aquatic birds; found in fresh water; have short necks"


def test_a_word_is_misspelt_that_is_none_but_nearly_one_of_the_facts() -> None:
    known = {"hippopotamus", "semiaquatic", "mammal"}
    assert misspells("The hipopotamus is a large mammal.", known)
    assert not misspells("The hippopotamus is aquatic, as other mammals are, and a megafaunal grazer.", known)


def test_a_sentence_that_begins_as_a_note_has_no_subject() -> None:
    saxophone = Entry("Saxophone", "", "Saxophones are made in various sizes. The saxophone has a reed.", "")
    facts = [Fact("saxophone", notes_of(saxophone), "Wikipedia Saxophone", saxophone)]
    assert begins_as_note("Made in various sizes and often of brass.", facts)
    assert not begins_as_note("Saxophones are made in various sizes.", facts)
    assert not begins_as_note("Made in various sizes.", [Fact("saxophone", "made in various sizes", "GCIDE")])


def test_what_an_entry_says_is_cited_and_nothing_else(encyclopedia: Encyclopedia) -> None:
    (machine, _) = encyclopedia.entries("crane")
    facts = [Fact("crane", notes_of(machine), "Wikipedia Crane (machine)", machine), Fact("pier", "a wall", "GCIDE")]
    said, other = "A crane lifts heavy objects at the harbour.", "A pier is a wall that many children like to visit."
    (citation,) = cited([said, other], facts)
    assert (citation.sentence, citation.passages) == (said, (machine.passage,))
    assert citation.support > 0.8
    assert is_told(said, facts)
    assert not is_told("A crane never lifts heavy objects at the harbour.", facts)
    assert not is_told(other, facts)
    assert Glossary(words_in_common, encyclopedia=encyclopedia).informed(["Cranes", "Old piers"]) == [True, False]
    assert machine.passage.source == machine.source.id
    assert "Wikipedia" in machine.source.author


def test_what_has_an_entry_of_its_own_is_not_told_of_under_another_name(tmp_path: Path) -> None:
    """WordNet has trumpet and horn as one; percussion is told of as a kind of what the article is on."""
    rows = {
        "Horn (instrument)": "A horn is any musical instrument made of a tube.",
        "Trumpet": "The trumpet is a brass instrument of the orchestra.",
        "Percussion instrument": "A percussion instrument is a musical instrument that is struck.",
        "Cattle": "Cattle are large domesticated animals of the farm.",
    }
    file = tmp_path / "summaries.json"
    told = {title: {"title": title, "extract": text, "description": ""} for title, text in rows.items()}
    file.write_text(json.dumps(told), encoding="utf-8")
    glossary = Glossary(words_in_common, encyclopedia=Encyclopedia(file))

    def entries(subject: str, heading: str) -> list[str]:
        [facts] = glossary.facts(subject, [heading])
        return [fact.entry.title for fact in facts if fact.entry and not fact.mentioned]

    assert entries("a brass musical instrument made of a tube", "Trumpet") == ["Trumpet"]
    assert entries("a musical instrument that is struck", "Percussion") == ["Percussion instrument"]
    assert entries("large domesticated animals of the farm", "Cows") == ["Cattle"]


def test_things_that_belong_to_a_subject_come_from_the_encyclopedia(encyclopedia: Encyclopedia) -> None:
    glossary = Glossary(words_in_common, encyclopedia=encyclopedia)
    assert glossary.subjects("machine that lifts heavy objects at a harbour") == ["Crane"]
    assert glossary.subjects("the crane machine") == []  # the subject itself
    assert glossary.subjects("quantum chromodynamics") == Glossary(words_in_common).subjects("x") == []


def test_what_is_alike_stands_together_after_what_comes_first() -> None:
    """Headings of which nothing is known are compared by their own words."""
    headings = ["red brick", "green glass", "red clay brick", "green glass bead", "clay"]
    together = ["red brick", "red clay brick", "clay", "green glass", "green glass bead"]
    assert Glossary(words_in_common).alike_together(headings) == together
    assert Glossary(words_in_common).alike_together([]) == []


def test_an_encyclopedia_tells_more_than_a_dictionary_in_the_sense_that_is_meant(encyclopedia: Encyclopedia) -> None:
    glossary = Glossary(words_in_common, encyclopedia=encyclopedia)
    [facts] = glossary.facts("A harbour: machine that lifts heavy objects", ["The cranes"])
    assert facts[0].source == "Wikipedia Crane (machine)"
    assert not [fact for fact in facts if fact.source.startswith("WordNet")]  # a line that says less
    [facts] = glossary.facts("A fortress", ["Château d’If"])
    assert [fact.source for fact in facts] == ["Wikipedia Château d'If"]


OLD = "a graceful ruminant with long legs; a hand tool with a heavy rigid head, as was told of old"


def test_a_label_is_defined_by_its_longest_name_in_whatever_form_that_is_known() -> None:
    glossary = Glossary(words_in_common)
    known = glossary.definition_of(
        ["male", "black", "rhino"], "black rhinoceros: African rhino; in danger of extinction"
    )
    assert known is not None
    assert known.name == "black rhinoceros"
    known = glossary.definition_of(["brown", "hen"], "hen: adult female chicken")
    assert known is not None
    assert known.text == "adult female chicken"


def test_the_continents_of_what_a_heading_names_are_those_of_its_entry(tmp_path: Path) -> None:
    lion = {"title": "Lion", "extract": "Lions live in Africa and India.", "description": "", "topic": ""}
    (tmp_path / "summaries.json").write_text(json.dumps({"Lion": lion}), encoding="utf-8")
    glossary = Glossary(words_in_common, encyclopedia=Encyclopedia(tmp_path / "summaries.json"))
    assert glossary.continents(["Old lions", "Hammers"]) == [{"Africa"}, set()]


def test_of_what_lives_the_old_dictionary_says_nothing() -> None:
    class Old:
        def senses(self, word: str, part: str) -> list[Sense]:
            return [Sense(word, "n", OLD, "")] if part == "n" else []

    glossary = Glossary(words_in_common, dictionary=Old())  # type: ignore[arg-type]
    [antelope] = glossary.facts("graceful Old World ruminant with long legs", ["antelopes"])[0]
    assert antelope.source.startswith("WordNet n024")
    hammer = glossary.facts("a hand tool with a heavy rigid head", ["hammers"])[0]
    assert {fact.source.split()[0] for fact in hammer} == {"GCIDE", "WordNet"}


def test_what_another_entry_says_of_a_thing_is_known_where_it_has_none_of_its_own(encyclopedia: Encyclopedia) -> None:
    glossary = Glossary(words_in_common, encyclopedia=encyclopedia)
    subject = "A machine that carries the load over the ship at a harbour"
    [boom] = [fact for fact in glossary.facts(subject, ["Booms"])[0] if fact.entry]
    assert (boom.text, boom.source, boom.mentioned) == (
        "A boom carries the load over the ship.",
        "Wikipedia Crane (machine)",
        True,
    )
    assert told_by(boom) == str(boom)
    assert not [fact for fact in glossary.facts("Sweet cakes", ["Booms"])[0] if fact.entry]
    assert not any(fact.mentioned for fact in glossary.facts(subject, ["The cranes"])[0])


def test_where_the_encoder_does_not_read_the_language_characters_are_compared() -> None:
    glossary = Glossary(words_in_common, reads_language=False)
    same, other = glossary.likeness(["母鸡在院子里找虫子吃。"], ["母鸡在院子里找虫子。", "灯塔在夜里发光。"])[0]
    assert same > 0.8 > 0.2 > other
    assert shares_of_characters([""], ["x"]).shape == (1, 1)


def test_definitions_are_read_without_importing_the_package_that_carries_them() -> None:
    code = (
        "import sys; from composer.pipeline.writing.facts import named_things as f; "
        "print(f('A claw hammer'), *sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("['claw hammer']")
    assert {"timm", "torch"} & set(ran.stdout.split()) == set()
