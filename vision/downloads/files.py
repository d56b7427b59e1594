"""Files as the whole program hashes, reads and writes them."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import secrets
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vision.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

CHUNK_BYTES = 1 << 20
# Of safetensors; NumPy has no bfloat16.
_KINDS = {"F32": "<f4", "F16": "<f2", "U8": "u1", "I8": "i1", "I32": "<i4", "I64": "<i8"}


def file_sha256(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """Hexadecimal SHA-256 of a file, read once; ``on_bytes`` hears the size of every chunk."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(buffer[:size])
            if on_bytes is not None:
                on_bytes(size)
    return digest.hexdigest()


def open_regular(path: Path | str) -> BinaryIO:
    """Open for reading a file that is one: a pipe or a device might never end. Raises OSError."""
    # Opening a pipe would wait for whoever writes into it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file as a whole or not at all, power cuts included; text as UTF-8, its line ends as they are.

    A reader sees the old content or the new one. Raises OSError, and then leaves nothing behind.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync(paths: Iterable[Path]) -> None:
    """Have files and folders on disk before going on."""
    for path in paths:
        if path.is_dir() and os.name == "nt":  # Windows opens no folders and writes renames through
            continue
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ModelError where it cannot be read or is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError("file_unreadable", file=str(path), reason=str(error)) from error
    if not isinstance(value, dict):
        raise ModelError("json_not_object", file=str(path))
    return value


def map_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as read-only views of its pages: nothing is copied, and the system may drop
    and read again what is not in use.

    Raises ModelError where the file is not one, or holds numbers of a kind that NumPy has not.
    """
    import numpy as np

    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = 8 + int.from_bytes(mapped[:8], "little")
        header = json.loads(mapped[8:start])
        header.pop("__metadata__", None)
        if others := sorted({tensor["dtype"] for tensor in header.values()} - _KINDS.keys()):
            raise ModelError("tensors_of_other_kind", file=str(path), kinds=others, wanted=list(_KINDS))
        content = np.frombuffer(mapped, np.uint8, offset=start)
        found = {}
        for name, tensor in header.items():
            first, end = tensor["data_offsets"]
            found[name] = content[first:end].view(_KINDS[tensor["dtype"]]).reshape(tensor["shape"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError("weights_unreadable", file=str(path), reason=str(error)) from error
    return found
