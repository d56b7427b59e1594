"""What a run of tuning does, as frozen values read from TOML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from vision.errors import DataError
from vision.training.recipe_loading import StepsRecipe, check_bounds, check_choice, load_recipe

Method: TypeAlias = Literal["lora", "qlora", "prompt", "p-tuning"]
LOW_RANK: tuple[Method, ...] = ("lora", "qlora")


@dataclass(frozen=True, slots=True)
class TuningRecipe(StepsRecipe):
    """``method`` is lora (arXiv:2106.09685), qlora (the same over weights of four bits, arXiv:2305.14314; CUDA), prompt
    (arXiv:2104.08691) or p-tuning (arXiv:2103.10385).

    ``rank``, ``alpha``, ``dropout`` and ``targets`` are PEFT's; without targets every linear layer of the language
    model learns. ``virtual_tokens`` are learned by the last two methods. Prompts longer than ``max_prompt_tokens`` are
    left out, answers are cut at ``max_text_tokens``. ``write``, ``want``, ``caption`` and ``choose`` are the shares of
    the four tasks. ``held_back`` of the articles are measured before and after, ``watched`` decide when it is enough:
    every ``watch_every`` steps, over when ``patience`` times no better. ``checkpointing`` computes a third more and
    keeps a fraction of the activations.
    """

    device: str = "auto"
    max_text_tokens: int = 256
    method: Method = "lora"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ()
    virtual_tokens: int = 20
    prompt_width: int = 128
    max_prompt_tokens: int = 1024
    write: float = 1.0
    want: float = 1.0
    caption: float = 1.0
    choose: float = 1.0
    held_back: float = 0.15
    watched: float = 0.1
    watch_every: int = 20
    patience: int = 3
    checkpointing: bool = False

    def __post_init__(self) -> None:
        super(TuningRecipe, self).__post_init__()  # slots make a new class, which super() alone misses
        check_choice(self, "method", get_args(Method))
        names = "rank alpha virtual_tokens prompt_width max_prompt_tokens watch_every"
        check_bounds(self, names, at_least=1)
        check_bounds(self, "write want caption choose patience", at_least=0)
        check_bounds(self, "held_back watched", above=0, below=0.5)
        check_bounds(self, "dropout", at_least=0, below=1)
        if not self.write + self.want + self.caption + self.choose:
            raise DataError("recipe_without_tasks", recipe=self.name)

    @property
    def learns_from_pictures(self) -> bool:
        return bool(self.want + self.caption + self.choose)

    def share(self, task: str) -> float:
        value: float = getattr(self, task)
        return value


def load_tuning_recipe(name_or_file: str) -> TuningRecipe:
    """A shipped recipe by name, or a .toml file. Raises DataError naming what to change."""
    return load_recipe(name_or_file, TuningRecipe, "tune-")
