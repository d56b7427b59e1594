"""The GGUF reader against the gguf package's own, and what it says of bad files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.errors import ModelError, WeightsError
from vision.llm.gguf import read_gguf
from vision.llm.model import load_gguf_model


def test_metadata_and_tensors_equal_those_of_the_gguf_package(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", "qwen2", "Q4_1")
    ours, theirs = read_gguf(path), GGUFReader(path)
    fields = {key: field.contents() for key, field in theirs.fields.items() if not key.startswith("GGUF.")}
    assert ours.metadata == fields
    assert set(ours.tensors) == {tensor.name for tensor in theirs.tensors}
    for tensor in theirs.tensors:
        mine = ours.tensors[tensor.name]
        assert (mine.kind, mine.shape[::-1]) == (tensor.tensor_type.name, tuple(tensor.shape))
        np.testing.assert_array_equal(mine.floats().ravel(), dequantize(tensor.data, tensor.tensor_type).ravel())


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gguf_unreadable: .*nothing\.gguf"):
        read_gguf(tmp_path / "nothing.gguf")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("hello, this is text")
    with pytest.raises(WeightsError, match=r"not_gguf: .*start=b'hell'"):
        read_gguf(path)


@pytest.mark.parametrize("share", [0.001, 0.2, 0.9, 0.999])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, share: float) -> None:
    whole = write_tiny_gguf(tmp_path / "whole.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: max(5, int(len(whole) * share))])
    with pytest.raises(WeightsError, match="gguf_damaged"):
        read_gguf(path)


def field(key: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


NESTED = field("x", 9, struct.pack("<IQ", 9, 1) * 20_000)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("llama.attention.head_count_kv", 0, "gguf_value_wrong: field=llama.attention.head_count_kv"),
        ("llama.attention.head_count_kv", 3, "heads_do_not_divide: heads=4, kv_heads=3"),
        ("llama.attention.head_count_kv", 4, r"tensor_shape: .*wanted=\[64, 64\]"),
        ("llama.attention.key_length", 0, "gguf_value_wrong"),
        ("llama.attention.key_length", 8, "tensor_shape"),
        ("llama.feed_forward_length", 0, "gguf_value_wrong"),
        ("llama.feed_forward_length", 96, "tensor_shape: .*ffn_gate"),
        ("llama.block_count", 3, r"tensor_missing: tensor=blk\.2"),
        ("llama.block_count", 1, r"tensor_unknown: tensor=blk\.1"),
        ("llama.embedding_length", 40, "gguf_value_wrong"),
        ("llama.embedding_length", (1 << 32) - 1, "gguf_value_wrong"),
        ("tokenizer.ggml.eos_token_id", 9999, "gguf_value_wrong: field=tokenizer.ggml.eos_token_id"),
        (field("general.alignment", 4, bytes(4)), None, "gguf_damaged: .*alignment 0"),
        (NESTED, None, "gguf_damaged: .*a list of items of kind 9"),
        (field("x", 9, struct.pack("<IQ", 10, 1 << 61)), None, "gguf_damaged: .*runs past its end"),
    ],
)
def test_what_cannot_be_is_refused_before_the_kernels_see_it(
    tmp_path: Path, key: str | bytes, value: int | None, error: str
) -> None:
    data = write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    if isinstance(key, bytes):  # before the other fields
        data = data[:16] + struct.pack("<Q", struct.unpack("<Q", data[16:24])[0] + 1) + key + data[24:]
    else:
        at = data.index(key.encode()) + len(key) + 4
        data = data[:at] + struct.pack("<I", value) + data[at + 4 :]
    (tmp_path / "wrong.gguf").write_bytes(data)
    with pytest.raises((WeightsError, ModelError), match=error):
        load_gguf_model(tmp_path / "wrong.gguf", cache_dir=tmp_path / "cache", threads=1)


@pytest.mark.parametrize("value", [0x7C00, 0x7E00])
def test_weights_that_are_not_numbers_are_refused(tmp_path: Path, value: int) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    tensor = read_gguf(path).tensors["blk.1.ffn_down.weight"]
    data = path.read_bytes().replace(tensor.data[0].tobytes(), struct.pack("<H", value) + tensor.data[0, 2:].tobytes())
    (tmp_path / "wrong.gguf").write_bytes(data)
    with pytest.raises(WeightsError, match=r"tensor_not_finite: tensor=blk\.1\.ffn_down\.weight"):
        load_gguf_model(tmp_path / "wrong.gguf", cache_dir=tmp_path / "cache", threads=1)
