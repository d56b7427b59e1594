"""Strict loading: every tensor by its published name and shape, or one error that names what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.vision.tiny_xcomposer import published_shapes, write_tiny_xcomposer
from vision.errors import ModelError, Phrase
from vision.huggingface.loading import load_hub_model
from vision.interfaces import Message, VisionLanguageModel
from vision.xcomposer.checkpoint import weight_files
from vision.xcomposer.loading import load_xcomposer

QUESTION = (Message.of("user", "Which?"),)


def load(folder: Path, **options: Any) -> VisionLanguageModel:
    return load_xcomposer(str(folder), device="cpu", **options)


@pytest.fixture(scope="module", params=["tiles", "square"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VisionLanguageModel:
    return load(write_tiny_xcomposer(tmp_path_factory.mktemp("model"), tiles=request.param == "tiles"))


def test_both_generations_load_and_honour_the_protocol(model: VisionLanguageModel) -> None:
    assert isinstance(model, VisionLanguageModel)
    assert model.sees_images
    assert len(model.identity.sha256) == 64
    assert model.context_tokens == 2048
    assert getattr(model, "notice", None) is None


def test_tables_and_the_projector_of_films_are_no_weights_of_ours(tmp_path: Path) -> None:
    extra = {
        "model.layers.0.attention.rotary_emb.inv_freq": (8,),
        "vit.vision_tower.vision_model.embeddings.position_ids": (1, 17),
        "video_mem_proj.0.weight": (64, 1536),
        "video_mem_proj.0.bias": (64,),
        "video_mem_proj.2.weight": (64, 64),
        "video_mem_proj.2.bias": (64,),
    }
    plain = load(write_tiny_xcomposer(tmp_path / "plain"))
    more = load(write_tiny_xcomposer(tmp_path / "more", shapes=published_shapes() | extra))
    assert more.score(QUESTION, ["yes"]) == pytest.approx(plain.score(QUESTION, ["yes"]), abs=1e-5)


def test_tunings_for_other_modes_are_set_aside_and_said_so(tmp_path: Path) -> None:
    extra = {f"model.layers.0.feed_forward.w1.lora_{mode}_A.weight": (8, 64) for mode in ("sft", "dpo", "web")}
    model: Any = load(write_tiny_xcomposer(tmp_path, shapes=published_shapes() | extra))
    assert model.notice == Phrase("xcomposer_other_modes", {"tensors": 3})


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"model.norm.weight": None}, {"tensors_missing": "model.norm.weight"}),
        ({"plora_glb_GN": None}, {"tensors_missing": "plora_glb_GN"}),
        ({"model.layers.2.ffn_norm.weight": (64,)}, {"tensors_unexpected": "model.layers.2.ffn_norm.weight"}),
        ({"model.layers.0.attention.wo.lora_A.weight": (8, 64)}, {"tensors_unexpected": "wo.lora_A.weight"}),
        ({"model.layers.1.attention.wqkv.bias": (128,)}, {"tensors_unexpected": "attention.wqkv.bias"}),
        ({"output.weight": (420, 32)}, {"tensors_misshapen": "output.weight [420, 32] ≠ [420, 64]"}),
        (
            {"model.layers.0.attention.wo.Plora_A.weight": (128, 64)},
            {"tensors_misshapen": "attention.wo.Plora_A.weight [128, 64] ≠ [256, 64]"},
        ),
        (
            {"vision_proj.2.bias": None, "vision_proj.4.bias": (64,), "model.norm.weight": (32,)},
            {
                "tensors_missing": "vision_proj.2.bias",
                "tensors_unexpected": "vision_proj.4.bias",
                "tensors_misshapen": "model.norm.weight",
            },
        ),
    ],
)
def test_a_tensor_that_is_not_as_published_is_named(
    change: dict[str, Any], faults: dict[str, str], tmp_path: Path
) -> None:
    shapes = {name: shape for name, shape in (published_shapes() | change).items() if shape is not None}
    with pytest.raises(ModelError, match="xcomposer_tensors") as caught:
        load(write_tiny_xcomposer(tmp_path, shapes=shapes))
    found: Any = caught.value.values["faults"]
    assert [fault.key for fault in found] == list(faults)
    for fault in found:
        assert fault.values["count"] == 1
        assert faults[fault.key] in fault.values["names"]


def test_of_many_missing_tensors_some_are_named_and_all_are_counted(tmp_path: Path) -> None:
    shapes = {name: shape for name, shape in published_shapes().items() if ".Plora_" not in name}
    with pytest.raises(ModelError, match="xcomposer_tensors") as caught:
        load(write_tiny_xcomposer(tmp_path, shapes=shapes))
    (fault,) = caught.value.values["faults"]  # type: ignore[misc]
    assert fault.values["count"] == 20
    assert "… +15" in fault.values["names"]


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "xcomposer_setting: .*setting=rope_scaling"),
        ({"rope_scaling": {"type": "linear", "factor": 0.5}}, "xcomposer_setting: .*setting=rope_scaling"),
        ({"hidden_act": "gelu"}, "xcomposer_setting: .*setting=hidden_act"),
        ({"num_attention_heads": 5}, "xcomposer_setting: .*setting=num_attention_heads"),
        ({"num_hidden_layers": "two"}, "xcomposer_setting: .*setting=num_hidden_layers"),
        ({"num_hidden_layers": 3}, "xcomposer_tensors"),
        ({"vocab_size": 100}, "xcomposer_vocabulary: .*rows=100"),
        ({"tiles": False, "img_size": 490}, "xcomposer_image_size: .*config=490, tensors=70"),
        ({"model_type": "InternLMXComposer"}, "xcomposer_first_generation"),
    ],
)
def test_settings_that_do_not_fit_are_refused(config: dict[str, Any], error: str, tmp_path: Path) -> None:
    folder = write_tiny_xcomposer(tmp_path, **config)
    with pytest.raises(ModelError, match=error):
        load(folder)


def test_settings_that_are_left_out_are_those_of_the_published_class(tmp_path: Path) -> None:
    """Biases, as many key-value heads as heads, a base of 10,000: with them other tensors are expected."""
    folder = write_tiny_xcomposer(tmp_path, shapes=published_shapes(), bias=None)
    with pytest.raises(ModelError, match="xcomposer_tensors") as caught:
        load(folder)
    (fault,) = caught.value.values["faults"]  # type: ignore[misc]
    assert fault.key == "tensors_missing"
    assert fault.values["count"] == 4


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="xcomposer_first_generation"):
        load(write_tiny_xcomposer(tmp_path / "first", shapes={"Qformer.bert.embeddings.LayerNorm.weight": (8,)}))
    with pytest.raises(ModelError, match="xcomposer_without_tower"):
        load(write_tiny_xcomposer(tmp_path / "words", shapes={"model.norm.weight": (8,)}))
    with pytest.raises(ModelError, match="not_a_checkpoint"):
        load(tmp_path)


def test_as_a_checkpoint_of_transformers_it_is_refused_with_the_kind_to_set(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="checkpoint_is_xcomposer"):
        load_hub_model(str(write_tiny_xcomposer(tmp_path)), device="cpu")


def test_a_tokenizer_without_the_tokens_of_the_chat_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_xcomposer(tmp_path)
    (folder / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(ModelError, match="xcomposer_tokenizer"):
        load(folder)
    (folder / "tokenizer.model").unlink()
    with pytest.raises(ModelError, match="xcomposer_tokenizer"):
        load(folder)


def test_older_weight_files_are_read_as_tensors_alone(tmp_path: Path) -> None:
    pickled = load(write_tiny_xcomposer(tmp_path / "pickled", pickled=True))
    plain = load(write_tiny_xcomposer(tmp_path / "plain"))
    assert pickled.score(QUESTION, ["yes"]) == pytest.approx(plain.score(QUESTION, ["yes"]), abs=1e-5)
    assert pickled.identity.sha256 != plain.identity.sha256


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("evil-ran"),)  # type: ignore[return-value]


def test_code_in_an_older_weight_file_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_tiny_xcomposer(tmp_path / "evil", pickled=True)
    torch.save({"model.norm.weight": _Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="checkpoint_not_loaded"):
        load(folder)
    assert not (tmp_path / "evil-ran").exists()


def test_a_damaged_or_missing_weight_file_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_xcomposer(tmp_path)
    first = weight_files(folder, "tiny")[0]
    first.write_bytes(first.read_bytes()[:200])
    with pytest.raises(ModelError, match="checkpoint_not_loaded"):
        load(folder)
    for file in weight_files(folder, "tiny"):
        file.unlink()
    with pytest.raises(ModelError, match="checkpoint_without_weights"):
        load(folder)


def test_the_context_is_what_it_was_trained_for_or_less(tmp_path: Path) -> None:
    folder = write_tiny_xcomposer(tmp_path)
    assert load(folder, context_tokens=1024).context_tokens == 1024
    assert load(folder, context_tokens=8192).context_tokens == 2048
    with pytest.raises(ModelError, match="option_below_one"):
        load(folder, context_tokens=0)


def test_a_dtype_is_taken_and_an_unknown_one_refused(tmp_path: Path) -> None:
    folder = write_tiny_xcomposer(tmp_path)
    wide, narrow = (load(folder, dtype=dtype).score(QUESTION, ["yes"])[0] for dtype in ("float32", "bfloat16"))
    assert narrow == pytest.approx(wide, rel=0.1)
    assert narrow != wide
    with pytest.raises(ModelError, match="dtype_unknown: dtype=int3"):
        load(folder, dtype="int3")


def test_the_config_is_read_as_it_was_published(tmp_path: Path) -> None:
    """Settings of other code, which the published files also hold, are no errors."""
    folder = write_tiny_xcomposer(tmp_path, max_length=16384, attn_implementation="flash_attention_2", use_cache=False)
    assert json.loads((folder / "config.json").read_text())["max_length"] == 16384
    assert load(folder).score(QUESTION, ["yes"])[0] < 0
