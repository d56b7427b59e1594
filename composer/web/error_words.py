"""Errors, notices and reasons in words for whoever reaches the page, who may be no one to be shown this machine."""

from __future__ import annotations

from pathlib import Path

from composer.i18n import localize
from vision.errors import KeyedError, Phrase


def error_words(said: object, language: str, *, hide_paths: bool) -> str:
    """``localize``, with ``hide_paths`` the last part of every path of this machine instead of the whole."""
    return localize(_without_paths(said) if hide_paths else said, language)


def _without_paths(said: object) -> object:
    if isinstance(said, (KeyedError, Phrase)):
        return Phrase(said.key, {name: _without_paths(value) for name, value in said.values.items()})
    if isinstance(said, OSError):
        return said.strerror or type(said).__name__
    if isinstance(said, (list, tuple)):
        return [_without_paths(part) for part in said]
    if isinstance(said, Path) or (isinstance(said, str) and Path(said).is_absolute()):
        return Path(said).name
    return said
