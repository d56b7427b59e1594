"""The article as JSON: nothing is lost, files of earlier versions open, and no file is trusted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from composer.article.model import Article
from composer.article.serialization import dump, from_json, to_json
from composer.errors import ComposerError, EditError
from tests.composer.article_samples import farm_article
from vision.errors import Phrase, phrase_to_json


def with_reason(article: Article, *reason: Phrase) -> Article:
    return replace(article, placements=(replace(article.placements[0], reason=reason), *article.placements[1:]))


def test_reasons_come_back_as_keys_and_values(tmp_path: Path) -> None:
    inner = Phrase("words_shared", {"words": ["red", "鸡"]})
    article = with_reason(farm_article(tmp_path), Phrase("left_out", {"reason": inner}), Phrase("chosen_only"))
    assert from_json(json.loads(dump(article))).placements[0].reason == article.placements[0].reason


def test_numbers_are_rounded_and_errors_among_the_values_keep_their_key() -> None:
    assert phrase_to_json(Phrase("looks_too", {"score": 0.123456})) == {"key": "looks_too", "values": {"score": 0.1235}}
    assert phrase_to_json(Phrase("left_out", {"reason": EditError("gone", at=Path("x"))})) == {
        "key": "left_out",
        "values": {"reason": {"key": "gone", "values": {"at": "x"}}},
    }


def test_texts_of_format_1_stay_as_they_were_written(tmp_path: Path) -> None:
    data = to_json(farm_article(tmp_path)) | {"format": 1}
    for placement in data["placements"]:
        placement["reason"] = "由你选定"
        for candidate in placement["candidates"]:
            candidate["why"] = ""
    read = from_json(data)
    assert read.placements[0].reason == (Phrase("verbatim", {"text": "由你选定"}),)
    assert read.placements[0].candidates[0].why == ()


@pytest.mark.parametrize(
    "reason",
    [
        5,
        {"key": "chosen_only", "values": {}},
        ["chosen_only"],
        [{"key": "chosen_only"}],
        [{"key": ["x"], "values": {}}],
        [{"key": "looks_too", "values": {}}],
        [{"key": "looks_too", "values": {"score": "high"}}],
        [{"key": "left_out", "values": {"reason": {"key": "looks_too"}}}],
    ],
)
def test_a_reason_that_cannot_be_put_into_words_is_refused(reason: Any, tmp_path: Path) -> None:
    data = to_json(farm_article(tmp_path))
    data["placements"][0]["reason"] = reason
    with pytest.raises(ComposerError) as caught:
        from_json(data)
    assert caught.value.key in ("article_wrong_kind", "article_lacks_field")


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposerError) as caught:
        from_json(to_json(farm_article(tmp_path)) | {"format": 9})
    assert (caught.value.key, caught.value.values["found"]) == ("article_format", 9)


def test_where_words_are_from_and_what_is_unchecked_come_back_and_earlier_files_open(tmp_path: Path) -> None:
    article = farm_article(tmp_path)
    first = replace(article.placements[0], caption_origin="drafted", alt_origin="metadata")
    section = replace(article.sections[0], text="Ada Smith came in 1889.", unchecked=("1889", "Ada Smith"))
    article = replace(article, placements=(first, *article.placements[1:]), sections=(section, *article.sections[1:]))
    data = json.loads(dump(article))
    read = from_json(data)
    assert read.sections == article.sections
    assert (read.placements[0].caption_origin, read.placements[0].alt_origin) == ("drafted", "metadata")
    for placement in data["placements"]:
        del placement["caption_origin"], placement["alt_origin"]
    del data["sections"][0]["unchecked"]
    earlier = from_json(data)
    assert earlier.placements[0].caption_origin == ""
    assert earlier.sections[0].unchecked == ()


@pytest.mark.parametrize(("field", "value"), [("caption_origin", "a poet"), ("alt_origin", 5)])
def test_an_origin_that_there_is_not_is_refused(field: str, value: Any, tmp_path: Path) -> None:
    data = to_json(farm_article(tmp_path))
    data["placements"][0][field] = value
    with pytest.raises(ComposerError):
        from_json(data)
    data = to_json(farm_article(tmp_path))
    data["sections"][0]["unchecked"] = [value, 7]
    with pytest.raises(ComposerError):
        from_json(data)
