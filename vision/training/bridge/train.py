"""Training runs of the bridge (stage 1) and of a LoRA behind it (stage 2): data and recipe in, a folder out.

``vision.bridge.bridged_model.load_bridged_model`` reads the folder. Whole books of the training split are held back to
measure what the pictures are worth to the model; the development split is not touched. Import it lazily: torch comes
with it.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vision.bridge.bridged_model import LORA_FOLDER, BridgedCausalLM, BridgedProcessor, PicturesOnly
from vision.bridge.grid_tower import VisionTower, load_tower
from vision.bridge.language_model import CausalModel, load_causal
from vision.bridge.projector import Bridge, BridgeConfig, read_config
from vision.downloads.files import write_atomic
from vision.errors import DataError, ModelError
from vision.huggingface.chat_template import ChatTemplate
from vision.malloc import memory_kept
from vision.training import Progress
from vision.training.batches import batches_of, mixed
from vision.training.bridge.grid_cache import cached_grids
from vision.training.bridge.holdout import held_back_books
from vision.training.bridge.losses import AnswerLoss, WordLoss
from vision.training.bridge.recipe import BridgeRecipe, LoraRecipe
from vision.training.bridge.samples import (
    Sample,
    SampleMaker,
    captions,
    choices,
    descriptions,
    places,
)
from vision.training.charts import require_charts
from vision.training.dataset import Figure, TrainingArticle, figures_of, read_articles
from vision.training.loop import run_steps
from vision.training.recipe_loading import StepsRecipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

REPORT_FILE = "training.json"
_MEASURED_AT_MOST = 400


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did. ``nats_own`` and ``nats_other`` are the mean loss a token of answers about pictures of the books
    held back, with their own pictures and with another book-mate's: the difference is what looking is worth.
    """

    kind: str
    recipe: dict[str, Any]
    samples: int
    figures: int
    books: int
    held_back_books: tuple[str, ...]
    nats_own: dict[str, float]
    nats_other: dict[str, float]
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class BridgeParts:
    """What both stages work with."""

    articles: list[TrainingArticle]
    figures: list[Figure]
    held_back: tuple[str, ...]
    tower: VisionTower
    language: CausalModel
    grids: NDArray[np.float16]

    @property
    def unseen(self) -> NDArray[np.bool_]:
        return np.array([figure.book in self.held_back for figure in self.figures])


def prepare(data: Path, cache: Path, tower: str, recipe: StepsRecipe, progress: Progress) -> BridgeParts:
    """Raises DataError for unusable data, WeightsError or ModelError where a model cannot be had."""
    articles = read_articles(data, "train")
    figures = figures_of(articles)
    held_back = held_back_books(figures)
    eyes = load_tower(tower, recipe.device)
    grids = cached_grids([figure.image for figure in figures], eyes, cache, progress)
    dtype = torch.bfloat16 if recipe.halves_frozen else torch.float32
    language = load_causal(recipe.language_model, dtype=dtype, device=recipe.device)
    return BridgeParts(articles, figures, held_back, eyes, language, grids)


