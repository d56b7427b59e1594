"""What a run of bridge or LoRA training does, as frozen values read from TOML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, get_args

from vision.bridge.projector import BridgeKind
from vision.errors import DataError
from vision.training.recipe_loading import StepsRecipe, check_bounds, check_choice, load_recipe


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
