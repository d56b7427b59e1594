"""One token from a row of logits, and one continuation from its tokens.

Follows ``vision.protocol.Sampling`` to the letter: CTRL's repetition penalty, then temperature, then
top-p, drawn with the row's own generator on the CPU, so that a seed means the same text on any device and
in any batch. Deliberately knows no model and no cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from vision.protocol import Chunk, FinishReason, Sampling
from vision.stopping import StopFilter, TextAssembler

_LIKELY = 256  # a nucleus is nearly always within so many tokens; sorting a whole vocabulary costs milliseconds


def penalise_repetition(logits: torch.Tensor, seen: Iterable[int], penalty: float) -> torch.Tensor:
    """Logits (V,) with those of ``seen`` tokens divided by the penalty, or multiplied where negative."""
    ids = torch.tensor(sorted(seen), dtype=torch.long)
    if penalty == 1.0 or not len(ids):
        return logits
    logits = logits.clone()
    picked = logits[ids]
    logits[ids] = torch.where(picked > 0, picked / penalty, picked * penalty)
    return logits


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """A token id from logits (V,): the likeliest at temperature 0, else from the nucleus of ``top_p``."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        values, ids = probabilities.topk(min(_LIKELY, len(probabilities)))
        if values.sum() < sampling.top_p:
            values, ids = probabilities.sort(descending=True)
        # A token is in the nucleus where those before it do not fill it yet; the first always is.
        inside = values.cumsum(0) - values < sampling.top_p
        probabilities, ids = values[inside], ids[inside]
        return int(ids[torch.multinomial(probabilities, 1, generator=generator)])
    return int(torch.multinomial(probabilities, 1, generator=generator))


class Continuation:
    """One text being written: feed it logits, it yields text and says which token comes next.

    ``room`` is the number of tokens that fit into the context window. ``finish`` is None until the end.
    """

    def __init__(
        self,
        sampling: Sampling,
        *,
        room: int,
        decode: Callable[[list[int]], str],
        ends: frozenset[int],
        never: Sequence[int],
        continued: Sequence[int],
    ) -> None:
        self.generated = 0
        self.finish: FinishReason | None = None
        self._sampling = sampling
        self._tokens_left = min(sampling.max_tokens, room)
        self._ends = ends
        self._never = list(never)
        self._seen = set(continued)
        self._generator = torch.Generator().manual_seed(sampling.seed)
        self._text = TextAssembler(decode)
        self._stops = StopFilter(sampling.stop)

    def advance(self, logits: torch.Tensor, index: int = 0) -> tuple[Chunk | None, int]:
        """The text that became certain, if any, and the token drawn from logits (V,)."""
        logits = penalise_repetition(logits, self._seen, self._sampling.repetition_penalty)
        if self._never:
            logits = logits.index_fill(0, torch.tensor(self._never), float("-inf"))
        token = draw(logits, self._sampling, self._generator)
        self._seen.add(token)
        self.generated += 1
        self._tokens_left -= 1
        text = ""
        if token in self._ends:
            self.finish = "stop"
        else:
            text = self._stops.push(self._text.push(token))
            if self._tokens_left == 0 and not self._stops.stopped:
                self.finish = "length"
        if self.finish is not None:
            text += self._stops.push(self._text.flush())
        if self._stops.stopped:
            self.finish = "stop"
        elif self.finish is not None:
            text += self._stops.flush()
        return (Chunk(text, index, self.finish) if text or self.finish else None), token