@memory_kept()
def train_bridge(data: Path, out: Path, recipe: BridgeRecipe, progress: Progress = lambda *_: None) -> RunReport:
    """Stage 1: the language model is frozen, the bridge learns to tell it what pictures show."""
    require_charts()
    started = time.monotonic()
    parts = prepare(data, out / "cache", recipe.tower, recipe, progress)
    config = BridgeConfig(
        parts.tower.identity.name,
        parts.tower.identity.sha256,
        parts.tower.tokens,
        parts.tower.width,
        parts.language.identity.name,
        parts.language.identity.sha256,
        parts.language.embeddings.shape[1],
        kind=recipe.kind,
        queries=recipe.queries,
        layers=recipe.layers,
        heads=recipe.heads,
        width=recipe.width,
        dropout=recipe.dropout,
        data=data_name(parts),
    )
    torch.manual_seed(recipe.seed)
    bridge = Bridge(config).to(recipe.device)
    bridge.match(parts.language.embeddings)
    model, maker = assemble(parts, bridge)
    seen = np.flatnonzero(~parts.unseen)
    whole = descriptions(parts.figures, maker, recipe.max_text_tokens, recipe.caption_chance, recipe.seed)
    train = [sample for sample in whole if not parts.unseen[sample.pictures[0]]]
    key = run_key(recipe, parts, config)

    bridge.train()
    parameters = dict(bridge.named_parameters())
    if recipe.word_epochs:
        words = WordLoss(
            bridge,
            parts.language.embeddings,
            parts.language.tokenizer,
            [f"{parts.figures[i].alt} {parts.figures[i].caption}" for i in seen],
            parts.grids[seen],
        )
        batches = batches_of([1] * len(seen), recipe.batch, recipe.seed)
        first = replace(recipe, epochs=recipe.word_epochs, learning_rate=recipe.word_learning_rate)
        run_steps("words", parameters, batches, words, first, key, out, progress)
    loss = AnswerLoss(model, train, parts.grids, share_prefix=True)
    batches = batches_of([len(sample.ids) for sample in train], recipe.batch, recipe.seed)
    history = run_steps("bridge", parameters, batches, loss, recipe, key, out, progress)
    bridge.eval()
    bridge.save_pretrained(out)
    held = [sample for sample in whole if parts.unseen[sample.pictures[0]]]
    nats = worth_of_looking(model, held, parts, share_prefix=True)
    return _report("bridge", recipe, parts, len(train), nats, len(history.rows), started, out)


@memory_kept()
def train_lora(
    data: Path, source: Path, out: Path, recipe: LoraRecipe, progress: Progress = lambda *_: None
) -> RunReport:
    """Stage 2: a LoRA of the language model learns where pictures belong, what they are called and which one fits.

    ``source`` is a folder of stage 1, which stays as it is. Raises ModelError where peft is not installed.
    """
    require_charts()
    started = time.monotonic()
    config = read_config(source)
    parts = prepare(data, out / "cache", config.tower, recipe, progress)
    if parts.language.identity.sha256 != config.language_sha256:
        raise DataError(
            "recipe_other_model",
            recipe=recipe.name,
            language_model=recipe.language_model,
            bridge=str(source),
            trained_for=config.language_model,
        )
    bridge = Bridge.from_pretrained(source).to(recipe.device)
    tuned = with_lora(parts.language, recipe)
    model, maker = assemble(parts, bridge)
    model.language_model = tuned
    model.partial = PicturesOnly(tuned) if recipe.pictures_only else None
    seen, held = tasks(parts, maker, recipe)
    bridge.requires_grad_(recipe.train_bridge)
    parameters = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    parameters |= {f"bridge.{name}": p for name, p in bridge.named_parameters() if p.requires_grad}
    tuned.train()
    bridge.train(recipe.train_bridge)
    loss = AnswerLoss(model, seen, parts.grids, share_prefix=False)
    batches = batches_of([len(sample.ids) for sample in seen], recipe.batch, recipe.seed)
    key = run_key(recipe, parts, config)
    history = run_steps("lora", parameters, batches, loss, recipe, key, out, progress)
    model.eval()
    bridge.save_pretrained(out)
    tuned.save_pretrained(out / LORA_FOLDER)
    if recipe.pictures_only:
        (out / LORA_FOLDER / "pictures_only").touch()
    nats = worth_of_looking(model, held, parts, share_prefix=False)
    return _report("lora", recipe, parts, len(seen), nats, len(history.rows), started, out)


def assemble(parts: BridgeParts, bridge: Bridge) -> tuple[BridgedCausalLM, SampleMaker]:
    """The model as it will be used, and what writes its samples."""
    processor = BridgedProcessor(parts.tower, parts.language.tokenizer, bridge.config.picture_tokens)
    chat = ChatTemplate(processor, parts.language.tokenizer, pictures=True, name=parts.language.identity.name)
    model = BridgedCausalLM(parts.language.model, bridge, processor.picture_id)
    return model, SampleMaker(processor, chat)


