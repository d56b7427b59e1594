"""Tuning learns from whole articles, measures others, survives a kill, and its folder is what a model loads."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.model_families import FAMILIES, Family
from tests.tiny_models import build_tiny_lm, build_tiny_qwen_vl, build_tiny_vlm
from tests.vision.tiny_gguf import write_tiny_gguf
from vision.errors import DataError, ModelError
from vision.huggingface.loading import load_hub_model
from vision.huggingface.model import HubModel
from vision.interfaces import Message, Prompt, Sampling
from vision.training import loop
from vision.training.recipe_loading import StepsRecipe, recipe_names
from vision.training.tuning import memory
from vision.training.tuning import train as runs
from vision.training.tuning.examples import ExampleLoss, TuningExample, encode_examples
from vision.training.tuning.layers import add_learning_layers, linear_layers
from vision.training.tuning.memory import estimate_memory, size_of_model
from vision.training.tuning.recipe import Method, TuningRecipe, load_tuning_recipe

ARTICLES = [f"article-{number}" for number in range(8)]
COLOURS = ("red", "green", "blue", "white")
METHODS: tuple[Method, ...] = ("lora", "prompt", "p-tuning")
QUESTION: Prompt = (Message.of("user", "Which wall?"), Message.of("assistant", "The wall is"))
FAMILY = {family.kind: family for family in FAMILIES}
RECIPE = TuningRecipe(
    "test", device="cpu", precision="float32", epochs=4, batch=8, at_once=4, learning_rate=1e-2, warmup=2,
    weight_decay=0.0, save_every=3, watch_every=4, rank=4, alpha=8, virtual_tokens=4, max_text_tokens=24,
    max_prompt_tokens=200,
)  # fmt: skip


def question(colour: str, number: int) -> Prompt:
    return (Message.of("user", f"Which wall, {number}?"), Message.of("assistant", f"The {colour} wall is"))


def asked(model: HubModel, split: runs.ArticleSplit) -> list[TuningExample]:
    """Every wall is in the old town: what all articles have in common."""
    return [
        TuningExample(task, article, partial(question, colour, number), f" {colour} in the old town.", task == "write")
        for number, article in enumerate(ARTICLES)
        for colour in COLOURS
        for task in ("write", "choose")
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module", params=METHODS)
def run(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp(request.param)
    recipe = replace(RECIPE, method=request.param, learning_rate=1e-2 if request.param == "lora" else 5e-2)
    return recipe, out, runs.tune(str(folder), ARTICLES, asked, out, recipe)


def test_articles_held_back_are_told_better_after_than_before(run: Any) -> None:
    _, out, report = run
    assert set(report.before) == {"all", "write", "choose"}
    assert report.after["all"] < report.before["all"] - 0.1
    names = [*report.articles.trained, *report.articles.watched, *report.articles.held_back]
    assert sorted(names) == ARTICLES
    assert json.loads((out / runs.REPORT_FILE).read_text())["after"] == report.after
    rows = list(csv.DictReader((out / "tuning-losses.csv").read_text().splitlines()))
    assert len(rows) == report.steps
    assert next(row["step"] for row in rows if row["watched"]) == "4"
    assert "not trained on" in (out / "tuning-curve.svg").read_text()


def test_the_folder_is_an_adapter_that_changes_the_model_as_it_was_measured(run: Any, folder: Path) -> None:
    _, out, report = run
    plain, tuned = load_hub_model(str(folder), device="cpu"), load_hub_model(str(folder), device="cpu", adapter=out)
    assert tuned.identity.sha256 != plain.identity.sha256
    assert tuned.identity.name.endswith(f"+ {out.name}")
    held = [e for e in asked(tuned, report.articles) if e.article in report.articles.held_back]
    encoded, left_out = encode_examples(tuned, held, 200, 24)
    nats = runs.nats_by_task(tuned, encoded, 3)
    assert left_out == 0
    assert {task: round(value, 3) for task, value in nats.items()} == pytest.approx(report.after, abs=2e-3)
    # Scoring, with its caches and rows side by side, agrees with the loss of training.
    option = " red in the old town."
    scores = tuned.score_batch([question("red", 1), QUESTION], [[option], [option]])
    one, _ = encode_examples(tuned, [TuningExample("t", "a", lambda: QUESTION, option, closed=False)], 200, 24)
    with torch.no_grad():
        loss, _ = ExampleLoss(tuned, one)([0])
    assert scores[1][0] == pytest.approx(-float(loss), abs=2e-3)
    told = [s[0] for s in plain.score_batch([question("red", 1), QUESTION], [[option]] * 2)]
    assert all(after[0] > before for after, before in zip(scores, told, strict=True))
    text = "".join(c.text for c in tuned.stream(question("blue", 3), Sampling(12, 0)))
    assert text != "".join(c.text for c in plain.stream(question("blue", 3), Sampling(12, 0)))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers for a property by its old name
def test_peft_itself_loads_the_folder_and_gives_the_same_logits(run: Any, folder: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    _, out, _ = run
    ours = load_hub_model(str(folder), device="cpu", adapter=out)
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), out).eval()
    ids = ours.encoder.encode(QUESTION).ids
    plain = torch.tensor([[i for i in ids if i < theirs.config.vocab_size]])
    mask = torch.ones(1, len(ids), dtype=torch.long)
    with torch.no_grad():
        expected = theirs(input_ids=plain, attention_mask=torch.ones_like(plain)).logits[0, -1]
        given = ours.forward.logits(
            torch.tensor([ids]), torch.arange(len(ids))[None], mask, torch.tensor([len(ids) - 1]), {}
        )[0, 0]
    assert torch.allclose(given, expected, atol=1e-4)


@pytest.mark.parametrize("method", ["lora", "p-tuning"])
def test_a_killed_run_ends_with_the_bytes_of_one_that_was_not(folder: Path, tmp_path: Path, method: Method) -> None:
    recipe = replace(RECIPE, method=method, epochs=2, dropout=0.2)
    runs.tune(str(folder), ARTICLES, asked, tmp_path / "whole", recipe)
    for kill_at in (2, 5):  # before the first checkpoint, and behind one
        with pytest.raises(DataError, match="killed"):
            runs.tune(str(folder), ARTICLES, killed_at(kill_at), tmp_path / "cut", recipe)
    torch.rand(7)  # another state of the random generator, as a new process would have
    report = runs.tune(str(folder), ARTICLES, asked, tmp_path / "cut", recipe)
    assert report.steps == 12
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def killed_at(step: int) -> Callable[[HubModel, runs.ArticleSplit], Sequence[TuningExample]]:
    """The same questions, and an error when the step's batch is read."""

    def make(model: HubModel, split: runs.ArticleSplit) -> list[TuningExample]:
        real, calls = model.forward.logits, iter(range(10**6))

        def dies(*args: Any, **options: Any) -> Any:
            if torch.is_grad_enabled() and next(calls) == 2 * step:  # two parts a batch
                raise DataError("killed")
            return real(*args, **options)

        model.forward.logits = dies  # type: ignore[method-assign]
        return asked(model, split)

    return make


