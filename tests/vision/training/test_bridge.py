"""Bridge and LoRA learn what there is to learn, change only what they should, and survive a kill without a trace."""

import csv
import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from tests.vision.tiny_bridge import COLOURS, picture, tiny_bridge, tiny_language_file, tiny_tower, write_articles
from vision.bridge.bridged_model import bridged_model
from vision.bridge.language_model import CausalModel, load_causal
from vision.bridge.projector import Bridge
from vision.errors import DataError, ModelError
from vision.huggingface.captioning import describe
from vision.interfaces import Message, Sampling
from vision.training.batches import batches_of
from vision.training.bridge import train as runs
from vision.training.bridge.holdout import held_back_books
from vision.training.bridge.losses import AnswerLoss, WordLoss
from vision.training.bridge.recipe import BridgeRecipe, LoraRecipe, load_steps_recipe
from vision.training.bridge.samples import MARK, descriptions, places
from vision.training.dataset import figures_of, read_articles
from vision.training.loop import accumulate, run_steps
from vision.training.recipe_loading import StepsRecipe


@pytest.fixture
def recipe(tmp_path: Path) -> BridgeRecipe:
    return BridgeRecipe(
        "test", language_model=str(tiny_language_file(tmp_path)), tower="tiny", epochs=2, batch=8, at_once=4,
        learning_rate=3e-3, warmup=2, precision="float32", save_every=3, max_text_tokens=12, word_epochs=1,
        queries=4, layers=1, heads=2, width=32, dropout=0.1,
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runs, "load_tower", lambda name, device: tiny_tower())
    return write_articles(tmp_path / "data")


def prepared(data: Path, cache: Path, recipe: BridgeRecipe) -> runs.BridgeParts:
    return runs.prepare(data, cache, "tiny", recipe, lambda *_: None)


def whole_loss(
    data: Path, cache: Path, recipe: BridgeRecipe, *, share_prefix: bool = True
) -> tuple[Bridge, CausalModel, AnswerLoss, int]:
    parts = prepared(data, cache, recipe)
    bridge = tiny_bridge(parts.tower, parts.language)
    model, maker = runs.assemble(parts, bridge)
    samples = descriptions(parts.figures, maker, recipe.max_text_tokens, 0.0, 0)
    return bridge, parts.language, AnswerLoss(model, samples, parts.grids, share_prefix=share_prefix), len(samples)


def table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def steps(epochs: int, at_once: int = 8) -> StepsRecipe:
    return StepsRecipe(
        "test", epochs=epochs, at_once=at_once, learning_rate=1e-2, warmup=0, weight_decay=0, precision="float32"
    )


def test_one_batch_overfits_through_a_frozen_model_that_stays_bit_identical(
    data: Path, tmp_path: Path, recipe: BridgeRecipe
) -> None:
    bridge, language, loss, _ = whole_loss(data, tmp_path / "cache", recipe)
    before = {name: value.clone() for name, value in language.model.state_dict().items()}
    rows = [0, 1, 2, 3]  # red, green, blue, white
    parameters = dict(bridge.named_parameters())
    history = run_steps("fit", parameters, lambda _: [rows], loss, steps(120), "key", tmp_path)
    assert history.rows[-1][1] < 0.75 * history.rows[0][1]
    with torch.no_grad():
        own, _ = loss.each(rows)
        others, _ = loss.each(rows, [[1], [2], [3], [0]])
    assert (own < others).all()  # which can only come from the pictures
    after = language.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_accumulated_parts_give_the_gradient_of_the_whole_batch(
    data: Path, tmp_path: Path, recipe: BridgeRecipe, at_once: int
) -> None:
    bridge, _, loss, _ = whole_loss(data, tmp_path / "cache", recipe)
    parameters = list(bridge.parameters())
    gradients = []
    for size in (8, at_once):
        bridge.zero_grad(set_to_none=True)
        value = accumulate(range(8), parameters, loss, steps(1, at_once=size))
        gradients.append([p.grad.clone() for p in parameters if p.grad is not None])
    assert value == pytest.approx(accumulate(range(8), parameters, loss, steps(1)), rel=1e-4)
    for whole, parts in zip(*gradients, strict=True):
        assert torch.allclose(whole, parts, atol=1e-5 * max(1.0, float(whole.abs().max())))


