"""The hub profile from TOML to article, on tiny random checkpoints that the test builds: real loading, real pixels."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from composer.article.serialization import dump
from composer.pipeline import loading as parts
from composer.request import ComposeRequest
from composer.settings import load_settings, parse_settings
from image_db.indexing import index_paths
from image_db.library import Library
from tests.composer.small_pipeline import paint
from tests.tiny_models import build_tiny_open_clip, build_tiny_vlm
from tests.vision.tiny_xcomposer import write_tiny_xcomposer
from vision.errors import ModelError

TEXT = "\n\n".join(f"The {c} wall stands in the old town where it was painted many years ago." for c in ("red", "blue"))


@pytest.fixture(scope="module", params=["hub", "xcomposer"])
def profile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of one's own with local folders where the shipped one names hub checkpoints."""
    folder = tmp_path_factory.mktemp("hub")
    clip = build_tiny_open_clip(folder / "clip")
    if request.param == "hub":
        vlm = build_tiny_vlm(folder / "vlm")
    else:
        vlm = write_tiny_xcomposer(folder / "vlm", max_position_embeddings=8192)
    path = folder / "mine.toml"
    path.write_text(
        f'[writer]\nkind = "{request.param}"\nmodel = "{vlm}"\ndevice = "cpu"\n'
        f'[encoder]\nkind = "open_clip"\nmodel = "{clip}"\ndevice = "cpu"\n'
        "[pictures]\nmin_fused = 0.0\njudge_weight = 1.0\ncandidates = 3\n[writing]\nplan_from_library = 2\n"
    )
    return path


def test_a_model_that_sees_chooses_by_pixels_with_any_open_clip_encoder(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(str(profile))
    encoder = parts.load_encoder(settings)
    for colour in ("red", "blue", "green"):
        paint(tmp_path / "pictures" / f"{colour}.png", colour, f"a {colour} wall")
    with Library.create(tmp_path / "library", encoder.identity) as library:
        assert index_paths(library, encoder, [tmp_path / "pictures"]).added == 3
    pipeline = parts.load_pipeline(settings, tmp_path / "library")
    assert pipeline.model.sees_images

    looked = []
    score = type(pipeline.model).score_batch

    def watched(self, prompts, options):
        asked = [message for prompt in prompts for message in prompt[-2:]]  # after the pictures chosen so far
        looked.extend(part for message in asked for part in message.content if not isinstance(part, str))
        return score(self, prompts, options)

    monkeypatch.setattr(type(pipeline.model), "score_batch", watched)
    request = ComposeRequest(text=TEXT, images=2, seed=3)
    article = pipeline.compose(request)

    # Slots times candidates; XComposer sees those of a slot at once, after the picture chosen before.
    assert len(looked) == 2 * 3 + (settings.writer.kind == "xcomposer")
    judged = [c.log_prob for p in article.placements for c in p.candidates]
    assert all(value is not None and value < 0 for value in judged)
    assert article.provenance["models"]["encoder"]["sha256"] == encoder.identity.sha256
    assert dump(article) == dump(pipeline.compose(request))


def test_a_quantization_that_xcomposer_lacks_is_refused(tmp_path: Path) -> None:
    values = {"writer": {"kind": "xcomposer", "model": str(tmp_path), "quantization": "4bit"}}
    with pytest.raises(ModelError, match="quantization_unsupported: given=4bit, kind=xcomposer"):
        parts.load_language_model(parse_settings("mine", values).writer)


def test_the_profile_s_own_model_can_describe_pictures(tmp_path: Path) -> None:
    folder = str(write_tiny_xcomposer(tmp_path))
    settings = parse_settings("mine", {"writer": {"kind": "xcomposer", "model": folder, "device": "cpu"}})
    assert parts.load_seeing_model(folder, settings).identity.name == folder


def test_the_shipped_profile_differs_only_in_names_that_need_a_hub() -> None:
    text = (Path(parts.__file__).parents[1] / "profiles" / "hub.toml").read_text(encoding="utf-8")
    settings = parse_settings("hub", tomllib.loads(text))
    assert (settings.writer.kind, settings.encoder.kind) == ("hub", "open_clip")
    assert settings.pictures.judge_weight > 0