def test_a_run_that_gets_no_better_ends_early_with_its_best_weights_and_so_it_does_cut_off(tmp_path: Path) -> None:
    recipe = StepsRecipe(
        "test", epochs=50, batch=1, learning_rate=0.1, warmup=0, weight_decay=0, precision="float32", save_every=3
    )  # fmt: skip

    def run(folder: Path, stop_after: int | None = None) -> tuple[loop.LossHistory, float, list[float]]:
        weight = torch.nn.Parameter(torch.zeros(1))  # learns to be 1
        seen: list[float] = []

        def measure() -> float:
            seen.append(float(weight.detach()))
            return abs(seen[-1] - 0.55)  # best on the way, worse behind it

        folder.mkdir(exist_ok=True)
        history = loop.run_steps(
            "t", {"w": weight}, lambda _: [[0]], lambda _: ((weight - 1).square().sum(), 1.0), recipe, "key", folder,
            stop_after=stop_after, watch=loop.Watch(measure, every=2, patience=2),
        )  # fmt: skip
        return history, float(weight.detach()), seen

    history, weight, seen = run(tmp_path / "whole")
    assert len(history.watched) - 1 - history.best == 2
    assert len(history.rows) == 2 * len(seen) < 50
    assert weight == min(seen, key=lambda value: abs(value - 0.55))
    run(tmp_path / "cut", stop_after=7)
    again, same, _ = run(tmp_path / "cut")
    assert (again.watched, same) == (history.watched, weight)
    over, same, seen = run(tmp_path / "cut")  # it was over: nothing is done again
    assert (over.watched, same, seen) == (history.watched, weight, [])


def wall(colour: str) -> Image.Image:
    values = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "white": (240, 240, 240)}
    return Image.fromarray(np.full((40, 56, 3), values[colour], dtype=np.uint8))


