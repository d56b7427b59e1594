"""What a training run does, as a frozen value read from TOML. Unknown keys are errors. Knows no data and no models."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from vision.errors import DataError

ResizeMode = Literal["squash", "shortest", "longest"]
Head = Literal["linear", "mlp"]


@dataclass(frozen=True, slots=True)
class JointRecipe:
    """How the joint encoder's projections are fitted.

    ``head`` is what pictures go through: "linear" by ridge regression, "mlp" by a kernel and a network fitted to it.
    ``penalty`` is the ridge parameter of either, on unit-length image features; ``caption_share`` how much of a
    picture's target is its caption rather than its alt text; ``class_share`` how much a class of the tower's own
    classifier counts beside a picture (0 leaves classes out).

    Of "mlp" alone: ``sharpness`` of the kernel, ``mixtures`` of pictures it answers for the network, ``slope`` and
    ``threshold`` of hidden units, ``smoothing`` of the output layer, relative to the hidden units' mean variance.

    Of "linear" alone: the contrastive stage, which starts from the ridge solution; ``steps`` 0 leaves it out.
    ``feature_dropout`` and ``text_dropout`` are the parts of a feature vector that a step does not see; ``average``
    is the decay of the moving average of weights that is kept.

    Before either head the last ``tuned_layers`` of the text tower are tuned (``vision.training.text``; 0 leaves it
    frozen): for ``tuned_epochs``, in batches of ``tuned_batch``. ``tuned_to_pixels`` is what a description owes to what
    pixels say of its picture, beside what it owes to the texts around it.
    """

    name: str
    seed: int = 0
    resize_mode: ResizeMode = "squash"
    penalty: float = 3.0
    caption_share: float = 0.3
    class_share: float = 0.0
    head: Head = "linear"
    sharpness: float = 4.0
    mixtures: int = 30_000
    slope: float = 3.0
    threshold: float = 0.1
    smoothing: float = 0.01
    steps: int = 0
    batch: int = 768
    accumulate: int = 1
    learning_rate: float = 3e-3
    text_learning_rate: float = 1e-4
    temperature: float = 0.05
    feature_dropout: float = 0.3
    text_dropout: float = 0.1
    caption_chance: float = 0.4
    average: float = 0.98
    tuned_layers: int = 0
    tuned_epochs: float = 1.0
    tuned_batch: int = 64
    tuned_learning_rate: float = 5e-5
    tuned_to_pixels: float = 0.0

    def __post_init__(self) -> None:
        if self.resize_mode not in get_args(ResizeMode):
            raise DataError(
                f"recipe {self.name}: resize_mode is {self.resize_mode!r}; use {', '.join(get_args(ResizeMode))}"
            )
        if self.head not in get_args(Head):
            raise DataError(f"recipe {self.name}: head is {self.head!r}; use {', '.join(get_args(Head))}")
        if self.head == "mlp" and self.steps:
            raise DataError(f"recipe {self.name}: steps is {self.steps}; only a linear head has the contrastive stage")
        if self.class_share < 0 or self.mixtures < 0:
            raise DataError(f"recipe {self.name}: class_share and mixtures must be 0 or more")
        for name in (
            "penalty",
            "learning_rate",
            "temperature",
            "sharpness",
            "slope",
            "smoothing",
            "tuned_epochs",
            "tuned_learning_rate",
        ):
            if getattr(self, name) <= 0:
                raise DataError(f"recipe {self.name}: {name} is {getattr(self, name)}; it must be above 0")
        for name in ("caption_share", "feature_dropout", "text_dropout", "caption_chance", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise DataError(f"recipe {self.name}: {name} is {getattr(self, name)}; it must be in [0, 1)")
        if self.steps < 0 or self.text_learning_rate < 0:
            raise DataError(f"recipe {self.name}: steps and text_learning_rate must be 0 or more")
        if self.tuned_layers < 0 or self.tuned_to_pixels < 0:
            raise DataError(f"recipe {self.name}: tuned_layers and tuned_to_pixels must be 0 or more")
        if self.tuned_batch < 2:
            raise DataError(f"recipe {self.name}: tuned_batch is {self.tuned_batch}; a batch of texts needs at least 2")
        if self.accumulate < 1 or self.batch < 2 or self.batch % self.accumulate:
            raise DataError(
                f"recipe {self.name}: batch is {self.batch} and accumulate {self.accumulate}; "
                "the batch must be at least 2 and divide evenly"
            )


def recipe_names() -> list[str]:
    """The recipes that ship with Vignette."""
    folder = resources.files("vision.training") / "recipes"
    return sorted(
        file.name.removesuffix(".toml")
        for file in folder.iterdir()
        if file.name.startswith("joint") and file.name.endswith(".toml")
    )


def load_joint_recipe(name_or_file: str) -> JointRecipe:
    """A shipped recipe by name, or a .toml file. Raises DataError naming what to change."""
    if name_or_file.endswith(".toml"):
        file = Path(name_or_file)
        if not file.is_file():
            raise DataError(f"--recipe {name_or_file}: there is no such file")
        text, name = file.read_text(encoding="utf-8"), file.stem
    elif name_or_file in recipe_names():
        text = (resources.files("vision.training") / "recipes" / f"{name_or_file}.toml").read_text(encoding="utf-8")
        name = name_or_file
    else:
        raise DataError(
            f"--recipe {name_or_file} is not known; use one of: {', '.join(recipe_names())}, or a .toml file"
        )
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"recipe {name} is not TOML: {error}") from error
    return _recipe(name, table)


def _recipe(name: str, table: dict[str, Any]) -> JointRecipe:
    known = {field.name: type(field.default) for field in fields(JointRecipe) if field.name != "name"}
    for key, value in table.items():
        if key not in known:
            raise DataError(f"recipe {name}: {key!r} is not a setting; known: {', '.join(known)}")
        fits = isinstance(value, known[key]) or (known[key] is float and type(value) is int)
        if not fits or isinstance(value, bool):
            raise DataError(f"recipe {name}: {key} is {value!r}; it must be of type {known[key].__name__}")
    return JointRecipe(name, **table)
