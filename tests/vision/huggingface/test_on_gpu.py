"""What a GPU must do as the CPU does, and how fast it does it: ``pytest -m gpu``, a few minutes, figures printed.

Every check runs on the CPU as well, with shapes as small as they get, so that it is known to be sound before a card is
borrowed for it. What needs CUDA itself (bitsandbytes) is left to the card.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model_families import Family
from tests.tiny_models import build_tiny_qwen_vl
from tests.vision.tiny_bridge import picture, tiny_bridge, tiny_language, tiny_tower
from tests.vision.tiny_xcomposer import write_tiny_xcomposer
from vision.bridge.bridged_model import bridged_model
from vision.bridge.language_model import load_causal
from vision.huggingface.loading import load_hub_model
from vision.huggingface.model import HubModel
from vision.interfaces import Message, Prompt, Sampling
from vision.training.tuning import train as runs
from vision.training.tuning.examples import TuningExample
from vision.training.tuning.memory import estimate_memory, size_of_model
from vision.training.tuning.recipe import Method, TuningRecipe
from vision.xcomposer.loading import load_xcomposer

OPTIONS = [" yes", " no", " the old tree by the river"]
ARTICLE = "The boats lie at the quay in the morning, and their nets dry in the sun. "
ARTICLES = [f"article-{number}" for number in range(6)]


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the checks run, and how large: a model of about 0.7 billion numbers on a card, a tiny one here."""

    device: str
    settings: dict[str, Any]
    article_words: int
    tokens: int
    candidates: int


CPU = Bench("cpu", {}, 60, 8, 3)
CARD = Bench(
    "cuda",
    {"hidden_size": 1536, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
     "num_key_value_heads": 4, "initializer_range": 0.02, "max_position_embeddings": 8192},
    1200, 256, 8,
)  # fmt: skip


@pytest.fixture(scope="module", params=[CPU, pytest.param(CARD, marks=pytest.mark.gpu)], ids=lambda b: b.device)
def bench(request: pytest.FixtureRequest) -> Bench:
    found: Bench = request.param
    if found.device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return found


@pytest.fixture
def card() -> str:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if find_spec("bitsandbytes") is None:
        pytest.skip('bitsandbytes is not installed: pip install ".[gpu]"')
    return "cuda"