def with_lora(language: CausalModel, recipe: LoraRecipe) -> Any:
    """The language model with fresh LoRA layers, which change nothing yet."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ModelError("package_for_training", package="peft") from error
    torch.manual_seed(recipe.seed)
    settings = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=list(recipe.targets),
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property by its old name
        return get_peft_model(language.model, settings)


def tasks(parts: BridgeParts, maker: SampleMaker, recipe: LoraRecipe) -> tuple[list[Sample], list[Sample]]:
    """The three tasks of composing, of books that are trained on and of those held back."""
    rows: dict[object, int] = {figure.image: row for row, figure in enumerate(parts.figures)}
    near = lookalikes(parts.grids, parts.unseen, recipe.candidates - 1)
    found = (
        (recipe.place, places(parts.articles, rows, maker, recipe.seed)),
        (recipe.caption, captions(parts.figures, maker, recipe.max_text_tokens, recipe.max_section_tokens)),
        (
            recipe.choose,
            choices(parts.figures, maker, near, recipe.candidates, recipe.max_section_tokens, recipe.seed),
        ),
    )
    own = [(share, [s for s in part if not parts.unseen[s.pictures[0]]]) for share, part in found]
    held = [s for share, part in found for s in part if share and parts.unseen[s.pictures[0]]]
    return mixed(own, recipe.seed), held


def lookalikes(grids: NDArray[np.float16], unseen: NDArray[np.bool_], count: int) -> NDArray[np.integer]:
    """For each picture its ``count`` nearest by the tower's mean feature, of the same side of ``unseen``; (n, count).

    Raises DataError where a side has too few pictures.
    """
    means = np.stack([grid.astype(np.float32).mean(0) for grid in grids])
    means -= means.mean(0)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    scores = means @ means.T
    scores[unseen[:, None] != unseen[None]] = -3
    np.fill_diagonal(scores, -4)
    if scores.shape[0] <= count or (np.sort(scores, 1)[:, -count] <= -3).any():
        raise DataError("too_few_lookalikes", count=count)
    nearest: NDArray[np.integer] = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return nearest


@torch.no_grad()
def worth_of_looking(
    model: BridgedCausalLM, samples: Sequence[Sample], parts: BridgeParts, *, share_prefix: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean loss a token for each task, with the samples' own pictures and with those of other samples.

    At most 400 samples a task, evenly drawn; a task with a single one is left out.
    """
    own: dict[str, float] = {}
    other: dict[str, float] = {}
    for task in sorted({sample.task for sample in samples}):
        of_task = [sample for sample in samples if sample.task == task]
        of_task = of_task[:: max(1, len(of_task) // _MEASURED_AT_MOST)]
        if len(of_task) < 2:
            continue  # there is no other picture to compare with
        loss = AnswerLoss(model, of_task, parts.grids, share_prefix=share_prefix)
        turn = np.random.default_rng(0).permutation(len(of_task))
        strangers = {int(i): of_task[j].pictures for i, j in zip(turn, np.roll(turn, 1), strict=True)}
        sums = np.zeros(3)
        order = sorted(range(len(of_task)), key=lambda i: len(of_task[i].ids))
        for start in range(0, len(order), 8):
            part = order[start : start + 8]
            mine, counts = loss.each(part)
            theirs, _ = loss.each(part, [strangers[i] for i in part])
            sums += [float(mine.sum()), float(theirs.sum()), float(counts.sum())]
        own[task], other[task] = round(float(sums[0] / sums[2]), 4), round(float(sums[1] / sums[2]), 4)
    return own, other


def data_name(parts: BridgeParts) -> str:
    books = sorted({figure.book for figure in parts.figures})
    used = ", ".join(book for book in books if book not in parts.held_back)
    return f"{int((~parts.unseen).sum())} captioned photographs of: {used}"


def run_key(recipe: StepsRecipe, parts: BridgeParts, config: BridgeConfig) -> str:
    """What a checkpoint must agree with to be gone on from."""
    what = [asdict(recipe), asdict(config), [figure.image.name for figure in parts.figures]]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _report(
    kind: str,
    recipe: StepsRecipe,
    parts: BridgeParts,
    samples: int,
    nats: tuple[dict[str, float], dict[str, float]],
    steps: int,
    started: float,
    out: Path,
) -> RunReport:
    seconds = round(time.monotonic() - started, 1)
    books = len({figure.book for figure in parts.figures})
    report = RunReport(kind, asdict(recipe), samples, len(parts.figures), books, parts.held_back, *nats, steps, seconds)
    write_atomic(out / REPORT_FILE, json.dumps(asdict(report), indent=2) + "\n")
    return report
