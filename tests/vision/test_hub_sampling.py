"""Drawing tokens: the penalty, the nucleus, seeds and the end of a text, on logits made by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from vision.hub_sampling import Continuation, draw, penalise_repetition
from vision.protocol import Sampling

LETTERS = "abcdefgh"
END = 7


def continuation(sampling: Sampling, **changes: Any) -> Continuation:
    settings: dict[str, Any] = {
        "room": 100,
        "decode": lambda ids: "".join(LETTERS[i] for i in ids),
        "ends": frozenset({END}),
        "never": (),
        "continued": (),
    }
    return Continuation(sampling, **(settings | changes))


def favour(*ids: int) -> torch.Tensor:
    """Logits that like these tokens, the first best, and give the others nothing."""
    logits = torch.full((8,), -10.0)
    for rank, token in enumerate(ids):
        logits[token] = 5.0 - rank
    return logits


def write(text: Continuation, logits: torch.Tensor) -> str:
    out = ""
    while text.finish is None:
        chunk, _ = text.advance(logits)
        out += chunk.text if chunk else ""
    return out


def test_the_penalty_makes_seen_tokens_less_likely_whatever_their_sign() -> None:
    logits = torch.tensor([2.0, -2.0, 1.0])
    assert penalise_repetition(logits, {0, 1}, 2.0).tolist() == [1.0, -4.0, 1.0]
    assert logits.tolist() == [2.0, -2.0, 1.0]


def test_generated_and_continued_tokens_are_penalised() -> None:
    greedy = Sampling(max_tokens=3, temperature=0, repetition_penalty=1000.0)
    assert write(continuation(greedy), favour(0, 1, 2)) == "abc"
    assert write(continuation(greedy, continued=(0,)), favour(0, 1, 2, 3)) == "bcd"


def test_the_nucleus_is_the_smallest_set_that_reaches_top_p() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    generator = torch.Generator().manual_seed(0)
    drawn = Counter(draw(logits, Sampling(temperature=1.0, top_p=0.75), generator) for _ in range(4000))
    assert set(drawn) == {0, 1}
    assert drawn[0] / 4000 == pytest.approx(0.625, abs=0.03)


def test_a_flat_distribution_wider_than_the_shortcut_keeps_its_whole_nucleus() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = {draw(torch.zeros(4000), Sampling(temperature=1.0, top_p=0.5), generator) for _ in range(4000)}
    assert 1000 < len(drawn) <= 2000


def test_placeholders_are_never_written() -> None:
    text = continuation(Sampling(max_tokens=4, temperature=0), never=(0,))
    assert write(text, favour(0, 1)) == "bbbb"


def test_an_end_token_stops_and_counts() -> None:
    text = continuation(Sampling(max_tokens=4, temperature=0))
    assert write(text, favour(END)) == ""
    assert (text.finish, text.generated) == ("stop", 1)


def test_a_stop_string_at_the_last_token_is_a_stop() -> None:
    text = continuation(Sampling(max_tokens=2, temperature=0, stop=("aa",)))
    assert write(text, favour(0)) == ""
    assert text.finish == "stop"


def test_what_was_held_for_a_stop_string_is_written_when_tokens_run_out() -> None:
    text = continuation(Sampling(max_tokens=2, temperature=0, stop=("aab",)))
    assert write(text, favour(0)) == "aa"
    assert text.finish == "length"
