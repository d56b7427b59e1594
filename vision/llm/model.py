"""A language model from a GGUF file behind ``vision.interfaces.VisionLanguageModel``.

Runs on the C kernels with the file's own tokenizer and chat template, and imports neither torch nor transformers.
Sees no pictures. Prompts share the key-value cache of whatever earlier prompt they begin like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vision import usable_cores
from vision.errors import ModelError, PromptTooLong
from vision.interfaces import Chunk, ModelIdentity, Prompt, Sampling, Usage
from vision.llm.batch_runner import BatchRunner
from vision.llm.chat_tokenizer import ChatTokenizer
from vision.llm.kernels.binding import BLOCK_TOKENS, CEngine
from vision.llm.kernels.build import load_kernels
from vision.llm.kv_cache import SPARE_BLOCKS, KVCache
from vision.llm.model_cache import CachedModel, open_cached
from vision.llm.scheduler import PromptTokens, Scheduler
from vision.llm.scoring import score_answers

CACHE_CONTEXTS = 3  # full contexts the key-value cache has room for
MAX_ROWS = 256  # tokens in one pass: bounds the work space, and how long a cancellation waits


def load_gguf_model(
    path: Path, *, threads: int | None = None, context_tokens: int = 8192, cache_dir: Path | None = None
) -> GgufModel:
    """Load a llama, qwen2 or qwen3 GGUF file; the first time it is converted into ``cache_dir``.

    ``threads`` is by default the number of cores this process may use; ``context_tokens`` is lowered to what the
    model was trained for. Raises WeightsError where the file is missing or damaged, ModelError where the engine cannot
    run it, KernelsUnavailable where the kernels cannot be compiled.
    """
    for name, value in (("context_tokens", context_tokens), ("threads", threads)):
        if value is not None and value < 1:
            raise ModelError("option_below_one", option=name, given=value)
    if cache_dir is None:
        from vision.downloads.store import home

        cache_dir = home() / "converted"
    model = open_cached(Path(path), cache_dir)
    context_tokens = min(context_tokens, model.config.trained_context_tokens)
    blocks = CACHE_CONTEXTS * -(-context_tokens // BLOCK_TOKENS) + SPARE_BLOCKS
    engine = CEngine(
        load_kernels(cache_dir),
        model,
        threads=threads or usable_cores(),
        context_tokens=context_tokens,
        blocks=blocks,
        max_rows=MAX_ROWS,
    )
    runner = BatchRunner(engine, KVCache(blocks, BLOCK_TOKENS, engine.copy_block), MAX_ROWS)
    return GgufModel(model, runner, context_tokens)


class GgufModel:
    """See ``load_gguf_model``. One caller at a time; a stream may be left and closed at any token."""

    sees_images = False

    def __init__(self, model: CachedModel, runner: BatchRunner, context_tokens: int) -> None:
        self.identity = ModelIdentity(model.name, model.sha256)
        self.context_tokens = context_tokens
        self.usage = Usage()
        self._runner = runner
        self._tokenizer = ChatTokenizer(model.folder / "tokenizer.json", model.chat_template, model.special, model.name)

    @property
    def runner(self) -> BatchRunner:
        """For what works with the model's states rather than its words."""
        return self._runner

    @property
    def tokenizer(self) -> ChatTokenizer:
        return self._tokenizer

    def count_tokens(self, prompt: Prompt) -> int:
        return len(self._tokenizer.prompt_ids(prompt)[0])

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        return self.stream_batch([prompt], [sampling])

    def stream_batch(self, prompts: Sequence[Prompt], samplings: Sequence[Sampling]) -> Iterator[Chunk]:
        batch = self.open_batch()
        for prompt, sampling in zip(prompts, samplings, strict=True):
            batch.add(self.encode(prompt), sampling)
        return _drained(batch)

    def open_batch(self) -> Scheduler:
        """A batch that prompts may join while others are being answered: ``add(model.encode(prompt), sampling)``."""
        return Scheduler(self._runner, self._tokenizer.decode, self._tokenizer.end_ids, self.context_tokens, self.usage)

    def forget(self) -> None:
        """Empty the key-value cache of what earlier prompts left there: for measuring."""
        self._runner.cache.clear()

    def encode(self, prompt: Prompt, *, room_tokens: int = 1) -> PromptTokens:
        """Raises PromptTooLong where fewer than ``room_tokens`` are left for the answer."""
        ids, begun = self._tokenizer.prompt_ids(prompt)
        if len(ids) + room_tokens > self.context_tokens:
            raise PromptTooLong("prompt_too_long", tokens=len(ids), room=room_tokens, limit=self.context_tokens)
        return PromptTokens(ids, begun)

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return self.score_batch([prompt], [options])[0]

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        answers = [[self._option_ids(option) for option in several] for several in options]
        asked = [(prompt, several) for prompt, several in zip(prompts, answers, strict=True) if several]
        ids = [self.encode(prompt, room_tokens=max(map(len, several))).ids for prompt, several in asked]
        scores = score_answers(self._runner, ids, [several for _, several in asked], self.context_tokens, self.usage)
        found = iter(scores)
        return [next(found) if several else [] for several in answers]

    def _option_ids(self, option: str) -> list[int]:
        if not option:
            raise ModelError("option_empty")
        return self._tokenizer.encode(option)


def _drained(batch: Scheduler) -> Iterator[Chunk]:
    try:
        while batch:
            yield from batch.step()
    finally:
        batch.close()
