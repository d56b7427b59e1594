"""Sampling follows its definition; texts come in whole characters and without stop strings."""

from __future__ import annotations

import numpy as np
import pytest

from vision.interfaces import Sampling
from vision.llm.sampling import Sampler, TextStream, log_softmax_at


def frequencies(sampling: Sampling, logits: list[float], draws: int = 4000) -> np.ndarray:
    sampler = Sampler(sampling)
    drawn = [sampler.draw(np.array(logits, np.float32)) for _ in range(draws)]
    return np.bincount(drawn, minlength=len(logits)) / draws


def test_temperature_zero_takes_the_likeliest_token() -> None:
    assert frequencies(Sampling(temperature=0), [0.1, 3.0, 2.9], 5).tolist() == [0, 1, 0]


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    p = np.array([0.5, 0.3, 0.15, 0.05])
    got = frequencies(Sampling(temperature=1, top_p=1), np.log(p).tolist())
    np.testing.assert_allclose(got, p, atol=0.03)
    hot = p**0.5 / (p**0.5).sum()
    np.testing.assert_allclose(frequencies(Sampling(temperature=2, top_p=1), np.log(p).tolist()), hot, atol=0.03)


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    logits = np.log([0.5, 0.3, 0.15, 0.05]).tolist()
    got = frequencies(Sampling(temperature=1, top_p=0.7), logits)
    np.testing.assert_allclose(got, [0.625, 0.375, 0, 0], atol=0.03)
    assert frequencies(Sampling(temperature=1, top_p=0.01), logits, 50)[0] == 1


def test_a_flat_distribution_over_a_large_vocabulary_reaches_every_token() -> None:
    got = frequencies(Sampling(temperature=1, top_p=1), np.linspace(0, -30, 64).tolist() + [-0.5] * 400)
    assert (got[64:] > 0).mean() > 0.9


def test_the_repetition_penalty_divides_positive_and_multiplies_negative_logits() -> None:
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=2.0), begun=[0, 1])
    logits = np.array([3.0, -1.0, 1.6, -1.5], np.float32)
    assert sampler.draw(logits) == 2
    np.testing.assert_allclose(logits, [1.5, -2.0, 1.6, -1.5])
    assert sampler.draw(np.array([3.0, -1.0, 2.8, -1.5], np.float32)) == 0, "what was drawn is penalised as well"


def test_a_seed_gives_the_same_tokens_and_another_one_others() -> None:
    logits = np.zeros(50, np.float32)
    runs = [
        [Sampler(Sampling(temperature=1, seed=seed)).draw(logits.copy()) for _ in range(1)]
        + [s.draw(logits.copy()) for s in [Sampler(Sampling(temperature=1, seed=seed))] for _ in range(20)]
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_log_probabilities_are_those_of_the_softmax() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]], np.float32)
    expected = np.log(np.exp([1.0, 2, 3]) / np.exp([1.0, 2, 3]).sum())
    np.testing.assert_allclose(log_softmax_at(logits, [[2, 0], [0, 1]]), [expected[[2, 0]], [0, -1000]], atol=1e-6)


def decode_bytes(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def pieces(text: str, stop: tuple[str, ...] = (), begun: bytes = b"") -> list[str]:
    """A byte a token: the hardest case for whole characters."""
    stream = TextStream(lambda ids: decode_bytes(list(ids)), stop, list(begun))
    out = []
    for byte in text.encode():
        out.append(stream.push(byte))
        if stream.stopped:
            break
    return [*out, stream.finish()]


@pytest.mark.parametrize("text", ["plain", "naïve 🦜 鹦鹉 and more", "🏳️‍🌈" * 12, "\ufffd real"])
def test_text_comes_whole_and_never_in_half_characters(text: str) -> None:
    got = pieces(text)
    assert "".join(got) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in got)


def test_half_a_character_at_the_end_is_dropped() -> None:
    stream = TextStream(lambda ids: decode_bytes(list(ids)))
    got = [stream.push(byte) for byte in "ok 🦜".encode()[:-1]]
    assert "".join(got) + stream.finish() == "ok "


def test_bytes_that_are_no_text_do_not_hold_back_what_follows() -> None:
    stream = TextStream(lambda ids: decode_bytes(list(ids)))
    got = "".join(stream.push(byte) for byte in b"a\xff\xfe" + b"b" * 30) + stream.finish()
    assert got.replace("\ufffd", "") == "a" + "b" * 30


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one\n\ntwo", ("\n\n",), "one"),
        ("one\ntwo", ("\n\n",), "one\ntwo"),
        ("a STOP b", ("STOP", "a S"), ""),
        ("ababac", ("abac",), "ab"),
        ("鹦鹉。好", ("。",), "鹦鹉"),
        ("ends with ST", ("STOP",), "ends with ST"),
    ],
)
def test_stop_strings_end_the_text_and_are_not_part_of_it(text: str, stop: tuple[str, ...], expected: str) -> None:
    assert "".join(pieces(text, stop)) == expected


def test_text_continues_after_what_was_begun() -> None:
    assert "".join(pieces(" and on", begun="Once 🦜".encode())) == " and on"