def test_reading_what_samples_share_once_changes_nothing(data: Path, tmp_path: Path, recipe: BridgeRecipe) -> None:
    with torch.no_grad():
        shared, counts = whole_loss(data, tmp_path / "cache", recipe)[2].each(range(8))
        alone, again = whole_loss(data, tmp_path / "cache", recipe, share_prefix=False)[2].each(range(8))
    assert torch.allclose(shared, alone, atol=1e-3)
    assert torch.equal(counts, again)


def test_padding_does_not_change_a_sample_s_loss(data: Path, tmp_path: Path, recipe: BridgeRecipe) -> None:
    _, _, loss, count = whole_loss(data, tmp_path / "cache", recipe)
    with torch.no_grad():
        together, _ = loss.each(range(count))
        alone = torch.stack([loss.each([i])[0][0] for i in range(8)])
    assert torch.allclose(together[:8], alone, atol=1e-3)


def test_training_samples_are_the_prompts_of_use(data: Path, tmp_path: Path, recipe: BridgeRecipe) -> None:
    parts = prepared(data, tmp_path / "cache", recipe)
    bridge = tiny_bridge(parts.tower, parts.language)
    _, maker = runs.assemble(parts, bridge)
    sample = maker.sample(describe(MARK), "A wall.", [0], "describe", 50)
    used = bridged_model(parts.tower, bridge, parts.language)._encoder.encode(describe(picture("red")))  # type: ignore[attr-defined]
    assert sample.ids[: -sample.answer] == used.ids
    text = parts.language.tokenizer.decode(sample.ids[-sample.answer :])
    assert text == "A wall.<|im_end|>"
    assert maker.sample(describe(MARK), "A wall.", [0], "describe", 2).answer == 2


