"""How much memory a run of tuning takes, before anything of its size is loaded.

Weights are counted from the checkpoint's configuration. What each layer keeps for the way back is counted a token, in
vectors of the model's width and of its feed-forward layer's, as ``torch.autograd.graph.saved_tensors_hooks`` finds them
in Llama and Qwen2 (a test holds them to a tenth of it). Other families and learned prompts keep about as much or less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vision.errors import DataError
from vision.training.tuning.recipe import LOW_RANK, TuningRecipe

_KEPT_OF_WIDTH, _KEPT_OF_HIDDEN, _KEPT_OF_RANK = 9.3, 2.9, 21
_DROPOUT_OF_WIDTH, _DROPOUT_OF_HIDDEN = 6.0, 2.0  # what dropout before the low-rank layers keeps besides
_LOGITS_COPIES = 3  # float32: the logits, their log-softmax and their gradient
_OPTIMIZER_BYTES = 16  # a learned number with its gradient and AdamW's two means, float32
_BITS4_BYTES = 0.57  # a weight of four bits with its scales
_PROGRAM_BYTES = {"cpu": 700 << 20, "cuda": 1200 << 20}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What of a model memory depends on. ``embedded`` are the weights that four bits leave as they are."""

    parameters: int
    embedded: int
    layers: int
    width: int
    hidden: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes."""

    weights: float
    learned: float
    activations: float
    program: float

    @property
    def total_gb(self) -> float:
        return (self.weights + self.learned + self.activations + self.program) / 1e9


def size_of_model(name: str) -> ModelSize:
    """From a checkpoint's configuration, or a GGUF file's header. Raises WeightsError or ModelError as loading does."""
    from vision.downloads.checkpoints import gguf_file
    from vision.huggingface.loading import empty_model, is_gguf

    if is_gguf(name):
        from vision.llm.config import model_config
        from vision.llm.gguf import read_gguf

        gguf = read_gguf(gguf_file(name))
        config = model_config(gguf)
        parameters = sum(math.prod(tensor.shape) for tensor in gguf.tensors.values())
        embedded = config.vocabulary * config.width
        return ModelSize(parameters, embedded, config.layers, config.width, config.hidden, config.vocabulary)
    model: Any = empty_model(name)
    text = model.config.get_text_config()
    words = model.get_input_embeddings().weight
    layers, hidden = _shape(text)
    return ModelSize(
        sum(p.numel() for p in model.parameters()), words.numel(), layers, words.shape[1], hidden, words.shape[0]
    )


def _shape(text: Any) -> tuple[int, int]:
    """Layers, and the feed-forward layer's width, which families name in their own ways."""
    width = int(text.hidden_size)
    names = ("intermediate_size", "ffn_dim", "n_inner", "expansion_ratio", "ffn_hidden_size")
    given = [value for name in names if isinstance(value := getattr(text, name, None), int) and value]
    hidden = given[0] if given else 4 * width
    return int(text.num_hidden_layers), hidden if hidden > width else hidden * width


def estimate_memory(size: ModelSize, recipe: TuningRecipe) -> MemoryEstimate:
    """At the longest samples that the recipe takes, ``at_once`` of them."""
    kind = torch.device(recipe.device).type
    number = 2 if recipe.halves_frozen else 4
    weights = float(size.parameters * number)
    if recipe.method == "qlora":
        weights = (size.parameters - size.embedded) * _BITS4_BYTES + size.embedded * 2
    if recipe.method in LOW_RANK:
        learned = size.layers * recipe.rank * (11 * size.width + 3 * size.hidden)
    else:
        learned = recipe.virtual_tokens * size.width
    tokens = recipe.at_once * (recipe.max_prompt_tokens + recipe.max_text_tokens)
    dropout = bool(recipe.dropout) and recipe.method in LOW_RANK
    vectors = (_KEPT_OF_WIDTH + _DROPOUT_OF_WIDTH * dropout) * size.width
    vectors += (_KEPT_OF_HIDDEN + _DROPOUT_OF_HIDDEN * dropout) * size.hidden + _KEPT_OF_RANK * recipe.rank
    a_layer = vectors * number
    kept = size.layers * size.width * number + a_layer if recipe.checkpointing else size.layers * a_layer
    logits = recipe.at_once * recipe.max_text_tokens * size.vocabulary * 4 * _LOGITS_COPIES
    return MemoryEstimate(
        weights, float(learned * _OPTIMIZER_BYTES), tokens * kept + logits, _PROGRAM_BYTES.get(kind, 0)
    )


def free_memory_gb(device: torch.device) -> float | None:
    """Free on a GPU; on a Linux machine what programs may still take; None where it cannot be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 1e9
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 / 1e9 if found else None


def check_memory(estimate: MemoryEstimate, device: torch.device) -> None:
    """Raises DataError where the run would not fit."""
    free = free_memory_gb(device)
    if free is not None and estimate.total_gb > free:
        raise DataError("tuning_memory", needed=round(estimate.total_gb, 1), free=round(free, 1), device=str(device))
