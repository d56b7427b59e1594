"""Reading and fetching Debian packages and Qt resource files, on packages these tests make themselves."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from image_db.errors import SampleUnavailable
from image_db.sample.debian import fetch_packages, read_package
from image_db.sample.qt_resources import read_qt_resources


def tar_of(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


def deb_of(tar: bytes, suffix: str = ".xz") -> bytes:
    """A Debian package: an ar archive of version, control and data."""
    import bz2
    import gzip
    import lzma

    compress: dict[str, Callable[[bytes], bytes]] = {
        ".xz": lzma.compress,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".zst": zstandard.ZstdCompressor().compress,
        "": bytes,
    }
    archive = b"!<arch>\n"
    for name, data in (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        (f"data.tar{suffix}", compress[suffix](tar)),
    ):
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}".encode() + b"`\n" + data
        archive += b"\n" * (len(data) % 2)
    return archive


Node = bytes | tuple[bytes, str]


def rcc_of(files: Mapping[str, Node], version: int = 3) -> bytes:
    """A Qt resource file; a value is plain bytes or (bytes, "zlib" or "zstd")."""
    root: dict[str, Any] = {}
    for path, node in files.items():
        *folders, name = path.split("/")
        parent = root
        for folder in folders:
            parent = parent.setdefault(folder, {})
        parent[name] = node
    names, contents = b"", b""
    nodes: list[tuple[str, Any]] = [("", root)]
    children: dict[int, tuple[int, int]] = {}
    at = 0
    while at < len(nodes):
        if isinstance(nodes[at][1], dict):
            children[at] = (len(nodes), len(nodes[at][1]))
            nodes += nodes[at][1].items()
        at += 1
    tree = b""
    for index, (name, node) in enumerate(nodes):
        name_offset = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        if isinstance(node, dict):
            first, count = children[index]
            tree += struct.pack(">IHII", name_offset, 2, count, first)
        else:
            data, kind = node if isinstance(node, tuple) else (node, "plain")
            flags = {"plain": 0, "zlib": 1, "zstd": 4}[kind]
            if kind == "zlib":
                data = struct.pack(">I", len(data)) + zlib.compress(data)
            elif kind == "zstd":
                data = zstandard.ZstdCompressor().compress(data)
            tree += struct.pack(">IHHHI", name_offset, flags, 0, 0, len(contents))
            contents += struct.pack(">I", len(data)) + data
        tree += b"\0" * 8 if version > 1 else b""
    header_bytes = 24 if version == 3 else 20
    offsets = header_bytes + len(contents) + len(names), header_bytes, header_bytes + len(contents)
    header = b"qres" + struct.pack(">4I", version, *offsets) + (b"\0\0\0\0" if version == 3 else b"")
    return header + contents + names + tree


FILES: dict[str, Node] = {
    "a/plain.txt": b"plain",
    "a/b/deep.bin": (bytes(range(256)) * 40, "zlib"),
    "a/ünïcode.txt": ("中文".encode() * 500, "zstd"),
    "top": b"",
}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_resource_file_gives_back_what_was_put_in_whatever_its_version_and_compression(version: int) -> None:
    read = {resource.path: resource.read() for resource in read_qt_resources(rcc_of(FILES, version))}
    assert read == {path: node[0] if isinstance(node, tuple) else node for path, node in FILES.items()}


def test_a_resource_file_cut_short_anywhere_is_refused_and_never_crashes() -> None:
    data = rcc_of(FILES)
    for length in range(0, len(data) - 8, 7):
        with pytest.raises(SampleUnavailable, match="Qt resource file"):
            [resource.read() for resource in read_qt_resources(data[:length])]


def test_damaged_bytes_of_a_resource_file_raise_nothing_but_the_own_exception() -> None:
    data = rcc_of(FILES)
    refused = 0
    for at in range(0, len(data), 3):
        broken = bytearray(data)
        broken[at] ^= 0xFF
        try:
            [resource.read() for resource in read_qt_resources(bytes(broken))]
        except SampleUnavailable:
            refused += 1
    assert refused > 10


def test_a_resource_tree_that_contains_itself_is_refused() -> None:
    data = bytearray(rcc_of({"folder/file": b"x"}))
    tree = struct.unpack_from(">I", data, 8)[0]
    struct.pack_into(">II", data, tree + 22 + 6, 1, 0)  # the folder's first child becomes the root
    with pytest.raises(SampleUnavailable, match="its tree loops at node 0"):
        list(read_qt_resources(bytes(data)))


def test_a_resource_that_states_a_wrong_length_is_refused() -> None:
    data = rcc_of({"file": (b"x" * 100, "zlib")})
    lying = data.replace(struct.pack(">I", 100), struct.pack(">I", 60), 1)
    with pytest.raises(SampleUnavailable, match="another length than the 60 bytes it states"):
        next(iter(read_qt_resources(lying))).read()


@pytest.mark.parametrize("suffix", [".xz", ".zst", ".gz", ".bz2", ""])
def test_a_package_gives_its_wanted_files_whatever_its_compression(tmp_path: Path, suffix: str) -> None:
    deb = tmp_path / "x.deb"
    tar = tar_of({"./usr/a.png": b"picture" * 999, "./usr/b.ogg": b"sound"}, links={"./usr/c.png": "/etc/passwd"})
    deb.write_bytes(deb_of(tar, suffix))
    assert read_package(deb, lambda name: name.endswith(".png")) == {"usr/a.png": b"picture" * 999}


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "usr/../../x"])
def test_a_package_with_a_path_outside_of_itself_is_refused(tmp_path: Path, name: str) -> None:
    deb = tmp_path / "evil.deb"
    deb.write_bytes(deb_of(tar_of({name: b"x"})))
    with pytest.raises(SampleUnavailable) as error:
        read_package(deb, lambda name: True)
    assert str(error.value) == f"evil.deb is refused: it holds the path {name!r}, outside of its own folder"


@pytest.mark.parametrize("cut", [0, 4, 30, 100, 300])
def test_a_package_cut_short_is_named_and_said_to_be_unreadable(tmp_path: Path, cut: int) -> None:
    deb = tmp_path / "cut.deb"
    deb.write_bytes(deb_of(tar_of({"usr/a": os.urandom(2000)}))[:cut])
    with pytest.raises(SampleUnavailable, match=r"cut\.deb .*delete it and try again"):
        read_package(deb, lambda name: True)


def test_unpacking_tells_how_far_it_is(tmp_path: Path) -> None:
    deb = tmp_path / "x.deb"
    deb.write_bytes(deb_of(tar_of({f"usr/{i}": os.urandom(2**20) for i in range(8)}), ""))
    told: list[tuple[int, int]] = []
    read_package(deb, lambda name: False, lambda *step: told.append(step))
    assert told == sorted(told)
    assert len(told) >= 3
    assert all(0 < done <= total == deb.stat().st_size for done, total in told)


def test_without_apt_the_message_says_so_and_how_to_index_ones_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SampleUnavailable) as error:
        fetch_packages(["hello"], tmp_path / "cache")
    assert str(error.value) == (
        "the sample library comes from two Debian packages, and this system has no apt-get to fetch them; "
        "index a folder of your own pictures instead: vignette index PATH… --library DIR"
    )
    assert not (tmp_path / "cache").exists()


FAKE_APT = """#!/bin/sh
# Options come first, then the command, as the real program is called. Calls are counted in a file.
for last; do :; done
case "$*" in
  *" update")
    echo update >> "$POOL/calls"
    [ -e "$POOL/offline" ] && echo "W: Failed to fetch http://deb" >&2
    exit 0 ;;
  *"--print-uris "*)
    [ -e "$POOL/offline" ] && exit 100
    f="$POOL/$last"_1.0-2_all.deb; [ -e "$f" ] || exit 100
    h=$(sha256sum "$f" | cut -d' ' -f1); [ -e "$POOL/lie" ] && h=$(printf %064d 0)
    echo "'http://pool/$last' ${last}_1.0-2_all.deb $(stat -c %s "$f") SHA256:$h" ;;
  *" download "*) echo "download $last" >> "$POOL/calls"
    [ -e "$POOL/broken" ] && echo "E: Connection reset" >&2 && exit 100
    cp "$POOL/$last"_1.0-2_all.deb . ;;
