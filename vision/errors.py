"""The exception tree of ``vision``, and the base of every package's.

KeyedError
└── VisionError
    ├── WeightsError        a model file is missing, damaged or cannot be fetched
    ├── ModelError          a checkpoint is of a kind this program cannot run
    │   └── KernelsUnavailable  the C engine cannot be built here
    ├── ImageError          a picture cannot be decoded safely
    ├── DataError           training data or a recipe is missing or malformed
    └── PromptTooLong       a prompt does not fit the model's context window

An error carries a key and values; ``composer.i18n`` has its words in every language. They say what failed, the value,
and what to do next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Phrase:
    """Something a person may read, before it is put into a language: a key of ``composer/i18n`` and its values.

    Values are JSON values, other phrases, errors, or lists of these.
    """

    key: str
    values: Mapping[str, object] = field(default_factory=dict, hash=False)


class KeyedError(Exception):
    """An error that this program raises on purpose. ``key`` names what happened, ``values`` what it happened to."""

    def __init__(self, key: str = "", /, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values = values

    def __str__(self) -> str:
        said = ", ".join(f"{name}={value!s}" for name, value in self.values.items())
        return f"{self.key}: {said}" if said else self.key


def phrase_to_json(said: Phrase | KeyedError) -> dict[str, Any]:
    """Key and values as JSON; numbers are rounded as scores are, and an error among the values becomes its own key."""
    return {"key": said.key, "values": {name: _value_to_json(value) for name, value in said.values.items()}}


def phrase_from_json(data: Any) -> Phrase:
    """Read what ``phrase_to_json`` wrote. Raises TypeError for anything else."""
    values = data.get("values") if isinstance(data, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(data.get("key"), str):
        raise TypeError(f"{str(data)[:80]} is no reason")
    return Phrase(data["key"], {str(name): _value_from_json(value) for name, value in values.items()})


def _value_to_json(value: object) -> Any:
    if isinstance(value, (Phrase, KeyedError)):
        return phrase_to_json(value)
    if isinstance(value, (list, tuple)):
        return [_value_to_json(item) for item in value]
    if isinstance(value, float):
        return round(float(value), 4)
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


def _value_from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return phrase_from_json(value)
    return [_value_from_json(item) for item in value] if isinstance(value, list) else value


class VisionError(KeyedError):
    """Base of everything ``vision`` raises on purpose."""


class WeightsError(VisionError):
    """A model file is missing, damaged, or cannot be fetched."""


class ModelError(VisionError):
    """A checkpoint is of a kind this program cannot run, or an option does not fit it."""


class KernelsUnavailable(ModelError):
    """The C engine cannot be built here; says why and what to install."""


class ImageError(VisionError):
    """A picture cannot be decoded, or is too large to decode safely."""


class PromptTooLong(VisionError):
    """A prompt does not fit the model's context window."""


class DataError(VisionError):
    """Training data or a recipe is missing or malformed."""
