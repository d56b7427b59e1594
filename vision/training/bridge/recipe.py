"""What a run of bridge or LoRA training does, as frozen values read from TOML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from vision.bridge.projector import BridgeKind
from vision.errors import DataError
from vision.training.recipe_loading import check_bounds, check_choice, load_recipe

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class StepsRecipe:
    """What every run has: how long, how large a batch, how fast.

    ``batch`` samples make one step, worked off ``at_once`` at a time; the gradient does not depend on ``at_once``.
    Samples of like length go together. The rate rises for ``warmup`` steps and falls as a cosine. ``precision`` auto
    is bfloat16 where the processor computes in it, else float32.
    """

    name: str
    language_model: str = "smollm2-135m-instruct"
    seed: int = 0
    epochs: float = 1.0
    batch: int = 32
    at_once: int = 8
    learning_rate: float = 1e-3
    warmup: int = 20
    weight_decay: float = 0.05
    clip: float = 1.0
    precision: Precision = "auto"
    device: str = "cpu"
    save_every: int = 20
    max_text_tokens: int = 32

    def __post_init__(self) -> None:
        check_choice(self, "precision", get_args(Precision))
        check_bounds(self, "epochs batch at_once learning_rate clip save_every max_text_tokens", above=0)
        check_bounds(self, "warmup weight_decay", at_least=0)


@dataclass(frozen=True, slots=True)
class BridgeRecipe(StepsRecipe):
    """Stage 1. Size of the bridge as in ``BridgeConfig``.

    ``word_epochs`` come first and do not run the language model: the bridge's vectors learn to lie at the embeddings
    of the words that describe the picture, which costs a hundredth of a pass. ``caption_chance`` is the share of
    captions among the descriptions.
    """

    tower: str = "efficientnet-lite2"
    kind: BridgeKind = "sampler"
    queries: int = 32
    layers: int = 2
    heads: int = 8
    width: int = 512
    dropout: float = 0.1
    word_epochs: float = 8.0
    word_learning_rate: float = 1e-3
    caption_chance: float = 0.0

    def __post_init__(self) -> None:
        super(BridgeRecipe, self).__post_init__()  # slots make a new class, which super() alone misses
        check_choice(self, "kind", get_args(BridgeKind))
        check_bounds(self, "word_epochs", at_least=0)
        check_bounds(self, "word_learning_rate", above=0)
        check_bounds(self, "dropout caption_chance", at_least=0, below=1)


@dataclass(frozen=True, slots=True)
class LoraRecipe(StepsRecipe):
    """Stage 2. ``rank``, ``alpha`` and ``targets`` as PEFT defines them.

    ``pictures_only`` is Partial LoRA: words pass through the original weights. ``train_bridge`` lets the bridge move
    along. ``candidates`` stand in each question of choice, the true one among its look-alikes; ``place``, ``caption``
    and ``choose`` are the shares of the three tasks.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    pictures_only: bool = False
    train_bridge: bool = True
    candidates: int = 4
    max_section_tokens: int = 96
    place: float = 1.0
    caption: float = 1.0
    choose: float = 1.0

    def __post_init__(self) -> None:
        super(LoraRecipe, self).__post_init__()
        check_bounds(self, "rank alpha", at_least=1)
        check_bounds(self, "candidates", at_least=2, below=27)
        check_bounds(self, "place caption choose", at_least=0)
        if not self.targets or not self.place + self.caption + self.choose:
            raise DataError("recipe_learns_nothing", recipe=self.name)


R = TypeVar("R", bound=StepsRecipe)


def load_steps_recipe(name_or_file: str, kind: type[R]) -> R:
    """A shipped recipe by name, or a .toml file. Raises DataError naming what to change."""
    return load_recipe(name_or_file, kind, "bridge-" if kind is BridgeRecipe else "lora-")
