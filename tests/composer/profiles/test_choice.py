"""Simulated machines: which profile ``auto`` picks on each, and what it says of it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from composer.commands.doctor import faiss_found, machine_rows, profile_rows
from composer.i18n import localize
from composer.profiles import choice, machine
from composer.profiles.choice import BEST_FIRST, encoder_name, encoder_named, fitted, hub_matters, pick, resolve
from composer.profiles.machine import Machine
from composer.settings import EncoderSettings, load_settings, profile_names
from image_db.library import Library
from retrieval import faiss_build
from tests.fakes import ColourEncoder

GB = 1_000_000_000
HUB = "https://hub.example"


@pytest.fixture(autouse=True)
def _address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", HUB)


def machine_of(memory_gb: float, gpu_gb: float = 0, **others: object) -> Machine:
    """A machine on which a tenth of the memory is in use."""
    own = Machine(
        memory_bytes=int(memory_gb * GB),
        free_bytes=int(0.9 * memory_gb * GB),
        disk_free_bytes=200 * GB,
        cores=8,
        gpu="RTX" if gpu_gb else "",
        gpu_bytes=int(gpu_gb * GB),
        gpu_free_bytes=int(0.97 * gpu_gb * GB),
        quantizes=True,
        hub="answers",
    )
    return replace(own, **others)  # type: ignore[arg-type]


SILENT = f"{HUB} does not answer, and its models are not here"
NO_GPU = "gpu cannot run here: there is no GPU that PyTorch can use"


@pytest.mark.parametrize(
    ("seen", "profile", "model", "reason"),
    [
        (machine_of(32, hub="silent"), "embedded", "", f"laptop cannot run here: {SILENT}"),
        (
            machine_of(32, 24, hub="offline"),
            "embedded",
            "",
            "laptop cannot run here: HF_HUB_OFFLINE is set, and its models are not here",
        ),
        (
            machine_of(4),
            "embedded",
            "",
            "laptop cannot run here: it takes 6.0 GB of memory, and 3.6 of 4.0 GB are free",
        ),
        (
            machine_of(8),
            "laptop",
            "Qwen/Qwen3.5-0.8B",
            "takes 6.0 GB of memory, 7.2 GB are free, the hub answers; "
            "desktop cannot run here: it takes 12.0 GB of memory, and 7.2 of 8.0 GB are free",
        ),
        (
            machine_of(32),
            "desktop",
            "unsloth/Qwen3-4B-Instruct-2507-GGUF/Qwen3-4B-Instruct-2507-Q4_K_M.gguf",
            f"takes 12.0 GB of memory, 28.8 GB are free, the hub answers; {NO_GPU}",
        ),
        (
            machine_of(8, 6),
            "laptop",
            "Qwen/Qwen3.5-0.8B",
            "takes 6.0 GB of memory, 7.2 GB are free, the hub answers; "
            "desktop cannot run here: it takes 12.0 GB of memory, and 7.2 of 8.0 GB are free",
        ),
        (
            machine_of(32, 6),
            "desktop",
            "unsloth/Qwen3-4B-Instruct-2507-GGUF/Qwen3-4B-Instruct-2507-Q4_K_M.gguf",
            "takes 12.0 GB of memory, 28.8 GB are free, the hub answers; "
            "gpu cannot run here: it takes 7.0 GB of GPU memory, and RTX has 5.8 GB free",
        ),
        (
            machine_of(16, 8),
            "gpu",
            "Qwen/Qwen3-VL-4B-Instruct",
            "takes 7.0 GB of the GPU (RTX), 7.8 GB are free, the hub answers",
        ),
        (
            machine_of(32, 24),
            "gpu",
            "Qwen/Qwen3-VL-8B-Instruct",
            "takes 21.5 GB of the GPU (RTX), 23.3 GB are free, the hub answers",
        ),
    ],
    ids=["no hub", "offline", "4 GB", "8 GB", "32 GB", "GPU 6 of 8", "GPU 6 of 32", "GPU 8", "GPU 24"],
)
def test_the_best_profile_that_runs_is_picked_and_the_reason_is_said(
    seen: Machine, profile: str, model: str, reason: str
) -> None:
    settings, why = pick(seen)
    assert (settings.name, localize(why, "en")) == (profile, reason)
    assert settings.writer.model == (model or load_settings("embedded").writer.model)
    assert "{" not in localize(why, "zh")


@pytest.mark.parametrize(
    ("gpu_gb", "model", "quantization"), [(8, "4B", "4bit"), (16, "4B", "none"), (24, "8B", "none")]
)
def test_the_model_of_the_gpu_profile_grows_with_the_gpu(gpu_gb: float, model: str, quantization: str) -> None:
    settings = fitted("gpu", machine_of(32, gpu_gb))
    assert settings.writer.model == f"Qwen/Qwen3-VL-{model}-Instruct"
    assert settings.writer.quantization == quantization
    assert settings.needs.gpu_gb < 0.97 * gpu_gb


def test_a_gpu_in_use_and_missing_packages_count() -> None:
    busy = machine_of(16, 24, gpu_free_bytes=2 * GB)
    assert pick(busy)[0].name == "desktop"
    without = machine_of(8, 8, quantizes=False)
    assert pick(without)[0].name == "laptop"
    assert (
        "pip install accelerate bitsandbytes"
        in dict(zip(profile_names()[1:], map(str, profile_rows(without)), strict=True))["gpu"]
    )


def test_what_is_downloaded_needs_no_hub_and_a_full_disk_takes_nothing_new() -> None:
    offline = machine_of(32, hub="offline", here=frozenset({"laptop"}))
    settings, why = pick(offline)
    assert settings.name == "laptop"
    assert "its models are here" in localize(why, "en")
    assert pick(machine_of(32, disk_free_bytes=4 * GB))[0].name == "laptop"
    assert pick(machine_of(32, disk_free_bytes=GB))[0].name == "embedded"


def test_the_hub_is_asked_only_where_the_answer_matters() -> None:
    assert hub_matters(machine_of(32, hub="unasked"))
    assert not hub_matters(machine_of(4, hub="unasked"))
    assert not hub_matters(machine_of(32, hub="unasked", here=frozenset({"desktop"})))
    assert hub_matters(machine_of(32, 24, hub="unasked", here=frozenset({"desktop"})))


def test_offline_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "hub_answers", lambda: pytest.fail("the hub was asked"))
    assert choice.see_machine(ask_hub=True).hub == "offline"


def test_a_hub_that_is_slow_is_waited_for_two_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()

    def slow(*_: object, **__: object) -> None:
        held.wait(20)
        raise OSError

    monkeypatch.setattr(machine, "HUB_ANSWERS_WITHIN_S", 0.05)
    monkeypatch.setattr("urllib.request.urlopen", slow)
    began = time.perf_counter()
    assert not machine.hub_answers()
    assert time.perf_counter() - began < 10
    held.set()


def test_on_a_system_in_chinese_the_encoder_is_the_one_that_reads_it_best() -> None:
    chinese = machine_of(8, chinese=True)
    assert {fitted(name, chinese).encoder for name in BEST_FIRST} == {choice.CHINESE_ENCODER}
    assert "SigLIP2" in fitted("laptop", machine_of(8)).encoder.model


def test_a_library_keeps_its_encoder_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "this_machine", lambda: machine_of(8))
    Library.create(tmp_path / "lib", ColourEncoder("vignette-joint").identity).close()
    kept = resolve("auto", tmp_path / "lib")
    assert (kept.settings.name, kept.settings.encoder) == ("laptop", EncoderSettings())
    assert [note.key for note in kept.notes] == ["profile_picked", "library_keeps_encoder"]
    assert [note.key for note in resolve("auto", tmp_path / "none").notes] == ["profile_picked"]
    same = fitted("laptop", machine_of(8)).encoder
    Library.create(tmp_path / "same", ColourEncoder(encoder_name(same)).identity).close()
    assert resolve("auto", tmp_path / "same").settings.encoder == same
    assert resolve("embedded", tmp_path / "same").settings.encoder == EncoderSettings()


@pytest.mark.parametrize(
    "encoder",
    [
        EncoderSettings(),
        EncoderSettings("open_clip", "ViT-B-32", "openai"),
        EncoderSettings("open_clip", "hf-hub:timm/ViT-B-16-SigLIP2"),
        EncoderSettings("open_clip", "/home/anna/joint"),
    ],
)
def test_an_encoder_is_told_by_the_name_that_a_library_keeps(encoder: EncoderSettings) -> None:
    assert encoder_named(encoder_name(encoder)) == encoder


def test_what_this_machine_is_can_be_printed() -> None:
    seen = machine.look()
    assert 0 < seen.free_bytes <= seen.memory_bytes
    assert seen.cores >= 1
    assert seen.hub == "offline"
    assert [len(row) for row in machine_rows(replace(seen, gpu="RTX"))] == [2] * 6
    rows = profile_rows(machine_of(32, hub="silent"))
    assert [row[0] for row in rows] == list(profile_names()[1:])
    for hub, said in (("silent", f"{HUB} does not answer"), ("offline", "HF_HUB_OFFLINE is set")):
        states = {row[0]: row[-1] for row in profile_rows(machine_of(32, hub=hub))}
        assert said in states["laptop"]
        assert "not here" not in states["laptop"], "which models are missing is said already"


def test_doctor_says_which_build_is_loaded_and_why_none_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    build = faiss_build.faiss_build()
    assert f"{build.distribution} {build.version}" in faiss_found()
    monkeypatch.setattr(faiss_build, "faiss_distributions", lambda: ["faiss-cpu", "faiss-gpu-cu12"])
    faiss_build.load_faiss.cache_clear()
    try:
        assert "faiss-gpu-cu12" in faiss_found()
    finally:
        faiss_build.load_faiss.cache_clear()
