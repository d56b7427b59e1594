"""A GGUF file rearranged for the engine once, kept in a cache folder, and mapped from there at every later start.

A converted model is a folder: ``model.json`` (configuration, layouts, chat template), ``tokenizer.json``,
``weights.safetensors``, and ``files.json`` with the size and hash of each. Its name holds the GGUF's SHA-256 and the
version of the layout, and it appears complete or not at all. One that has changed since is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vision.downloads.files import file_sha256, map_safetensors, sync, write_atomic
from vision.errors import WeightsError
from vision.llm.config import ModelConfig, model_config
from vision.llm.gguf import GGUF, read_gguf
from vision.llm.repack import LAYOUT_VERSION, Layout, PackedMatrix, pack

ALIGNMENT_BYTES = 64
# Of model.json and of what is stored beside the weights. Since 2 every value was checked, since 3 there is files.json.
FORMAT_VERSION = 3
_FILES = ("model.json", "tokenizer.json", "weights.safetensors")


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model ready to run. ``matrices`` and ``vectors`` go by their GGUF names and are views of the mapped file."""

    folder: Path
    name: str
    sha256: str
    config: ModelConfig
    chat_template: str
    special: Mapping[str, Any]
    matrices: Mapping[str, PackedMatrix]
    vectors: Mapping[str, np.ndarray]


def open_cached(gguf_path: Path, cache_dir: Path) -> CachedModel:
    """The converted form of a GGUF file, made now if it is not in ``cache_dir`` or not as it was made.

    Raises WeightsError where the file cannot be read or the folder not written, ModelError where it holds a kind of
    model the engine does not run.
    """
    try:
        sha256 = remembered_sha256(gguf_path, cache_dir)
    except OSError as error:
        raise WeightsError("gguf_unreadable", file=str(gguf_path), reason=error.strerror) from error
    folder = cache_dir / f"{sha256[:32]}-v{LAYOUT_VERSION}.{FORMAT_VERSION}"
    if not _is_sound(folder, cache_dir):
        with _one_at_a_time(cache_dir):
            if not _is_sound(folder, cache_dir):  # another process may have made it meanwhile
                _convert(read_gguf(gguf_path), sha256, folder)
    return _open(folder)


def remembered_sha256(path: Path, cache_dir: Path) -> str:
    """The file's SHA-256, remembered in ``cache_dir`` by path, size and time: hashing a large file takes seconds.

    Raises OSError where the file cannot be read.
    """
    status = path.stat()
    key = hashlib.sha256(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()[:32]
    note = cache_dir / "hashes" / key
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if len(value := note.read_text().strip()) == len(hashlib.sha256().hexdigest()):
            return value
    value = file_sha256(path)
    with contextlib.suppress(OSError):  # a folder that cannot be written costs the seconds again
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(note, value)
    return value


def _is_sound(folder: Path, cache_dir: Path) -> bool:
    """Whether all files of a converted model are as they were written. One that was cut short would end the process
    when it is read where it is mapped.
    """
    try:
        stated = json.loads((folder / "files.json").read_text(encoding="utf-8"))
        return bool(stated == _facts(folder, cache_dir))
    except (OSError, ValueError):
        return False


def _facts(folder: Path, cache_dir: Path) -> dict[str, list[object]]:
    """Size and hash of each file; only the small ones are read every time."""
    facts: dict[str, list[object]] = {}
    for name in _FILES:
        path = folder / name
        is_large = name.endswith(".safetensors")
        facts[name] = [path.stat().st_size, remembered_sha256(path, cache_dir) if is_large else file_sha256(path)]
    return facts


@contextlib.contextmanager
def _one_at_a_time(cache_dir: Path) -> Iterator[None]:
    """Processes that convert take turns, so that none removes what another has just made."""
    import filelock

    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(cache_dir / "converting.lock").acquire()
    except OSError as error:
        raise WeightsError("cache_not_writable", folder=str(cache_dir), reason=error.strerror) from error
    with lock:
        yield


def _convert(gguf: GGUF, sha256: str, folder: Path) -> None:
    from vision.llm.gguf_tokenizer import build_tokenizer, special_tokens

    config = model_config(gguf)
    tokenizer = build_tokenizer(gguf.metadata, config.vocabulary)
    try:
        if folder.exists():
            shutil.rmtree(folder)
        building = Path(tempfile.mkdtemp(prefix="converting-", dir=folder.parent))
    except OSError as error:
        raise WeightsError("cache_not_writable", folder=str(folder.parent), reason=error.strerror) from error
    try:
        matrices = _write_weights(gguf, building / "weights.safetensors")
        (building / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
        description = {
            "name": gguf.text("general.name") or gguf.path.stem,
            "sha256": sha256,
            "architecture": asdict(config),
            "chat_template": gguf.text("tokenizer.chat_template"),
            "special": special_tokens(gguf.metadata),
            "matrices": matrices,
        }
        (building / "model.json").write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
        facts = {name: [(building / name).stat().st_size, file_sha256(building / name)] for name in _FILES}
        (building / "files.json").write_text(json.dumps(facts), encoding="utf-8")
        building.chmod(0o755)  # other users of this folder may read it
        sync([*building.iterdir(), building])
        building.rename(folder)
        sync([folder.parent])
    except OSError as error:
        raise WeightsError(
            "conversion_failed", file=gguf.path.name, folder=str(building), reason=error.strerror
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_weights(gguf: GGUF, target: Path) -> dict[str, Any]:
    """Write all tensors; returns layout and size of each matrix."""
    arrays: dict[str, np.ndarray] = {}
    matrices: dict[str, Any] = {}
    for name, tensor in gguf.tensors.items():
        if len(tensor.shape) == 1:
            arrays[name] = tensor.floats()
            if not np.isfinite(arrays[name]).all() or (name == "rope_freqs.weight" and not arrays[name].all()):
                raise WeightsError("tensor_not_finite", tensor=name)
            continue
        packed = pack(tensor)
        arrays[name] = packed.data
        matrices[name] = {"layout": packed.layout.name, "outputs": packed.outputs, "inputs": packed.inputs}
    _save_safetensors(arrays, target)
    return matrices


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
    arrays = map_safetensors(folder / "weights.safetensors")
    matrices = {
        name: PackedMatrix(Layout[m["layout"]], m["outputs"], m["inputs"], arrays.pop(name))
        for name, m in description["matrices"].items()
    }
    return CachedModel(
        folder=folder,
        name=description["name"],
        sha256=description["sha256"],
        config=ModelConfig(**description["architecture"]),
        chat_template=description["chat_template"],
        special=description["special"],
        matrices=matrices,
        vectors={name: array for name, array in arrays.items() if not name.startswith("pad.")},
    )
