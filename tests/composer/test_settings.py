"""Profiles are read strictly, and every message names what to change."""

from pathlib import Path

import pytest

from composer.errors import UsageError
from composer.settings import IllustrationSettings, load_settings, parse_settings, profile_names


@pytest.mark.parametrize("name", profile_names()[1:])
def test_every_shipped_profile_loads_and_says_what_it_is_for(name: str) -> None:
    settings = load_settings(name)
    assert settings.name == name
    assert settings.description


def test_auto_comes_first_and_then_what_needs_neither_hub_nor_gpu() -> None:
    assert profile_names() == ("auto", "embedded", "desktop", "gpu", "hub", "laptop", "server", "tiny")


@pytest.mark.parametrize(
    ("values", "key", "field"),
    [
        ({"languages": {}}, "field_unknown", "languages"),
        ({"writing": {"heat": 1.0}}, "field_unknown", "writing.heat"),
        ({"writing": {"temperature": "hot"}}, "field_wrong_kind", "writing.temperature"),
        ({"pictures": {"candidates": True}}, "field_wrong_kind", "pictures.candidates"),
        ({"pictures": {"min_fused": 2}}, "field_range", "pictures.min_fused"),
        ({"pictures": {"candidates": 10**400}}, "field_range", "pictures.candidates"),
        ({"writing": {"temperature": 10**400}}, "field_wrong_kind", "writing.temperature"),
        ({"writer": {"kind": "gpt"}}, "field_choice", "writer.kind"),
        ({"writer": {"threads": -1}}, "field_too_low", "writer.threads"),
        ({"judge": {"quantization": "3bit"}}, "field_choice", "judge.quantization"),
        ({"judge": {"modell": "x"}}, "field_unknown", "judge.modell"),
        ({"language": {"kind": "gpt"}}, "field_choice", "writer.kind"),
        ({"language": {}, "writer": {}}, "field_twice", "writer"),
        ({"encoder": {"kind": "clip"}}, "field_choice", "encoder.kind"),
        ({"encoder": {"kind": "open_clip"}}, "encoder_model_missing", None),
        ({"writing": 3}, "field_wrong_kind", "writing"),
    ],
)
def test_what_is_wrong_is_named(values: dict, key: str, field: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings("mine", values)
    assert (caught.value.key, caught.value.values.get("field")) == (key, field)


def test_the_writer_judges_unless_another_model_does() -> None:
    alone = parse_settings("mine", {"writer": {"model": "a.gguf"}})
    assert alone.judge is alone.writer
    apart = parse_settings("mine", {"writer": {"model": "a.gguf"}, "judge": {"kind": "hub", "model": "b/c"}})
    assert (apart.writer.model, apart.judge.kind, apart.judge.model) == ("a.gguf", "hub", "b/c")


def test_the_section_of_earlier_profiles_is_the_writer() -> None:
    assert parse_settings("mine", {"language": {"kind": "hub", "model": "a/b"}}).writer.model == "a/b"


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        load_settings("big")
    assert caught.value.values == {"profile": "big", "known": list(profile_names())}


def test_a_profile_of_ones_own_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[pictures]\nmin_fused = 1\n")
    settings = load_settings(str(path))
    assert settings.name == "mine"
    assert settings.pictures == IllustrationSettings(min_fused=1.0)


@pytest.mark.parametrize(
    ("text", "key"),
    [("[x", "profile_not_toml"), (None, "profile_missing"), ("[pictures]\nmin_fused = 7\n", "profile_wrong")],
)
def test_a_broken_or_missing_file_is_named(tmp_path: Path, text: str | None, key: str) -> None:
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings(str(path))
    assert (caught.value.key, caught.value.values["profile"]) == (key, str(path))
