"""What ``load_hub_model`` accepts, what it refuses, and how it names weights."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model_families import Family
from tests.tiny_models import TEXT_TEMPLATE, build_tiny_lm, build_tiny_open_clip
from tests.vision.tiny_gguf import write_tiny_gguf
from vision.downloads import checkpoints
from vision.errors import ModelError, WeightsError
from vision.huggingface.chat_template import ChatTemplate
from vision.huggingface.loading import load_gguf_in_transformers, load_hub_model, weights_sha256
from vision.interfaces import Message, Sampling
from vision.llm import template_sandbox
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
    with pytest.raises(ModelError, match="hub_not_asked: model=owner/none"):
        load_hub_model("owner/none")


class Hub:
    """A stand-in for the hub on this machine that answers everything the same way."""

    def __init__(self, status: int = 200, code: str = "", body: bytes = b"{}", silent: bool = False) -> None:
        self.over = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if silent:
                    hub.over.wait(30)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if code:
                    self.send_header("X-Error-Code", code)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hub_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hub]]:
    """Hubs that take the place of the real one, with an empty cache."""
    from huggingface_hub import constants

    running: list[Hub] = []

    def made(**options: Any) -> Hub:
        running.append(Hub(**options))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", running[-1].address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        return running[-1]

    yield made
    for hub in running:
        hub.close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"status": 401}, "hub_answers: model=owner/none, status=401"),
        ({"status": 403}, "hub_answers: model=owner/none, status=403"),
        ({"status": 403, "code": "GatedRepo"}, "hub_gated: model=owner/none"),
        ({"status": 404}, "hub_answers: model=owner/none, status=404"),
        ({"status": 404, "code": "RepoNotFound"}, "hub_no_model: model=owner/none"),
        ({"status": 404, "code": "RevisionNotFound"}, "hub_no_revision: model=owner/none, revision=None"),
        ({"status": 500}, "hub_answers: model=owner/none, status=500"),
        ({"body": b"<html>log in to this network first</html>"}, "hub_fetch_failed: model=owner/none"),
        ({"silent": True}, "hub_unreachable: model=owner/none"),
    ],
)
def test_what_a_hub_answers_is_one_clear_error(
    hub_of: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: str
) -> None:
    monkeypatch.setattr(checkpoints, "HUB_TIMEOUT_S", 0.3 if options.get("silent") else 20.0)
    hub_of(**options)
    with pytest.raises(ModelError, match=f"^{error}"):
        load_hub_model("owner/none")


def test_a_hub_that_is_not_there_is_one_clear_error(hub_of: Callable[..., Hub]) -> None:
    hub_of().close()
    with pytest.raises(ModelError, match=r"^hub_unreachable: model=owner/none"):
        load_hub_model("owner/none")


PUBLISHED = (
    TEXT_TEMPLATE,
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content + eos_token }}"
    "{% endgeneration %}{% else %}[{{ m['content'] | trim }}]{% endif %}{% endfor %}",
    "{% if strftime_now is defined %}{{ strftime_now('%Y') | length }}{% endif %}{{ messages | tojson }}{{ tools }}",
    "{% for m in messages %}{% if loop.first and enable_thinking is false %}quick {% endif %}{{ m.role }}{% endfor %}",
)


@pytest.mark.parametrize("source", PUBLISHED)
def test_a_template_writes_what_transformers_has_it_write(folder: Path, source: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = source
    chat = ChatTemplate(tokenizer, tokenizer, pictures=False, name="tiny")
    turns = [Message.of("user", " Two birds? 好 "), Message.of("assistant", "An owl."), Message.of("user", "More?")]
    plain = [{"role": turn.role, "content": turn.text} for turn in turns]
    expected = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert chat.render(turns).text == expected


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "{{ 'x' * 9999999999 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages.append(1) }}",
        "{% for m in messages %}{% for c in m.content recursive %}{{ loop(c) }}{% endfor %}{% endfor %}",
        "{% if %}",
    ],
)
def test_a_hostile_template_of_a_checkpoint_has_the_budget_that_one_of_a_gguf_file_has(
    copy: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_sandbox, "MOST_STEPS", 20_000)
    (copy / "chat_template.jinja").write_text(source)
    with pytest.raises((ModelError, WeightsError), match=r"^template_"):
        load_hub_model(str(copy), device="cpu").stream([Message.of("user", "Hello")], Sampling(max_tokens=1))


def test_a_name_that_no_hub_could_have_is_refused() -> None:
    with pytest.raises(ModelError, match="checkpoint_folder_missing"):
        load_hub_model("owner/na me?")


def test_an_encoder_is_refused_by_its_kind(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ModelError, match=r"checkpoint_does_not_write: .*kind=clip"):
        load_hub_model(str(copy))


_HEADED = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 2048}
_RECURRENT = {"head_dim": 8, "lru_width": 32, "attention_window_size": 16, "block_types": ["recurrent", "attention"]}


@pytest.mark.parametrize(
    ("kind", "settings", "error"),
    [
        ("bert", {}, "checkpoint_looks_ahead"),
        ("recurrent_gemma", _RECURRENT, "checkpoint_forgets"),  # its state is in its layers, one for all prompts
        ("openai-gpt", _HEADED, "checkpoint_not_run"),  # knows no cache
    ],
)
def test_a_class_that_does_not_read_as_a_writer_must_is_refused_with_what_it_lacks(
    tmp_path: Path, kind: str, settings: dict[str, Any], error: str
) -> None:
    folder = Family("test", kind, settings=settings).build(tmp_path)
    with pytest.raises(ModelError, match=f"^{error}: .*kind={kind}"):
        load_hub_model(str(folder), device="cpu")


@pytest.mark.parametrize("kind", ["gpt_neo", "biogpt", "trocr", "jamba"])
def test_a_class_that_nobody_thought_of_scores_several_prompts_as_a_plain_pass_does(tmp_path: Path, kind: str) -> None:
    settings = {
        "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
        "biogpt": {},
        "trocr": {"d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64},
        "jamba": {
            "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
            "num_experts": 2, "use_mamba_kernels": False, "mamba_dt_rank": 4,
        },
    }  # fmt: skip
    model = load_hub_model(str(Family("test", kind, settings=settings[kind]).build(tmp_path)), device="cpu")
    prompts = [(Message.of("user", f"It is {what}"),) for what in ("a boat", "the red parrot in the old tree")]
    for prompt, (score,) in zip(prompts, model.score_batch(prompts, [[" the"]] * 2), strict=True):
        ids, option = model.encoder.encode(prompt).ids, model.encoder.encode_continuation(" the")
        with torch.no_grad():
            logits = model.network(input_ids=torch.tensor([[*ids, *option]])).logits[0].float()
        found = torch.log_softmax(logits[len(ids) - 1 : -1], dim=-1)
        expected = sum(float(found[i, token]) for i, token in enumerate(option))
        assert score == pytest.approx(expected, abs=1e-4)


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


@pytest.mark.parametrize(
    ("number", "asked", "continued"),
    [
        (0, "Be brief. USER: Hello ASSISTANT:", "Be brief. USER: Hello ASSISTANT: The river"),
        (
            1,
            "Be brief.\n\n### Instruction:\nHello\n\n### Response:\n",
            "Be brief.\n\n### Instruction:\nHello\n\n### Response:\nThe river",
        ),
    ],
    ids=["Vicuna", "Alpaca"],
)
def test_the_documented_templates_write_what_such_models_were_trained_on(
    copy: Path, number: int, asked: str, continued: str
) -> None:
    docs = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    (copy / "chat_template.jinja").write_text(re.findall(r"```jinja\n(.*?)\n```", docs, re.DOTALL)[number])
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    chat = ChatTemplate(tokenizer, tokenizer, pictures=False, name="tiny")
    prompt = [Message.of("system", "Be brief."), Message.of("user", "Hello")]
    assert chat.render(prompt).text == asked
    assert chat.render([*prompt, Message.of("assistant", "The river")]).text == continued
    assert load_hub_model(str(copy), device="cpu").score(prompt, ["yes"])[0] < 0


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
