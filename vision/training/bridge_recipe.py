"""What a run of bridge or LoRA training does, as frozen values read from TOML. Unknown keys are errors."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from vision.errors import DataError

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
        if self.precision not in get_args(Precision):
            raise DataError(
                f"recipe {self.name}: precision is {self.precision!r}; use {', '.join(get_args(Precision))}"
            )
        for name in ("epochs", "batch", "at_once", "learning_rate", "clip", "save_every", "max_text_tokens"):
            if getattr(self, name) <= 0:
                raise DataError(f"recipe {self.name}: {name} is {getattr(self, name)}; it must be above 0")
        for name in ("warmup", "weight_decay"):
            if getattr(self, name) < 0:
                raise DataError(f"recipe {self.name}: {name} is {getattr(self, name)}; it must be 0 or more")


@dataclass(frozen=True, slots=True)
class BridgeRecipe(StepsRecipe):
    """Stage 1. Size of the bridge as in ``BridgeConfig``.

    ``word_epochs`` come first and do not run the language model: the bridge's vectors learn to lie at the embeddings
    of the words that describe the picture, which costs a hundredth of a pass. ``caption_chance`` is the share of
    captions among the descriptions.
    """

    tower: str = "efficientnet-lite2"
    kind: Literal["sampler", "mlp"] = "sampler"
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
        if self.word_epochs < 0 or self.word_learning_rate <= 0:
            raise DataError(f"recipe {self.name}: word_epochs must be 0 or more and word_learning_rate above 0")
        for name in ("dropout", "caption_chance"):
            if not 0 <= getattr(self, name) < 1:
                raise DataError(f"recipe {self.name}: {name} is {getattr(self, name)}; it must be in [0, 1)")


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
        if self.rank < 1 or self.alpha < 1 or not self.targets:
            raise DataError(f"recipe {self.name}: rank and alpha must be at least 1, and targets name modules")
        if not 2 <= self.candidates <= 26:
            raise DataError(f"recipe {self.name}: candidates is {self.candidates}; it must be from 2 to 26")
        if min(self.place, self.caption, self.choose) < 0 or not self.place + self.caption + self.choose:
            raise DataError(f"recipe {self.name}: place, caption and choose must be 0 or more, and not all 0")


R = TypeVar("R", bound=StepsRecipe)


def load_steps_recipe(name_or_file: str, kind: type[R]) -> R:
    """A shipped recipe by name, or a .toml file. Raises DataError naming what to change."""
    folder = resources.files("vision.training") / "bridge_recipes"
    prefix = "bridge-" if kind is BridgeRecipe else "lora-"
    shipped = sorted(
        file.name.removesuffix(".toml")
        for file in folder.iterdir()
        if file.name.startswith(prefix) and file.name.endswith(".toml")
    )
    if name_or_file.endswith(".toml"):
        path = Path(name_or_file)
        if not path.is_file():
            raise DataError(f"--recipe {name_or_file}: there is no such file")
        text, name = path.read_text(encoding="utf-8"), path.stem
    elif name_or_file in shipped:
        text, name = (folder / f"{name_or_file}.toml").read_text(encoding="utf-8"), name_or_file
    else:
        raise DataError(f"--recipe {name_or_file} is not known; use one of: {', '.join(shipped)}, or a .toml file")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"recipe {name} is not TOML: {error}") from error
    known = {field.name: field.default for field in fields(kind) if field.name != "name"}
    return kind(name, **{key: _checked(name, key, value, known) for key, value in table.items()})


def _checked(name: str, key: str, value: Any, known: dict[str, Any]) -> Any:
    if key not in known:
        raise DataError(f"recipe {name}: {key!r} is not a setting; known: {', '.join(known)}")
    wanted: type[Any] = type(known[key])
    if wanted is tuple and isinstance(value, list):
        value = tuple(value)
    fits = isinstance(value, wanted) or (wanted is float and type(value) is int)
    if not fits or (isinstance(value, bool) and wanted is not bool):
        raise DataError(f"recipe {name}: {key} is {value!r}; it must be of type {wanted.__name__}")
    return value
