"""What the model computes: the original's numbers, Partial LoRA at pictures alone, with a cache and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.vision.tiny_xcomposer import CONFIG, PATCH, SQUARE_PX, TILE_PX, VOCABULARY, write_tiny_xcomposer
from tests.vision.xcomposer import plain_reference
from vision.errors import ModelError
from vision.xcomposer.checkpoint import load_weights, tensor_shapes, weight_files
from vision.xcomposer.config import read_config
from vision.xcomposer.model import XComposerCausalLM

Parts = list[list[int] | tuple[int, int, int]]


def load(folder: Path) -> XComposerCausalLM:
    files = weight_files(folder, "tiny")
    shapes = tensor_shapes(files, "tiny")
    return load_weights(read_config(folder, shapes, "tiny"), files, shapes, "tiny", torch.float32, torch.device("cpu"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> XComposerCausalLM:
    return load(write_tiny_xcomposer(tmp_path_factory.mktemp("tiles")))


def pixels(seed: int, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal((1, 3, height, width)).astype(np.float32))


def prompt(model: XComposerCausalLM, parts: Parts) -> tuple[torch.Tensor, torch.Tensor | None]:
    ids: list[int] = []
    vectors = []
    for part in parts:
        if isinstance(part, list):
            ids += part
        else:
            vectors.append(model.see(pixels(*part)))
            ids += [model.picture_id] * len(vectors[-1])
    return torch.tensor([ids]), torch.cat(vectors) if vectors else None


PICTURE, WIDE, TALL, SQUARE = (1, 56, 56), (2, 56, 168), (3, 112, 56), (4, SQUARE_PX, SQUARE_PX)


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        ([[1, 5, 9, 200, 37]], {}),
        ([[1, 5], PICTURE, [200, 37]], {"bias": True}),
        ([[1], WIDE, [7, 8], TALL, [9]], {}),
        ([[1, 5], TALL, [200]], {"rope_scaling": {"type": "linear", "factor": 4.0}}),
        ([[1, 5], TALL, [200]], {"rope_scaling": {"type": "dynamic", "factor": 3.0}, "max_position_embeddings": 16}),
        ([[1, 5], TALL, [200]], {"rope_scaling": None, "max_position_embeddings": 16}),
        ([[1, 5], SQUARE, [200, 6]], {"tiles": False}),
        ([[1], SQUARE, [8], (5, SQUARE_PX, SQUARE_PX)], {"tiles": False}),
    ],
)
def test_logits_are_those_of_a_plain_pass_in_double_precision(
    parts: Parts, options: dict[str, Any], tmp_path: Path
) -> None:
    folder = write_tiny_xcomposer(tmp_path, **options)
    model = load(folder)
    ids, vectors = prompt(model, parts)
    with torch.inference_mode():
        found = model(ids, picture_vectors=vectors).logits[0].numpy()
    weights = {
        name: value.double().numpy() for file in folder.glob("*.safetensors") for name, value in load_file(file).items()
    }
    plain: list[list[int] | np.ndarray] = [p if isinstance(p, list) else pixels(*p)[0].double().numpy() for p in parts]
    settings = CONFIG | {key: value for key, value in options.items() if key != "tiles"}
    expected = plain_reference.logits(weights, settings, plain, PATCH)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_words_are_untouched_by_partial_lora_to_the_bit(tmp_path: Path) -> None:
    model = load(write_tiny_xcomposer(tmp_path))
    ids, vectors = prompt(model, [[1, 5, 9, 200, 37, 12], PICTURE, [200, 37]])
    with torch.inference_mode():
        before, alone = model(ids, picture_vectors=vectors).logits[0], model(ids[:, :6]).logits
        for name, parameter in model.named_parameters():
            if ".Plora_" in name:
                parameter.mul_(3.0).add_(0.1)
        after, still_alone = model(ids, picture_vectors=vectors).logits[0], model(ids[:, :6]).logits
    assert torch.equal(before[:6], after[:6])
    assert torch.equal(alone, still_alone)
    assert not torch.allclose(before[6:], after[6:], atol=1e-2)  # pictures, and the words that look at them


def test_with_a_cache_the_logits_are_the_same_wherever_it_is_cut(model: XComposerCausalLM) -> None:
    from transformers import DynamicCache

    ids, vectors = prompt(model, [[1, 5, 9], WIDE, [200, 37], TALL, [11, 12, 13]])
    assert vectors is not None
    with torch.inference_mode():
        whole = model(ids, picture_vectors=vectors).logits
        for ends in ([2, 30, ids.shape[1]], [3, 4, 5, ids.shape[1] - 1, ids.shape[1]]):
            cache, start, rows, seen = DynamicCache(), 0, [], 0
            for end in ends:
                places = int((ids[:, start:end] == model.picture_id).sum())
                given = vectors[seen : seen + places] if places else None
                rows.append(model(ids[:, start:end], cache=cache, picture_vectors=given).logits)
                start, seen = end, seen + places
            torch.testing.assert_close(torch.cat(rows, dim=1), whole, atol=1e-4, rtol=0)


def test_rows_of_a_batch_are_independent_of_their_padding(model: XComposerCausalLM) -> None:
    first, first_seen = prompt(model, [[1, 5, 9], PICTURE, [200, 37]])
    second, second_seen = prompt(model, [[1, 7], TALL, [11]])
    assert first_seen is not None
    assert second_seen is not None
    width = max(first.shape[1], second.shape[1])
    rows = [torch.nn.functional.pad(ids, (0, width - ids.shape[1])) for ids in (first, second)]
    mask = torch.tensor([[1] * ids.shape[1] + [0] * (width - ids.shape[1]) for ids in (first, second)])
    with torch.inference_mode():
        together = model(
            torch.cat(rows), attention_mask=mask, picture_vectors=torch.cat([first_seen, second_seen])
        ).logits
        for row, (ids, vectors) in enumerate(((first, first_seen), (second, second_seen))):
            alone = model(ids, picture_vectors=vectors).logits[0]
            torch.testing.assert_close(together[row, : ids.shape[1]], alone, atol=1e-4, rtol=0)


def test_only_the_logits_that_are_asked_for_are_computed(model: XComposerCausalLM) -> None:
    ids, _ = prompt(model, [[1, 5, 9, 200]])
    with torch.inference_mode():
        every, some = model(ids).logits, model(ids, logits_to_keep=torch.tensor([1, 3])).logits
    assert some.shape == (1, 2, VOCABULARY)
    torch.testing.assert_close(some, every[:, [1, 3]])


def test_half_precision_stays_close(model: XComposerCausalLM, tmp_path: Path) -> None:
    half = load(write_tiny_xcomposer(tmp_path)).to(torch.bfloat16)
    ids, vectors = prompt(model, [[1, 5, 9], PICTURE, [200, 37]])
    with torch.inference_mode():
        wide = model(ids, picture_vectors=vectors).logits
        narrow = half(ids, picture_vectors=half.see(pixels(*PICTURE))).logits
    assert narrow.dtype == torch.float32
    assert float((wide - narrow).norm() / wide.norm()) < 0.1


def test_vectors_and_places_that_do_not_match_are_refused(model: XComposerCausalLM) -> None:
    with pytest.raises(ModelError, match="xcomposer_places: vectors=0, places=2"):
        model(torch.tensor([[1, model.picture_id, model.picture_id]]))
    with pytest.raises(ModelError, match="xcomposer_places: vectors=3, places=0"):
        model(torch.tensor([[1, 5]]), picture_vectors=torch.zeros(3, 64))


def test_a_picture_of_one_tile_is_seen_twice_with_separators(model: XComposerCausalLM) -> None:
    """2 × 2 merged patches: (2 rows of 2 and their ends) twice, and one vector between the views."""
    assert model.see(pixels(1, TILE_PX, TILE_PX)).shape == (13, 64)
