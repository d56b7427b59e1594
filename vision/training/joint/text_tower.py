"""Fine-tunes the upper layers of the joint encoder's text tower on illustrated articles.

all-MiniLM-L6-v2 was trained on questions and answers, titles and posts. Here a caption and the section around a figure
shall find the figure's description (InfoNCE, arXiv:1807.03748), and a description what pixels say of its picture.
Half of the batches are neighbours of one book, who are the harder ones to tell apart. Import it lazily: torch and
transformers come with it.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from vision.joint_encoder.checkpoint import TEXT_PREFIX, Checkpoint
from vision.training import Progress
from vision.training.batches import book_batches
from vision.training.dataset import Figure
from vision.training.loop import run_steps
from vision.training.recipe_loading import StepsRecipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.training.joint.recipe import JointRecipe

    Array = NDArray[np.float32]

_SHARPNESS, _PIXEL_SHARPNESS = 20.0, 15.0  # of cosines; the second is lower because pixels say less
_CAPTION_PIXELS = 0.3  # how much a caption owes its picture, beside its alt text
_DESCRIPTION_TOKENS, _SECTION_TOKENS = 80, 128
_WARMUP = 20


def tune_text_tower(
    figures: Sequence[Figure],
    looks: Array,
    checkpoint: Checkpoint,
    recipe: JointRecipe,
    folder: Path,
    progress: Progress = lambda *_: None,
) -> dict[str, Array]:
    """The tuned tensors by the encoder's names, rounded to half precision as they will be stored.

    ``looks`` (n, D): what pixels say of each figure, by a fit that has not seen its book. ``folder`` keeps checkpoints
    and losses; a run that was cut off goes on where it was. Raises DataError where the folder belongs to another run.
    """
    tower = _tower(checkpoint)
    tuned = list(tower.encoder.layer)[len(tower.encoder.layer) - recipe.tuned_layers :]
    tower.requires_grad_(False)
    for layer in tuned:
        layer.requires_grad_(True).train()
    loss = PairLoss(tower, checkpoint, figures, looks, recipe.tuned_to_pixels)
    parameters = {name: p for name, p in tower.named_parameters() if p.requires_grad}
    batches = book_batches([figure.book for figure in figures], recipe.tuned_batch, recipe.seed)
    steps = StepsRecipe(
        recipe.name,
        seed=recipe.seed,
        epochs=recipe.tuned_epochs,
        batch=recipe.tuned_batch,
        at_once=recipe.tuned_batch,
        learning_rate=recipe.tuned_learning_rate,
        warmup=_WARMUP,
        weight_decay=0.01,
        precision="float32",
    )
    folder.mkdir(parents=True, exist_ok=True)
    trained = parameters | {"looks": loss.looks_to_texts}
    run_steps("texts", trained, batches, loss, steps, _key(figures, recipe), folder, progress)
    return {
        TEXT_PREFIX + name: value.detach().numpy().astype(np.float16).astype(np.float32)
        for name, value in parameters.items()
    }


class PairLoss:
    """Samples are rows of ``figures``; the others of a batch are what each has to be told apart from."""

    def __init__(
        self, tower: Any, checkpoint: Checkpoint, figures: Sequence[Figure], looks: Array, to_pixels: float
    ) -> None:
        from vision.joint_encoder.text_tower import token_ids

        self._tower, self._to_pixels = tower, to_pixels
        self._alts = token_ids(checkpoint, [figure.alt for figure in figures], _DESCRIPTION_TOKENS)
        self._captions = token_ids(checkpoint, [figure.caption for figure in figures], _DESCRIPTION_TOKENS)
        self._sections = token_ids(checkpoint, [figure.section for figure in figures], _SECTION_TOKENS)
        self._captioned = [bool(figure.caption) for figure in figures]
        self._looks = torch.from_numpy(np.asarray(looks, np.float32))
        # What pixels say was learned in the space of the untuned tower; this follows it as it moves.
        self.looks_to_texts = torch.nn.Parameter(torch.eye(looks.shape[1], tower.config.hidden_size))

    def __call__(self, part: Sequence[int]) -> tuple[torch.Tensor, float]:
        alts = self._encode([self._alts[i] for i in part])
        captioned = [place for place, i in enumerate(part) if self._captioned[i]]
        total = torch.zeros(())
        captions = self._encode([self._captions[part[place]] for place in captioned]) if captioned else None
        if captions is not None:
            total = total + _both_ways(captions, alts, captioned, _SHARPNESS)
        # A section takes four times as long as a caption and there is one for each: a quarter of them a batch.
        asked = torch.randperm(len(part))[: max(1, len(part) // 4)].tolist()
        total = total + _both_ways(self._encode([self._sections[part[p]] for p in asked]), alts, asked, _SHARPNESS)
        if self._to_pixels:
            looks = normalize(self._looks[list(part)] @ self.looks_to_texts, dim=1)
            pixels = _both_ways(alts, looks, range(len(part)), _PIXEL_SHARPNESS)
            if captions is not None:
                pixels = pixels + _CAPTION_PIXELS * _both_ways(captions, looks, captioned, _PIXEL_SHARPNESS)
            total = total + self._to_pixels * pixels
        return total * len(part), float(len(part))

    def _encode(self, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Unit means over tokens (n, D)."""
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(text) for text in texts], batch_first=True)
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(text) for text in texts])[:, None]
        states = self._tower(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        weight = mask[:, :, None].to(states.dtype)
        return normalize((states * weight).sum(1) / weight.sum(1), dim=1)


def _both_ways(queries: torch.Tensor, targets: torch.Tensor, places: Sequence[int], sharpness: float) -> torch.Tensor:
    """InfoNCE from queries to targets and back; ``places`` are the rows of ``targets`` the queries belong to."""
    own = torch.tensor(list(places))
    scores = sharpness * queries @ targets.T
    return (cross_entropy(scores, own) + cross_entropy(scores[:, own].T, torch.arange(len(own)))) / 2


def _tower(checkpoint: Checkpoint) -> Any:
    """The text tower as transformers trains it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import BertConfig, BertModel

    tower = BertModel(BertConfig(**(checkpoint.text_tower_config() or {})), add_pooling_layer=False).eval()
    state = {name: torch.from_numpy(np.array(value)) for name, value in checkpoint.tensors(TEXT_PREFIX).items()}
    tower.load_state_dict(state)
    return tower


# What pixels say of the pictures follows from these; its own bytes do not name it, since they change with the threads.
_LOOKS = ("resize_mode", "penalty", "caption_share", "class_share", "sharpness")


def _key(figures: Sequence[Figure], recipe: JointRecipe) -> str:
    texts = [[figure.image.name, figure.alt, figure.caption, figure.section] for figure in figures]
    settings = asdict(recipe)
    used = {name: value for name, value in settings.items() if name == "seed" or name.startswith("tuned_")}
    if recipe.tuned_to_pixels:
        used |= {name: settings[name] for name in _LOOKS}
    return hashlib.sha256(json.dumps([texts, used]).encode()).hexdigest()
