"""Every word a person may read exists in every language, with the same fields, and is found by its key."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from composer.errors import EditError, UsageError
from composer.i18n import UI_LANGUAGES, localize, tables
from composer.pipeline.events import Notice
from image_db.errors import LibraryError  # noqa: F401 - its classes are among those that speak
from retrieval.errors import RetrievalError  # noqa: F401
from vision.errors import ImageError, KeyedError, Phrase

ROOT = Path(__file__).parents[3]
PACKAGES = ("composer", "retrieval", "image_db", "vision")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", UI_LANGUAGES)
def test_the_languages_have_the_same_words_with_the_same_fields(language: str) -> None:
    english, other = tables("en"), tables(language)
    assert {name: list(table) for name, table in other.items()} == {
        name: list(table) for name, table in english.items()
    }
    differing = [
        key for name, table in english.items() for key in table if fields(table[key]) != fields(other[name][key])
    ]
    assert differing == []


def test_every_key_that_is_raised_or_said_has_words_and_no_words_are_left_over() -> None:
    said, texts = set(), set()
    speakers = {"Phrase", "Notice", *(kind.__name__ for kind in kinds(KeyedError))}
    for path in [ROOT / "app.py", *(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in speakers:
                said |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    words = {key for name in ("errors", "reasons", "steps") for key in tables("en")[name]}
    assert said - words == set()
    assert words - texts == set()


def kinds(base: type[KeyedError]) -> list[type[KeyedError]]:
    return [base, *(kind for child in base.__subclasses__() for kind in kinds(child))]


def test_a_key_stands_in_one_table_only() -> None:
    tables_of_keys = [tables("en")[name] for name in ("errors", "reasons", "steps")]
    keys = [key for table in tables_of_keys for key in table]
    assert len(keys) == len(set(keys))


def test_words_are_said_in_the_readers_language() -> None:
    error = EditError("cannot_move")
    assert localize(error, "zh") == "已经在文章的尽头，不能再移了。"
    assert localize(error, "en") == "it is at the end of the article already"
    notice = Notice("fewer_fit", {"standing": 2, "asked": 4})
    assert localize(notice, "zh").startswith("现有 2 张图片，而不是 4 张")


def test_a_value_that_is_an_error_or_a_list_is_put_into_words_too() -> None:
    inner = ImageError("cannot_move")
    outer = UsageError("picture_unusable", name="a.png", reason=inner)
    assert localize(outer, "en") == "a.png cannot be used: it is at the end of the article already"
    assert localize(Phrase("words_shared", {"words": ["red", "hen"]}), "en") == "shared words: red, hen"
    assert localize(Phrase("words_shared", {"words": ["red", "hen"]}), "zh") == "相同的词：red、hen"


def test_reasons_are_joined_and_numbers_are_printed_as_the_words_say() -> None:
    reasons = [Phrase("chosen_only"), Phrase("looks_match", {"wanted": "a hen", "score": 0.456})]
    assert localize(reasons, "en") == "the only candidate that fits; its looks match “a hen” (0.46)"


@pytest.mark.parametrize("language", UI_LANGUAGES)
def test_every_option_that_a_requests_file_has_a_field_for_is_said_by_its_field(language: str) -> None:
    found = tables(language)
    assert set(found["fields"]) <= set(found["flags"])
    of_compose = {"tone", "kind", "language", "images", "words", "seed", "illustrate", "sources", "license", "where"}
    options = {f"--{name}" for name in of_compose} | {"--use-image"}
    named = {key for key, text in found["flags"].items() if options & set(re.findall(r"--[a-z-]+", text))}
    assert named - set(found["fields"]) - {"search_empty"} == set(), "a search is no request of a batch"
    assert options & set(re.findall(r"--[a-z-]+", " ".join(found["fields"].values()))) == set()
