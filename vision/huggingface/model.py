"""A transformers checkpoint behind ``VisionLanguageModel``.

Owns its decode loop instead of calling ``generate``: that is what lets a text be cancelled between tokens,
drawn with a seed of its own inside a batch, and start from a prefix that is already in the cache.
Prompts of a batch share their common prefix and are then read and continued side by side, padded on the
right, eight rows at a time. Where rows would not be independent of their padding (sliding windows, linear
attention) only prompts of one length go on side by side. They take turns, each from the prefix, where pictures
stand behind it, since architectures batch pictures of different prompts in ways of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from vision.errors import ModelError, Phrase, PromptTooLong
from vision.huggingface.cache import CachedForward, CachedRows, CheckpointReader, PrefixReader
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
        self._ends = ends
        self._never = tuple(never)
        self._run(model)

    def _run(self, network: Any) -> None:
        self._forward = CachedForward(network)
        self._reader = (PrefixReader if self._forward.cuts else CheckpointReader)(self._forward, self._encoder)

    @property
    def network(self) -> Any:
        """The transformers model itself."""
        return self._forward.model

    @property
    def encoder(self) -> PromptEncoder:
        return self._encoder

    @property
    def forward(self) -> CachedForward:
        return self._forward

    def use_network(self, network: Any, identity: ModelIdentity) -> None:
        """Run another network of the same architecture from now on; nothing of the old one stays in the cache."""
        self._run(network)
        self.identity = identity

    def forget(self) -> None:
        """Drop what was read and seen; the next prompt is read from its start."""
        self._reader.forget()
        self._encoder.forget()

    def count_tokens(self, prompt: Prompt) -> int:
        return len(self._encoder.encode(prompt).ids)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return self.stream_batch([prompt], [sampling])

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        pairs = zip(prompts, samplings, strict=True)
        asked = [(self._fitting(prompt, room=1), sampling) for prompt, sampling in pairs]
        return self._write_all(asked, self._turns_end(prompts, asked[0][0]) if asked else 0)

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self.score_batch([prompt], [options])[0]

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        ids = [[self._option_ids(option) for option in several] for several in options]
        encoded = [
            self._fitting(prompt, room=max(map(len, several), default=0))
            for prompt, several in zip(prompts, ids, strict=True)
        ]
        turns_end = self._turns_end(prompts, encoded[0]) if encoded else 0
        scores: list[list[float]] = []
        for group in _groups(len(encoded)):
            scores += self._score_group([encoded[i] for i in group], [ids[i] for i in group], turns_end)
        return scores

    # Writing

    def _write_all(self, asked: list[tuple[EncodedPrompt, Sampling]], turns_end: int) -> Iterator[Chunk]:
        for group in _groups(len(asked)):
            prompts = [asked[i][0] for i in group]
            texts = [self._continuation(*asked[i]) for i in group]
            keep = (turns_end, _shared(prompts)) if len(prompts) > 1 else (turns_end, len(prompts[0].ids))
            for wave in self._waves(prompts, goes_on=True):
                members = {group[i]: texts[i] for i in wave}
                if len(wave) > 1:
                    yield from self._write_rows([prompts[i] for i in wave], members, keep)
                else:
                    yield from self._write_one(prompts[wave[0]], texts[wave[0]], group[wave[0]], keep)

    def _write_one(self, prompt: EncodedPrompt, text: Continuation, index: int, keep: Sequence[int]) -> Iterator[Chunk]:
        logits, cached = self._reader.read(prompt, keep)
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

    def _write_rows(
        self, prompts: list[EncodedPrompt], texts: dict[int, Continuation], keep: Sequence[int]
    ) -> Iterator[Chunk]:
        rows, logits = self._read_rows(prompts, keep)
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

    def _score_group(
        self, prompts: list[EncodedPrompt], options: list[list[tuple[int, ...]]], turns_end: int
    ) -> list[list[float]]:
        scores: list[list[float]] = [[]] * len(prompts)
        keep = (turns_end, _shared(prompts)) if len(prompts) > 1 else (turns_end,)
        goes_on = any(len(option) > 1 for several in options for option in several)
        for wave in self._waves(prompts, goes_on=goes_on):
            if len(wave) > 1:
                rows, logits = self._read_rows([prompts[i] for i in wave], keep)
            else:
                prompt = prompts[wave[0]]
                last, cached = self._reader.read(prompt, keep)
                self._count_read(len(prompt.ids), cached)
                rows, logits = self._reader.rows, last[None]
            for i, row in zip(wave, self._score_rows(rows, logits, [options[i] for i in wave]), strict=True):
                scores[i] = row
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

    # Reading

    def _turns_end(self, prompts: Sequence[Prompt], first: EncodedPrompt) -> int:
        """Where the turns before the last question end in the first prompt: other questions will go on from there."""
        asked = max((i for i, message in enumerate(prompts[0]) if message.role == "user"), default=0)
        turns = prompts[0][:asked]
        if self._forward.cuts or not any(message.role == "user" for message in turns):
            return 0
        known = self._encoder.encode(turns)
        return shared_length(known.ids, known.spans, first, len(first.ids) - 1)

    def _waves(self, prompts: list[EncodedPrompt], *, goes_on: bool) -> list[list[int]]:
        """Places of the prompts that are read side by side. ``goes_on`` says that tokens will follow."""
        shared = _shared(prompts)
        if any(prompt.pictures_end > shared for prompt in prompts):
            return [[i] for i in range(len(prompts))]
        if self._forward.pads or not goes_on:
            return [list(range(len(prompts)))]
        by_length: dict[int, list[int]] = {}
        for i, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt.ids), []).append(i)
        return list(by_length.values())

    def _read_rows(self, prompts: list[EncodedPrompt], keep: Sequence[int]) -> tuple[CachedRows, torch.Tensor]:
        """All prompts in one cache, what they begin with alike read once; logits (B, V) after each."""
        base, cached, shared = self._forward.empty_rows(1), 0, _shared(prompts)
        if shared > 0:
            cached = self._reader.hold(prompts[0], shared, keep)
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


def _shared(prompts: Sequence[EncodedPrompt]) -> int:
    """Number of tokens that all begin with, at least one less than the shortest has."""
    first, shortest = prompts[0], min(len(prompt.ids) for prompt in prompts) - 1
    return min(shared_length(first.ids, first.spans, prompt, shortest) for prompt in prompts)


def _groups(count: int) -> list[range]:
    return [range(start, min(start + _ROWS_AT_ONCE, count)) for start in range(0, count, _ROWS_AT_ONCE)]
