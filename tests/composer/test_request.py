"""A request is read strictly, whoever sends it, and nothing of it is lost on the way to JSON and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composer.article.model import Article, Section
from composer.errors import UsageError
from composer.request import (
    LANGUAGES,
    MAX_IMAGES,
    MAX_SEED,
    TONES,
    ComposeRequest,
    parse_images,
    read_text_file,
    request_from_json,
    request_to_json,
)
from composer.studio.session import request_info, request_of
from retrieval.filters import Filters

TEXTS = st.text(max_size=20)
PATHS = st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).map(Path), max_size=3).map(
    tuple
)
REQUESTS = st.builds(
    ComposeRequest,
    instruction=st.text(min_size=1, max_size=20).map(lambda text: f"x{text}"),
    text=TEXTS,
    text_name=TEXTS,
    use_images=PATHS,
    images=st.none() | st.integers(3, MAX_IMAGES),
    language=st.sampled_from(["auto", *LANGUAGES]),
    seed=st.integers(-MAX_SEED, MAX_SEED),
    words=st.integers(100, 5000),
    filters=st.builds(
        Filters, st.lists(TEXTS, max_size=2).map(tuple), st.lists(TEXTS, max_size=2).map(tuple), st.integers(0, 9999)
    ),
    may_use=PATHS,
    tone=st.sampled_from(["", *TONES]),
    fast=st.booleans(),
    title=TEXTS,
)


@given(REQUESTS)
def test_a_request_comes_back_whole(request: ComposeRequest) -> None:
    assert request_from_json(json.loads(json.dumps(request_to_json(request)))) == request


@given(REQUESTS)
def test_a_stage_is_run_again_for_all_that_was_asked(request: ComposeRequest) -> None:
    article = Article("Title", "zh", (Section("文字。"),))
    info = json.loads(json.dumps(request_info(request, Path("library"))))
    again = request_of(info, article)
    kept = ("instruction", "images", "seed", "words", "filters", "tone", "fast")
    assert [getattr(again, name) for name in kept] == [getattr(request, name) for name in kept]
    assert (again.language, again.text) == ("zh", "文字。\n\n" if request.text else "")


def test_pictures_of_a_draft_that_are_gone_are_not_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "here.png").write_bytes(b"")
    names = [str(tmp_path / "here.png"), str(tmp_path / "gone.png")]
    article = Article("Title", "en", (Section("Text."),))
    for info in ({"use_images": names, "may_use": names}, {"must": names, "may": names}):
        again = request_of(info, article)
        assert again.use_images == again.may_use == (tmp_path / "here.png",)


@pytest.mark.parametrize(
    ("given", "images"), [("auto", None), (" Auto ", None), ("自动", None), (None, None), ("4", 4), (4.0, 4), (0, 0)]
)
def test_a_number_of_pictures_is_read_as_people_write_it(given: object, images: int | None) -> None:
    assert parse_images(given) == images


@pytest.mark.parametrize("given", ["many", "", "-1", "1.5", 1.5, True, float("inf"), float("nan"), "٣", "9" * 5000, []])
def test_what_is_no_number_of_pictures_is_refused(given: object) -> None:
    with pytest.raises(UsageError) as caught:
        parse_images(given)
    assert caught.value.key == "pictures_wrong"


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({}, "empty_instruction"),
        ({"instruction": " ", "text": "\n"}, "empty_instruction"),
        ({"instruction": "x", "wrods": 3}, "field_unknown"),
        ({"instruction": 3}, "field_wrong_kind"),
        ({"instruction": "x", "fast": 1}, "field_wrong_kind"),
        ({"instruction": "x", "seed": True}, "field_wrong_kind"),
        ({"instruction": "x", "words": 600.5}, "field_wrong_kind"),
        ({"instruction": "x", "words": float("inf")}, "field_wrong_kind"),
        ({"instruction": "x", "use_images": "a.png"}, "field_wrong_kind"),
        ({"instruction": "x", "use_images": [3]}, "field_wrong_kind"),
        ({"instruction": "x", "images": 51}, "pictures_wrong"),
        ({"instruction": "x", "use_images": ["a", "b"], "images": 1}, "more_than_pictures"),
        ({"instruction": "x", "words": 99}, "words_wrong"),
        ({"instruction": "x", "length": "huge"}, "length_unknown"),
        ({"instruction": "x", "length": "long", "words": 900}, "words_and_length"),
        ({"instruction": "x", "tone": "rude"}, "tone_unknown"),
        ({"instruction": "x", "language": "tlh"}, "language_unknown"),
        ({"instruction": "x", "seed": 2**70}, "field_range"),
        ({"instruction": "x", "seed": -(2**63)}, "field_range"),
        ({"instruction": "x" * 20_001}, "instruction_long"),
        ({"instruction": "x", "text": "t", "headings": ["a"]}, "outline_not_here"),
        ({"instruction": "x", "headings": ["a"] * 17}, "outline_long"),
        ({"instruction": "x", "headings": [3]}, "field_wrong_kind"),
        ({"instruction": "x", "filters": []}, "field_wrong_kind"),
        ({"instruction": "x", "filters": {"licence": []}}, "field_unknown"),
        ({"instruction": "x", "filters": {"min_side_px": "big"}}, "field_wrong_kind"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_key(values: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError) as caught:
        request_from_json(values)
    assert caught.value.key == key


def test_a_length_is_a_number_of_words() -> None:
    assert request_from_json({"instruction": "x", "length": "long", "seed": 7.0}) == ComposeRequest(
        "x", words=1200, seed=7
    )


def test_a_text_to_illustrate_keeps_its_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"one\r\n\r\ntwo\n")
    assert read_text_file(tmp_path / "a.md") == "one\r\n\r\ntwo\n"


def test_a_folder_is_no_text_and_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^text_is_folder"):
        read_text_file(tmp_path)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (None, "file_unreadable"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", "text_file_not_text"),
        ("Grüße aus Köln, schöne Höhe. ".encode() * 9 + b"\xff", "text_file_not_text"),
        (b" \n", "text_file_empty"),
    ],
)
def test_a_file_that_is_no_text_is_refused(data: bytes | None, key: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "a.md").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_text_file(tmp_path / "a.md")
    assert caught.value.key == key
