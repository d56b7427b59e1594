"""From logits to a token, and from tokens to text that never holds half a character.

A ``Sampler`` draws ids from logits, a ``TextStream`` turns ids into text, a ``Continuation`` is both for one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from vision.errors import WeightsError
from vision.interfaces import Chunk, FinishReason, Sampling

# How far below the likeliest token, in scaled logits, to look. What is below the last of these is never drawn: a
# vocabulary of 150,000 such tokens would not have a hundred thousandth of the likeliest one's probability.
_DEPTHS = (6.0, 12.0, np.inf)
_FAINTEST = 24.0


class Sampler:
    """Draws tokens as ``Sampling`` says; its generator is its own, so neighbours in a batch do not disturb it."""

    def __init__(self, sampling: Sampling, begun: Iterable[int] = ()) -> None:
        self._sampling = sampling
        self._generator = np.random.Generator(np.random.PCG64(sampling.seed))
        self._seen = dict.fromkeys(begun)

    def draw(self, logits: np.ndarray) -> int:
        """The next token of (vocabulary,) float32 logits, which are changed."""
        s = self._sampling
        if s.repetition_penalty != 1.0 and self._seen:
            seen = np.fromiter(self._seen, np.int64)
            values = logits[seen]
            logits[seen] = np.where(values > 0, values / s.repetition_penalty, values * s.repetition_penalty)
        best = int(logits.argmax())  # nan, where there is one
        if not np.isfinite(logits[best]):
            raise WeightsError("logits_not_finite")
        token = best if s.temperature == 0 else self._draw(logits)
        self._seen[token] = None
        return token

    def _draw(self, logits: np.ndarray) -> int:
        s = self._sampling
        most = logits.max()
        audible = np.flatnonzero(logits >= most - np.float32(_FAINTEST * s.temperature))
        scaled = (logits[audible] - most) * np.float32(1 / s.temperature)
        goal = s.top_p * float(np.exp(scaled).sum(dtype=np.float64))
        for depth in _DEPTHS:  # only the likeliest need sorting; how many that is depends on how sure the model is
            likely = np.flatnonzero(scaled >= -depth)
            weights = np.exp(scaled[likely].astype(np.float64))
            if weights.sum() >= goal:
                break
        order = np.argsort(-weights, kind="stable")
        cumulative = np.cumsum(weights[order])
        kept = min(int(np.searchsorted(cumulative, goal)) + 1, len(order))
        drawn = self._generator.random() * cumulative[kept - 1]
        place = order[min(int(np.searchsorted(cumulative, drawn, side="right")), kept - 1)]
        return int(audible[likely[place]])


def log_softmax_at(logits: np.ndarray, tokens: Sequence[Sequence[int]]) -> np.ndarray:
    """Natural-log probabilities, (rows, n) float64, of n tokens a row of (rows, vocabulary) logits."""
    most = logits.max(-1, keepdims=True)
    if not np.isfinite(most).all():
        raise WeightsError("logits_not_finite")
    total = np.exp(logits - most).sum(-1, keepdims=True, dtype=np.float64)
    chosen = np.take_along_axis(logits, np.asarray(tokens, np.int64), -1).astype(np.float64)
    return np.asarray(chosen - most - np.log(total))


class TextStream:
    """Text of a growing list of ids: whole characters only, and nothing that may turn out to be a stop string."""

    def __init__(
        self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = (), begun: Sequence[int] = ()
    ) -> None:
        self._decode, self._stop = decode, tuple(s for s in stop if s)
        self._ids = list(begun)[-8:]  # a few ids of context: a first token may be decoded otherwise than a later one
        self._known = decode(self._ids) if self._ids else ""
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that is now certain."""
        self._ids.append(token)
        text = self._decode(self._ids)
        if text.endswith("\ufffd"):  # the rest of the character is still to come
            return ""
        self._held += text[len(self._known) :]
        self._known = text
        if len(self._ids) > 16:
            self._ids = self._ids[-8:]
            self._known = self._decode(self._ids)
        return self._certain()

    def finish(self) -> str:
        """What was held back; half a character is dropped."""
        text, self._held = self._held, ""
        return "" if self.stopped else text

    def _certain(self) -> str:
        found = [at for at in (self._held.find(s) for s in self._stop) if at >= 0]
        if found:
            self.stopped = True
            text, self._held = self._held[: min(found)], ""
            return text
        keep = max((_overlap(self._held, s) for s in self._stop), default=0)
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return text


class Continuation:
    """One text being written: logits in, certain text and the next token out. ``finish`` is None until the end.

    ``room`` is the number of tokens that fit into the context window, ``ends`` are the tokens that end a turn,
    ``begun`` those of an assistant turn it goes on with, ``never`` those a text may not contain.
    """

    def __init__(
        self,
        sampling: Sampling,
        room: int,
        decode: Callable[[Sequence[int]], str],
        ends: frozenset[int],
        begun: Sequence[int],
        never: Sequence[int] = (),
    ) -> None:
        self.finish: FinishReason | None = None
        self._tokens_left = min(sampling.max_tokens, room)
        self._ends, self._never = ends, list(never)
        self._sampler = Sampler(sampling, begun)
        self._text = TextStream(decode, sampling.stop, begun)

    def advance(self, logits: np.ndarray, index: int = 0) -> tuple[Chunk | None, int]:
        """The text that became certain, if any, and the token drawn from (vocabulary,) logits, which are changed."""
        if self._never:
            logits[self._never] = -np.inf
        token = self._sampler.draw(logits)
        self._tokens_left -= 1
        text = ""
        if token in self._ends:
            self.finish = "stop"
        else:
            text = self._text.push(token)
            if self._text.stopped:
                self.finish = "stop"
            elif self._tokens_left <= 0:
                self.finish = "length"
        if self.finish is not None:
            text += self._text.finish()
        return (Chunk(text, index, self.finish) if text or self.finish else None), token


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-n:])), 0)
