"""Text assembling and stop strings, over every way of cutting the stream."""

from __future__ import annotations

import itertools

import pytest

from vision.stopping import StopFilter, TextAssembler


def bytes_to_text(ids: list[int]) -> str:
    """A byte-level tokenizer: the id is the byte."""
    return bytes(ids).decode("utf-8", errors="replace")


def test_characters_of_several_bytes_arrive_whole() -> None:
    text = "né 如何 🦜!"
    assembler = TextAssembler(bytes_to_text)
    pieces = [assembler.push(byte) for byte in text.encode()]
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces)
    assert pieces.count("🦜") == 1


def test_an_incomplete_character_at_the_end_is_dropped() -> None:
    assembler = TextAssembler(bytes_to_text)
    pieces = [assembler.push(byte) for byte in "ab🦜".encode()[:-1]]
    assert "".join(pieces) + assembler.flush() == "ab"


def test_a_tokenizer_that_drops_the_first_space_loses_none_between_pieces() -> None:
    words = ["the", "red", "parrot"]
    assembler = TextAssembler(lambda ids: " ".join(words[i] for i in ids))
    assert [assembler.push(i) for i in range(3)] == ["the", " red", " parrot"]


def cuttings(text: str) -> list[list[str]]:
    every = []
    for mask in itertools.product([False, True], repeat=len(text) - 1):
        pieces = [text[0]]
        for char, cut in zip(text[1:], mask, strict=True):
            if cut:
                pieces.append(char)
            else:
                pieces[-1] += char
        every.append(pieces)
    return every


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one##two", ("##",), "one"),
        ("a#b", ("##",), "a#b"),
        ("abcd", ("abc", "b"), "a"),
        ("aab", ("ab",), "a"),
        ("xyz", (), "xyz"),
        ("xyz", ("",), "xyz"),
    ],
)
def test_the_cut_into_pieces_makes_no_difference(text: str, stop: tuple[str, ...], expected: str) -> None:
    for pieces in cuttings(text):
        stops = StopFilter(stop)
        out = "".join(stops.push(piece) for piece in pieces) + stops.flush()
        assert out == expected, pieces
        assert stops.stopped is (expected != text)


def test_text_that_cannot_begin_a_stop_string_is_not_held_back() -> None:
    stops = StopFilter(("\n\n",))
    assert stops.push("hello ") == "hello "
    assert stops.push("world\n") == "world"
