"""Each part of a profile is tried, and what fails says what to do."""

import numpy as np
import pytest

from composer.i18n import localize
from composer.pipeline import trial
from composer.settings import EncoderSettings, Settings
from tests.composer.scripted_model import ScriptedModel
from tests.fakes import ColourEncoder
from vision.bridge.drafting import CaptionDraft
from vision.errors import ModelError, WeightsError


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "check_fits", lambda settings: None)
    monkeypatch.setattr(trial, "load_language_model", lambda language: ScriptedModel(lambda *_: " A red boat sails."))
    monkeypatch.setattr(trial, "load_encoder", lambda settings: ColourEncoder())


def tried(settings: Settings) -> dict[str, trial.Trial]:
    return {one.part: one for one in trial.try_parts(settings)}


def test_the_embedded_encoder_is_tried_with_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    def draft(vectors: np.ndarray) -> list[CaptionDraft]:
        return [CaptionDraft("", ("square", "sign")) for _ in vectors]

    monkeypatch.setattr(trial, "load_drafting", lambda settings, encoder: draft)
    parts = tried(Settings("test"))
    assert list(parts) == ["memory", "writer", "encoder", "search", "drafts"]
    assert [part for part, one in parts.items() if one.failed] == []
    assert "square, sign" in localize(parts["drafts"].said, "en")
    assert "GPU" not in localize(parts["memory"].said, "en"), "there is none"
    assert "drafts" not in tried(Settings("test", encoder=EncoderSettings("open_clip", "ViT-B-32", "openai")))


@pytest.mark.parametrize(
    ("key", "tried_parts"),
    [("memory_too_small", ["memory"]), ("hub_not_asked", ["writer", "encoder", "search", "memory"])],
)
def test_what_does_not_fit_is_not_loaded_and_what_cannot_be_estimated_is_tried(
    monkeypatch: pytest.MonkeyPatch, key: str, tried_parts: list[str]
) -> None:
    def refuse(settings: Settings) -> None:
        raise ModelError(key, need=8.0, free=4.0, instead="tiny", model="a/b")

    monkeypatch.setattr(trial, "check_fits", refuse)
    served = Settings("test", encoder=EncoderSettings("open_clip", "ViT-B-32", "openai"))
    parts = tried(served)
    assert list(parts) == tried_parts
    assert parts["memory"].failed

    def missing(settings: Settings) -> None:
        raise ModelError(key, model="a/b")

    monkeypatch.setattr(trial, "load_encoder", missing)
    if key == "hub_not_asked":
        parts = tried(served)
        assert [part for part, one in parts.items() if one.failed] == ["encoder"], "the part says it, once"


def test_drafts_that_cannot_be_made_say_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(settings: Settings, encoder: ColourEncoder) -> None:
        raise WeightsError("model_missing", name="smollm2-135m-instruct", folder="/models")

    monkeypatch.setattr(trial, "load_drafting", missing)
    parts = tried(Settings("test"))
    assert [part for part, one in parts.items() if one.failed] == ["drafts"]
    assert "models pull" in localize(parts["drafts"].said, "en", terminal=True)
