"""Tuning the text tower brings together what belongs together, changes the layers it names and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_joint import build_tiny_bert_clip
from vision.errors import DataError
from vision.joint_encoder.checkpoint import TEXT_PREFIX, Checkpoint, FolderCheckpoint
from vision.joint_encoder.text_tower import BertTextTower
from vision.training.batches import book_batches
from vision.training.dataset import Figure
from vision.training.joint.recipe import JointRecipe
from vision.training.joint.text_tower import PairLoss, tune_text_tower

RECIPE = JointRecipe("test", tuned_layers=1, tuned_epochs=40, tuned_batch=8, tuned_learning_rate=5e-3)
WORDS = ["red", "parrot", "boats", "go", "by", "tea", "cafe", "a"]  # what the tiny tower's tokenizer knows


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return FolderCheckpoint(build_tiny_bert_clip(tmp_path_factory.mktemp("tuned") / "clip"))


def figures(n: int = 16) -> list[Figure]:
    """A caption and a section say other words than the description, always the same."""

    def words(i: int, shift: int, mark: str) -> str:
        return f"{WORDS[(i + shift) % 8]} {mark}{' .' * (i // 8)}"

    return [
        Figure(
            Path(f"{i}.jpg"), words(i, 0, ""), words(i, 3, "&") if i % 4 else "", "ab"[i % 2], "article", "",
            words(i, 5, "如"), "",
        )
        for i in range(n)
    ]  # fmt: skip


def looks(n: int = 16) -> np.ndarray:
    found = np.random.default_rng(3).normal(size=(n, 32)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


class Tuned(FolderCheckpoint):
    """The checkpoint with tuned tensors in place, as the shipped encoder lays them over its fetched tower."""

    def __init__(self, checkpoint: Checkpoint, tuned: dict[str, np.ndarray]) -> None:
        super().__init__(checkpoint.text_folder)
        self._tuned = tuned

    def tensors(self, prefix: str) -> dict[str, np.ndarray]:
        tuned = {name.removeprefix(prefix): value for name, value in self._tuned.items() if name.startswith(prefix)}
        return super().tensors(prefix) | tuned


def right(checkpoint: Checkpoint, queries: list[str], targets: list[str]) -> float:
    tower = BertTextTower(checkpoint)
    asked, found = tower.pooled(queries), tower.pooled(targets)
    asked, found = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (asked, found))
    return float(((asked @ found.T).argmax(1) == np.arange(len(queries))).mean())


def test_captions_and_sections_come_to_find_their_descriptions(checkpoint: Checkpoint, tmp_path: Path) -> None:
    told = [figure for figure in figures(8) if figure.caption]
    recipe = replace(RECIPE, tuned_layers=2, tuned_epochs=150, tuned_learning_rate=2e-3)
    tuned = Tuned(checkpoint, tune_text_tower(figures(8), looks(8), checkpoint, recipe, tmp_path))
    for queries in ([f.caption for f in told], [f.section for f in told]):
        alts = [f.alt for f in told]
        assert right(checkpoint, queries, alts) < 0.5
        assert right(tuned, queries, alts) == 1


def test_only_the_upper_layers_change_and_as_half_floats(checkpoint: Checkpoint, tmp_path: Path) -> None:
    before = {name: value.tobytes() for name, value in checkpoint.tensors(TEXT_PREFIX).items()}
    tuned = tune_text_tower(figures(), looks(), checkpoint, replace(RECIPE, tuned_epochs=1), tmp_path)
    layers = {name.split(".")[4] for name in tuned}
    last = max(int(name.split(".")[2]) for name in before if name.startswith("encoder.layer."))
    assert all(name.startswith(TEXT_PREFIX + "encoder.layer.") for name in tuned)
    assert layers == {str(last)}
    assert any(value.tobytes() != before[name.removeprefix(TEXT_PREFIX)] for name, value in tuned.items())
    for value in tuned.values():
        np.testing.assert_array_equal(value, value.astype(np.float16).astype(np.float32))
    assert {name: value.tobytes() for name, value in checkpoint.tensors(TEXT_PREFIX).items()} == before


def test_the_same_seed_gives_the_same_bytes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def run(name: str, seed: int) -> dict[str, bytes]:
        recipe = replace(RECIPE, tuned_epochs=2, seed=seed)
        tuned = tune_text_tower(figures(), looks(), checkpoint, recipe, tmp_path / name)
        return {name: value.tobytes() for name, value in tuned.items()}

    first = run("one", 0)
    assert run("two", 0) == first
    assert run("three", 1) != first


def test_what_pixels_say_moves_descriptions_only_where_the_recipe_asks(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def run(name: str, to_pixels: float, seen: np.ndarray) -> dict[str, bytes]:
        recipe = replace(RECIPE, tuned_epochs=2, tuned_to_pixels=to_pixels)
        tuned = tune_text_tower(figures(), seen, checkpoint, recipe, tmp_path / name)
        return {name: value.tobytes() for name, value in tuned.items()}

    assert run("a", 0, looks()) == run("b", 0, -looks())
    assert run("c", 0.7, looks()) != run("d", 0.7, -looks())


def test_the_tower_trains_on_the_vectors_that_search_reads(checkpoint: Checkpoint) -> None:
    from vision.training.joint.text_tower import _tower

    loss = PairLoss(_tower(checkpoint), checkpoint, figures(), looks(), 0)
    found = loss._encode(loss._alts).detach().numpy()
    read = BertTextTower(checkpoint).pooled([figure.alt for figure in figures()])
    np.testing.assert_allclose(found, read / np.linalg.norm(read, axis=1, keepdims=True), atol=1e-5)


def test_batches_are_full_and_every_second_one_stays_within_neighbouring_books() -> None:
    books = ["a"] * 40 + ["b"] * 30 + ["c"] * 30
    batches = book_batches(books, 10, seed=0)
    first = batches(0)
    assert [len(set(batch)) for batch in first] == [10] * 10
    assert all(len({books[i] for i in batch}) <= 2 or {0, 99} & set(batch) for batch in first[1::2])
    assert sorted(i for batch in first[::2] for i in batch) == sorted({i for batch in first[::2] for i in batch})
    assert batches(0) == first
    assert batches(1) != first
    assert [len(batch) for batch in book_batches(["a", "b", "b"], 64, 0)(0)] == [3]


def test_a_finished_run_is_the_same_run_whatever_rounding_did_to_what_pixels_say(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, tuned_epochs=2, tuned_to_pixels=0.5)
    first = tune_text_tower(figures(), looks(), checkpoint, recipe, tmp_path)
    again = tune_text_tower(figures(), looks() * np.float32(1 + 1e-6), checkpoint, recipe, tmp_path)
    assert {k: v.tobytes() for k, v in again.items()} == {k: v.tobytes() for k, v in first.items()}
    for other in (replace(recipe, penalty=recipe.penalty * 2), replace(recipe, tuned_to_pixels=0.4)):
        with pytest.raises(DataError) as caught:
            tune_text_tower(figures(), looks(), checkpoint, other, tmp_path)
        assert caught.value.key == "other_run"
    tune_text_tower(figures(), looks(), checkpoint, replace(recipe, mixtures=5), tmp_path)
