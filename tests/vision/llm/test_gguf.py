"""The GGUF reader against the gguf package's own, and what it says of bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from tests.vision.tiny_gguf import write_tiny_gguf
from vision.errors import WeightsError
from vision.llm.gguf import read_gguf


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
