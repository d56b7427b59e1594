"""Fetches Debian packages without root and reads the files inside them; nothing is installed.

apt works in a private folder, so that a machine whose lists are empty or old is served as well as any and nothing of
the system changes. Sources and keyrings are the system's: apt checks the signed index, and the packages against it.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from image_db.errors import SampleUnavailable

Progress: TypeAlias = Callable[[str, int, int], None]

_POLL_S = 0.2
# Hooks that an image or an administrator hung on `apt-get update` are meant for the system's own lists.
_APT_CONF = (
    "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
)
_OFFER = re.compile(r"^'[^']+' (\S+) (\d+) ", re.MULTILINE)
_DIRECTORY = 2


def fetch_packages(names: Sequence[str], folder: Path, progress: Progress | None = None) -> list[Path]:
    """The packages of those names as files in ``folder``, in that order.

    ``progress("apt-get download", done_bytes, total_bytes)`` is called as they come in. Raises SampleUnavailable where
    there is no apt, no network, no such package or no space.
    """
    if shutil.which("apt-get") is None:
        raise SampleUnavailable("sample_needs_apt")
    for needed in ("lists/partial", "archives/partial"):
        (folder / needed).mkdir(parents=True, exist_ok=True)
    (folder / "apt.conf").write_text(_APT_CONF, encoding="ascii")
    settings = [
        f"Dir::State={folder}",
        f"Dir::State::lists={folder}/lists",
        f"Dir::Cache={folder}",
        f"Dir::Cache::archives={folder}/archives",
        "Debug::NoLocking=1",
        "Acquire::Retries=2",
        "Acquire::http::Timeout=30",
        "Acquire::https::Timeout=30",
        "Acquire::Languages=none",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        settings.append("APT::Sandbox::User=root")  # the user _apt may not write into a folder of ours
    apt = ["apt-get", "-c", str(folder / "apt.conf"), "-qq", *(f"-o{setting}" for setting in settings)]
    refreshed = _apt([*apt, "update"], folder)  # apt calls a failed refresh a success
    offered = _apt([*apt, "download", "--print-uris", *names], folder)
    offers = {file.partition("_")[0]: (folder / file, int(size)) for file, size in _OFFER.findall(offered.stdout)}
    if missing := [name for name in names if name not in offers]:
        raise SampleUnavailable("sample_not_offered", packages=missing, reason=_complaint(refreshed, offered))
    paths = [offers[name][0] for name in names]
    total = sum(size for _, size in offers.values())

    def poll() -> None:
        if progress is not None:
            progress("apt-get download", sum(path.stat().st_size for path in paths if path.exists()), total)

    fetched = _apt([*apt, "download", *names], folder, poll)
    if fetched.returncode != 0 or not all(path.is_file() for path in paths):
        raise SampleUnavailable("sample_not_fetched", packages=list(names), reason=_complaint(fetched))
    return paths


def _apt(command: list[str], folder: Path, poll: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            while True:
                try:
                    stdout, stderr = process.communicate(timeout=_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    if poll is not None:
                        poll()
        except BaseException:
            process.terminate()  # an interrupted run must not leave an apt behind that goes on writing
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _complaint(*runs: subprocess.CompletedProcess[str]) -> str:
    """The first thing apt complained of."""
    lines = [line for run in runs for line in run.stderr.splitlines() if line.startswith(("E:", "W:", "Err:"))]
    return lines[0].partition(":")[2].strip() if lines else f"exit code {runs[-1].returncode}"


def read_package(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The regular files of a package whose path ("usr/share/…") is wanted. Raises SampleUnavailable."""
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as unpacking:
        assert unpacking.stdout is not None
        assert unpacking.stderr is not None
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as tar:
                files = {
                    member.name.removeprefix("./"): content.read()
                    for member in tar
                    if wanted(member.name.removeprefix("./")) and (content := tar.extractfile(member)) is not None
                }
        except tarfile.TarError as error:
            reason = unpacking.stderr.read().decode(errors="replace").strip() or str(error)
            raise SampleUnavailable("sample_package_damaged", package=path.name, reason=reason) from error
    return files


def read_qt_resources(data: bytes, prefix: str = "", node: int = 0) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every file of a compiled Qt resource file (``.rcc``, versions 1 to 3) that is not compressed.

    A big-endian header ("qres", version, three offsets), a tree of nodes, a table of names in UTF-16 and a block of
    contents after their lengths: https://github.com/qt/qtbase/blob/dev/src/corelib/io/qresource.cpp. Raises
    struct.error for an offset outside of the file.
    """
    version, nodes, contents, names = struct.unpack_from(">4I", data, 4)
    offset = nodes + node * (14 if version == 1 else 22)
    name_at, flags = struct.unpack_from(">IH", data, offset)
    if node:  # the root has no name
        (length,) = struct.unpack_from(">H", data, names + name_at)
        start = names + name_at + 6  # a hash stands between
        prefix = f"{prefix}/{data[start : start + 2 * length].decode('utf-16-be')}".removeprefix("/")
    if flags & _DIRECTORY:
        count, first = struct.unpack_from(">II", data, offset + 6)
        for child in range(first, first + count):
            yield from read_qt_resources(data, prefix, child)
    elif not flags:
        (content_at,) = struct.unpack_from(">I", data, offset + 10)
        (length,) = struct.unpack_from(">I", data, contents + content_at)
        start = contents + content_at + 4
        yield prefix, data[start : start + length]
