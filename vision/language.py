"""A language model from a GGUF file behind ``vision.protocol.VisionLanguageModel``.

Runs on the C kernels, with tokenizer and chat template from the file itself; imports neither torch nor transformers.
Sees no pictures. Prompts share the key-value cache of whatever earlier prompt they begin like.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vision.converted import Converted, open_converted
from vision.decoder import Decoder, Piece
from vision.errors import ModelError, PromptTooLong
from vision.kernels.binding import KV_BLOCK_TOKENS, MAX_ROWS, Kernels
from vision.kernels.build import KernelsUnavailable, load_kernels
from vision.kv_cache import CachedSequence, KVCache
from vision.protocol import Chunk, FinishReason, ModelIdentity, Prompt, Sampling, Usage
from vision.sampling import Sampler, TextStream, log_softmax_at
from vision.tokenizer import ChatTokenizer

CACHE_CONTEXTS = 3  # full contexts the key-value cache has room for


def load_language_model(
    path: Path,
    *,
    threads: int | None = None,
    context_tokens: int = 8192,
    cache_dir: Path | None = None,
    device: str = "cpu",
) -> LanguageModel:
    """Load a llama, qwen2 or qwen3 GGUF file; the first time it is converted into ``cache_dir``.

    ``threads`` is by default the number of cores this process may use; ``context_tokens`` is lowered to what the
    model was trained for. Raises WeightsError where the file is missing or damaged, ModelError where the engine
    cannot run it.
    """
    if device != "cpu":
        raise ModelError(f"device {device!r} is not available for GGUF files; use cpu")
    if context_tokens < 1:
        raise ModelError(f"context_tokens is {context_tokens}; it must be at least 1")
    if cache_dir is None:
        from vision.weights import home

        cache_dir = home() / "converted"
    model = open_converted(Path(path), cache_dir)
    context_tokens = min(context_tokens, model.architecture.trained_context_tokens)
    try:
        library = load_kernels(cache_dir)
    except KernelsUnavailable as error:
        raise ModelError(f"the engine's kernels are not available: {error}") from error
    blocks = CACHE_CONTEXTS * -(-context_tokens // KV_BLOCK_TOKENS) + 1
    kernels = Kernels(library, model, threads=threads or _cores(), context_tokens=context_tokens, blocks=blocks)

    def copy_block(source: int, target: int) -> None:
        kernels.keys[target] = kernels.keys[source]
        kernels.values[target] = kernels.values[source]

    cache = KVCache(blocks, KV_BLOCK_TOKENS, copy_block)
    return LanguageModel(model, Decoder(kernels, cache, MAX_ROWS), context_tokens)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Generation:
    """One prompt being answered."""

    def __init__(
        self, index: int, sampling: Sampling, sequence: CachedSequence, begun: list[int], room: int, decode
    ) -> None:  # type: ignore[no-untyped-def]
        self.index, self.sequence, self.room = index, sequence, room
        self.sampler = Sampler(sampling, begun)
        self.text = TextStream(decode, sampling.stop, begun)
        self.left = min(sampling.max_tokens, room)
        self.logits = np.empty(0)


class LanguageModel:
    """See ``load_language_model``. One caller at a time; a stream may be left and closed at any token."""

    sees_images = False

    def __init__(self, model: Converted, decoder: Decoder, context_tokens: int) -> None:
        self.identity = ModelIdentity(model.name, model.sha256)
        self.context_tokens = context_tokens
        self.usage = Usage()
        self._decoder = decoder
        self._cache = decoder.cache
        self._tokenizer = ChatTokenizer(model.folder / "tokenizer.json", model.chat_template, model.special, model.name)

    @property
    def kernel(self) -> str:
        return "c"

    def count_tokens(self, prompt: Prompt) -> int:
        return sum(map(len, self._tokenizer.prompt_ids(prompt)))

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return self.stream_batch([prompt], [sampling])

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        if len(prompts) != len(samplings):
            raise ValueError(f"{len(prompts)} prompts but {len(samplings)} samplings; give one for each")
        encoded = [self._encode(prompt, room=1) for prompt in prompts]
        return self._generate(encoded, samplings)

    def _encode(self, prompt: Prompt, room: int) -> tuple[list[int], list[int]]:
        ids, begun = self._tokenizer.prompt_ids(prompt)
        if len(ids) + len(begun) + room > self.context_tokens:
            raise PromptTooLong(
                f"the prompt takes {len(ids) + len(begun)} tokens and needs room for {room} more, "
                f"but the context window has {self.context_tokens}; shorten the prompt"
            )
        return ids + begun, begun

    def _prefill(self, ids: list[int]) -> tuple[CachedSequence, np.ndarray]:
        """A sequence holding ``ids``, and the logits after the last of them."""
        sequence = self._cache.open(ids)
        self.usage.prompt_tokens += len(ids)
        self.usage.cached_tokens += len(sequence)
        try:
            (logits,) = self._decoder.run([Piece(sequence, ids[len(sequence) :])])
        except BaseException:
            self._cache.close(sequence, remember=False)
            raise
        return sequence, logits[0]

    def _generate(self, encoded: list[tuple[list[int], list[int]]], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        active: list[_Generation] = []
        try:
            for index, ((ids, begun), sampling) in enumerate(zip(encoded, samplings, strict=True)):
                sequence, logits = self._prefill(ids)
                active.append(
                    _Generation(
                        index, sampling, sequence, begun, self.context_tokens - len(ids), self._tokenizer.decode
                    )
                )
                active[-1].logits = logits
            while active:
                pieces = []
                for generation in list(active):
                    token = generation.sampler.draw(generation.logits)
                    yield from self._advance(generation, token, active)
                    if generation in active:
                        pieces.append(Piece(generation.sequence, [token]))
                for generation, logits in zip(active, self._decoder.run(pieces) if pieces else [], strict=True):
                    generation.logits = logits[0]
        finally:
            for generation in active:
                self._cache.close(generation.sequence)

    def _advance(self, generation: _Generation, token: int, active: list[_Generation]) -> Iterator[Chunk]:
        """Account for a drawn token; a finished generation leaves ``active``."""
        self.usage.generated_tokens += 1
        generation.left -= 1
        text, finish = "", None
        if token in self._tokenizer.end_ids:
            finish = "stop"
        else:
            text = generation.text.push(token)
            finish = "stop" if generation.text.stopped else "length" if generation.left <= 0 else None
        if finish:
            text += generation.text.finish()
            active.remove(generation)
            self._cache.close(generation.sequence)
        if text or finish:
            reason: FinishReason | None = finish  # type: ignore[assignment]
            yield Chunk(text, generation.index, reason)

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self.score_batch([prompt], [options])[0]

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        if len(prompts) != len(options):
            raise ValueError(f"{len(prompts)} prompts but {len(options)} lists of options; give one for each")
        answers = [[self._tokenizer.encode(option) for option in several] for several in options]
        for several, ids in zip(options, answers, strict=True):
            for option, tokens in zip(several, ids, strict=True):
                if not tokens:
                    raise ModelError(f"option {option!r} has no tokens; give a text to score")
        return [
            self._score(self._encode(prompt, max(map(len, several)))[0], several) if several else []
            for prompt, several in zip(prompts, answers, strict=True)
        ]

    def _score(self, ids: list[int], answers: list[list[int]]) -> list[float]:
        sequence, logits = self._prefill(ids)
        forks: list[CachedSequence] = []
        try:
            firsts = log_softmax_at(np.broadcast_to(logits, (len(answers), len(logits))), [a[0] for a in answers])
            scores = [float(value) for value in firsts]
            pieces, owners = [], []
            for i, answer in enumerate(answers):
                if len(answer) > 1:
                    forks.append(self._cache.fork(sequence, len(ids)))
                    pieces.append(Piece(forks[-1], answer[:-1], len(answer) - 1))
                    owners.append(i)
            for i, rows in zip(owners, self._decoder.run(pieces), strict=True):
                scores[i] += float(log_softmax_at(rows, answers[i][1:]).sum())
            return scores
        finally:
            for fork in forks:
                self._cache.close(fork, remember=False)
            self._cache.close(sequence)
