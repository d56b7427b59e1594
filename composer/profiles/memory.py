"""What a profile's models take of memory, estimated from configurations and file sizes before anything is loaded.

Weights in the type they are computed in, key-value cache for the whole context, and what Python and torch take.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from composer.profiles.choice import GB, pick, profiles_here
from composer.profiles.machine import Machine
from composer.profiles.wanted import is_hub_name, language_parts
from composer.settings import PLAIN_PROFILE, LanguageSettings, Settings
from vision.downloads import checkpoints
from vision.downloads.store import manifest
from vision.errors import ModelError

RUNTIME_BYTES = int(0.8 * GB)  # Python with torch and transformers; on a GPU as much again for CUDA
PLAIN_BYTES = int(0.6 * GB)  # Python with the encoder that comes with Vignette
SMALLEST_PROFILE = "tiny"
_TYPES = {"float32": 4, "float16": 2, "bfloat16": 2}
# Bytes a parameter, embeddings in 16 bits included.
_QUANTIZED = {"4bit": 0.7, "8bit": 1.2}


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes of the machine's memory and of its GPU's. ``mapped`` of the former are files that need not be resident."""

    memory: int = 0
    gpu: int = 0
    mapped: int = 0

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.memory + other.memory, self.gpu + other.gpu, self.mapped + other.mapped)


def check_memory(settings: Settings, machine: Machine) -> None:
    """Raise ModelError where a profile's models do not fit, naming the profile that would."""
    need = estimate(settings, machine)
    short = []
    if need.gpu > machine.gpu_free_bytes:
        short = [need.gpu, machine.gpu_free_bytes]
    elif need.memory - need.mapped > machine.free_bytes or need.memory > machine.memory_bytes:
        short = [need.memory, machine.free_bytes]
    if short:
        values = {"need": short[0] / GB, "free": short[1] / GB, "instead": _what_fits(settings.name, machine)}
        raise ModelError("gpu_too_small" if need.gpu > machine.gpu_free_bytes else "memory_too_small", **values)


def _what_fits(refused: str, machine: Machine) -> str:
    """The best other profile by memory, whether its models are here or would have to be fetched."""
    reachable = machine.hub if machine.hub == "offline" else "answers"
    instead, _ = pick(replace(machine, hub=reachable, here=profiles_here(machine)))
    if instead.name != refused:
        return instead.name
    return PLAIN_PROFILE if refused != PLAIN_PROFILE else SMALLEST_PROFILE


def estimate(settings: Settings, machine: Machine) -> Estimate:
    """Memory that the models of a profile take. Configurations that are not here are asked of the hub.

    Raises ModelError where the hub is needed and does not answer.
    """
    whole = Estimate()
    torch = False
    for language in filter(None, (settings.writer, settings.own_judge)):
        whole += language_estimate(language, machine)
        torch |= language.kind != "gguf" and language.kind != "server"
    encoder = settings.encoder
    if encoder.kind == "open_clip":
        torch = True
        size = _encoder_bytes(encoder.model)
        whole += Estimate(gpu=size) if on_gpu(encoder.device, machine) else Estimate(size)
    whole += Estimate(RUNTIME_BYTES if torch else PLAIN_BYTES)
    return whole + Estimate(gpu=RUNTIME_BYTES) if whole.gpu else whole


def language_estimate(language: LanguageSettings, machine: Machine) -> Estimate:
    """Of a writer or judge: weights and cache. What is not known, such as a server's, counts nothing."""
    if language.kind == "gguf":
        size = _gguf_bytes(language)
        # The engine's own copy is mapped; its cache of three contexts takes about what the weights take.
        cache = int(size * language.context_tokens / 8192)
        return Estimate(int(1.1 * size) + cache, mapped=int(1.1 * size))
    if language.kind not in ("hub", "xcomposer"):
        return Estimate()
    config, stored = _checkpoint(language)
    width = _TYPES.get(str(config.get("dtype") or config.get("torch_dtype") or _text(config).get("dtype")), 2)
    gpu = on_gpu(language.device, machine)
    if language.quantization != "none":
        factor, cell = _QUANTIZED[language.quantization] / width, 2
    else:
        cell = _TYPES.get(language.dtype, width if gpu else 2 if machine.bfloat16 and width == 2 else 4)
        factor = cell / width
    size = int(stored * factor) + cell * _cache_cells(_text(config)) * language.context_tokens
    return Estimate(gpu=size) if gpu else Estimate(size)


def on_gpu(device: str, machine: Machine) -> bool:
    return device.startswith("cuda") or (device == "auto" and bool(machine.gpu))


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = config.get("text_config") or config
    return found


def _cache_cells(text: Mapping[str, Any]) -> int:
    """Numbers in the key-value cache a token; layers without one (running states) count nothing."""
    layers = int(text.get("num_hidden_layers") or 0)
    if kinds := text.get("layer_types"):
        layers = sum("attention" in kind and "linear" not in kind for kind in kinds)
    heads = int(text.get("num_attention_heads") or 1)
    size = int(text.get("head_dim") or int(text.get("hidden_size") or 0) // heads)
    return 2 * layers * int(text.get("num_key_value_heads") or heads) * size


def _gguf_bytes(language: LanguageSettings) -> int:
    name = language.model
    if name in manifest():
        return manifest()[name].size_bytes
    if not (parts := language_parts(language)):
        path = Path(name).expanduser()
        return path.stat().st_size if path.is_file() else 0
    folder = checkpoints.cached_snapshot(parts[0].repository)
    if folder is not None and (folder / parts[0].files[0]).exists():
        return (folder / parts[0].files[0]).stat().st_size
    return sum(file.size_bytes for file in checkpoints.listing(parts[0]).files)


def _checkpoint(language: LanguageSettings) -> tuple[dict[str, Any], int]:
    """A checkpoint's config.json and the bytes of its weight files, from the folder, the cache or the hub."""
    name = language.model
    if not is_hub_name(name):
        return _of_folder(Path(name).expanduser())
    part = checkpoints.checkpoint_part(name)
    folder = checkpoints.cached_snapshot(name)
    if folder is not None and checkpoints.is_here(part):
        return _of_folder(folder)
    listed = checkpoints.listing(part)
    stored = sum(file.size_bytes for file in listed.files if file.path.endswith(".safetensors"))
    return checkpoints.fetch_json(name, "config.json"), stored


def _of_folder(folder: Path) -> tuple[dict[str, Any], int]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}, 0  # loading says what is wrong with it
    files = list(folder.glob("*.safetensors")) or list(folder.glob("pytorch_model*.bin"))
    return config, sum(file.stat().st_size for file in files)


def _encoder_bytes(model: str) -> int:
    """Of an open_clip model, which is computed in float32, as its file mostly is."""
    repository = model.removeprefix("hf-hub:")
    if repository == model:
        folder = Path(model.removeprefix("local-dir:")).expanduser()
        return sum(file.stat().st_size for file in folder.glob("open_clip*")) if folder.is_dir() else 0
    folder_here = checkpoints.cached_snapshot(repository)
    for name in checkpoints.OPEN_CLIP_WEIGHTS:
        if folder_here is not None and (folder_here / name).exists():
            return (folder_here / name).stat().st_size
    part = checkpoints.open_clip_parts(repository, None)[0]
    return sum(file.size_bytes for file in checkpoints.listing(part).files)
