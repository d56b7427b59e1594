"""What a judge that sees costs: an article read once for all its questions against reading it for each.

Reading and writing alone are compared with transformers' own ``generate`` on the same model.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from composer.benchmarks.runner import Progress
from composer.evaluation.report import Measure
from composer.pipeline.prompts import load_prompts
from composer.pipeline.reranking import JUDGE_PX, slot_question
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from retrieval.rerank import rerank
from vision.interfaces import Message, Prompt, Sampling, VisionLanguageModel

if TYPE_CHECKING:
    import torch

    from composer.benchmarks.random_model import RandomModel
    from vision.huggingface.model import HubModel

CANDIDATES = 8
READ_ALONE = 2  # of the candidates' prompts, each from its start; they are alike, and all eight take minutes
WRITTEN_TOKENS = 32


def bench_judge(shape: str, *, threads: int, rounds: int, progress: Progress) -> dict[str, Measure]:
    """Seconds of a call over eight pictures: an article's first, with nothing read, and one after it.

    ``judge_over_fresh`` and ``judge_next_over_fresh`` are those over eight such prompts read each by itself: four times
    what two take. Medians over rounds, on random weights.
    """
    import torch

    from composer.benchmarks.random_model import SHAPES, random_model

    torch.set_num_threads(threads)
    text = Path(__file__).with_name("sample_text.txt").read_text(encoding="utf-8")
    model = random_model(SHAPES[shape], text)
    size = sum(parameter.numel() for parameter in model.inner.parameters())
    progress(f"{size / 1e9:.2f} B random parameters in {str(model.inner.dtype).removeprefix('torch.')}")
    turns = (Message.of("user", "Write an article."), Message.of("assistant", text))
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[..., None], *given: object) -> None:
        start = time.perf_counter()
        work(*given)
        seconds.setdefault(name, []).append(time.perf_counter() - start)
        progress(f"{name}: {seconds[name][-1]:.2f} s")

    forgetful = cast("VisionLanguageModel", _Forgetful(model.hub))
    _writes(model, turns[:1], 2)  # warms up
    _generates(model, turns[:1], 2)
    for number in range(rounds):
        first, after = (_JudgeCall(turns, f"number {number}.{place}", seed=2 * number + place) for place in range(2))
        prompt = (Message("user", (text, first.images["0"], "What is this?")),)
        model.hub.forget()
        timed("first call", first.judged_by, model.hub)
        timed("next call", after.judged_by, model.hub)
        timed("without reuse", after.judged_by, forgetful, READ_ALONE)
        timed("read", _writes, model, prompt, 1)
        timed("generate one", _generates, model, prompt, 1)
        timed("write", _writes, model, prompt, 1 + WRITTEN_TOKENS)
        timed("generate", _generates, model, prompt, 1 + WRITTEN_TOKENS)

    def median(name: str) -> float:
        return statistics.median(seconds[name])

    def rate(tokens: int, ours: float, theirs: float) -> Measure:
        return Measure(tokens / ours, "tokens/s", tokens / theirs)

    fresh, tokens = median("without reuse") * CANDIDATES / READ_ALONE, model.hub.count_tokens(prompt)
    written, theirs = median("write") - median("read"), median("generate") - median("generate one")
    return {
        "judge_over_fresh": Measure(median("first call") / fresh, "times the time"),
        "judge_next_over_fresh": Measure(median("next call") / fresh, "times the time"),
        "judge_s": Measure(median("first call"), "s", fresh),
        "judge_next_s": Measure(median("next call"), "s", fresh),
        "prefill_tokens_per_s": rate(tokens, median("read"), median("generate one")),
        "decode_tokens_per_s": rate(WRITTEN_TOKENS, written, theirs),
    }


def _writes(model: RandomModel, prompt: Prompt, tokens: int) -> None:
    model.hub.forget()
    for _ in model.hub.stream(prompt, Sampling(max_tokens=tokens, temperature=0, repetition_penalty=1.0)):
        pass


def _generates(model: RandomModel, prompt: Prompt, tokens: int) -> None:
    import torch

    encoded = model.encoder.encode(prompt)
    ids = torch.tensor([encoded.ids])
    with torch.inference_mode():
        model.inner.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **encoded.aligned,
            **{name: _in_type(value, model.inner.dtype) for name, value in encoded.pixels.items()},
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
        )


def _in_type(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype) if value.is_floating_point() else value


class _JudgeCall:
    """The judge's question about eight pictures for one place of the article."""

    def __init__(self, turns: tuple[Message, ...], place: str, seed: int) -> None:
        from PIL import Image

        noise = np.random.default_rng(seed)
        shape = (JUDGE_PX, JUDGE_PX * 4 // 3, 3)
        ids = [str(number) for number in range(CANDIDATES)]
        self.images: dict[str, Image.Image] = {
            id_: Image.fromarray(noise.integers(0, 255, shape, dtype=np.uint8)) for id_ in ids
        }
        self._candidates = [
            Candidate(ImageRecord(id_, Path(id_), shape[1], shape[0], caption=f"A picture, {id_}"), 0.0, 0.0, 0.5)
            for id_ in ids
        ]
        self._question = slot_question(load_prompts("en"), "en", place, "A view of it", turns)

    def judged_by(self, model: VisionLanguageModel, candidates: int = CANDIDATES) -> None:
        rerank(model, [(self._question, self._candidates[:candidates])], images=self.images)


class _Forgetful:
    """The model without what reuse saves: reads each prompt from its start and looks at each picture again."""

    sees_images = True

    def __init__(self, model: HubModel) -> None:
        self._hub = model

    def score_batch(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[list[float]]:
        scores = []
        for prompt, several in zip(prompts, options, strict=True):
            self._hub.forget()
            scores.append(self._hub.score(prompt, several))
        return scores
