"""A run of tuning: a language model, questions with answers and a recipe in, a folder with an adapter out.

``vision.huggingface.loading`` reads the folder. Whole articles are held back: some to measure what was learned, others
to tell when it is enough. Import it lazily: torch comes with it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vision.downloads.files import write_atomic
from vision.errors import DataError
from vision.huggingface.loading import choose_device, load_hub_model
from vision.huggingface.model import HubModel
from vision.malloc import memory_kept
from vision.training import Progress
from vision.training.batches import batches_of, mixed
from vision.training.charts import require_charts
from vision.training.loop import Watch, autocast, run_steps
from vision.training.tuning.examples import EncodedExample, ExampleLoss, TuningExample, encode_examples, nats_by_task
from vision.training.tuning.layers import add_learning_layers, require_peft
from vision.training.tuning.memory import MemoryEstimate, check_memory, estimate_memory, size_of_model
from vision.training.tuning.recipe import TuningRecipe

REPORT_FILE, BEFORE_FILE = "tuning.json", "before.json"
_MEASURED_AT_MOST, _WATCHED_AT_MOST = 240, 48
RUN = "tuning"


@dataclass(frozen=True, slots=True)
class ArticleSplit:
    """Names of articles: trained on, deciding when it is enough, and measured before and after."""

    trained: tuple[str, ...]
    watched: tuple[str, ...]
    held_back: tuple[str, ...]


# Makes the questions once the model is known: what is asked of one that sees differs. No question about an article may
# hold anything of one on another side of the split.
MakeExamples = Callable[[HubModel, ArticleSplit], Sequence[TuningExample]]


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What a run did. ``before`` and ``after`` are the mean loss a token (nats) of the articles held back, by task.

    ``samples`` are learned from; ``left_out`` were longer than the recipe takes. ``steps`` were done, ``best_step`` is
    the one whose weights are kept.
    """

    model: str
    recipe: dict[str, Any]
    articles: ArticleSplit
    samples: int
    left_out: int
    learned_numbers: int
    before: dict[str, float]
    after: dict[str, float]
    steps: int
    best_step: int
    seconds: float


def split_articles(names: Sequence[str], recipe: TuningRecipe) -> ArticleSplit:
    """The same for the same names and seed. One article at least is trained on and one held back.

    With fewer than four none is watched, and the run takes all its epochs. Raises DataError for fewer than two.
    """
    if len(names) < 2:
        raise DataError("tuning_one_article", articles=len(names))
    order = sorted(names, key=lambda name: hashlib.sha256(f"{recipe.seed}/{name}".encode()).digest())
    held = max(1, round(recipe.held_back * len(order)))
    watched = max(1, round(recipe.watched * len(order))) if recipe.patience and len(order) > 3 else 0
    return ArticleSplit(tuple(order[held + watched :]), tuple(order[held : held + watched]), tuple(order[:held]))


def planned_memory(model: str, recipe: TuningRecipe) -> MemoryEstimate:
    """What the run will take. Raises DataError where it would not fit this machine."""
    recipe = placed(recipe)
    estimate = estimate_memory(size_of_model(model), recipe)
    check_memory(estimate, torch.device(recipe.device))
    return estimate


def placed(recipe: TuningRecipe) -> TuningRecipe:
    """The recipe with the device that it runs on. Raises ModelError for one that is not here."""
    return replace(recipe, device=str(choose_device(recipe.device)))


def load_for_tuning(model: str, recipe: TuningRecipe) -> HubModel:
    """In the number format that it is trained in. Errors as ``load_hub_model``."""
    return load_hub_model(
        model,
        device=recipe.device,
        dtype="bfloat16" if recipe.halves_frozen else "float32",
        quantization="4bit" if recipe.method == "qlora" else "none",
    )


