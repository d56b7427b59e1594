"""Memory is estimated from configurations and file sizes, and what cannot fit is refused before it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from composer.pipeline.loading import load_pipeline
from composer.profiles import machine, memory
from composer.profiles.memory import check_memory, estimate, language_estimate
from composer.settings import EncoderSettings, LanguageSettings, Settings, parse_settings
from image_db.library import Library
from tests.composer.profiles.test_choice import GB, machine_of
from tests.fakes import ColourEncoder
from vision.errors import ModelError

# The shape of Qwen3-VL-4B: 4.4 billion parameters in 16 bits, 36 layers of 8 heads of 128 for keys and values.
SHAPE = {
    "dtype": "bfloat16",
    "text_config": {"num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128},
}
CACHE = 2 * 36 * 8 * 128 * 8192  # numbers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint whose weight file has the size of 4.4 billion parameters and takes no room on the disk."""
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text(json.dumps(SHAPE))
    with (checkpoint / "model.safetensors").open("wb") as file:
        file.truncate(int(8.8 * GB))
    return checkpoint


def hub_writer(folder: Path, **others: object) -> LanguageSettings:
    return LanguageSettings(kind="hub", model=str(folder), **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "gpu_gb", "expected"),
    [
        ({}, 0, 2 * 8.8 * GB + 4 * CACHE),
        ({"dtype": "bfloat16"}, 0, 8.8 * GB + 2 * CACHE),
        ({}, 24, 8.8 * GB + 2 * CACHE),
        ({"quantization": "4bit"}, 24, 4.4 * GB * 0.7 + 2 * CACHE),
        ({"device": "cpu"}, 24, 2 * 8.8 * GB + 4 * CACHE),
        ({"context_tokens": 4096}, 24, 8.8 * GB + CACHE),
    ],
)
def test_weights_in_the_type_they_are_computed_in_and_the_cache_of_the_context(
    folder: Path, options: dict[str, object], gpu_gb: float, expected: float
) -> None:
    need = language_estimate(hub_writer(folder, **options), machine_of(64, gpu_gb))
    assert (need.gpu or need.memory) == pytest.approx(expected, rel=0.01)
    assert bool(need.gpu) == (gpu_gb > 0 and options.get("device") != "cpu")


def test_a_processor_that_computes_in_16_bits_needs_half(folder: Path) -> None:
    need = language_estimate(hub_writer(folder), machine_of(64, bfloat16=True))
    assert need.memory == pytest.approx(8.8 * GB + 2 * CACHE, rel=0.01)


def test_layers_with_a_running_state_have_no_cache(folder: Path) -> None:
    kinds = ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 9
    (folder / "config.json").write_text(
        json.dumps(SHAPE | {"text_config": SHAPE["text_config"] | {"layer_types": kinds}})
    )
    need = language_estimate(hub_writer(folder), machine_of(64, 24))
    assert need.gpu == pytest.approx(8.8 * GB + 2 * CACHE / 4, rel=0.01)


def test_what_cannot_fit_is_refused_before_it_is_loaded_with_what_would(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "look", lambda: machine_of(8, hub="unasked"))
    monkeypatch.setattr(machine, "hub_answers", lambda: pytest.fail("the hub was asked"))
    monkeypatch.setattr("composer.pipeline.loading.load_encoder", lambda _: pytest.fail("a model was loaded"))
    Library.create(tmp_path / "lib", ColourEncoder().identity).close()
    with pytest.raises(ModelError) as caught:
        load_pipeline(Settings("mine", writer=hub_writer(folder)), tmp_path / "lib")
    assert caught.value.key == "memory_too_small"
    assert caught.value.values["instead"] == "laptop"
    with pytest.raises(ModelError, match="gpu_too_small"):
        check_memory(Settings("mine", writer=hub_writer(folder)), machine_of(64, 8))
    check_memory(Settings("mine", writer=hub_writer(folder)), machine_of(64, 24))


def test_files_that_are_mapped_need_not_be_free(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = parse_settings("embedded", {})
    need = estimate(embedded, machine_of(8))
    assert 2 * GB < need.memory < 3.5 * GB
    check_memory(embedded, machine_of(8, free_bytes=2 * GB))
    with pytest.raises(ModelError, match=r"memory_too_small: .*instead=tiny"):
        check_memory(embedded, machine_of(2))


def test_the_judge_and_an_encoder_of_ones_own_count(folder: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    with (clip / "open_clip_model.safetensors").open("wb") as file:
        file.truncate(2 * GB)
    alone = Settings("mine", encoder=EncoderSettings("open_clip", f"local-dir:{clip}"))
    apart = Settings("mine", own_judge=hub_writer(folder), encoder=alone.encoder)
    assert estimate(alone, machine_of(64)).memory > memory.RUNTIME_BYTES + 2 * GB
    more = estimate(apart, machine_of(64)).memory - estimate(alone, machine_of(64)).memory
    assert more == pytest.approx(2 * 8.8 * GB + 4 * CACHE, rel=0.01)