@pytest.mark.parametrize(
    ("build", "method", "part"),
    [(build_tiny_vlm, "lora", 0.5), (build_tiny_qwen_vl, "lora", 0.5), (build_tiny_qwen_vl, "prompt", 0.95)],
)
def test_a_model_that_sees_learns_from_pixels_and_is_asked_as_in_use(
    build: Callable[[Path], Path], method: Method, part: float, tmp_path: Path
) -> None:
    folder = build(tmp_path / "model")

    def looked(colour: str) -> Prompt:
        return (Message("user", ("Is ", wall(colour), " red?")), Message.of("assistant", "Answer:"))

    def make(model: HubModel, split: runs.ArticleSplit) -> list[TuningExample]:
        assert model.sees_images
        return [
            TuningExample("choose", article, partial(looked, colour), " yes" if colour == "red" else " no", False)
            for article in ARTICLES[:4]
            for colour in ("red", "blue")
        ]

    recipe = replace(
        RECIPE, method=method, epochs=12, batch=4, watch_every=20, learning_rate=1e-2 if method == "lora" else 0.1
    )
    report = runs.tune(str(folder), ARTICLES[:4], make, tmp_path / "out", recipe)
    assert report.after["choose"] < part * report.before["choose"]
    tuned = load_hub_model(str(folder), device="cpu", adapter=tmp_path / "out")
    (yes, no), (yes_blue, no_blue) = tuned.score_batch([looked("red"), looked("blue")], [[" yes", " no"]] * 2)
    assert -(yes + no_blue) / 2 == pytest.approx(answered(tuned, make, report), abs=2e-3)
    if method == "lora":
        assert yes > no
        assert no_blue > yes_blue
    tower = [name for name in linear_layers(load_hub_model(str(folder), device="cpu").network) if "vision" in name]
    assert tower == []


def answered(model: HubModel, make: Any, report: runs.TuningReport) -> float:
    """Nats an answer on the article held back; the answers are one token each, or counted as such."""
    held = [e for e in make(model, report.articles) if e.article in report.articles.held_back]
    encoded, _ = encode_examples(model, held, 400, 24)
    with torch.no_grad():
        return float(ExampleLoss(model, encoded)(range(len(encoded)))[0]) / len(encoded)


@pytest.mark.parametrize("kind", ["gpt2", "bloom", "lfm2"])
def test_other_families_are_tuned_through_the_same_lines(kind: str, tmp_path: Path) -> None:
    folder = FAMILY[kind].build(tmp_path / kind)
    report = runs.tune(str(folder), ARTICLES, asked, tmp_path / "out", replace(RECIPE, epochs=2))
    assert report.after["all"] < report.before["all"]
    tuned = load_hub_model(str(folder), device="cpu", adapter=tmp_path / "out")
    held = [e for e in asked(tuned, report.articles) if e.article in report.articles.held_back]
    nats = runs.nats_by_task(tuned, encode_examples(tuned, held, 200, 24)[0], 4)
    assert nats["all"] == pytest.approx(report.after["all"], abs=5e-3)


def test_a_gguf_model_is_tuned_and_runs_with_its_adapter(tmp_path: Path) -> None:
    file = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F32")
    report = runs.tune(str(file), ARTICLES, asked, tmp_path / "out", replace(RECIPE, epochs=1))
    assert report.after["all"] < report.before["all"]
    tuned = load_hub_model(str(file), device="cpu", adapter=tmp_path / "out")
    assert tuned.identity.name == "tiny (transformers) + out"
    with pytest.raises(ModelError, match="quantization_unsupported"):
        load_hub_model(str(file), device="cpu", quantization="4bit")


def test_checkpointed_layers_learn_the_same(folder: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)
    for checkpointing in (False, True):
        out = tmp_path / str(checkpointing)
        runs.tune(str(folder), ARTICLES, asked, out, replace(recipe, checkpointing=checkpointing))
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("False", "True")]
    one, other = (load_tensors(data) for data in weights)
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


def load_tensors(data: bytes) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    return load(data)


@pytest.mark.parametrize(("kind", "dropout"), [("llama", 0.0), ("llama", 0.05), ("qwen2", 0.05)])
def test_memory_is_estimated_near_what_the_way_back_keeps(kind: str, dropout: float, tmp_path: Path) -> None:
    settings = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 6, "num_hidden_layers": 3}
    folder = Family("test", kind, settings=settings).build(tmp_path / kind)
    recipe = replace(RECIPE, at_once=2, max_prompt_tokens=300, max_text_tokens=50, rank=8, dropout=dropout)
    model = load_hub_model(str(folder), device="cpu")
    layers = add_learning_layers(model, recipe)
    layers.learning(True)
    encoded, _ = encode_examples(model, [TuningExample("t", "a", long_question, " wall" * 300)] * 2, 400, 50)
    kept: dict[int, int] = {}
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.network.state_dict().values()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in weights:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ExampleLoss(model, encoded)([0, 1])
    tokens = [example.tokens for example in encoded]
    estimate = estimate_memory(size_of_model(str(folder)), replace(recipe, max_prompt_tokens=tokens[0] - 50))
    assert estimate.activations == pytest.approx(sum(kept.values()), rel=0.1)
    assert estimate.weights == sum(tensor.nbytes for tensor in model.network.parameters() if not tensor.requires_grad)
    learned = 16 * sum(parameter.numel() for parameter in layers.parameters.values())
    assert learned <= estimate.learned < 1.2 * learned  # keys and values may be narrower


