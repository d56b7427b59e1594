"""A transformers checkpoint behind ``VisionLanguageModel``.

Owns its decode loop instead of calling ``generate``: that is what lets a text be cancelled between tokens,
drawn with a seed of its own inside a batch, and start from a prefix that is already in the cache.
Prompts of a batch share their common prefix and are then read and continued side by side, padded on the
right, eight rows at a time. They take turns instead, each reusing the prefix of the one before, where rows
would not be independent of their padding (sliding windows), where there is nothing to share a cache with
(linear attention), and where pictures stand behind the shared prefix, since architectures batch
pictures of different prompts in ways of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from vision.errors import ModelError, Phrase, PromptTooLong
from vision.huggingface.cache import CachedForward, CachedRows, PrefixReader
from vision.huggingface.prompt_encoding import EncodedPrompt, PromptEncoder, shared_length
from vision.interfaces import Chunk, ModelIdentity, Prompt, Sampling, Usage
from vision.llm.sampling import Continuation

_ROWS_AT_ONCE = 8  # each row holds a cache of the whole prompt


class HubModel:
    """Implements ``vision.interfaces.VisionLanguageModel``; built by ``vision.huggingface.loading.load_hub_model``.

    ``ends`` are the tokens that end a turn, ``never`` those a text may not contain (picture placeholders). ``notice``
    says what a user should know of how the model runs.
    """

    def __init__(
        self,
        *,
        identity: ModelIdentity,
        model: Any,
        tokenizer: Any,
        encoder: PromptEncoder,
        sees_images: bool,
        context_tokens: int,
        ends: frozenset[int],
        never: Sequence[int],
        notice: Phrase | None = None,
    ) -> None:
        self.notice = notice
        self.identity = identity
        self.sees_images = sees_images
        self.context_tokens = context_tokens
        self.usage = Usage()
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._forward = CachedForward(model)
        self._reader = PrefixReader(self._forward, encoder)
        self._ends = ends
        self._never = tuple(never)

    def count_tokens(self, prompt: Prompt) -> int:
        return len(self._encoder.encode(prompt).ids)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return self.stream_batch([prompt], [sampling])

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        pairs = zip(prompts, samplings, strict=True)
        return self._write_all([(self._fitting(prompt, room=1), sampling) for prompt, sampling in pairs])

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self.score_batch([prompt], [options])[0]

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        ids = [[self._option_ids(option) for option in several] for several in options]
        encoded = [
            self._fitting(prompt, room=max(map(len, several), default=0))
            for prompt, several in zip(prompts, ids, strict=True)
        ]
        scores: list[list[float]] = []
        for group in _groups(len(encoded)):
            scores += self._score_group([encoded[i] for i in group], [ids[i] for i in group])
        return scores

    # Writing

    def _write_all(self, asked: list[tuple[EncodedPrompt, Sampling]]) -> Iterator[Chunk]:
        for group in _groups(len(asked)):
            texts = {i: self._continuation(*asked[i]) for i in group}
            members = [asked[i][0] for i in group]
            shared = self._batchable_prefix(members)
            if shared is not None:
                yield from self._write_rows(members, texts, shared)
                continue
            for i in group:
                yield from self._write_one(asked[i][0], texts[i], i)

    def _write_one(self, prompt: EncodedPrompt, text: Continuation, index: int) -> Iterator[Chunk]:
        logits, cached = self._reader.read(prompt)
        self._count_read(len(prompt.ids), cached)
        turn = self._reader.turn
        while True:
            chunk, token = text.advance(logits.numpy(), index)
            self.usage.generated_tokens += 1
            if chunk is not None:
                yield chunk
            if text.finish is not None:
                return
            if self._reader.turn != turn:
                raise RuntimeError(
                    "the model was asked something else while a text was streaming; finish or close it first"
                )
            logits = self._reader.append(token)

    def _write_rows(self, prompts: list[EncodedPrompt], texts: dict[int, Continuation], shared: int) -> Iterator[Chunk]:
        rows, logits = self._read_rows(prompts, shared)
        active = list(texts)
        while True:
            kept, tokens = [], []
            for row, index in enumerate(active):
                chunk, token = texts[index].advance(logits[row].numpy(), index)
                self.usage.generated_tokens += 1
                if chunk is not None:
                    yield chunk
                if texts[index].finish is None:
                    kept.append(row)
                    tokens.append(token)
            if not kept:
                return
            if len(kept) < len(active):
                rows = self._forward.select(rows, kept)
                active = [active[row] for row in kept]
            logits = self._forward.step(rows, tokens)

    def _continuation(self, prompt: EncodedPrompt, sampling: Sampling) -> Continuation:
        room = self.context_tokens - len(prompt.ids)
        return Continuation(sampling, room, self._decode, self._ends, prompt.continued, self._never)

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    # Scoring

    def _score_group(self, prompts: list[EncodedPrompt], options: list[list[tuple[int, ...]]]) -> list[list[float]]:
        shared = self._batchable_prefix(prompts)
        if shared is not None:
            rows, logits = self._read_rows(prompts, shared)
            return self._score_rows(rows, logits, options)
        scores = []
        for prompt, several in zip(prompts, options, strict=True):
            if not self._forward.reuses_prefix:
                scores.append([self._score_whole(prompt, option) for option in several])
                continue
            last, cached = self._reader.read(prompt)
            self._count_read(len(prompt.ids), cached)
            scores += self._score_rows(self._reader.rows, last[None], [several])
        return scores

    def _score_rows(
        self, rows: CachedRows, logits: torch.Tensor, options: list[list[tuple[int, ...]]]
    ) -> list[list[float]]:
        """Scores after ``rows`` that have read their prompts and gave ``logits`` (B, V); the rows stay as they are."""
        first = torch.log_softmax(logits, dim=-1)
        scores = [[float(first[row, option[0]]) for option in several] for row, several in enumerate(options)]
        longer = [(row, i) for row, several in enumerate(options) for i, ids in enumerate(several) if len(ids) > 1]
        for group in _groups(len(longer)):
            members = [longer[i] for i in group]
            copies = self._forward.select(rows, [row for row, _ in members])
            rest, _ = self._forward.extend(copies, [options[row][i][:-1] for row, i in members], every=True)
            log_probs = torch.log_softmax(rest, dim=-1)
            for copy, (row, i) in enumerate(members):
                targets = torch.tensor(options[row][i][1:])
                scores[row][i] += float(log_probs[copy, torch.arange(len(targets)), targets].sum())
        self._count_read(sum(len(ids) for several in options for ids in several), 0)
        return scores

    def _score_whole(self, prompt: EncodedPrompt, option: tuple[int, ...]) -> float:
        """The naive way, for architectures whose state cannot be gone back to."""
        ids = torch.tensor([[*prompt.ids, *option]], device=self._forward.device)
        after = prompt.positions.max() + 1 + torch.arange(len(option))
        positions = torch.cat([prompt.positions, after.expand(*prompt.positions.shape[:-1], -1)], dim=-1)
        aligned = {name: torch.nn.functional.pad(value, (0, len(option))) for name, value in prompt.aligned.items()}
        before = range(len(prompt.ids) - 1, len(prompt.ids) + len(option) - 1)
        logits = self._forward.run(
            self._forward.empty_rows(1), ids, positions[..., None, :], extra=aligned | prompt.pixels, keep=before
        )
        self._count_read(ids.shape[1], 0)
        return float(torch.log_softmax(logits[0], dim=-1)[torch.arange(len(option)), torch.tensor(option)].sum())

    # Reading

    def _batchable_prefix(self, prompts: list[EncodedPrompt]) -> int | None:
        """Length of the prefix the prompts share; None where they have to take turns."""
        if len(prompts) < 2 or not self._forward.batches_rows:
            return None
        first = prompts[0]
        shortest = min(len(prompt.ids) for prompt in prompts) - 1
        shared = min(shared_length(first.ids, first.spans, prompt, shortest) for prompt in prompts)
        return shared if all(prompt.pictures_end <= shared for prompt in prompts) else None

    def _read_rows(self, prompts: list[EncodedPrompt], shared: int) -> tuple[CachedRows, torch.Tensor]:
        """All prompts in one cache, their first ``shared`` tokens read once; logits (B, V) after each."""
        base, cached = self._forward.empty_rows(1), 0
        if shared > 0:
            _, cached = self._reader.read(prompts[0], shared)
            base = self._reader.rows
        rows = self._forward.select(base, [0] * len(prompts))
        logits, last = self._forward.extend(rows, [prompt.ids[shared:] for prompt in prompts])
        for i, prompt in enumerate(prompts):
            self._count_read(len(prompt.ids), shared if i else cached)
        return rows, logits[torch.arange(len(prompts)), last]

    def _fitting(self, prompt: Prompt, *, room: int) -> EncodedPrompt:
        encoded = self._encoder.encode(prompt)
        if len(encoded.ids) + room > self.context_tokens:
            sizes = {"tokens": len(encoded.ids), "room": room, "limit": self.context_tokens}
            if encoded.images:
                raise PromptTooLong("pictures_too_long", **sizes, pictures=len(encoded.images))
            raise PromptTooLong("prompt_too_long", **sizes)
        return encoded

    def _option_ids(self, option: str) -> tuple[int, ...]:
        ids = self._encoder.encode_continuation(option)
        if not ids:
            raise ModelError("option_empty")
        return ids

    def _count_read(self, tokens: int, cached: int) -> None:
        self.usage.prompt_tokens += tokens
        self.usage.cached_tokens += cached


def _groups(count: int) -> list[range]:
    return [range(start, min(start + _ROWS_AT_ONCE, count)) for start in range(0, count, _ROWS_AT_ONCE)]
