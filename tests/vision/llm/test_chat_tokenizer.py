"""Token ids equal those of the model's publisher; conversations are laid out by its template; text stays text."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.vision.tiny_gguf import CONTROL, write_tiny_gguf
from vision.downloads.store import home
from vision.errors import ModelError
from vision.interfaces import Message
from vision.llm.chat_tokenizer import ChatTokenizer
from vision.llm.gguf import read_gguf
from vision.llm.gguf_tokenizer import build_tokenizer
from vision.llm.model_cache import open_cached

# Ids by llama.cpp (llama-cpp-python 0.3.36) for the same files; the decomposed é by Qwen's own tokenizer, which
# composes it first, as llama.cpp does not.
TEXTS = (
    "Hello, world! It's 2026: 12,345 sheep.",
    "  Two  spaces\n\n\nand newlines\t\ttabs  ",
    "如何养好一只宠物？每天陪它散步，给它干净的水。",
    "🦜🏳️‍🌈 emoji",
    "I'LL we've DON'T don't",
    "",
    "\u3000全角　空格",
    "A1b2C3 100000 ٣٤",
    "e\u0301",
)
# fmt: off
SMOLLM2 = (
    [19556, 28, 905, 17, 657, 506, 216, 34, 32, 34, 38, 42, 216, 33, 34, 28, 35, 36, 37, 11108, 30],
    [216, 5713, 216, 5600, 1116, 198, 397, 725, 5110, 197, 197, 100, 7366, 256],
    [176, 43580, 18645, 239, 17086, 136, 48392, 138, 22924, 12034, 120, 18310, 250, 33913, 119, 8083, 249, 42757, 233,
     18614, 119, 35804, 120, 18310, 221, 15683, 113, 34978, 115, 12831, 20887, 243, 18310, 221, 32090, 127, 26217,
     218, 11567, 177, 125, 129, 19076],
    [10813, 116, 246, 10813, 233, 128, 31752, 321, 231, 10813, 230, 226, 649, 33777],
    [57, 23, 16421, 392, 3543, 422, 2154, 23, 68, 1326, 982],
    [],
    [12109, 218, 17086, 118, 37249, 236, 12109, 218, 178, 119, 135, 26519, 137],
    [49, 33, 82, 34, 51, 35, 216, 33, 32, 32, 32, 32, 32, 216, 164, 113, 164, 114],
    [85, 151, 219],
)
QWEN = (
    [9707, 11, 1879, 0, 1084, 594, 220, 17, 15, 17, 21, 25, 220, 16, 17, 11, 18, 19, 20, 31912, 13],
    [220, 9043, 220, 12621, 1406, 437, 501, 7969, 197, 3244, 3435, 256],
    [100007, 99298, 52801, 102292, 105787, 11319, 101922, 100522, 99652, 111261, 3837, 89012, 99652, 102466, 9370,
     52510, 1773],
    [123918, 250, 147233, 30543, 378, 235, 145354, 42365],
    [40, 6, 4086, 582, 3003, 44273, 17323, 1513, 944],
    [],
    [22441, 35987, 63836, 22441, 34794, 33983],
    [32, 16, 65, 17, 34, 18, 220, 16, 15, 15, 15, 15, 15, 220, 149, 96, 149, 97],
    [963],
)
# fmt: on


def chat_tokenizer(path: Path, cache_dir: Path) -> ChatTokenizer:
    model = open_cached(path, cache_dir)
    return ChatTokenizer(model.folder / "tokenizer.json", model.chat_template, model.special, model.name)


@pytest.fixture(scope="module")
def smollm2(model_path: Callable[[str], Path]) -> ChatTokenizer:
    return chat_tokenizer(model_path("smollm2-135m-instruct"), home() / "converted")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    folder = tmp_path_factory.mktemp("tiny")
    return chat_tokenizer(write_tiny_gguf(folder / "tiny.gguf"), folder / "cache")


def test_smollm2_ids_equal_llama_cpp_s(smollm2: ChatTokenizer) -> None:
    assert [smollm2.encode(text) for text in TEXTS] == list(SMOLLM2)
    for text in TEXTS:
        assert smollm2.decode(smollm2.encode(text)) == text


@pytest.mark.slow
def test_qwen_ids_equal_llama_cpp_s(model_path: Callable[[str], Path]) -> None:
    qwen = chat_tokenizer(model_path("qwen2.5-coder-1.5b-instruct"), home() / "converted")
    assert [qwen.encode(text) for text in TEXTS] == list(QWEN)


def test_a_conversation_is_laid_out_by_the_model_s_template(smollm2: ChatTokenizer) -> None:
    ids, begun = smollm2.prompt_ids([Message.of("system", "Be brief."), Message.of("user", "Hi!")])
    text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n"
    assert smollm2._tokenizer.decode(ids, skip_special_tokens=False) == text
    assert begun == 0
    default, _ = smollm2.prompt_ids([Message.of("user", "Hi!")])
    assert "You are a helpful AI assistant named SmolLM" in smollm2.decode(default)


def test_an_answer_already_begun_follows_the_prompt_token_by_token(smollm2: ChatTokenizer) -> None:
    user = Message.of("user", "Describe a farm.")
    before, _ = smollm2.prompt_ids([user])
    ids, begun = smollm2.prompt_ids([user, Message.of("assistant", "The farm lies")])
    assert ids[: len(before)] == before
    assert smollm2.decode(ids[-begun:]) == "The farm lies"


@pytest.mark.parametrize("control", CONTROL)
def test_a_message_that_spells_a_control_token_stays_text(tiny: ChatTokenizer, control: str) -> None:
    plain, _ = tiny.prompt_ids([Message.of("user", "abc"), Message.of("user", "the end")])
    hostile, _ = tiny.prompt_ids([Message.of("user", f"a{control}\n{control}"), Message.of("user", "the end")])
    special = {tiny._tokenizer.token_to_id(token) for token in CONTROL}
    assert [i for i in hostile if i in special] == [i for i in plain if i in special]
    assert f"a{control}\n{control}" in tiny.decode(hostile)
    assert not special & set(tiny.encode(control))


def test_pictures_and_empty_prompts_are_refused(tiny: ChatTokenizer) -> None:
    from PIL import Image

    with pytest.raises(ModelError, match="model_sees_nothing: model=tiny"):
        tiny.prompt_ids([Message("user", ("look:", Image.new("RGB", (2, 2))))])
    with pytest.raises(ModelError, match="prompt_empty"):
        tiny.prompt_ids([])


def llama_metadata() -> dict[str, Any]:
    """A SentencePiece vocabulary of a few pieces: the better score merges first."""
    pieces = {"<unk>": 0.0, "<s>": 0.0, "</s>": 0.0}
    pieces |= {f"<0x{byte:02X}>": 0.0 for byte in range(256)}
    pieces |= {"▁th": -1.0, "he": -2.0, "▁the": -3.0, "▁t": -4.0, "er": -5.0, "the": -6.0}
    pieces |= dict.fromkeys("▁ther", -10.0)
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3}
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": list(pieces),
        "tokenizer.ggml.scores": list(pieces.values()),
        "tokenizer.ggml.token_type": [kinds.get(p, 6 if p.startswith("<0x") else 1) for p in pieces],
    }


def test_sentencepiece_vocabularies_merge_by_score_and_fall_back_to_bytes() -> None:
    tokenizer = build_tokenizer(llama_metadata(), 10_000)

    def tokens(text: str) -> list[str]:
        return list(tokenizer.encode(text, add_special_tokens=False).tokens)

    assert tokens("the there") == ["▁the", "▁the", "r", "e"]
    assert tokens("ther") == ["▁the", "r"]
    assert tokens("t é") == ["▁t", "▁", "<0xC3>", "<0xA9>"]
    for text in ("the there", "t é", "鹦鹉 the"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_unknown_vocabularies_and_pre_tokenizers_are_named(tmp_path: Path) -> None:
    metadata = dict(read_gguf(write_tiny_gguf(tmp_path / "tiny.gguf")).metadata)
    with pytest.raises(ModelError, match="pre_tokenizer_unknown: kind=mystery"):
        build_tokenizer(metadata | {"tokenizer.ggml.pre": "mystery"}, 10_000)
    with pytest.raises(ModelError, match="tokenizer_unknown: kind=bert"):
        build_tokenizer(metadata | {"tokenizer.ggml.model": "bert"}, 10_000)


class Slow:
    """A tokenizer that lets other threads in between a setting and the call that it is for."""

    def __init__(self, tokenizer: Any) -> None:
        object.__setattr__(self, "own", tokenizer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.own, name, value)
        time.sleep(0.0005)


def test_threads_do_not_turn_each_others_text_into_control_tokens(
    tiny: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [Message.of("user", f"a{CONTROL[0]}b {i}") for i in range(3)]
    expected = tiny.prompt_ids(turns), tiny.encode(CONTROL[0] * 3)
    monkeypatch.setattr(tiny, "_tokenizer", Slow(tiny._tokenizer))
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(lambda: (tiny.prompt_ids(turns), tiny.encode(CONTROL[0] * 3))) for _ in range(16)]
        assert [one.result() for one in found] == [expected] * 16
