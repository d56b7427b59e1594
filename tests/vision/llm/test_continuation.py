"""The end of a text, its stop strings and what it may not contain, on logits made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from vision.interfaces import Sampling
from vision.llm.sampling import Continuation

LETTERS = "abcdefgh"
END = 7


def continuation(sampling: Sampling, **changes: Any) -> Continuation:
    settings: dict[str, Any] = {
        "room": 100,
        "decode": lambda ids: "".join(LETTERS[i] for i in ids),
        "ends": frozenset({END}),
        "never": (),
        "begun": (),
    }
    return Continuation(sampling, **(settings | changes))


def favour(*ids: int) -> np.ndarray:
    """Logits that like these tokens, the first best, and give the others nothing."""
    logits = np.full(8, -10.0, np.float32)
    for rank, token in enumerate(ids):
        logits[token] = 5.0 - rank
    return logits


def write(text: Continuation, logits: np.ndarray) -> str:
    out = ""
    while text.finish is None:
        chunk, _ = text.advance(logits.copy())
        out += chunk.text if chunk else ""
    return out


def test_generated_and_continued_tokens_are_penalised() -> None:
    greedy = Sampling(max_tokens=3, temperature=0, repetition_penalty=1000.0)
    assert write(continuation(greedy), favour(0, 1, 2)) == "abc"
    assert write(continuation(greedy, begun=(0,)), favour(0, 1, 2, 3)) == "bcd"


def test_placeholders_are_never_written() -> None:
    text = continuation(Sampling(max_tokens=4, temperature=0), never=(0,))
    assert write(text, favour(0, 1)) == "bbbb"


def test_an_end_token_stops_and_is_no_text() -> None:
    text = continuation(Sampling(max_tokens=4, temperature=0))
    assert write(text, favour(END)) == ""
    assert text.finish == "stop"


def test_a_stop_string_at_the_last_token_is_a_stop() -> None:
    text = continuation(Sampling(max_tokens=2, temperature=0, stop=("aa",)))
    assert write(text, favour(0)) == ""
    assert text.finish == "stop"


def test_what_was_held_for_a_stop_string_is_written_when_tokens_run_out() -> None:
    text = continuation(Sampling(max_tokens=2, temperature=0, stop=("aab",)))
    assert write(text, favour(0)) == "aa"
    assert text.finish == "length"
