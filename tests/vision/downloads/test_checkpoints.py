"""Files of hub repositories: listed with sizes, fetched into the hub's cache, resumed, checked by the hub's hashes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, snapshot_download

from tests.hub_stand_in import COMMIT, HubStandIn, use_hub
from tests.vision.model_sources import content
from vision.downloads import checkpoints
from vision.downloads.checkpoints import HubPart, checkpoint_part, fetch, gguf_file, is_here, listing, open_clip_parts
from vision.errors import ModelError, WeightsError

DATA = content(1, 3 << 20)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    folder = tmp_path / "hub/a/model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(DATA)
    (folder / "README.md").write_text("not needed")
    (folder / "onnx").mkdir()
    (folder / "onnx/model.safetensors").write_bytes(b"for another program")
    with HubStandIn(tmp_path / "hub") as served:
        use_hub(served, tmp_path / "cache", monkeypatch)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
        yield served


def fetched(hub: HubStandIn) -> list[str]:
    return [path for path, _ in hub.fetched]


def test_a_checkpoint_is_listed_with_sizes_and_comes_to_where_transformers_looks(hub: HubStandIn) -> None:
    part = checkpoint_part("a/model")
    listed = listing(part)
    assert {file.path: file.size_bytes for file in listed.missing} == {"config.json": 2, "model.safetensors": len(DATA)}
    assert hub.fetched == []
    assert not is_here(part)
    seen: list[tuple[str, int, int]] = []
    folder = fetch(listed, lambda *progress: seen.append(progress))
    assert is_here(part)
    assert seen[-1] == ("a/model/model.safetensors", len(DATA), len(DATA))
    before = len(hub.fetched)
    assert (
        Path(snapshot_download("a/model", allow_patterns=["*.json", "*.safetensors"], ignore_patterns="*/*")) == folder
    )
    assert fetch(listing(part)) == folder
    assert len(hub.fetched) == before
    assert (folder / "model.safetensors").read_bytes() == DATA
    assert not (folder / "README.md").exists()


def test_a_fetch_that_was_cut_off_goes_on_from_there(hub: HubStandIn) -> None:
    part = HubPart("a/model", ("*.safetensors",), ("*/*",))
    hub.break_off_at = 1 << 20
    with pytest.raises(ModelError, match="hub_unreachable"):
        fetch(listing(part))
    assert not is_here(part)
    hub.break_off_at, hub.fetched = None, []
    folder = fetch(listing(part))
    ((_, asked),) = hub.fetched
    assert asked is not None
    assert int(asked.removeprefix("bytes=").removesuffix("-")) >= 1 << 20
    assert (folder / "model.safetensors").read_bytes() == DATA


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_what_the_hub_lists_is_refused(hub: HubStandIn, name: str) -> None:
    hub.lie = True
    with pytest.raises(WeightsError, match=f"checkpoint_other_hash: .*file={name}"):
        fetch(listing(HubPart("a/model", (name,))))
    hub.lie = False
    assert (fetch(listing(HubPart("a/model", (name,)))) / name).exists()


def test_too_little_room_is_said_before_anything_is_fetched(hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    with pytest.raises(WeightsError, match="checkpoint_no_room: name=a/model"):
        fetch(listing(HubPart("a/model", ("model.safetensors",))))
    assert hub.fetched == []


def test_what_the_hub_does_not_have_is_one_clear_error(hub: HubStandIn) -> None:
    with pytest.raises(ModelError, match="hub_no_model: model=a/none"):
        listing(checkpoint_part("a/none"))
    with pytest.raises(ModelError, match="hub_lacks_files: model=a/model"):
        listing(HubPart("a/model", first_of=("open_clip_model.safetensors",)))


def test_sharded_weights_are_here_once_every_shard_is(hub: HubStandIn) -> None:
    folder = hub.folder / "a/model"
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"rest")
    shards = {f"w{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    part = checkpoint_part("a/model")
    fetch(listing(HubPart("a/model", ("*.json", "*1-of-00002.safetensors"))))
    assert not is_here(part)
    fetch(listing(part))
    assert is_here(part)


def test_an_open_clip_model_needs_its_tokenizer_and_text_tower_and_one_file_of_weights(hub: HubStandIn) -> None:
    folder = hub.folder / "a/clip"
    folder.mkdir()
    text = {"hf_tokenizer_name": "a/clip", "hf_model_name": "a/model"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"text_cfg": text}}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"older")
    (folder / "open_clip_model.safetensors").write_bytes(b"weights")
    (folder / "model.safetensors").write_bytes(b"for transformers")
    parts = open_clip_parts("a/clip", json.loads((folder / "open_clip_config.json").read_text()))
    names = {f"{file.repository}/{file.path}" for part in parts for file in listing(part).files}
    assert names == {
        "a/clip/open_clip_config.json",
        "a/clip/open_clip_model.safetensors",
        "a/clip/tokenizer.json",
        "a/model/config.json",
    }
    for part in parts:
        assert not is_here(part)
        fetch(listing(part))
        assert is_here(part)


def test_a_gguf_file_may_be_one_of_the_hub(hub: HubStandIn, tmp_path: Path) -> None:
    (hub.folder / "a/model/tiny.Q4.gguf").write_bytes(b"GGUF")
    path = gguf_file("a/model/tiny.Q4.gguf")
    assert path.read_bytes() == b"GGUF"
    assert path.parent == checkpoints.snapshots("a/model") / COMMIT
    assert gguf_file("a/model/tiny.Q4.gguf") == path
    assert fetched(hub) == ["a/model/tiny.Q4.gguf"]
    assert gguf_file(str(tmp_path / "own.gguf")) == tmp_path / "own.gguf"
