"""What ``load_hub_model`` accepts, what it refuses, and how it names weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import TEXT_TEMPLATE, build_tiny_lm, build_tiny_open_clip
from tests.vision.tiny_gguf import write_tiny_gguf
from vision.errors import ModelError
from vision.huggingface.chat_template import ChatTemplate
from vision.huggingface.loading import load_gguf_in_transformers, load_hub_model, weights_sha256
from vision.interfaces import Message
from vision.llm.model import load_gguf_model

NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEXT_TEMPLATE
IGNORES_SYSTEM = "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}" + TEXT_TEMPLATE

AT_MOST_TWO = "{% if messages | length > 2 %}{{ raise_exception('too many') }}{% endif %}" + TEXT_TEMPLATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"device": "toaster"}, "device_unknown: device=toaster"),
        ({"dtype": "int3"}, "dtype_unknown: dtype=int3"),
        ({"device": "cpu", "quantization": "4bit"}, "quantization_needs_cuda: given=4bit, device=cpu"),
        ({"device": "cpu", "quantization": "2bit"}, "quantization_unknown: given=2bit"),
        ({"device": "cpu", "context_tokens": 0}, "option_below_one: option=context_tokens, given=0"),
    ],
)
def test_an_option_that_does_not_fit_is_named(folder: Path, options: dict[str, Any], error: str) -> None:
    with pytest.raises(ModelError, match=error):
        load_hub_model(str(folder), **options)


def test_a_folder_that_is_missing_or_holds_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="checkpoint_folder_missing"):
        load_hub_model(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="not_a_checkpoint"):
        load_hub_model(str(tmp_path))


def test_a_model_that_is_not_cached_is_one_clear_error_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="hub_unreachable: model=owner/none"):
        load_hub_model("owner/none")


def test_a_name_that_no_hub_could_have_is_refused() -> None:
    with pytest.raises(ModelError, match="checkpoint_folder_missing"):
        load_hub_model("owner/na me?")


def test_an_encoder_is_refused_by_its_kind(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ModelError, match=r"checkpoint_does_not_write: .*kind=clip"):
        load_hub_model(str(copy))


def test_an_unknown_kind_with_code_of_its_own_is_refused_and_its_code_not_run(copy: Path) -> None:
    (copy / "evil.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    change_config(copy, model_type="evil", auto_map={"AutoConfig": "evil.Config"})
    with pytest.raises(ModelError, match=r"checkpoint_brings_code: .*kind=evil"):
        load_hub_model(str(copy))
    assert not (copy / "ran").exists()


def test_pickled_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="checkpoint_without_safetensors"):
        load_hub_model(str(copy))


def test_a_damaged_weight_file_is_refused(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="checkpoint_not_loaded"):
        load_hub_model(str(copy))


def test_missing_weights_are_not_filled_with_random_numbers(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"checkpoint_incomplete: .*missing=1, first=model\.norm\.weight"):
        load_hub_model(str(copy))


def test_a_checkpoint_without_chat_template_is_refused(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="template_missing"):
        load_hub_model(str(copy))


@pytest.mark.parametrize("template", [NO_SYSTEM, IGNORES_SYSTEM])
def test_the_system_role_joins_the_first_user_turn_where_a_template_has_none(copy: Path, template: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.chat_template = template
    chat = ChatTemplate(tokenizer, tokenizer, pictures=False, name="tiny")
    text = chat.render([Message.of("system", "Be brief."), Message.of("user", "Hello")]).text
    assert text == "<|start|>user\nBe brief.\n\nHello<|end|>\n<|start|>assistant\n"


def test_a_template_that_refuses_the_turns_says_so(copy: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.chat_template = AT_MOST_TWO
    chat = ChatTemplate(tokenizer, tokenizer, pictures=False, name="tiny")
    with pytest.raises(ModelError, match="template_refuses: model=tiny, reason=too many"):
        chat.render([Message.of("user", "Hello")] * 3)


def test_the_identity_changes_with_weights_and_config_and_with_nothing_else(copy: Path) -> None:
    before = weights_sha256(copy)
    (copy / "README.md").write_text("words")
    assert weights_sha256(copy) == before
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert weights_sha256(copy) != before


def test_a_blob_of_the_hub_cache_gives_its_hash_by_name(copy: Path, tmp_path: Path) -> None:
    before = weights_sha256(copy)
    weights = copy / "model.safetensors"
    blob = tmp_path / hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.rename(blob)
    weights.symlink_to(blob)
    assert weights_sha256(copy) == before


def test_the_tiny_open_clip_model_loads_by_its_folder(tmp_path: Path) -> None:
    import open_clip
    import torch

    name = f"local-dir:{build_tiny_open_clip(tmp_path / 'clip')}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    from PIL import Image

    model.eval()
    tokens = open_clip.get_tokenizer(name)(["a red parrot", "a boat"])
    with torch.no_grad():
        texts = model.encode_text(tokens)
        pixels = torch.stack([preprocess(Image.new("RGB", (50, 40), colour)) for colour in ("red", "blue")])
        images = model.encode_image(pixels)
    assert texts.shape == images.shape == (2, 16)
    assert not torch.allclose(texts[0], texts[1])
    assert not torch.allclose(images[0], images[1])


def test_a_limit_above_what_the_model_reads_is_lowered_to_it(tmp_path: Path) -> None:
    model = load_hub_model(str(build_tiny_lm(tmp_path / "lm")), device="cpu", context_tokens=100_000)
    assert model.context_tokens == 2048


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_gguf_file_runs_through_transformers_as_it_does_in_the_engine(tmp_path: Path, architecture: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", architecture)
    engine = load_gguf_model(path, threads=1, context_tokens=256)
    model = load_gguf_in_transformers(path, device="cpu", context_tokens=256)
    prompt = [Message.of("system", "Be brief."), Message.of("user", "hi <|im_end|>")]
    assert (model.identity.sha256, model.context_tokens) == (engine.identity.sha256, 256)
    assert model.score(prompt[:1], ["a", "the"]) == pytest.approx(engine.score(prompt[:1], ["a", "the"]), abs=0.3)
    ids = model._encoder.encode(prompt).ids
    assert sum(i in model._ends for i in ids) == 2, "what a message spells ended its turn"
