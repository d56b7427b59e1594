"""What is filled into the form becomes a request, or an error that names what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from composer.errors import SourceError, UsageError
from composer.i18n import strings
from composer.request import ComposeRequest
from composer.web.form import MAX_INSTRUCTION_CHARS, MAX_TEXT_CHARS, make_request, text_of_file
from tests.composer.article_samples import picture
from tests.composer.sources.document_files import word_document
from vision.errors import ImageError

WORDS = strings("en")


def fields(**changes: object) -> dict[str, object]:
    given: dict[str, object] = {
        "mode": "write",
        "instruction": "A day",
        "text": "",
        "length": "medium",
        "pictures": "auto",
        "language": "auto",
        "tone": "",
        "seed": 0,
        "must": None,
        "may": None,
    }
    return {**given, **changes}


def test_the_fields_of_the_page_become_a_request(tmp_path: Path) -> None:
    own, other = picture(tmp_path, "own.jpg").path, picture(tmp_path, "other.jpg").path
    request = make_request(
        fields(pictures="3", seed=7.0, must=[str(own)], may=[str(other)], length="long", tone="vivid"), WORDS
    )
    assert request == ComposeRequest(
        "A day", use_images=(own,), may_use=(other,), images=3, seed=7, words=1200, tone="vivid"
    )
    text = make_request(fields(mode="illustrate", instruction="", text="# T\n\nP\r\n"), WORDS)
    assert (text.text, text.instruction, text.images) == ("# T\n\nP\r\n", "", None)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"instruction": " "}, "empty_instruction"),
        ({"instruction": "x" * (MAX_INSTRUCTION_CHARS + 1)}, "instruction_too_long"),
        ({"mode": "illustrate"}, "empty_text"),
        ({"mode": "illustrate", "text": "x" * (MAX_TEXT_CHARS + 1)}, "text_too_long"),
        ({"pictures": "many"}, "pictures_wrong"),
        ({"pictures": "99"}, "pictures_wrong"),
        ({"seed": 2**70}, "field_range"),
        ({"tone": "grumpy"}, "tone_unknown"),
    ],
)
def test_what_is_missing_or_wrong_is_named(wrong: dict[str, object], key: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_request(fields(**wrong), WORDS)
    assert refused.value.key == key


def test_documents_to_write_from_are_taken_by_their_kind_and_not_for_a_text_of_ones_own(tmp_path: Path) -> None:
    document, other = tmp_path / "notes.docx", tmp_path / "table.xlsx"
    for path in (document, other):
        path.write_bytes(b"x")
    assert make_request(fields(sources=[str(document)]), WORDS).sources == (document,)
    with pytest.raises(UsageError, match="source_kind"):
        make_request(fields(sources=[str(document), str(other)]), WORDS)
    assert make_request(fields(mode="illustrate", text="Words.", sources=[str(document)]), WORDS).sources == ()


@pytest.mark.parametrize("field", ["must", "may"])
def test_an_upload_that_is_no_picture_is_refused_by_name(tmp_path: Path, field: str) -> None:
    (tmp_path / "evil.jpg").write_text("<svg onload=alert(1)>")
    with pytest.raises(ImageError) as refused:
        make_request(fields(**{field: [str(tmp_path / "evil.jpg")]}), WORDS)
    assert (refused.value.key, refused.value.values["name"]) == ("image_format_unknown", "evil.jpg")


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(41_000_000)
    with pytest.raises(UsageError) as refused:
        make_request(fields(must=[str(large)]), WORDS)
    assert refused.value.values == {"name": "large.jpg", "limit_mb": 40}


def test_a_file_to_illustrate_becomes_text(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Notes\r\n\r\nWords.", encoding="utf-8", newline="")
    assert text_of_file(tmp_path / "notes.md") == "# Notes\r\n\r\nWords.", "to the byte"
    (tmp_path / "notes.docx").write_bytes(word_document())
    assert text_of_file(tmp_path / "notes.docx").startswith("# Our boat\n\n")
    for wrong in (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", b"x" * (MAX_TEXT_CHARS + 1)):
        (tmp_path / "notes.md").write_bytes(wrong)
        with pytest.raises(UsageError, match=r"^text_file_wrong"):
            text_of_file(tmp_path / "notes.md")
    (tmp_path / "notes.docx").write_bytes(b"PK no archive")
    with pytest.raises(SourceError):
        text_of_file(tmp_path / "notes.docx")
