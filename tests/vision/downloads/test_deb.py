"""Files out of a package of Debian: over HTTP, gone on with, checked, unpacked without apt or dpkg."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from composer.i18n import localize
from tests.vision.model_sources import Hub, content, entry_of, in_place, reasons_of, sha256
from vision.downloads import deb as fetch_deb
from vision.downloads import store as weights
from vision.downloads.manifest import DebSource, WeightEntry
from vision.errors import WeightsError

PATH = "/tests/pool/d_1%2bnmu2_all.deb"
FILES = {"d.dict.dz": content(1, 3_000_001), "d.index": b"hen\tA\tB\n"}


def tar_xz(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz", preset=0) as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def ar(members: dict[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def deb(files: dict[str, bytes]) -> bytes:
    """A package as dpkg-deb builds them, with a file that nobody asked for and a part of odd length before the data."""
    inside = {f"./usr/share/d/{path}": data for path, data in files.items()}
    data = tar_xz({"./usr/share/doc/d/copyright": b"none of it", **inside, "../outside": b"nor this"})
    return ar({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": data})


DEB = deb(FILES)


def source_at(url: str, package: bytes) -> DebSource:
    return DebSource(url + PATH, len(package), sha256(package), "usr/share/d")


@pytest.fixture
def mirror(cache: Path) -> Iterator[Hub]:
    with Hub({PATH: DEB}) as server:
        yield server


def test_a_package_gives_the_files_of_the_model_alone(
    cache: Path, mirror: Hub, listed: Callable[..., WeightEntry]
) -> None:
    listed(entry_of("d", FILES, (source_at(mirror.url, DEB),)))
    seen: list[weights.PullProgress] = []
    folder = weights.pull("d", seen.append)
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert in_place(cache) == ["d.verified.json", "d/d.dict.dz", "d/d.index"]
    assert [entry.name for entry in (cache / "downloads").iterdir()] == ["d.lock"]
    fetched = [(p.done_bytes, p.total_bytes) for p in seen if p.stage == "fetching"]
    assert fetched == sorted(fetched)
    assert fetched[-1] == (len(DEB), len(DEB))
    assert weights.verify("d").state == "sound"


def test_the_offline_mode_of_the_hub_is_not_for_debian_and_no_token_goes_there(
    mirror: Hub, listed: Callable[..., WeightEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    listed(entry_of("d", FILES, (source_at(mirror.url, DEB),)))
    assert (weights.pull("d") / "d.index").read_bytes() == FILES["d.index"]
    assert not any("hf_secret" in str(headers) for headers in mirror.headers)


def test_a_connection_that_breaks_off_is_taken_up_where_it_broke(
    mirror: Hub, listed: Callable[..., WeightEntry]
) -> None:
    listed(entry_of("d", FILES, (source_at(mirror.url, DEB),)))
    mirror.break_off_after = fetch_deb.CHUNK_BYTES + 5
    weights.pull("d")
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for _, asked in mirror.requests if asked]
    assert mirror.requests[0][1] is None
    assert starts == sorted(set(starts))
    assert starts[0] >= fetch_deb.CHUNK_BYTES


@pytest.mark.parametrize("ranges", [True, False])
def test_interrupted_half_way_the_next_pull_goes_on_or_begins_anew_where_the_server_has_no_ranges(
    cache: Path, mirror: Hub, listed: Callable[..., WeightEntry], ranges: bool
) -> None:
    def interrupt(progress: weights.PullProgress) -> None:
        if progress.done_bytes > 0:
            raise KeyboardInterrupt

    listed(entry_of("d", FILES, (source_at(mirror.url, DEB),)))
    with pytest.raises(KeyboardInterrupt):
        weights.pull("d", interrupt)
    assert in_place(cache) == []
    mirror.honour_ranges = ranges
    folder = weights.pull("d")
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    asked = mirror.requests[-1][1]
    assert asked is not None
    assert int(asked.removeprefix("bytes=").removesuffix("-")) > 0


@pytest.mark.parametrize("wrong", [content(2, len(DEB)), DEB[:-1], DEB + b"x", None])
def test_where_one_address_has_not_got_it_the_next_is_asked(
    cache: Path, mirror: Hub, listed: Callable[..., WeightEntry], wrong: bytes | None
) -> None:
    with Hub({} if wrong is None else {PATH: wrong}) as first:
        listed(entry_of("d", FILES, (source_at(first.url, DEB), source_at(mirror.url, DEB))))
        weights.pull("d")
        assert len(first.requests) == 1
    assert in_place(cache) == ["d.verified.json", "d/d.dict.dz", "d/d.index"]


def test_without_a_network_one_line_names_every_address(cache: Path, listed: Callable[..., WeightEntry]) -> None:
    addresses = ["http://127.0.0.1:1", "http://127.0.0.1:2"]  # nothing listens there
    listed(entry_of("d", FILES, tuple(source_at(url, DEB) for url in addresses)))
    with pytest.raises(WeightsError) as caught:
        weights.pull("d")
    assert [reason.key for reason in reasons_of(caught.value)] == ["address_not_reached"] * 2
    said = localize(caught.value, "en")
    assert all(url + PATH in said for url in addresses)
    assert "\n" not in said
    assert in_place(cache) == []


def test_a_server_that_breaks_off_at_once_again_and_again_is_left(
    mirror: Hub, listed: Callable[..., WeightEntry]
) -> None:
    listed(entry_of("d", FILES, (source_at(mirror.url, DEB),)))
    mirror.break_off_after = 0
    with pytest.raises(WeightsError) as caught:
        weights.pull("d")
    assert [reason.key for reason in reasons_of(caught.value)] == ["hub_broke_off"]
    mirror.break_off_after = 1000
    mirror.honour_ranges = False  # never gets further than it was
    with pytest.raises(WeightsError):
        weights.pull("d")


@pytest.mark.parametrize(
    ("package", "key"),
    [
        (b"no archive at all", "archive_unreadable"),
        (ar({"debian-binary": b"2.0\n"}), "archive_unreadable"),
        (ar({"data.tar.xz": b"no tar"}), "archive_unreadable"),
        (ar({"data.tar.xz": tar_xz({"./usr/share/d/d.dict.dz": FILES["d.dict.dz"]})[:100_000]}), "archive_unreadable"),
        (deb({"other": b""}), "source_wrong"),
        (deb(FILES | {"d.index": b"other"}), "source_wrong"),
    ],
)
def test_a_package_without_the_files_is_refused(
    cache: Path, mirror: Hub, listed: Callable[..., WeightEntry], package: bytes, key: str
) -> None:
    mirror.files[PATH] = package
    listed(entry_of("d", FILES, (source_at(mirror.url, package),)))
    with pytest.raises(WeightsError) as caught:
        weights.pull("d")
    assert [reason.key for reason in reasons_of(caught.value)] == [key]
    assert in_place(cache) == []
    assert not list((cache / "downloads").rglob(fetch_deb.PACKAGE))