def long_question() -> Prompt:
    return (Message.of("user", "the old tree " * 60),)


def test_a_run_that_would_not_fit_is_refused_before_anything_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runs.planned_memory(str(folder), RECIPE).total_gb < 2
    monkeypatch.setattr(memory, "free_memory_gb", lambda device: 0.1)
    with pytest.raises(DataError, match=r"tuning_memory: needed=0\.\d, free=0\.1, device=cpu"):
        runs.planned_memory(str(folder), RECIPE)


def test_what_cannot_be_tuned_is_one_clear_error(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tune(recipe: TuningRecipe = RECIPE, make: Any = asked, articles: Sequence[str] = ARTICLES) -> Any:
        return runs.tune(str(folder), articles, make, tmp_path / "out", recipe)

    with pytest.raises(DataError, match="tuning_one_article: articles=1"):
        tune(articles=ARTICLES[:1])
    with pytest.raises(DataError, match="recipe_targets"):
        tune(replace(RECIPE, targets=("no_such_layer",)))
    with pytest.raises(DataError, match="tuning_nothing_held_back"):
        tune(replace(RECIPE, max_prompt_tokens=2))
    with pytest.raises(ModelError, match="quantization_needs_cuda"):
        tune(replace(RECIPE, method="qlora"))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "peft", None)
        with pytest.raises(ModelError, match="package_for_training: package=peft"):
            tune()
    tune(replace(RECIPE, epochs=0.5))
    with pytest.raises(DataError, match="other_run"):
        tune(replace(RECIPE, epochs=0.5, rank=2))


def test_an_adapter_that_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    def load(**changes: Any) -> None:
        load_hub_model(str(folder), device="cpu", adapter=tmp_path / "out")

    with pytest.raises(ModelError, match="adapter_missing"):
        load()
    runs.tune(str(folder), ARTICLES, asked, tmp_path / "out", replace(RECIPE, epochs=0.5, method="prompt"))
    other = FAMILY["qwen2"].build(tmp_path / "other")
    with pytest.raises(ModelError, match="adapter_of_other_weights"):
        load_hub_model(str(other), device="cpu", adapter=tmp_path / "out")
    settings = tmp_path / "out" / "adapter_config.json"
    values = json.loads(settings.read_text())
    settings.write_text(json.dumps(values | {"peft_type": "LORA", "target_modules": ["q_proj"]}))
    with pytest.raises(ModelError, match="adapter_unreadable"):
        load()
    settings.write_text("{")
    with pytest.raises(ModelError, match="adapter_unreadable"):
        load()
    wide = Family("test", "gemma4_text", settings=FAMILY["gemma4_text"].settings).build(tmp_path / "wide")
    with pytest.raises(ModelError, match="virtual_tokens_unsupported"):
        add_learning_layers(load_hub_model(str(wide), device="cpu"), replace(RECIPE, method="prompt"))


def test_shipped_recipes_are_sound_and_wrong_ones_are_named(tmp_path: Path) -> None:
    names = recipe_names("tune-")
    assert names == ["tune-lora", "tune-p", "tune-prompt", "tune-qlora", "tune-tiny"]
    assert {load_tuning_recipe(name).method for name in names} == {"lora", "qlora", "prompt", "p-tuning"}
    file = tmp_path / "mine.toml"
    for text, key in (
        ("method = 'magic'", "recipe_choice"),
        ("held_back = 0.6", "recipe_bounds"),
        ("virtual_tokens = 0", "recipe_bounds"),
        ("glasses = 2", "recipe_setting_unknown"),
        ("write = 0\nwant = 0\ncaption = 0\nchoose = 0", "recipe_without_tasks"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=key):
            load_tuning_recipe(str(file))


def test_whole_articles_are_split_the_same_way_every_time() -> None:
    names = [f"{number}.md" for number in range(40)]
    split = runs.split_articles(names, RECIPE)
    assert split == runs.split_articles(names[::-1], RECIPE)
    assert [len(part) for part in (split.trained, split.watched, split.held_back)] == [30, 4, 6]
    few = runs.split_articles(names[:3], RECIPE)
    assert [len(part) for part in (few.trained, few.watched, few.held_back)] == [2, 0, 1]
    assert split != runs.split_articles(names, replace(RECIPE, seed=1))
