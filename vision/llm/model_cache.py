"""A GGUF file rearranged for the engine once, kept in a cache folder, and mapped from there at every later start.

A converted model is a folder: ``model.json`` (architecture, layouts, chat template), ``tokenizer.json`` and
``weights.safetensors``. Its name holds the GGUF's SHA-256 and the version of the layout, and it appears complete
or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vision.errors import ModelError, WeightsError
from vision.llm.config import ModelConfig, model_config
from vision.llm.gguf import GGUF, read_gguf
from vision.llm.repack import LAYOUT_VERSION, Layout, pack

ALIGNMENT_BYTES = 64
FORMAT_VERSION = 1  # of model.json and of what is stored beside the weights
_DTYPES = {"U8": np.uint8, "F32": np.float32}


@dataclass(frozen=True, slots=True)
class MatrixView:
    layout: Layout
    outputs: int  # padded to a multiple of eight
    inputs: int
    data: np.ndarray


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model ready to run. ``matrices`` and ``vectors`` go by their GGUF names and are views of the mapped file."""

    folder: Path
    name: str
    sha256: str
    architecture: ModelConfig
    chat_template: str
    special: Mapping[str, Any]
    matrices: Mapping[str, MatrixView]
    vectors: Mapping[str, np.ndarray]
    rounded: tuple[str, ...]  # kinds of GGUF tensor that were rounded to 8 bits


def open_cached(gguf_path: Path, cache_dir: Path) -> CachedModel:
    """The converted form of a GGUF file, made now if it is not in ``cache_dir``.

    Raises WeightsError where the file cannot be read or the folder not written, ModelError where it holds a kind of
    model the engine does not run.
    """
    sha256 = file_sha256(gguf_path, cache_dir)
    folder = cache_dir / f"{sha256[:32]}-v{LAYOUT_VERSION}.{FORMAT_VERSION}"
    if not (folder / "model.json").exists():
        _convert(read_gguf(gguf_path), sha256, folder)
    return _open(folder)


def file_sha256(path: Path, cache_dir: Path) -> str:
    """The file's SHA-256, remembered in ``cache_dir`` by path, size and time: hashing a large file takes seconds."""
    try:
        status = path.stat()
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read ({error.strerror}); give a GGUF file, or run: vignette models pull"
        ) from error
    key = hashlib.sha256(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:32]
    note = cache_dir / "hashes" / key
    with contextlib.suppress(FileNotFoundError):
        return note.read_text().strip()
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(note, value.encode())
    except OSError as error:
        raise WeightsError(
            f"{note.parent} cannot be written: {error.strerror}; set VIGNETTE_HOME to a writable folder"
        ) from error
    return value


def _write_whole(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(name).replace(path)


def _convert(gguf: GGUF, sha256: str, folder: Path) -> None:
    from vision.llm.gguf_tokenizer import build_tokenizer, special_tokens

    embedding = gguf.tensors.get("token_embd.weight")
    architecture = model_config(gguf.metadata, embedding.shape[0] if embedding is not None else 0)
    tokenizer = build_tokenizer(gguf.metadata)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix="converting-", dir=folder.parent))
    except OSError as error:
        raise WeightsError(
            f"{folder.parent} cannot be written: {error.strerror}; set VIGNETTE_HOME to a writable folder"
        ) from error
    try:
        matrices, rounded = _write_weights(gguf, building / "weights.safetensors")
        (building / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
        description = {
            "name": gguf.metadata.get("general.name") or gguf.path.stem,
            "sha256": sha256,
            "architecture": architecture.as_json(),
            "chat_template": gguf.metadata.get("tokenizer.chat_template", ""),
            "special": special_tokens(gguf.metadata),
            "matrices": matrices,
            "rounded": sorted(rounded),
        }
        (building / "model.json").write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
        with contextlib.suppress(OSError):  # another process was quicker: its folder is as good as ours
            building.rename(folder)
        if not folder.exists():
            raise WeightsError(f"{folder} could not be moved into place; is {folder.parent} writable?")
    except OSError as error:
        raise WeightsError(
            f"converting {gguf.path.name} failed in {building}: {error.strerror}; free some space"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_weights(gguf: GGUF, target: Path) -> tuple[dict[str, Any], set[str]]:
    arrays: dict[str, np.ndarray] = {}
    matrices: dict[str, Any] = {}
    rounded = set()
    for name, tensor in gguf.tensors.items():
        if len(tensor.shape) == 1:
            arrays[name] = tensor.floats()
            continue
        if len(tensor.shape) != 2:
            raise ModelError(f"tensor {name} has shape {tensor.shape}; the engine knows vectors and matrices")
        packed = pack(tensor)
        arrays[name] = packed.data
        matrices[name] = {"layout": packed.layout.name, "outputs": packed.outputs, "inputs": packed.inputs}
        if not packed.exact:
            rounded.add(tensor.kind)
    _save_safetensors(arrays, target)
    return matrices, rounded


def _save_safetensors(arrays: Mapping[str, np.ndarray], target: Path) -> None:
    """As the safetensors package would, but with every array at a multiple of 64 bytes in the file.

    The kernels read a tenth faster where no load straddles two cache lines. The format wants no gaps, so the gaps
    are arrays of their own, named ``pad.N``.
    """
    entries: dict[str, dict[str, object]] = {}
    at = 0
    for name, array in arrays.items():
        kind = {"uint8": "U8", "float32": "F32"}[array.dtype.name]
        entries[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
        if gap := -at % ALIGNMENT_BYTES:
            entries[f"pad.{len(entries)}"] = {"dtype": "U8", "shape": [gap], "data_offsets": [at, at + gap]}
            at += gap
    header = json.dumps(entries).encode()
    header += b" " * (-(8 + len(header)) % ALIGNMENT_BYTES)
    with target.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data)
            file.write(bytes(-file.tell() % ALIGNMENT_BYTES))


def _open(folder: Path) -> CachedModel:
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    arrays = _map_safetensors(folder / "weights.safetensors")
    matrices = {
        name: MatrixView(Layout[m["layout"]], m["outputs"], m["inputs"], arrays.pop(name))
        for name, m in description["matrices"].items()
    }
    return CachedModel(
        folder=folder,
        name=description["name"],
        sha256=description["sha256"],
        architecture=ModelConfig(**description["architecture"]),
        chat_template=description["chat_template"],
        special=description["special"],
        matrices=matrices,
        vectors=arrays,
        rounded=tuple(description["rounded"]),
    )


def _map_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Views of the file's pages: the safetensors package would copy them into memory of our own."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    content = np.frombuffer(data, np.uint8, offset=8 + length)
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__" and not name.startswith("pad."):
            first, end = entry["data_offsets"]
            arrays[name] = content[first:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays
