"""Files are hashed, mapped and written as a whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vision.downloads.files import file_sha256, map_safetensors, read_json, write_atomic
from vision.errors import ModelError


def test_a_file_is_written_with_its_line_ends_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "first")
    write_atomic(path, "Grüße\r\n两\n")
    assert path.read_bytes() == "Grüße\r\n两\n".encode()
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    monkeypatch.undo()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomic(tmp_path / "folder", "new")
    assert path.read_text() == "old"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.txt", "folder"]


def test_a_file_is_hashed_in_chunks_that_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    data = bytes(range(256)) * 10_000
    path.write_bytes(data)
    told: list[int] = []
    assert file_sha256(path, told.append) == hashlib.sha256(data).hexdigest()
    assert sum(told) == len(data)
    assert len(told) > 1


def test_mapped_tensors_are_those_of_the_file_and_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    written = {
        "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.ones(3, np.float16),
        "bytes": np.arange(5, dtype=np.uint8),
        "places": np.arange(3),
        "none": np.empty((0, 4), np.float32),
    }
    save_file(written, file, {"format": "np"})
    mapped = map_safetensors(file)
    assert mapped.keys() == written.keys()
    for name, value in written.items():
        np.testing.assert_array_equal(mapped[name], value)
        assert mapped[name].dtype == value.dtype
        assert not mapped[name].flags.writeable


@pytest.mark.parametrize("cut", [slice(0), slice(10), slice(-4), slice(4, None)])
def test_a_damaged_safetensors_file_is_refused(tmp_path: Path, cut: slice) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": np.arange(6, dtype=np.float32)}, file)
    file.write_bytes(file.read_bytes()[cut])
    with pytest.raises(ModelError) as caught:
        map_safetensors(file)
    assert caught.value.key == "weights_unreadable"
    assert caught.value.values["file"] == str(file)


def test_numbers_that_numpy_has_not_are_refused_by_kind(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": np.arange(6, dtype=np.float16)}, file)
    file.write_bytes(file.read_bytes().replace(b'"F16"', b'"BF16"').replace(b"    ", b"   ", 1))
    with pytest.raises(ModelError) as caught:
        map_safetensors(file)
    assert (caught.value.key, caught.value.values["kinds"]) == ("tensors_of_other_kind", ["BF16"])


@pytest.mark.parametrize(
    ("content", "key"), [("[1]", "json_not_object"), ("{", "file_unreadable"), (None, "file_unreadable")]
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: str | None, key: str) -> None:
    file = tmp_path / "a.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ModelError) as caught:
        read_json(file)
    assert caught.value.key == key
