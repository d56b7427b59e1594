"""Published weight files into the model, strictly: every tensor by its published name and shape, none left over.

Safetensors are read, or the older PyTorch files with their unpickler restricted to tensors, so that no code of a file
runs.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from vision.errors import ModelError, Phrase
from vision.xcomposer.config import Shapes, XComposerConfig
from vision.xcomposer.model import XComposerCausalLM

_NAMED = 5  # of the tensors that an error is about
# Tables computed from the settings, which older releases of transformers stored, and the projector of films.
_NOT_READ = re.compile(
    r"rotary_emb\.(?:inv_freq|cos_cached|sin_cached)$|embeddings\.position_ids$|^video_mem_proj\.[02]\.(?:weight|bias)$"
)
# The tunings of 2.5 for articles and web pages, which the original code adds only in those modes.
_OTHER_MODES = re.compile(r"\.lora_(?:sft|dpo|web)_[AB]\.weight$")


def weight_files(folder: Path, name: str) -> list[Path]:
    """Raises ModelError where there are none."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        if files := sorted(folder.glob(pattern)):
            return files
    raise ModelError("checkpoint_without_weights", model=name)


def tensor_shapes(files: list[Path], name: str) -> Shapes:
    """Name → shape over all files, without reading the weights."""
    return {tensor: tuple(value.shape) for file in files for tensor, value in _tensors(file, name, meta=True)}


def other_modes(shapes: Shapes) -> int:
    """Number of tensors that only belong to modes which are not run."""
    return sum(bool(_OTHER_MODES.search(tensor)) for tensor in shapes)


def load_weights(
    config: XComposerConfig, files: list[Path], shapes: Shapes, name: str, dtype: torch.dtype, device: torch.device
) -> XComposerCausalLM:
    """The model in evaluation mode. Raises ModelError naming the tensors that are missing, left over or misshapen."""
    with torch.device("meta"):
        model = XComposerCausalLM(config)
    wanted = {tensor: tuple(value.shape) for tensor, value in model.state_dict().items()}
    given = {tensor: shape for tensor, shape in shapes.items() if not _is_set_aside(tensor)}
    faults = [
        *_fault("tensors_missing", [tensor for tensor in wanted if tensor not in given]),
        *_fault("tensors_unexpected", [tensor for tensor in given if tensor not in wanted]),
        *_fault(
            "tensors_misshapen",
            [
                f"{tensor} {list(given[tensor])} ≠ {list(shape)}"
                for tensor, shape in wanted.items()
                if given.get(tensor, shape) != shape
            ],
        ),
    ]
    if faults:
        raise ModelError("xcomposer_tensors", model=name, faults=faults)
    for file in files:
        tensors = {
            tensor: value.to(device, dtype) for tensor, value in _tensors(file, name) if not _is_set_aside(tensor)
        }
        model.load_state_dict(tensors, strict=False, assign=True)
    tower = model.vit.vision_tower.vision_model
    tower.embeddings.position_ids = torch.arange(config.tower.grid**2 + 1, device=device)[None]
    return model.eval().requires_grad_(False)


def _is_set_aside(tensor: str) -> bool:
    return bool(_NOT_READ.search(tensor) or _OTHER_MODES.search(tensor))


def _fault(key: str, tensors: list[str]) -> list[Phrase]:
    if not tensors:
        return []
    more = len(tensors) - _NAMED
    names = ", ".join(sorted(tensors)[:_NAMED]) + (f", … +{more}" if more > 0 else "")
    return [Phrase(key, {"count": len(tensors), "names": names})]


def _tensors(file: Path, name: str, *, meta: bool = False) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and tensors of one file; with ``meta`` only shapes are read."""
    from safetensors import SafetensorError, safe_open

    try:
        if file.suffix == ".bin":
            held = torch.load(file, map_location="meta" if meta else "cpu", weights_only=True, mmap=not meta)
            yield from held.items()
            return
        with safe_open(file, framework="pt") as weights:
            for tensor in weights.keys():  # noqa: SIM118  (no mapping)
                if meta:
                    yield tensor, torch.empty(weights.get_slice(tensor).get_shape(), device="meta")
                else:
                    yield tensor, weights.get_tensor(tensor)
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError, AttributeError) as error:
        raise ModelError("checkpoint_not_loaded", model=name, reason=" ".join(str(error).split())) from error
