"""Refines two projections by contrast: each text should find its own picture among those of the batch.

InfoNCE in both directions (CLIP, arXiv:2103.00020) from the ridge solution, on features of frozen towers. With few
thousand pairs regularisation decides: parts of each feature vector are hidden at every step, and a moving average
of the weights is what is kept. Import it lazily: torch comes with it. Knows no files.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vision.training.joint.features import PairFeatures, Progress
from vision.training.joint.linear_fit import Projection, without_direction, without_text_mean
from vision.training.joint.recipe import JointRecipe

if TYPE_CHECKING:
    import torch


def refine(
    start: Projection, pairs: PairFeatures, recipe: JointRecipe, progress: Progress = lambda *_: None
) -> Projection:
    """Both projections after ``recipe.steps`` steps. Seeded; ``pairs`` and ``start`` are left as they are.

    A batch is worked off in ``recipe.accumulate`` parts with the gradient of the whole: the embeddings of all parts
    are made first, and each part's share of the gradient is carried back through it alone (GradCache,
    arXiv:2101.06983). Negatives are always those of the whole batch.
    """
    import torch

    generator = torch.Generator().manual_seed(recipe.seed)
    # The mean directions stay out whatever the steps do: the matrices are applied after these.
    out_image = without_direction(pairs.directions.mean(0))
    out_text = without_text_mean(pairs, recipe.caption_share)
    images = torch.from_numpy((pairs.directions @ out_image).astype(np.float32))
    alts = torch.from_numpy((pairs.alts @ out_text).astype(np.float32))
    captions = torch.from_numpy((pairs.captions @ out_text).astype(np.float32))
    told = torch.from_numpy(pairs.has_caption)

    weights = [torch.from_numpy(start.image.copy()), torch.from_numpy(start.text.copy())]
    log_scale = torch.tensor(math.log(1 / recipe.temperature))
    # Adam moves every entry by about the rate; measured in the size of the entries it means the same for any features.
    rates = [recipe.learning_rate * float(weights[0].std()), recipe.text_learning_rate, recipe.learning_rate]
    parameters = [tensor.requires_grad_() for tensor in (*weights, log_scale)]
    optimizer = torch.optim.Adam([{"params": [p], "lr": rate} for p, rate in zip(parameters, rates, strict=True)])
    kept = [weight.detach().clone() for weight in weights]
    size = min(recipe.batch, len(images))
    for step in range(recipe.steps):
        rows = torch.randperm(len(images), generator=generator)[:size]
        use_caption = (torch.rand(size, generator=generator) < recipe.caption_chance) & told[rows]
        seen = _hide(images[rows], recipe.feature_dropout, generator)
        read = torch.where(use_caption[:, None], captions[rows], alts[rows])
        read = _hide(read, recipe.text_dropout, generator)
        optimizer.zero_grad()
        backward(seen, read, weights[0], weights[1], log_scale, recipe.accumulate)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        optimizer.step()
        # A young average is the mean so far, so that the start does not linger in it.
        decay = min(recipe.average, (step + 1) / (step + 10))
        for average, weight in zip(kept, weights, strict=True):
            average.mul_(decay).add_(weight.detach(), alpha=1 - decay)
        progress("steps", step + 1, recipe.steps)
    image, text = (weight.numpy() for weight in kept)
    return Projection((out_image @ image).astype(np.float32), (out_text @ text).astype(np.float32))


def backward(
    images: torch.Tensor,
    texts: torch.Tensor,
    image_weight: torch.Tensor,
    text_weight: torch.Tensor,
    log_scale: torch.Tensor,
    parts: int,
) -> float:
    """Add the gradient of the batch's symmetric InfoNCE to the weights; returns the loss.

    Row i of ``images`` belongs to row i of ``texts``. The result does not depend on ``parts``.
    """
    import torch

    with torch.no_grad():
        found = [_unit(images @ image_weight), _unit(texts @ text_weight)]
    leaves = [tensor.requires_grad_() for tensor in found]
    loss = info_nce(leaves[0], leaves[1], log_scale)
    loss.backward()
    for inputs, weight, leaf in ((images, image_weight, leaves[0]), (texts, text_weight, leaves[1])):
        assert leaf.grad is not None
        for part, gradient in zip(inputs.chunk(parts), leaf.grad.chunk(parts), strict=True):
            _unit(part @ weight).backward(gradient)
    return float(loss.detach())


def info_nce(images: torch.Tensor, texts: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    """Mean of both directions; rows are unit vectors."""
    import torch

    logits = log_scale.exp() * texts @ images.T
    own = torch.arange(len(images))
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def _hide(vectors: torch.Tensor, part: float, generator: torch.Generator) -> torch.Tensor:
    import torch

    if part == 0:
        return vectors
    kept = torch.rand(vectors.shape, generator=generator) >= part
    return vectors * kept / (1 - part)


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(vectors, dim=1)
