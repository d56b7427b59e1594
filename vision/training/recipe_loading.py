"""Reads a recipe from TOML, one that ships or the user's own, and checks its values."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args

from vision.errors import DataError

Precision = Literal["auto", "float32", "bfloat16"]


class Recipe(Protocol):
    """Any dataclass with a ``name``."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StepsRecipe:
    """What every run of gradient steps has: how long, how large a batch, how fast.

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

    @property
    def halves_frozen(self) -> bool:
        """Whether frozen weights are kept in bfloat16: on a GPU, which computes in it.

        A processor's own bfloat16 is left to autocast.
        """
        return self.device.startswith("cuda") and self.precision != "float32"


R = TypeVar("R", bound=Recipe)


def recipe_names(prefix: str) -> list[str]:
    """The recipes that ship with Vignette for one command."""
    return sorted(name for name in _shipped() if name.startswith(prefix))


def _shipped() -> dict[str, Traversable]:
    """The shipped recipes' files by name."""
    subjects = ("joint", "bridge", "captions", "tuning")
    folders = [resources.files("vision.training") / subject / "recipes" for subject in subjects]
    files = [file for folder in folders for file in folder.iterdir() if file.name.endswith(".toml")]
    return {file.name.removesuffix(".toml"): file for file in files}


def load_recipe(name_or_file: str, kind: type[R], prefix: str) -> R:
    """A shipped recipe by name, or a .toml file, as a ``kind``; its ``name`` is the file's.

    Raises DataError naming what to change.
    """
    if name_or_file.endswith(".toml"):
        path = Path(name_or_file)
        if not path.is_file():
            raise DataError("recipe_file_missing", file=name_or_file)
        text, name = path.read_text(encoding="utf-8"), path.stem
    elif name_or_file in (shipped := recipe_names(prefix)):
        name = name_or_file
        text = _shipped()[name].read_text(encoding="utf-8")
    else:
        raise DataError("recipe_unknown", recipe=name_or_file, known=shipped)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError("recipe_not_toml", recipe=name, reason=str(error)) from error
    known = {field.name: field.default for field in fields(kind) if field.name != "name"}
    values = {key: _checked(name, key, value, known) for key, value in table.items()}
    return kind(**{"name": name, **values})


def check_bounds(
    recipe: Any, names: str, *, above: float | None = None, at_least: float | None = None, below: float | None = None
) -> None:
    """Raises DataError for the first setting of ``names``, parted by blanks, that lies outside."""
    for name in names.split():
        value = getattr(recipe, name)
        if (
            (above is not None and value <= above)
            or (at_least is not None and value < at_least)
            or (below is not None and value >= below)
        ):
            limits = {">": above, "≥": at_least, "<": below}
            bounds = [f"{sign} {limit}" for sign, limit in limits.items() if limit is not None]
            raise DataError("recipe_bounds", recipe=recipe.name, setting=name, value=value, bounds=bounds)


def check_choice(recipe: Any, name: str, known: tuple[str, ...]) -> None:
    """Raises DataError for a setting that is none of ``known``."""
    if (value := getattr(recipe, name)) not in known:
        raise DataError("recipe_choice", recipe=recipe.name, setting=name, value=value, known=list(known))


def _checked(name: str, key: str, value: Any, known: dict[str, Any]) -> Any:
    if key not in known:
        raise DataError("recipe_setting_unknown", recipe=name, setting=key, known=list(known))
    wanted: type[Any] = type(known[key])
    if wanted is tuple and isinstance(value, list):
        value = tuple(value)
    fits = isinstance(value, wanted) or (wanted is float and type(value) is int)
    if not fits or (isinstance(value, bool) and wanted is not bool):
        raise DataError("recipe_type", recipe=name, setting=key, value=str(value), wanted=wanted.__name__)
    return value
