"""What learns: low-rank layers beside frozen ones, or vectors that stand before every prompt; both by PEFT.

Import it lazily: torch comes with it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vision.downloads.files import write_atomic
from vision.errors import DataError, ModelError
from vision.huggingface.adapters import ORIGIN_FILE, WEIGHTS_FILE, add_virtual_tokens
from vision.huggingface.model import HubModel
from vision.training.tuning.recipe import LOW_RANK, TuningRecipe


def require_peft() -> None:
    """Raises ModelError where PEFT is missing: better before a model is loaded than after."""
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise ModelError("package_for_training", package="peft") from error


@dataclass(frozen=True, slots=True)
class LearningLayers:
    """``parameters`` are trained; ``learning`` turns their dropout on and off; ``save`` writes PEFT's files."""

    parameters: Mapping[str, nn.Parameter]
    learning: Callable[[bool], None]
    save: Callable[[Path], None]


def add_learning_layers(model: HubModel, recipe: TuningRecipe) -> LearningLayers:
    """Freezes ``model`` and gives it what the recipe's method learns; low-rank layers change nothing yet.

    Raises DataError where the recipe's targets are no layers of the model.
    """
    network, name, sha256 = model.network, model.identity.name, model.identity.sha256
    network.requires_grad_(False)
    torch.manual_seed(recipe.seed)
    add = _low_rank if recipe.method in LOW_RANK else _virtual
    found = add(model, recipe)
    if recipe.checkpointing:
        _checkpoint(network)

    def save(folder: Path) -> None:
        found.save(folder)
        write_atomic(folder / ORIGIN_FILE, json.dumps({"model": name, "sha256": sha256}, indent=2) + "\n")

    return LearningLayers(found.parameters, found.learning, save)


def linear_layers(network: Any) -> list[str]:
    """Names of the language model's own linear layers, without what turns vectors into words."""
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer

    decoder = network.get_decoder()
    prefix = next(name for name, module in network.named_modules() if module is decoder)
    found = [name for name, module in decoder.named_modules() if isinstance(module, (nn.Linear, Conv1D))]
    return [f"{prefix}.{name}" if prefix else name for name in found if not name.endswith("lm_head")]


def _low_rank(model: HubModel, recipe: TuningRecipe) -> LearningLayers:
    from peft import LoraConfig, get_peft_model

    network = model.network
    targets = list(recipe.targets) or linear_layers(network)
    settings = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property by its old name
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")  # and sets it right itself
        try:
            tuned = get_peft_model(network, settings)
        except ValueError as error:
            raise DataError("recipe_targets", recipe=recipe.name, reason=" ".join(str(error).split())[:200]) from error
    tuned.eval()
    dropouts = [module for name, module in tuned.named_modules() if name.endswith("lora_dropout.default")]

    def learning(on: bool) -> None:
        # The rest stays as it is used: no dropout of its own, no other paths of a model in training.
        for module in dropouts:
            module.train(on)

    def save(folder: Path) -> None:
        tuned.save_pretrained(folder, save_embedding_layers=False)

    return LearningLayers({n: p for n, p in tuned.named_parameters() if p.requires_grad}, learning, save)


def _virtual(model: HubModel, recipe: TuningRecipe) -> LearningLayers:
    from peft import PromptEmbedding, PromptEncoder, PromptEncoderConfig, PromptTuningConfig
    from safetensors.torch import save_file

    network, count = model.network, recipe.virtual_tokens
    words = network.get_input_embeddings()
    settings: Any
    vectors: Any
    common = {
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": count,
        "token_dim": words.weight.shape[1],
        "num_transformer_submodules": 1,
        "base_model_name_or_path": network.name_or_path,
    }
    if recipe.method == "prompt":
        settings = PromptTuningConfig(prompt_tuning_init="SAMPLE_VOCAB", **common)
        vectors = PromptEmbedding(settings, words)
    else:
        settings = PromptEncoderConfig(encoder_hidden_size=recipe.prompt_width, **common)
        vectors = PromptEncoder(settings)
        with torch.no_grad():  # what it gives at first is of the size of words, or it drowns them
            given = vectors(torch.arange(count)[None])
            scale = words.weight.float().std().cpu() / given.std()
            vectors.mlp_head[-1].weight.mul_(scale)
            vectors.mlp_head[-1].bias.mul_(scale)
    vectors.to(network.device)
    numbers = torch.arange(count, device=network.device)[None]
    model.encoder.opening = add_virtual_tokens(network, count, lambda: vectors(numbers)[0], model.identity.name)

    def save(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        settings.inference_mode = True
        settings.save_pretrained(folder)
        with torch.no_grad():
            learned = vectors(numbers)[0].float().cpu().contiguous()
        save_file({"prompt_embeddings": learned}, folder / WEIGHTS_FILE, metadata={"format": "pt"})

    return LearningLayers(dict(vectors.named_parameters()), lambda _: None, save)


def _checkpoint(network: Any) -> None:
    """Layers are computed again on the way back. Only they are told that the model trains."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    network.activation_checkpointing_enable()
    for module in network.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = True
