"""Parts of pictures: drawn the same way each time, kept from run to run, and answered like whole ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vision.open_clip_towers
from vision.joint_checkpoint import ShippedCheckpoint
from vision.training.features import PairFeatures, crop_features, image_features, random_crops
from vision.training.kernel import distil, fit_kernel
from vision.training.recipe import JointRecipe


class CountingTower:
    """Features are the picture's mean colour and how wide it is; remembers how many pictures it saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def encode(self, pictures: list[Image.Image]) -> np.ndarray:
        self.seen.append(len(pictures))
        rows = [[*np.asarray(picture.convert("RGB"), float).mean((0, 1)), picture.width] for picture in pictures]
        return np.array(rows, np.float32)


@pytest.fixture
def tower(monkeypatch: pytest.MonkeyPatch) -> CountingTower:
    tower = CountingTower()
    monkeypatch.setattr(vision.open_clip_towers, "pooled_image_tower", lambda checkpoint: tower)
    return tower


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path in paths:
        Image.fromarray(generator.integers(0, 255, (30, 40, 3), np.uint8)).save(path)
    return paths


def test_crops_lie_within_the_picture_and_are_a_third_of_it_or_more() -> None:
    picture = Image.fromarray(np.indices((60, 90)).sum(0).astype(np.uint8))
    crops = random_crops(picture, 200, np.random.default_rng(0))
    assert len(crops) == 200
    areas = [crop.width * crop.height / (90 * 60) for crop in crops]
    assert 0.3 < min(areas) < 0.45
    assert 0.9 < max(areas) <= 1
    rising = [np.asarray(crop)[0, -1] > np.asarray(crop)[0, 0] for crop in crops]
    assert 70 < sum(rising) < 130  # half of them are mirrored
    assert all(crop.size == (1, 1) for crop in random_crops(Image.new("L", (1, 1)), 5, np.random.default_rng(0)))


def test_features_of_crops_are_kept_and_belong_to_their_seed(
    files: list[Path], tmp_path: Path, tower: CountingTower
) -> None:
    checkpoint = ShippedCheckpoint(towers_only="squash")
    first = crop_features(files, checkpoint, tmp_path, lambda *_: None, 3, seed=1)
    assert first.shape == (5, 3, 4)
    assert sum(tower.seen) == 15
    assert max(tower.seen) <= 16
    again = crop_features(files, checkpoint, tmp_path, lambda *_: None, 3, seed=1)
    np.testing.assert_array_equal(again, first)
    assert sum(tower.seen) == 15
    other = crop_features(files, checkpoint, tmp_path, lambda *_: None, 3, seed=2)
    assert not np.array_equal(other, first)
    whole = image_features(files, checkpoint, tmp_path, lambda *_: None)
    assert whole.shape == (5, 4)
    assert (first[..., 3] <= whole[:, None, 3]).all()


def test_a_run_that_was_cut_off_goes_on_with_the_same_crops(
    files: list[Path], tmp_path: Path, tower: CountingTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.training.features._SAVE_EVERY", 2)
    monkeypatch.setattr("vision.training.features._BATCH", 4)
    checkpoint = ShippedCheckpoint(towers_only="squash")
    whole = crop_features(files, checkpoint, tmp_path / "whole", lambda *_: None, 2, seed=0)

    class KilledError(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        crop_features(files, checkpoint, tmp_path / "cut", kill, 2, seed=0)
    tower.seen.clear()
    np.testing.assert_array_equal(crop_features(files, checkpoint, tmp_path / "cut", lambda *_: None, 2, 0), whole)
    assert sum(tower.seen) < 10


def test_the_network_answers_crops_better_when_it_was_fitted_to_some() -> None:
    """Crops differ from their pictures in a direction that mixtures of whole pictures never show."""
    generator = np.random.default_rng(0)
    ways = generator.normal(size=(8, 24)).astype(np.float32)
    meaning = generator.normal(size=(200, 8)).astype(np.float32)
    shift = generator.normal(size=24).astype(np.float32) * 4
    images = (meaning @ ways + 2).astype(np.float32)
    alts = meaning @ generator.normal(size=(8, 12)).astype(np.float32)
    alts /= np.linalg.norm(alts, axis=1, keepdims=True)
    pairs = PairFeatures(images, alts, np.zeros_like(alts))
    cropped = replace(pairs, crops=np.stack([images + shift * share for share in (0.5, 1.0)], axis=1))
    assert cropped.views.shape == (600, 24)
    np.testing.assert_array_equal(cropped.take(np.array([3, 5])).views[2:4], cropped.crops[3])
    recipe = JointRecipe("test", head="mlp", penalty=0.01, mixtures=200)
    kernel = fit_kernel(pairs, recipe, None)
    new = images[:50] + shift * 0.75
    wanted = kernel.look(new)

    def nearness(network_pairs: PairFeatures) -> float:
        said = distil(kernel, network_pairs, recipe, None).look(new)
        return float((said * wanted).sum(1).mean() / np.linalg.norm(said, axis=1).mean())

    assert nearness(cropped) > nearness(pairs)