def test_a_run_learns_and_its_folder_is_a_model(data: Path, tmp_path: Path, recipe: BridgeRecipe) -> None:
    seen: list[str] = []
    report = runs.train_bridge(data, tmp_path / "out", replace(recipe, epochs=12), lambda what, *_: seen.append(what))
    assert len(report.held_back_books) == 1
    assert report.nats_own["describe"] < report.nats_other["describe"]
    rows = table(tmp_path / "out" / "bridge-losses.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, report.steps + 1))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    words = [float(row["loss"]) for row in table(tmp_path / "out" / "words-losses.csv")]
    assert 0 < words[-1] < words[0]
    assert ElementTree.parse(tmp_path / "out" / "bridge-curve.svg").getroot().tag.endswith("svg")
    assert {what.split()[0] for what in seen} == {"pictures", "words", "bridge"}
    model = bridged_model(tiny_tower(), Bridge.from_pretrained(tmp_path / "out"), load_causal(recipe.language_model))
    assert "".join(c.text for c in model.stream(describe(picture("red")), Sampling(8, 0)))


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(
    data: Path, tmp_path: Path, recipe: BridgeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.train_bridge(data, tmp_path / "whole", recipe)
    real = runs.run_steps

    class Killed(BaseException):
        pass

    for kill_at in (2, 5):  # one in the stage of words, one behind it and behind a checkpoint
        calls = itertools.count()

        def dies(
            *args: object, _at: int = kill_at, _calls: "itertools.count[int]" = calls, **options: object
        ) -> object:
            stage = next(_calls)
            last = (_at == 2 and stage == 0) or (_at == 5 and stage == 1)
            found = real(*args, stop_after=_at if last else None, **options)  # type: ignore[arg-type]
            if last:
                raise Killed
            return found

        monkeypatch.setattr(runs, "run_steps", dies)
        with pytest.raises(Killed):
            runs.train_bridge(data, tmp_path / "cut", recipe)
        monkeypatch.setattr(runs, "run_steps", real)
    torch.rand(7)  # another state of the random generator, as a new process would have
    runs.train_bridge(data, tmp_path / "cut", recipe)
    for name in ("bridge.safetensors", "bridge.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


@pytest.mark.parametrize("kind", ["sampler", "mlp"])
def test_bfloat16_trains_either_kind_to_a_like_loss(
    data: Path, tmp_path: Path, recipe: BridgeRecipe, kind: str
) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        mine = replace(recipe, kind=kind, precision=precision, dropout=0.0)  # type: ignore[arg-type]
        runs.train_bridge(data, tmp_path / precision, mine)
        losses[precision] = float(table(tmp_path / precision / "bridge-losses.csv")[-1]["loss"])
        assert Bridge.from_pretrained(tmp_path / precision).start.dtype == torch.float32
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_a_checkpoint_of_another_run_is_refused(data: Path, tmp_path: Path, recipe: BridgeRecipe) -> None:
    runs.train_bridge(data, tmp_path / "out", recipe)
    with pytest.raises(DataError) as caught:
        runs.train_bridge(data, tmp_path / "out", replace(recipe, learning_rate=1e-3))
    assert caught.value.key == "other_run"


def lora_recipe(recipe: BridgeRecipe, **changes: object) -> LoraRecipe:
    base = LoraRecipe(
        "lora", language_model=recipe.language_model, epochs=1, batch=8, at_once=4, learning_rate=1e-2, warmup=1,
        precision="float32", max_text_tokens=12, max_section_tokens=24, rank=2, alpha=4, dropout=0.0, candidates=3,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("pictures_only", [False, True])
def test_a_lora_learns_the_three_tasks_and_loads_behind_its_bridge(
    data: Path, tmp_path: Path, recipe: BridgeRecipe, pictures_only: bool
) -> None:
    runs.train_bridge(data, tmp_path / "one", replace(recipe, epochs=1))
    source = (tmp_path / "one" / "bridge.safetensors").read_bytes()
    report = runs.train_lora(data, tmp_path / "one", tmp_path / "two", lora_recipe(recipe, pictures_only=pictures_only))
    assert set(report.nats_own) == {"place", "caption", "choose"}
    assert (tmp_path / "one" / "bridge.safetensors").read_bytes() == source
    losses = [float(row["loss"]) for row in table(tmp_path / "two" / "lora-losses.csv")]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])

    language: Callable[[], CausalModel] = lambda: load_causal(recipe.language_model)  # noqa: E731
    bridge = Bridge.from_pretrained(tmp_path / "two")
    tuned = bridged_model(tiny_tower(), bridge, language(), lora=tmp_path / "two" / "lora")
    plain = bridged_model(tiny_tower(), bridge, language())
    assert tuned.identity.sha256 != plain.identity.sha256
    words = [Message.of("user", "a wall")]
    seen = describe(picture("red"))
    assert tuned.score(seen, ["the"]) != pytest.approx(plain.score(seen, ["the"]), abs=1e-4)
    same_words = tuned.score(words, ["the"]) == pytest.approx(plain.score(words, ["the"]), abs=1e-5)
    assert same_words == pictures_only


def test_choices_show_the_true_picture_among_look_alikes_of_the_same_side(
    data: Path, tmp_path: Path, recipe: BridgeRecipe
) -> None:
    parts = prepared(data, tmp_path / "cache", recipe)
    _, maker = runs.assemble(parts, tiny_bridge(parts.tower, parts.language))
    seen, held = runs.tasks(parts, maker, lora_recipe(recipe))
    letters = {"A": 0, "B": 1, "C": 2}
    for sample in (*seen, *held):
        sides = {bool(parts.unseen[row]) for row in sample.pictures}
        assert sides == {sample in held}
        if sample.task == "choose":
            assert len(set(sample.pictures)) == 3
    answers = [s.ids[-s.answer] for s in seen if s.task == "choose"]
    assert {parts.language.tokenizer.decode([token]) for token in answers} == set(letters)
    near = runs.lookalikes(parts.grids, parts.unseen, 2)
    colours = np.array([figure.alt for figure in parts.figures])
    assert (colours[near] == colours[:, None]).mean() > 0.9
    with pytest.raises(DataError) as caught:
        runs.lookalikes(parts.grids, parts.unseen, 40)
    assert caught.value.key == "too_few_lookalikes"


def test_a_place_s_answer_is_the_paragraph_before_the_figure(data: Path, tmp_path: Path, recipe: BridgeRecipe) -> None:
    parts = prepared(data, tmp_path / "cache", recipe)
    _, maker = runs.assemble(parts, tiny_bridge(parts.tower, parts.language))
    rows: dict[object, int] = {figure.image: row for row, figure in enumerate(parts.figures)}
    found = places(parts.articles[:1], rows, maker, seed=0)
    assert len(found) == 4
    for number, sample in enumerate(found, 1):
        text = parts.language.tokenizer.decode(sample.ids)
        colour = figures_of(read_articles(data, "train"))[number - 1].alt.split()[1]
        answer = parts.language.tokenizer.decode(sample.ids[-sample.answer :]).removesuffix("<|im_end|>")
        paragraph = next(line for line in text.split("\n") if line.startswith(f"{answer}."))
        assert paragraph == f"{answer}. {colour} is the wall."
        assert colour == list(COLOURS)[number - 1]


def test_words_learn_to_lie_at_the_embeddings_of_what_is_said(data: Path, tmp_path: Path, recipe: BridgeRecipe) -> None:
    parts = prepared(data, tmp_path / "cache", recipe)
    bridge = tiny_bridge(parts.tower, parts.language)
    texts = [figure.alt.split()[1] for figure in parts.figures]
    words = WordLoss(bridge, parts.language.embeddings, parts.language.tokenizer, texts, parts.grids)
    assert words.words == ["blue", "green", "red", "white"]
    run_steps(
        "words", dict(bridge.named_parameters()), lambda _: [list(range(48))], words, steps(60, 48), "key", tmp_path
    )
    with torch.no_grad():
        best = words.scores(torch.from_numpy(parts.grids.astype(np.float32))).argmax(1)
    assert np.mean([words.words[i] == text for i, text in zip(best.tolist(), texts, strict=True)]) > 0.9
    with pytest.raises(DataError) as caught:
        WordLoss(bridge, parts.language.embeddings, parts.language.tokenizer, ["A wall"] * 48, parts.grids)
    assert (caught.value.key, caught.value.values["descriptions"]) == ("no_common_words", 48)


def test_batches_hold_every_sample_once_an_epoch_and_like_lengths_together() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 400).tolist()
    batches = batches_of(lengths, 10, seed=1)
    for epoch in (0, 1):
        assert sorted(i for batch in batches(epoch) for i in batch) == list(range(400))
    assert batches(0) == batches_of(lengths, 10, seed=1)(0)
    assert batches(0) != batches(1)
    spread = np.mean([np.ptp([lengths[i] for i in batch]) for batch in batches(0)])
    assert spread < 10 < np.ptp(lengths)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(BridgeRecipe, n) for n in ("bridge-tiny", "bridge-embedded", "bridge-gpu")]
    + [(LoraRecipe, n) for n in ("lora-tiny", "lora-embedded", "lora-gpu")],
)
def test_shipped_recipes_are_sound(kind: type[BridgeRecipe] | type[LoraRecipe], name: str) -> None:
    assert load_steps_recipe(name, kind).name == name