@memory_kept()
def tune(
    name: str,
    articles: Sequence[str],
    make_examples: MakeExamples,
    out: Path,
    recipe: TuningRecipe,
    progress: Progress = lambda *_: None,
    stop_after: int | None = None,
) -> TuningReport:
    """Tune the model ``name`` on what ``make_examples`` asks of ``articles``; the adapter goes to ``out``.

    ``stop_after`` as in ``run_steps``. Raises ModelError where the model or PEFT cannot be had, DataError where the
    articles give nothing to learn or ``out`` is of another run.
    """
    require_charts()
    require_peft()
    recipe, started = placed(recipe), time.monotonic()
    split = split_articles(articles, recipe)
    model = load_for_tuning(name, recipe)
    asked = make_examples(model, split)
    key = _run_key(model, asked, split, recipe)

    def of(names: Sequence[str]) -> list[TuningExample]:
        return [example for example in asked if example.article in names and recipe.share(example.task)]

    def encoded(names: Sequence[str], most: int = 0) -> tuple[list[EncodedExample], int]:
        found, lost = encode_examples(model, of(names), recipe.max_prompt_tokens, recipe.max_text_tokens)
        return _evenly(found, most) if most else found, lost

    def measured(examples: Sequence[EncodedExample]) -> dict[str, float]:
        with autocast(recipe.precision, recipe.device):
            return nats_by_task(model, examples, recipe.at_once)

    held, _ = encoded(split.held_back, _MEASURED_AT_MOST)
    if not held:
        raise DataError("tuning_nothing_held_back", articles=list(split.held_back))
    progress(f"{RUN}: held back, before", 0, 1)
    before = _before(out / BEFORE_FILE, key, lambda: measured(held))
    layers = add_learning_layers(model, recipe)
    # With virtual tokens the same questions begin otherwise.
    train, left_out = encoded(split.trained)
    watched, _ = encoded(split.watched, _WATCHED_AT_MOST)
    held, _ = encoded(split.held_back, _MEASURED_AT_MOST)
    tasks = sorted({example.source.task for example in train})
    shares = [(recipe.share(task), [e for e in train if e.source.task == task]) for task in tasks]
    seen = mixed(shares, recipe.seed)
    if not seen:
        raise DataError("tuning_nothing_to_learn", left_out=left_out)

    def watch() -> float:
        layers.learning(False)
        value = measured(watched)["all"]
        layers.learning(True)
        return value

    layers.learning(True)
    history = run_steps(
        RUN,
        layers.parameters,
        batches_of([example.tokens for example in seen], recipe.batch, recipe.seed),
        ExampleLoss(model, seen),
        recipe,
        key,
        out,
        progress,
        stop_after,
        Watch(watch, recipe.watch_every, recipe.patience) if watched else None,
    )
    layers.learning(False)
    layers.save(out)
    after = measured(held)
    report = TuningReport(
        name,
        asdict(recipe),
        split,
        len(seen),
        left_out,
        sum(parameter.numel() for parameter in layers.parameters.values()),
        _rounded(before),
        _rounded(after),
        len(history.rows),
        history.watched[history.best][0] if history.watched else len(history.rows),
        round(time.monotonic() - started, 1),
    )
    write_atomic(out / REPORT_FILE, json.dumps(asdict(report), indent=2) + "\n")
    return report


def _evenly(examples: list[EncodedExample], most: int) -> list[EncodedExample]:
    """At most so many, evenly drawn, whatever order they come in."""
    if len(examples) <= most:
        return examples
    return [examples[i] for i in np.linspace(0, len(examples) - 1, most).round().astype(int)]


def _before(file: Path, key: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Measured once; a run that goes on finds it again."""
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["key"] == key:
            found: dict[str, float] = kept["nats"]
            return found
    nats = measure()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps({"key": key, "nats": nats}) + "\n")
    return nats


def _rounded(nats: Mapping[str, float]) -> dict[str, float]:
    return {task: round(value, 4) for task, value in nats.items()}


def _run_key(model: HubModel, asked: Sequence[TuningExample], split: ArticleSplit, recipe: TuningRecipe) -> str:
    """What a checkpoint must agree with to be gone on from."""
    examples = [[example.task, example.article, example.answer] for example in asked]
    what = [model.identity.sha256, asdict(recipe), asdict(split), examples]
    return hashlib.sha256(json.dumps(what, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