@pytest.fixture(scope="module")
def folder(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Family("test", "qwen2", settings=bench.settings).build(tmp_path_factory.mktemp(bench.device))


@pytest.fixture
def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a card's figure past pytest's capture; those of a tiny model here say nothing."""

    def write(text: str) -> None:
        if text.startswith("cuda"):
            with capsys.disabled():
                request.config.get_terminal_writer().line(f"\n{text}")

    return write


def asked(text: str, end: str = "Does it fit?") -> Prompt:
    return (Message.of("user", f"{text}{end}"), Message.of("assistant", "Answer:"))


def differences(one: list[list[float]], other: list[list[float]]) -> float:
    return max(abs(a - b) for mine, theirs in zip(one, other, strict=True) for a, b in zip(mine, theirs, strict=True))


def test_bfloat16_scores_as_float32_on_the_cpu(bench: Bench, folder: Path, tell: Callable[[str], None]) -> None:
    prompts = [asked(ARTICLE * n, f"Picture {n}?") for n in (1, 2, 3)]
    scores = {}
    for device, dtype in (("cpu", "float32"), (bench.device, "bfloat16"), (bench.device, "float32")):
        model = load_hub_model(str(folder), device=device, dtype=dtype)
        assert next(model.network.parameters()).dtype == getattr(torch, dtype)
        scores[device, dtype] = model.score_batch(prompts, [OPTIONS] * 3)
    expected = scores["cpu", "float32"]
    half = differences(scores[bench.device, "bfloat16"], expected)
    tell(f"{bench.device}: bfloat16 differs from float32 on the CPU by {half:.3f} nats at most")
    assert differences(scores[bench.device, "float32"], expected) < 5e-2  # TF32 and the order of sums
    # Ten tokens; weights of the tiny model are thirty times as wide as a trained one's.
    assert half < (0.5 if bench.device == "cuda" else 3.0)


def test_pictures_score_as_on_the_cpu(bench: Bench, tmp_path: Path) -> None:
    seeing = {
        "Qwen2-VL": partial(load_hub_model, str(build_tiny_qwen_vl(tmp_path / "vl"))),
        "XComposer 2.5": partial(load_xcomposer, str(write_tiny_xcomposer(tmp_path / "xc"))),
    }
    prompts = [(Message("user", ("See ", picture(colour), ". Red?")),) for colour in ("red", "blue")]
    for name, load in seeing.items():
        plain = load(device="cpu", dtype="float32").score_batch(prompts, [OPTIONS] * 2)
        placed = load(device=bench.device, dtype="float32").score_batch(prompts, [OPTIONS] * 2)
        assert differences(plain, placed) < 5e-2, name


def test_a_bridged_model_scores_as_on_the_cpu(bench: Bench, tmp_path: Path) -> None:
    tower, language = tiny_tower(), tiny_language(tmp_path)
    bridge = tiny_bridge(tower, language)
    prompt = (Message("user", ("It is ", picture("red"))),)
    plain = bridged_model(tower, bridge, language).score(prompt, OPTIONS)
    placed = bridged_model(tower, bridge, load_causal(language.identity.name, device=bench.device))
    assert placed.score(prompt, OPTIONS) == pytest.approx(plain, abs=5e-2)


def examples(model: HubModel, split: runs.ArticleSplit) -> list[TuningExample]:
    return [
        TuningExample("choose", article, partial(asked, ARTICLE, f"Picture {number}?"), " the red wall of the house")
        for number, article in enumerate(ARTICLES)
        for _ in range(4)
    ]


def tuned(folder: Path, out: Path, device: str, method: Method, epochs: float = 2.0) -> runs.TuningReport:
    recipe = TuningRecipe(
        "test", device=device, method=method, epochs=epochs, batch=4, at_once=2, learning_rate=5e-3, warmup=1,
        rank=4, alpha=8, patience=0, precision="bfloat16", checkpointing=method == "qlora",
    )  # fmt: skip
    return runs.tune(str(folder), ARTICLES, examples, out, recipe)


def test_low_rank_layers_learn_in_bfloat16_and_take_the_memory_that_was_told(
    bench: Bench, folder: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    if bench.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    report = tuned(folder, tmp_path / "out", bench.device, "lora")
    assert report.after["all"] < report.before["all"]
    seconds = report.seconds / report.steps
    if bench.device == "cuda":
        recipe = TuningRecipe(**{**report.recipe, "targets": (), "max_prompt_tokens": 48, "max_text_tokens": 16})
        told, taken = estimate_memory(size_of_model(str(folder)), recipe), torch.cuda.max_memory_allocated() / 1e9
        tell(f"cuda: LoRA took {taken:.2f} GB, {told.total_gb:.2f} GB were told; {seconds:.2f} s a step")
        assert taken < told.total_gb < 3 * taken + 1.5
    loaded = load_hub_model(str(folder), device=bench.device, adapter=tmp_path / "out")
    plain = load_hub_model(str(folder), device=bench.device)
    prompt, answer = asked(ARTICLE, "Picture 1?"), [" the red wall of the house"]
    assert loaded.score(prompt, answer)[0] > plain.score(prompt, answer)[0]


def test_writing_and_judging_give_what_they_give_alone_and_their_speed_is_told(
    bench: Bench, folder: Path, tell: Callable[[str], None]
) -> None:
    model = load_hub_model(str(folder), device=bench.device, dtype="bfloat16")
    article = ARTICLE * (bench.article_words // len(ARTICLE.split()))
    prompts = [asked(article, f"Picture {number} fits?") for number in range(bench.candidates)]
    model.score_batch(prompts, [OPTIONS] * len(prompts))  # kernels are loaded
    model._reader.forget()
    speeds, begun = {}, time.perf_counter()
    together = model.score_batch(prompts, [OPTIONS[:2]] * len(prompts))
    speeds["candidates a second after an article read once"] = len(prompts) / (time.perf_counter() - begun)
    assert differences(together[:1], [model.score(prompts[0], OPTIONS[:2])]) < (0.3 if bench.device == "cuda" else 3.0)
    for count in (1, 6):
        written, begun = model.usage.copy(), time.perf_counter()
        samplings = [Sampling(bench.tokens, 1.0, seed=seed) for seed in range(count)]
        list(model.stream_batch([asked(ARTICLE, f"{n}?") for n in range(count)], samplings))
        tokens = model.usage.since(written).generated_tokens
        assert tokens > count
        speeds[f"tokens a second, {count} at once"] = tokens / (time.perf_counter() - begun)
    for what, value in speeds.items():
        tell(f"{bench.device}: {value:,.1f} {what}")


@pytest.mark.gpu
@pytest.mark.parametrize("bench", [CARD], indirect=True, ids=["cuda"])
def test_weights_of_four_bits_take_less_memory_and_score_alike(
    card: str, bench: Bench, folder: Path, tell: Callable[[str], None]
) -> None:
    prompts = [asked(ARTICLE * n, f"Picture {n}?") for n in (1, 2, 3)]
    taken, scores = {}, {}
    for bits in ("none", "8bit", "4bit"):
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        model = load_hub_model(
            str(folder),
            device=card,
            dtype="bfloat16",
            quantization=bits,  # type: ignore[arg-type]
        )
        taken[bits] = torch.cuda.memory_allocated() - before
        scores[bits] = model.score_batch(prompts, [OPTIONS] * 3)
        del model
    tell("cuda: GB of weights: " + ", ".join(f"{bits} {size / 1e9:.2f}" for bits, size in taken.items()))
    assert taken["4bit"] < 0.4 * taken["none"]
    assert taken["8bit"] < 0.65 * taken["none"]
    assert differences(scores["4bit"], scores["none"]) < 1.5


@pytest.mark.gpu
@pytest.mark.parametrize("bench", [CARD], indirect=True, ids=["cuda"])
def test_a_step_over_weights_of_four_bits_learns_and_loads(
    card: str, bench: Bench, folder: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    torch.cuda.reset_peak_memory_stats()
    report = tuned(folder, tmp_path / "out", card, "qlora")
    tell(f"cuda: QLoRA took {torch.cuda.max_memory_allocated() / 1e9:.2f} GB, {report.seconds:.1f} s in all")
    assert report.after["all"] < report.before["all"]
    loaded = load_hub_model(str(folder), device=card, quantization="4bit", adapter=tmp_path / "out")
    plain = load_hub_model(str(folder), device=card, quantization="4bit")
    prompt, answer = asked(ARTICLE, "Picture 1?"), [" the red wall of the house"]
    assert loaded.score(prompt, answer)[0] > plain.score(prompt, answer)[0]
