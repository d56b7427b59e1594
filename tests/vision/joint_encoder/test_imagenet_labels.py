"""Guessed words are the classifier's own, above the confidence asked for and surest first."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tower_dtypes import DTYPES, choose_dtype
from vision.joint_encoder.imagenet_labels import ImageLabeller, label_names

# timm's network runs in float32.
PROBABILITY_ATOL = {"float32": 1e-4, "bfloat16": 2e-2}


@pytest.fixture(scope="module")
def labeller(model_path: Callable[[str], Path]) -> ImageLabeller:
    model_path("efficientnet-lite2")
    return ImageLabeller()


def stripes_and_noise() -> list[Image.Image]:
    yy, xx = np.mgrid[:260, :260]
    stripes = (((xx + 25 * np.sin(yy / 30)) // 13 % 2) * 235 + 10).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (260, 260), dtype=np.uint8)
    return [Image.fromarray(gray).convert("RGB") for gray in (stripes, noise)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_are_those_of_timms_whole_network(
    labeller: ImageLabeller, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    import torch

    from vision.joint_encoder.efficientnet import TOWERS, read_trunk

    choose_dtype(monkeypatch, dtype)
    name = "efficientnet-lite2"
    network = timm.create_model(TOWERS[name].timm_name, pretrained=False).eval()
    weights = read_trunk(name)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    images = stripes_and_noise()
    pixels = np.stack([(np.asarray(image, np.float32) - 127) / 128 for image in images]).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network(torch.from_numpy(np.ascontiguousarray(pixels))).softmax(1).numpy()
    np.testing.assert_allclose(ImageLabeller().probabilities(images), expected, atol=PROBABILITY_ATOL[dtype])


def test_guesses_are_all_labels_above_the_confidence_surest_first(labeller: ImageLabeller) -> None:
    images = stripes_and_noise()
    rows = labeller.probabilities(images)
    for threshold in (0.05, 0.3, 1.0):
        for guessed, row in zip(labeller.guess(images, threshold), rows, strict=True):
            values = [row[label_names().index(label)] for label in guessed]
            assert len(guessed) == (row >= threshold).sum()
            assert values == sorted(values, reverse=True)


def test_there_is_one_name_for_each_class_and_known_ones_are_in_place() -> None:
    names = label_names()
    assert len(names) == 1000
    assert (names[0], names[340], names[949]) == ("tench", "zebra", "strawberry")


def test_a_confidence_outside_the_range_is_refused(labeller: ImageLabeller) -> None:
    assert labeller.guess([]) == []
    with pytest.raises(ValueError, match=r"min_confidence is 0; it must be in \(0, 1\]"):
        labeller.guess(stripes_and_noise(), 0)
