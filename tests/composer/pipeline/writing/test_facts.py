"""Definitions of what a heading names, in the sense that belongs to the subject."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from composer.pipeline.writing.facts import Glossary, define, named_things, related, shares_of_characters

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
    [harbour] = define(["crane"], "A harbour: machine that lifts heavy objects", words_in_common, least=0.0)
    [marsh] = define(["crane"], "A marsh: large wading bird with a long neck", words_in_common, least=0.0)
    assert "lifts and moves heavy objects" in harbour.text
    assert "wading bird" in marsh.text
    assert marsh.source.startswith("WordNet n")


def test_the_plain_sense_comes_before_one_that_is_also_called_so() -> None:
    [saw] = define(["saw"], "A carpenter's workshop: saw, a tool", words_in_common, least=-1.0)
    assert saw.text.startswith("hand tool")


def test_what_belongs_to_a_thing_is_found_where_its_definition_mentions_it() -> None:
    facts = related("Hens", "a hen that lays eggs", words_in_common)
    assert any(fact.name == "layer" for fact in facts)


def test_facts_are_said_once_over_all_headings_and_looked_up_in_english() -> None:
    glossary = Glossary(words_in_common, lambda texts: ["adult female chicken", "hen", "hen"])
    first, second = glossary.facts("农场", ["母鸡", "母鸡"])
    assert "adult female chicken" in {fact.text for fact in first}
    assert not {fact.text for fact in first} & {fact.text for fact in second}


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
