"""Towers give grids, bridges give vectors that a language model can read, and both come back from disk as they were."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.vision.tiny_bridge import picture, tiny_bridge, tiny_config, tiny_language, tiny_tower
from vision.bridge.grid_tower import _timm, load_tower
from vision.bridge.projector import CONFIG_FILE, Bridge, BridgeConfig, read_config
from vision.errors import ModelError


@pytest.mark.parametrize(("name", "channels_first"), [("test_efficientnet", True), ("test_vit", False)])
def test_any_timm_trunk_gives_its_places_in_reading_order_without_class_tokens(name: str, channels_first: bool) -> None:
    tower = _timm(name, "cpu", pretrained=False)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    pixels = tower._transform(image)[None]
    features = tower.features([image, image])
    assert features.shape == (2, tower.tokens, tower.width)
    assert features.dtype == np.float32
    with torch.inference_mode():
        raw = tower._module.forward_features(pixels)  # type: ignore[operator]
    if channels_first:
        side = raw.shape[-1]
        assert tower.tokens == side * side
        place = side + 2  # second row, third column
        assert np.allclose(features[0, place], raw[0, :, 1, 2].numpy(), atol=1e-5)
    else:
        assert np.allclose(features[0], raw[0, 1:].numpy(), atol=1e-5)


def test_a_tower_nobody_knows_is_refused_with_what_to_name() -> None:
    with pytest.raises(ModelError, match="tower_unknown: tower=vgg"):
        load_tower("vgg")
    with pytest.raises(ModelError, match="tower_not_loaded: tower=timm:no_such_net"):
        load_tower("timm:no_such_net")


@pytest.mark.parametrize(("kind", "inner"), [("sampler", 4), ("mlp", 9)])
def test_a_picture_takes_start_vectors_and_end(tmp_path: Path, kind: str, inner: int) -> None:
    tower, language = tiny_tower(), tiny_language(tmp_path)
    bridge = tiny_bridge(tower, language, kind=kind)
    out = bridge(torch.from_numpy(tower.features([picture("red"), picture("blue")])))
    assert out.shape == (2, inner + 2, language.embeddings.shape[1]) == (2, bridge.config.picture_tokens, 64)
    assert torch.equal(out[0, 0], bridge.start)
    assert torch.equal(out[1, -1], bridge.end)
    assert (out[0, 1:-1] - out[1, 1:-1]).abs().max() > 1e-3


def test_a_picture_alone_and_in_a_batch_gives_the_same_vectors(tmp_path: Path) -> None:
    tower, language = tiny_tower(), tiny_language(tmp_path)
    bridge = tiny_bridge(tower, language)
    grids = torch.from_numpy(tower.features([picture(c) for c in ("red", "green", "blue")]))
    assert torch.allclose(bridge(grids)[1:2], bridge(grids[1:2]), atol=1e-5)


def test_a_fresh_bridge_speaks_where_the_word_embeddings_lie(tmp_path: Path) -> None:
    tower, language = tiny_tower(), tiny_language(tmp_path)
    bridge = tiny_bridge(tower, language, queries=32, width=64)
    with torch.no_grad():
        out = bridge(torch.from_numpy(tower.features([picture(c) for c in ("red", "green", "blue")])))
    out = out[:, 1:-1].flatten(0, 1)
    words = language.embeddings
    assert (out.mean(0) - words.mean(0)).abs().max() < words.std(0).max()
    assert 0.3 < float(out.std(0).mean() / words.std(0).mean()) < 3


def test_a_bridge_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    tower, language = tiny_tower(), tiny_language(tmp_path)
    bridge = tiny_bridge(tower, language)
    grids = torch.from_numpy(tower.features([picture("green")]))
    bridge.save_pretrained(tmp_path / "whole", half=False)
    bridge.save_pretrained(tmp_path / "half")
    again = Bridge.from_pretrained(tmp_path / "whole")
    assert again.config == bridge.config == read_config(tmp_path / "half")
    assert torch.equal(again(grids), bridge(grids))
    assert torch.allclose(Bridge.from_pretrained(tmp_path / "half")(grids), bridge(grids), atol=0.02)


def test_a_folder_without_a_bridge_or_with_one_of_another_make_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="bridge_unreadable"):
        Bridge.from_pretrained(tmp_path)
    config = tiny_config(tiny_tower(), tiny_language(tmp_path))
    Bridge(config).save_pretrained(tmp_path)
    values = json.loads((tmp_path / CONFIG_FILE).read_text())
    (tmp_path / CONFIG_FILE).write_text(json.dumps(values | {"glasses": 2}))
    with pytest.raises(ModelError, match=r"bridge_setting_unknown: .*setting=glasses"):
        Bridge.from_pretrained(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(json.dumps(values | {"queries": 5}))
    with pytest.raises(ModelError, match="bridge_unreadable"):
        Bridge.from_pretrained(tmp_path)


def test_a_grid_of_another_tower_is_refused(tmp_path: Path) -> None:
    bridge = tiny_bridge(tiny_tower(), tiny_language(tmp_path))
    with pytest.raises(ModelError, match=r"bridge_grid: tower=tiny-tower, wanted=\(9, 12\), given=\(4, 12\)"):
        bridge(torch.zeros(1, 4, 12))


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ModelError, match="bridge_width: width=30, heads=8"):
        BridgeConfig("t", "0", 9, 12, "l", "0", 64, width=30)
    with pytest.raises(ModelError, match="bridge_kind_unknown: kind=arch"):
        BridgeConfig("t", "0", 9, 12, "l", "0", 64, kind="arch")  # type: ignore[arg-type]
