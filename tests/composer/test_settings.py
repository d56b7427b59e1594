"""Profiles are read strictly, and every message names what to change."""

from pathlib import Path

import pytest

from composer.errors import SettingsError
from composer.settings import PictureSettings, load_settings, parse_settings, profile_names


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_loads_and_says_what_it_is_for(name: str) -> None:
    settings = load_settings(name)
    assert settings.name == name
    assert settings.description


def test_embedded_comes_first() -> None:
    assert profile_names() == ("embedded", "hub", "tiny")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"languages": {}}, "unknown key 'languages'; known: description, encoder, language, pictures, writing"),
        ({"writing": {"heat": 1.0}}, "unknown key writing.heat; known: temperature, top_p"),
        ({"writing": {"temperature": "hot"}}, "writing.temperature is 'hot'; it must be of type float"),
        ({"pictures": {"candidates": True}}, "pictures.candidates is True; it must be of type int"),
        ({"pictures": {"min_fused": 2}}, "pictures.min_fused is 2.0; it must be between 0.0 and 1.0"),
        ({"language": {"kind": "gpt"}}, "language.kind is 'gpt'; use one of: gguf, hub, bridge"),
        ({"encoder": {"kind": "open_clip"}}, "encoder.model is empty; name an open_clip model"),
        ({"writing": 3}, r"writing must be a table, \[writing\]"),
    ],
)
def test_what_is_wrong_is_named(values: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings("mine", values)


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="--profile big is not known; use one of: embedded, hub, tiny"):
        load_settings("big")


def test_a_profile_of_ones_own_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[pictures]\nmin_fused = 1\n")
    settings = load_settings(str(path))
    assert settings.name == "mine"
    assert settings.pictures == PictureSettings(min_fused=1.0)


@pytest.mark.parametrize(("text", "message"), [("[x", "is not valid TOML"), (None, "there is no such file")])
def test_a_broken_or_missing_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_settings(str(path))
