"""Reads a recipe from TOML, one that ships or the user's own, and checks its values. Knows no particular recipe."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from vision.errors import DataError


class Recipe(Protocol):
    """Any dataclass with a ``name``."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


R = TypeVar("R", bound=Recipe)


def recipe_names(prefix: str) -> list[str]:
    """The recipes that ship with Vignette for one command."""
    return sorted(name for name in _shipped() if name.startswith(prefix))


def _shipped() -> dict[str, Traversable]:
    """The shipped recipes' files by name."""
    folders = [resources.files("vision.training") / subject / "recipes" for subject in ("joint", "bridge")]
    files = [file for folder in folders for file in folder.iterdir() if file.name.endswith(".toml")]
    return {file.name.removesuffix(".toml"): file for file in files}


def load_recipe(name_or_file: str, kind: type[R], prefix: str) -> R:
    """A shipped recipe by name, or a .toml file, as a ``kind``; its ``name`` is the file's.

    Raises DataError naming what to change.
    """
    if name_or_file.endswith(".toml"):
        path = Path(name_or_file)
        if not path.is_file():
            raise DataError(f"--recipe {name_or_file}: there is no such file")
        text, name = path.read_text(encoding="utf-8"), path.stem
    elif name_or_file in (shipped := recipe_names(prefix)):
        name = name_or_file
        text = _shipped()[name].read_text(encoding="utf-8")
    else:
        raise DataError(f"--recipe {name_or_file} is not known; use one of: {', '.join(shipped)}, or a .toml file")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"recipe {name} is not TOML: {error}") from error
    known = {field.name: field.default for field in fields(kind) if field.name != "name"}
    values = {key: _checked(name, key, value, known) for key, value in table.items()}
    return kind(**{"name": name, **values})


def demand_above_0(recipe: Any, *names: str) -> None:
    for name in names:
        if getattr(recipe, name) <= 0:
            raise DataError(f"recipe {recipe.name}: {name} is {getattr(recipe, name)}; it must be above 0")


def demand_0_or_more(recipe: Any, *names: str) -> None:
    for name in names:
        if getattr(recipe, name) < 0:
            raise DataError(f"recipe {recipe.name}: {name} is {getattr(recipe, name)}; it must be 0 or more")


def demand_a_share(recipe: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(recipe, name) < 1:
            raise DataError(f"recipe {recipe.name}: {name} is {getattr(recipe, name)}; it must be in [0, 1)")


def demand_one_of(recipe: Any, name: str, allowed: tuple[str, ...]) -> None:
    if getattr(recipe, name) not in allowed:
        raise DataError(f"recipe {recipe.name}: {name} is {getattr(recipe, name)!r}; use {', '.join(allowed)}")


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
