"""Reads compiled Qt resource files (``.rcc``, format versions 1 to 3) from memory.

A resource file is a big-endian header (``qres``, version, three offsets), a tree of fixed-size nodes, a table of
UTF-16 names and a block of length-prefixed contents, each plain, zlib (``qCompress``) or Zstandard compressed.
Layout: https://github.com/qt/qtbase/blob/dev/src/corelib/io/qresource.cpp. Every offset is checked before it is
followed. Knows nothing of what the resources are and writes no file: a path is only a name here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from image_db.errors import SampleUnavailable

_COMPRESSED_ZLIB = 1
_DIRECTORY = 2
_COMPRESSED_ZSTD = 4

_VERSIONS = (1, 2, 3)
_MAX_DEPTH = 64
_MAX_RESOURCE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class QtResource:
    """One file inside a resource file; ``read`` decompresses its bytes, so that a listing costs nothing."""

    path: str
    stored: bytes
    flags: int

    def read(self) -> bytes:
        """The file's own bytes. Raises SampleUnavailable where they are damaged."""
        if self.flags & _COMPRESSED_ZLIB:
            return self._inflate_zlib()
        if self.flags & _COMPRESSED_ZSTD:
            return self._inflate_zstd()
        return self.stored

    def _inflate_zlib(self) -> bytes:
        # qCompress puts the length of the plain bytes, four bytes big-endian, before the zlib stream.
        if len(self.stored) < 4:
            raise _damaged(f"{self.path} is too short for its zlib header")
        (length,) = struct.unpack_from(">I", self.stored)
        if length > _MAX_RESOURCE_BYTES:
            raise _damaged(f"{self.path} says it has {length:,} bytes")
        decompressor = zlib.decompressobj()
        try:
            data = decompressor.decompress(self.stored[4:], length + 1)
        except zlib.error as error:
            raise _damaged(f"{self.path} does not decompress ({error})") from error
        if len(data) != length:
            raise _damaged(f"{self.path} decompresses to another length than the {length:,} bytes it states")
        return data

    def _inflate_zstd(self) -> bytes:
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(self.stored) as reader:
                data = reader.read(_MAX_RESOURCE_BYTES + 1)
        except zstandard.ZstdError as error:
            raise _damaged(f"{self.path} does not decompress ({error})") from error
        if len(data) > _MAX_RESOURCE_BYTES:
            raise _damaged(f"{self.path} decompresses to more than {_MAX_RESOURCE_BYTES:,} bytes")
        return bytes(data)


def read_qt_resources(data: bytes) -> Iterator[QtResource]:
    """Every file of a resource file, in the order of its tree. Raises SampleUnavailable for anything malformed."""
    tree = _Tree(data)
    yield from tree.files(0, "", 0)


class _Tree:
    def __init__(self, data: bytes) -> None:
        if data[:4] != b"qres":
            raise _damaged(f"it starts with {data[:4]!r} instead of b'qres'")
        self._data = data
        version, self._nodes, self._contents, self._names = self._unpack(">4I", 4)
        if version not in _VERSIONS:
            raise _damaged(f"format version {version} is unknown (known: 1 to 3)")
        # Since version 2 each node also carries the time of its last change.
        self._node_bytes = 14 if version == 1 else 22
        self._visited: set[int] = set()

    def files(self, node: int, prefix: str, depth: int) -> Iterator[QtResource]:
        if depth > _MAX_DEPTH or node in self._visited:
            raise _damaged(f"its tree loops at node {node}")
        self._visited.add(node)
        offset = self._nodes + node * self._node_bytes
        name_offset, flags = self._unpack(">IH", offset)
        path = prefix + (self._name(name_offset) if depth else "")
        if flags & _DIRECTORY:
            count, first = self._unpack(">II", offset + 6)
            for child in range(first, first + count):
                yield from self.files(child, f"{path}/" if depth else "", depth + 1)
        else:
            (content_offset,) = self._unpack(">I", offset + 10)
            start = self._contents + content_offset
            (length,) = self._unpack(">I", start)
            yield QtResource(path, self._slice(start + 4, length), flags)

    def _name(self, name_offset: int) -> str:
        offset = self._names + name_offset
        # A hash of four bytes stands between the length and the characters.
        (length,) = self._unpack(">H", offset)
        return self._slice(offset + 6, 2 * length).decode("utf-16-be", errors="replace")

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack(layout, self._slice(offset, struct.calcsize(layout)))

    def _slice(self, offset: int, length: int) -> bytes:
        if offset + length > len(self._data):
            raise _damaged(f"it points to byte {offset + length:,} of {len(self._data):,}")
        return self._data[offset : offset + length]


def _damaged(what: str) -> SampleUnavailable:
    return SampleUnavailable(f"a Qt resource file of the sample is damaged: {what}; fetch the sample again")
