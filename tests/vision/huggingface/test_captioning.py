"""Captions come from any model that sees, and do not depend on what else is asked."""

from pathlib import Path

import pytest

from tests.vision.tiny_bridge import picture, tiny_bridge, tiny_language, tiny_language_file, tiny_tower
from vision.bridge.bridged_model import bridged_model
from vision.errors import ModelError
from vision.huggingface.captioning import _sentences, write_captions
from vision.interfaces import Sampling, VisionLanguageModel

PICTURES = [picture(colour) for colour in ("red", "green", "blue")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VisionLanguageModel:
    tower, language = tiny_tower(), tiny_language(tmp_path_factory.mktemp("language"))
    return bridged_model(tower, tiny_bridge(tower, language), language)


def test_captions_are_one_line_for_each_picture_and_the_same_alone(model: VisionLanguageModel) -> None:
    short = Sampling(max_tokens=6, temperature=0, stop=("\n",))
    together = write_captions(model, PICTURES, short)
    assert len(together) == 3
    assert all("\n" not in text for text in together)
    assert [write_captions(model, [image], short)[0] for image in PICTURES] == together
    assert write_captions(model, []) == []


def test_a_sentence_cut_off_by_the_limit_is_left_out_where_another_stands() -> None:
    assert _sentences("A wall. It is", whole=False) == "A wall."
    assert _sentences("A wall that is", whole=False) == "A wall that is"
    assert _sentences("A wall. It is", whole=True) == "A wall. It is"
    assert _sentences("一堵墙。它", whole=False) == "一堵墙。"


def test_a_model_without_eyes_is_refused(tmp_path: Path) -> None:
    from vision.llm.model import load_gguf_model

    blind = load_gguf_model(tiny_language_file(tmp_path), cache_dir=tmp_path, threads=1)
    with pytest.raises(ModelError) as caught:
        write_captions(blind, PICTURES)
    assert caught.value.key == "model_sees_nothing"
