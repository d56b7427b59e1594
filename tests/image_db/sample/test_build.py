"""The sample library, from packages these tests make; the real fetch is marked ``network``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import pytest

from image_db.errors import SampleUnavailable
from image_db.metadata.sidecars import SidecarReader
from image_db.sample import build
from image_db.sample.build import GCOMPRIS, STAMPS, fetch_sample
from image_db.sample.packages import fetch_packages, read_package, read_qt_resources

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")

WORDS = {"caption": "A crow", "tags": ["bird"], "author": "Ann", "license": "CC0 1.0", "captions": {"zh": "乌鸦"}}
CROW, HALL, TOWER = b"a crow's bytes", b"a hall's bytes", b"a tower's bytes"


def line(file: str, data: bytes, source: str = "") -> dict[str, object]:
    row: dict[str, object] = {"file": file, "sha256": hashlib.sha256(data).hexdigest()[:16], **WORDS}
    return row | ({"source": source} if source else {})


TABLE = [
    line("stamps/birds/crow.png", CROW),
    line("gcompris/india/hall.webp", HALL, "monuments/resource/india/hall.webp"),
    line("gcompris/india/tower.webp", b"the tower of an earlier version", "monuments/resource/india/tower.webp"),
    line("gcompris/gone.webp", b"gone", "music/resource/gone.webp"),
]


def deb(folder: Path, name: str, contents: Mapping[str, bytes]) -> Path:
    """A package as dpkg builds it."""
    tree = folder / f"{name}-tree"
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(f"Package: {name}\nVersion: 1.0-2\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: d\n")
    for path, data in contents.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    target = folder / f"{name}_1.0-2_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, target], check=True, capture_output=True)
    shutil.rmtree(tree)
    return target


def rcc(contents: Mapping[str, bytes], compressed: str = "") -> bytes:
    """A resource file of version 3; ``compressed`` names a file that is marked as such."""
    tree: dict = {}
    for path, data in contents.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = data
    nodes, names, body = [b""], b"", b""
    queue: list[tuple[int, str, object]] = [(0, "", tree)]
    while queue:
        index, name, held = queue.pop(0)
        name_at = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        if isinstance(held, dict):
            nodes[index] = struct.pack(">IHIIQ", name_at, 2, len(held), len(nodes), 0)
            for child, value in sorted(held.items()):
                queue.append((len(nodes), child, value))
                nodes.append(b"")
        else:
            assert isinstance(held, bytes)
            nodes[index] = struct.pack(">IHHHIQ", name_at, 4 if name == compressed else 0, 0, 0, len(body), 0)
            body += struct.pack(">I", len(held)) + held
    tree_at = 24
    contents_at = tree_at + 22 * len(nodes)
    return (
        struct.pack(">4s5I", b"qres", 3, tree_at, contents_at, contents_at + len(body), 0)
        + b"".join(nodes)
        + body
        + names
    )


FAKE_APT = """#!/bin/sh
# Options come first, then the command, as the real program is called. Calls are counted in a file.
case "$*" in
  *" update")
    echo update >> "$POOL/calls"
    [ -e "$POOL/offline" ] && echo "W: Failed to fetch http://deb" >&2
    exit 0 ;;
  *"--print-uris "*)
    [ -e "$POOL/offline" ] && exit 100
    for f in "$POOL"/*.deb; do echo "'http://pool/x' $(basename $f) $(stat -c %s "$f") SHA256:00"; done ;;
  *" download "*)
    [ -e "$POOL/broken" ] && echo "E: Connection reset" >&2 && exit 100
    cp "$POOL"/*.deb . ;;
esac
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("packages")
    monuments = {
        "gcompris/src/activities/monuments/resource/india/hall.webp": HALL,
        "gcompris/src/activities/monuments/resource/india/tower.webp": TOWER,
        "gcompris/src/activities/monuments/resource/README": b"words",
    }
    stamps = {"usr/share/tuxpaint/stamps/birds/crow.png": CROW, "usr/share/tuxpaint/stamps/birds/hen.png": b"hen"}
    resources = {
        "usr/share/gcompris-qt/rcc/monuments.rcc": rcc(monuments),
        "usr/share/gcompris-qt/rcc/other.rcc": b"not a resource file at all",
    }
    return [deb(folder, STAMPS, stamps), deb(folder, GCOMPRIS, resources)]


@pytest.fixture
def pool(tmp_path: Path, packages: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that a stand-in for apt-get serves, and a short table."""
    pool = tmp_path / "pool"
    (pool / "bin").mkdir(parents=True)
    for package in packages:
        shutil.copy(package, pool)
    apt = pool / "bin" / "apt-get"
    apt.write_text(FAKE_APT)
    apt.chmod(0o755)
    monkeypatch.setenv("POOL", str(pool))
    monkeypatch.setenv("PATH", f"{pool / 'bin'}{os.pathsep}{os.environ['PATH']}")
    table = tmp_path / "table"
    table.mkdir()
    (table / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TABLE))
    monkeypatch.setattr(build, "files", lambda _: table)
    return pool


def pictures(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".png", ".webp"))


def test_the_sample_holds_the_photographs_of_both_packages_with_their_words(pool: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    report = fetch_sample(folder, tmp_path / "cache")
    assert (report.pictures, report.absent) == (3, 1)
    assert sorted(pictures(folder)) == [
        "gcompris/india/hall.webp",
        "gcompris/india/tower.webp",
        "stamps/birds/crow.png",
    ]
    crow = folder / "stamps/birds/crow.png"
    assert crow.read_bytes() == CROW
    reader = SidecarReader()
    description = reader.describe(str(crow), (str(crow.with_suffix(".json")),))
    assert reader.problems == {}
    assert (description.caption, description.author, description.captions) == ("A crow", "Ann", (("zh", "乌鸦"),))


def test_a_picture_that_another_version_changed_is_credited_to_its_project(pool: Path, tmp_path: Path) -> None:
    fetch_sample(tmp_path / "pictures", tmp_path / "cache")
    said = json.loads((tmp_path / "pictures/gcompris/india/tower.json").read_text())
    assert (said["caption"], said["author"], said["license"]) == ("A crow", "GCompris contributors", "GPL-3+")


def test_a_second_run_fetches_nothing_and_writes_nothing(pool: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    first = fetch_sample(folder, tmp_path / "cache")
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert fetch_sample(folder, tmp_path / "cache") == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    assert (pool / "calls").read_text() == "update\n"
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_picture_comes_back_and_a_corrected_caption_stays(pool: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    fetch_sample(folder, tmp_path / "cache")
    (folder / "gcompris/india/hall.webp").unlink()
    (folder / "stamps/birds/crow.json").write_text('{"caption": "My crow"}')
    fetch_sample(folder, tmp_path / "cache")
    assert (folder / "gcompris/india/hall.webp").read_bytes() == HALL
    assert json.loads((folder / "stamps/birds/crow.json").read_text()) == {"caption": "My crow"}


def test_a_folder_filled_by_an_earlier_version_is_complete(pool: Path, tmp_path: Path) -> None:
    for row in TABLE:
        picture = tmp_path / "pictures" / str(row["file"])
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
        picture.with_suffix(".json").touch()
    (tmp_path / "pictures" / build.RECEIPT_NAME).write_text('{"recipe": 1, "packages": [], "files": {}, "skipped": 0}')
    assert fetch_sample(tmp_path / "pictures", tmp_path / "cache").pictures == 4
    assert not (pool / "calls").exists()


def test_a_folder_that_cannot_be_written_is_named(pool: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("a file stands here")
    with pytest.raises(SampleUnavailable) as caught:
        fetch_sample(tmp_path / "pictures", tmp_path / "cache")
    assert caught.value.key == "sample_not_written"
    assert caught.value.values["folder"] == str(tmp_path / "pictures")


def test_progress_counts_bytes_while_fetching_and_pictures_while_writing(pool: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    fetch_sample(tmp_path / "pictures", tmp_path / "cache", lambda *step: heard.append(step))
    assert all(0 <= done <= total for _, done, total in heard)
    assert heard[-1] == ("metadata.jsonl", 4, 4)


@pytest.mark.parametrize(
    ("trouble", "key", "reason"),
    [
        ("offline", "sample_not_offered", "Failed to fetch http://deb"),
        ("broken", "sample_not_fetched", "Connection reset"),
    ],
)
def test_what_keeps_apt_from_fetching_is_said(pool: Path, tmp_path: Path, trouble: str, key: str, reason: str) -> None:
    (pool / trouble).touch()
    with pytest.raises(SampleUnavailable) as caught:
        fetch_packages([STAMPS], tmp_path / "cache")
    assert (caught.value.key, caught.value.values["reason"]) == (key, reason)


def test_a_package_that_apt_does_not_offer_is_named(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(SampleUnavailable) as caught:
        fetch_packages([STAMPS, "hello"], tmp_path / "cache")
    assert (caught.value.key, caught.value.values["packages"]) == ("sample_not_offered", ["hello"])


def test_without_apt_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SampleUnavailable) as caught:
        fetch_packages(["hello"], tmp_path / "cache")
    assert caught.value.key == "sample_needs_apt"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("cut", [0, 30, 100, 300])
def test_a_package_cut_short_is_named(packages: list[Path], tmp_path: Path, cut: int) -> None:
    (tmp_path / "cut.deb").write_bytes(packages[0].read_bytes()[:cut])
    with pytest.raises(SampleUnavailable) as caught:
        read_package(tmp_path / "cut.deb", lambda _: True)
    assert (caught.value.key, caught.value.values["package"]) == ("sample_package_damaged", "cut.deb")


def test_a_resource_file_gives_what_is_not_compressed() -> None:
    held = {"a/b/c.webp": b"picture", "a/d.webp": b"", "e": b"x" * 999}
    assert dict(read_qt_resources(rcc(held | {"words.json": b"{}"}, compressed="words.json"))) == held


@pytest.mark.parametrize("damage", ["cut", "loop"])
def test_a_damaged_resource_file_makes_its_package_unavailable(tmp_path: Path, damage: str) -> None:
    data = bytearray(rcc({"folder/file": b"x" * 99}))
    if damage == "loop":  # the folder's first child becomes the root
        struct.pack_into(">II", data, struct.unpack_from(">I", data, 8)[0] + 22 + 6, 1, 0)
    else:
        del data[60:]
    package = deb(tmp_path, GCOMPRIS, {"usr/share/monuments.rcc": bytes(data)})
    with pytest.raises(SampleUnavailable) as caught:
        build._read_gcompris(package, TABLE)
    assert caught.value.key == "sample_package_damaged"


def test_the_table_names_each_picture_once_inside_the_folder_with_words_and_credit() -> None:
    lines = files("image_db.sample").joinpath("metadata.jsonl").read_text(encoding="utf-8").splitlines()
    table = [json.loads(line) for line in lines]
    names = [row["file"] for row in table]
    assert len(set(names)) == len(names) > 500
    for row in table:
        assert row["file"].startswith(("stamps/", "gcompris/"))
        assert ".." not in row["file"]
        assert all(row[key] for key in ("caption", "alt", "tags", "author", "license", "source_url"))
        assert ("source" in row) == row["file"].startswith("gcompris/")


@pytest.mark.network
def test_the_packages_of_this_system_give_the_sample(tmp_path: Path) -> None:
    assert fetch_sample(tmp_path / "pictures", tmp_path / "cache").pictures > 500