esac
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that a stand-in for apt-get serves."""
    pool = tmp_path / "pool"
    (pool / "bin").mkdir(parents=True)
    apt = pool / "bin" / "apt-get"
    apt.write_text(FAKE_APT)
    apt.chmod(0o755)
    monkeypatch.setenv("POOL", str(pool))
    monkeypatch.setenv("PATH", f"{pool / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return pool


def test_fetched_packages_carry_version_and_hash_and_are_not_fetched_twice(pool: Path, tmp_path: Path) -> None:
    data = deb_of(tar_of({"usr/a": b"x"}))
    (pool / "hello_1.0-2_all.deb").write_bytes(data)
    told: list[tuple[str, int, int]] = []
    for _ in range(2):
        [package] = fetch_packages(["hello"], tmp_path / "cache", lambda *step: told.append(step))
        assert (package.name, package.version) == ("hello", "1.0-2")
        assert (
            package.sha256 == hashlib.sha256(data).hexdigest() == hashlib.sha256(package.path.read_bytes()).hexdigest()
        )
    assert (pool / "calls").read_text().count("download hello") == 1
    assert told[-1] == ("hello", len(data), len(data))


def test_a_package_that_lies_there_half_is_fetched_again(pool: Path, tmp_path: Path) -> None:
    data = deb_of(tar_of({"usr/a": b"x"}))
    (pool / "hello_1.0-2_all.deb").write_bytes(data)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hello_1.0-2_all.deb").write_bytes(data[:50])
    [package] = fetch_packages(["hello"], tmp_path / "cache")
    assert package.path.read_bytes() == data


def test_a_package_whose_hash_is_wrong_is_removed_and_named(pool: Path, tmp_path: Path) -> None:
    (pool / "hello_1.0-2_all.deb").write_bytes(b"not what the index names")
    (pool / "lie").touch()
    with pytest.raises(SampleUnavailable, match="the package hello arrived damaged"):
        fetch_packages(["hello"], tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.deb"))


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("offline", r"apt cannot reach its servers to fetch the package hello \(Failed to fetch http://deb\); connect"),
        ("broken", r"apt could not fetch the package hello \(Connection reset\); check the network"),
        ("none", "this system's apt sources do not offer the package hello"),
    ],
)
def test_what_keeps_apt_from_fetching_is_said_with_a_way_out(
    pool: Path, tmp_path: Path, trouble: str, message: str
) -> None:
    (pool / trouble).touch()
    if trouble != "none":
        (pool / "hello_1.0-2_all.deb").write_bytes(b"x")
    with pytest.raises(SampleUnavailable, match=message + r".*vignette index PATH… --library DIR$"):
        fetch_packages(["hello"], tmp_path / "cache")
