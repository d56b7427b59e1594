"""One text being written by a hub model: logits in, certain text and the next token out.

Sampling and text assembling are ``vision.llm.sampling``'s, so a seed means the same draws on any device and in
any batch. Deliberately knows no model and no cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from vision.interfaces import Chunk, FinishReason, Sampling
from vision.llm.sampling import Sampler, TextStream


class Continuation:
    """Feed it logits, it yields text and says which token comes next.

    ``room`` is the number of tokens that fit into the context window, ``ends`` are the tokens that end a turn,
    ``never`` those a text may not contain, ``continued`` those of an assistant turn it goes on with.
    ``finish`` is None until the end.
    """

    def __init__(
        self,
        sampling: Sampling,
        *,
        room: int,
        decode: Callable[[Sequence[int]], str],
        ends: frozenset[int],
        never: Sequence[int],
        continued: Sequence[int],
    ) -> None:
        self.finish: FinishReason | None = None
        self._tokens_left = min(sampling.max_tokens, room)
        self._ends = ends
        self._never = list(never)
        self._sampler = Sampler(sampling, begun=continued)
        self._text = TextStream(decode, sampling.stop, begun=continued)

    def advance(self, logits: torch.Tensor, index: int = 0) -> tuple[Chunk | None, int]:
        """The text that became certain, if any, and the token drawn from logits (V,), which are changed."""
        scores = logits.numpy()
        scores[self._never] = float("-inf")
        token = self._sampler.draw(scores)
        self._tokens_left -= 1
        text = ""
        if token in self._ends:
            self.finish = "stop"
        else:
            text = self._text.push(token)
            if self._text.stopped:
                self.finish = "stop"
            elif self._tokens_left == 0:
                self.finish = "length"
        if self.finish is not None:
            text += self._text.finish()
        return (Chunk(text, index, self.finish) if text or self.finish else None), token
