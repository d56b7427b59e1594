"""Files as disks, downloads and programs damage them: none ends a run or holds it up, and each is accounted for.

Six hundred by default, ten thousand with ``-m slow``; which, how and under what name is drawn by a fixed seed.
"""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composer.i18n import localize
from image_db import indexing
from image_db.indexing import index_paths
from image_db.library import Library
from image_db.verification import verify
from tests.fakes import ColourEncoder
from tests.raw_files import dng
from tests.vision.test_png import chunk
from vision.images.formats import try_formats

MOST_S = 1.0  # of a reader's own time for one file
SUFFIXES = (
    ".jpg", ".png", ".webp", ".gif", ".tif", ".bmp", ".avif", ".jp2", ".heic", ".jxl", ".dng", ".ppm", ".ico", ".qoi",
)  # fmt: skip
WORDS = '{"caption": "A mill \\u2744", "tags": ["a", "b"], "captions": {"zh": "磨坊"}}'.encode()
XMP = b"<x:xmpmeta><rdf:RDF></rdf:RDF></x:xmpmeta>"
TABLE = b'file,caption\nIMG_1.png,"A mill, snow"\n'


def whole_files() -> dict[str, bytes]:
    """A sound file of every format, with words inside where it can hold them."""
    assert not any(tried.problem for tried in try_formats())  # which teaches Pillow to write them
    chance = np.random.default_rng(0)
    noise = Image.fromarray(chance.integers(0, 256, (48, 64, 3), np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "A mill in snow"
    whole = {}
    for suffix in SUFFIXES:
        buffer = io.BytesIO()
        if suffix == ".dng":
            noise.save(buffer, "JPEG")
            whole[suffix] = dng(noise, buffer.getvalue(), description="A mill")
            continue
        told = {"exif": exif.tobytes()} if suffix in (".jpg", ".webp", ".heic", ".avif") else {}
        noise.save(buffer, Image.registered_extensions()[suffix], **told)
        whole[suffix] = buffer.getvalue()
    return whole


def scattered(data: bytes, chance: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(chance.randint(1, 12)):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    return bytes(broken)


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def zeroed(data: bytes, chance: random.Random) -> bytes:
    """A sector that a card never wrote."""
    start = chance.randrange(len(data))
    length = min(chance.choice((16, 512, 4096)), len(data) - start)
    return data[:start] + bytes(length) + data[start + length :]


def doubled(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start // 2 :]


def head_of_another(data: bytes, chance: random.Random) -> bytes:
    heads = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"RIFF\xff\xff\xff\xffWEBP", b"\xff\x0a")
    return chance.choice(heads) + data[8:]


def something_else(_: bytes, chance: random.Random) -> bytes:
    page = b"<!DOCTYPE html><title>404 Not Found</title>"
    pointer = b"version https://git-lfs.github.com/spec/v1\n"
    return chance.choice((b"", b"\0" * 4096, page, pointer, chance.randbytes(3000)))


def boastful(_: bytes, chance: random.Random) -> bytes:
    """A few bytes that claim to be a huge picture."""
    side = chance.choice((13_000, 60_000, 2**31 - 1))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x\x9c\x03\0\0\0\0\x01")
    ppm = b"P6 %d %d 255\n" % (side, side)
    return chance.choice((png, ppm))


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    scattered, scattered, scattered, cut, cut, zeroed, doubled, head_of_another, something_else, boastful,
)  # fmt: skip
NAMES = (
    "IMG_{0}", "Übung {0}", "U\u0308bung {0}", "黄山 {0}", "a\u200bb {0}", "it's \"{0}\" & co", "line\nbreak {0}",
    "{0}" + "x" * 200,
)  # fmt: skip


def name_of(number: int, chance: random.Random) -> str:
    name = chance.choice(NAMES).format(number)
    if sys.platform == "linux" and chance.random() < 0.1:
        name += os.fsdecode(b"\xff\xfe")  # no Unicode at all
    return name


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_files_are_indexed_or_listed_by_their_own_names_and_none_takes_long(
    library: Library, encoder: ColourEncoder, pictures: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    chance = random.Random(count)
    whole = whole_files()
    given: set[Path] = set()
    for number in range(count):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        folder = pictures / str(number)
        folder.mkdir()
        name = name_of(number, chance)
        path = folder / f"{name}{suffix}"
        path.write_bytes(chance.choice(DAMAGES)(whole[suffix], chance))
        given.add(path)
        (folder / f"{name}.json").write_bytes(scattered(WORDS, chance))
        (folder / f"{name}.xmp").write_bytes(cut(XMP, chance))
        (folder / "metadata.csv").write_bytes(scattered(TABLE, chance))
    took: dict[str, float] = {}
    read, lock = indexing.read_picture, threading.Lock()

    def timed(found, *rest):
        start = time.thread_time()  # of this thread, whatever else the machine does
        result = read(found, *rest)
        with lock:
            took[found.stamp.path] = time.thread_time() - start
        return result

    monkeypatch.setattr(indexing, "read_picture", timed)
    report = index_paths(library, encoder, [pictures])

    slowest = max(took, key=lambda path: took[path])
    assert took[slowest] < MOST_S, f"{slowest!a}: {took[slowest]:.2f} s"
    listed = {failure.path: failure.reason for failure in library.failures() if failure.kind == "picture"}
    indexed = {path for record in library.records() for path in library.files.of(record.id)}
    assert indexed | listed.keys() == given
    assert not indexed & listed.keys()
    assert len(indexed) > count // 20, "too much damage to test anything"
    assert len(listed) > count // 3, "too little damage to test anything"
    assert {path: reason.key for path, reason in report.failed} == {p: reason.key for p, reason in listed.items()}
    unsaid = [path for path, reason in listed.items() if not localize(reason, "en").strip(" :")]
    assert unsaid == []
    assert [reason for reason in listed.values() if reason.key == "unexpected_in_file"] == []
    assert verify(library).sound
    again = index_paths(library, encoder, [pictures])
    assert (again.added, again.linked, {path for path, _ in again.failed}) == (0, 0, set(listed))