def test_recipes_with_unknown_keys_or_values_that_cannot_be_are_errors(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for kind, text, key, setting in (
        (BridgeRecipe, "glasses = 2", "recipe_setting_unknown", "glasses"),
        (BridgeRecipe, "epochs = 'two'", "recipe_type", "epochs"),
        (BridgeRecipe, "batch = true", "recipe_type", "batch"),
        (BridgeRecipe, "batch = 0", "recipe_bounds", "batch"),
        (BridgeRecipe, "dropout = 1.0", "recipe_bounds", "dropout"),
        (BridgeRecipe, "precision = 'int4'", "recipe_choice", "precision"),
        (BridgeRecipe, "kind = 'suspension'", "recipe_choice", "kind"),
        (BridgeRecipe, "a = = 1", "recipe_not_toml", None),
        (LoraRecipe, "candidates = 1", "recipe_bounds", "candidates"),
        (LoraRecipe, "rank = 0", "recipe_bounds", "rank"),
        (LoraRecipe, "targets = []", "recipe_learns_nothing", None),
        (LoraRecipe, "place = 0\ncaption = 0\nchoose = 0", "recipe_learns_nothing", None),
    ):
        file.write_text(text)
        with pytest.raises(DataError) as caught:
            load_steps_recipe(str(file), kind)
        assert (caught.value.key, caught.value.values.get("setting")) == (key, setting)
    with pytest.raises(DataError) as caught:
        load_steps_recipe("lora-tiny", BridgeRecipe)
    assert caught.value.key == "recipe_unknown"
    assert caught.value.values["known"] == ["bridge-embedded", "bridge-gpu", "bridge-tiny"]


def test_whole_books_are_held_back_and_one_book_alone_cannot_be(data: Path) -> None:
    figures = figures_of(read_articles(data, "train"))
    (held,) = held_back_books(figures)
    assert held in {figure.book for figure in figures}
    with pytest.raises(DataError) as caught:
        held_back_books([figure for figure in figures if figure.book == held])
    assert caught.value.key == "one_book"


def test_without_matplotlib_a_run_says_so_before_it_begins(
    data: Path, tmp_path: Path, recipe: BridgeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModelError) as caught:
        runs.train_bridge(data, tmp_path / "out", recipe)
    assert (caught.value.key, caught.value.values["package"]) == ("package_for_training", "matplotlib")
    assert not (tmp_path / "out").exists()
