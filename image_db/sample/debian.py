"""Fetches Debian packages and reads the files inside them, without root and without installing anything.

apt does the fetching, with its state, lists and cache in a private folder: a machine whose lists are empty or old is
served as well as any, and nothing of the system changes. Sources and keyrings are the system's, so apt checks the
signed index and the package's SHA-256 against it; the hash is checked once more here. A package is read in place
(an ``ar`` archive holding a compressed ``tar``, deb(5)); its files come back as bytes, never as paths on disk. Knows
nothing of what the packages hold.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias, cast

from image_db.errors import SampleUnavailable

Progress: TypeAlias = Callable[[str, int, int], None]

OWN_FOLDER_HINT = "index a folder of your own pictures instead: vignette index PATH… --library DIR"

_POLL_S = 0.2
_UPDATE_TIMEOUT_S = 300
_DOWNLOAD_TIMEOUT_S = 3600
_MAX_FILE_BYTES = 256 * 2**20
_MAX_PACKAGE_BYTES = 2 * 2**30
_TELL_EVERY_BYTES = 2**20
_SPARE_BYTES = 200 * 2**20

# Hooks that an image or an administrator hung on `apt-get update` are meant for the system's own lists.
_APT_CONF = (
    "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
)

_URI_LINE = re.compile(r"^'(?P<url>[^']+)' (?P<file>\S+) (?P<bytes>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package file on disk whose bytes are those the signed index names."""

    name: str
    version: str
    sha256: str
    path: Path


def fetch_packages(names: Iterable[str], folder: Path, progress: Progress | None = None) -> list[DebianPackage]:
    """The packages of those names as files in ``folder``; what lies there whole already is not fetched again.

    ``progress(name, done_bytes, total_bytes)`` is called as a package comes in. Raises SampleUnavailable, with what to
    do, where there is no apt, no network, no such package or no space.
    """
    names = list(names)
    if shutil.which("apt-get") is None:
        raise SampleUnavailable(
            "the sample library comes from two Debian packages, and this system has no apt-get to fetch them; "
            + OWN_FOLDER_HINT
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        apt = _PrivateApt(folder)
        complaint = apt.update()
        return [apt.download(name, complaint, progress) for name in names]
    except OSError as error:
        raise SampleUnavailable(f"cannot keep the sample's packages in {folder}: {error}; free space there") from error


class _PrivateApt:
    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        state, cache = self.folder / "apt" / "state", self.folder / "apt" / "cache"
        for needed in (state / "lists" / "partial", cache / "archives" / "partial"):
            needed.mkdir(parents=True, exist_ok=True)
        conf = self.folder / "apt" / "apt.conf"
        conf.write_text(_APT_CONF, encoding="ascii")
        self._options = [
            *("-c", str(conf), "-q", "-q"),
            *("-o", f"Dir::State={state}", "-o", f"Dir::State::lists={state / 'lists'}"),
            *("-o", f"Dir::Cache={cache}", "-o", f"Dir::Cache::archives={cache / 'archives'}"),
            *("-o", "Debug::NoLocking=1", "-o", "Acquire::Retries=2"),
            *("-o", "Acquire::http::Timeout=30", "-o", "Acquire::https::Timeout=30", "-o", "Acquire::Languages=none"),
        ]
        if os.geteuid() == 0:
            # Root's apt would drop to the user _apt, who may not write into a folder of ours.
            self._options += ["-o", "APT::Sandbox::User=root"]

    def update(self) -> str:
        """Refreshes the private lists. apt calls a failed refresh a success, so its complaint is kept for later."""
        done = self._run(["update"], _UPDATE_TIMEOUT_S)
        return _first_complaint(done.stderr)

    def download(self, name: str, complaint: str, progress: Progress | None) -> DebianPackage:
        offered = _URI_LINE.search(self._run(["download", "--print-uris", name], _UPDATE_TIMEOUT_S).stdout)
        if offered is None:
            if complaint:
                raise SampleUnavailable(
                    f"apt cannot reach its servers to fetch the package {name} ({complaint}); "
                    f"connect to the network and try again, or {OWN_FOLDER_HINT}"
                )
            raise SampleUnavailable(
                f"this system's apt sources do not offer the package {name} (Debian and Ubuntu have it); "
                + OWN_FOLDER_HINT
            )
        total_bytes, sha256 = int(offered["bytes"]), offered["sha256"]
        path = self.folder / PurePosixPath(offered["file"]).name
        if not (path.is_file() and path.stat().st_size == total_bytes and _sha256(path) == sha256):
            free_bytes = shutil.disk_usage(self.folder).free
            if free_bytes < total_bytes + _SPARE_BYTES:
                raise SampleUnavailable(
                    f"the package {name} needs {(total_bytes + _SPARE_BYTES) // 2**20} MiB in {self.folder}, "
                    f"which has {free_bytes // 2**20} MiB free; free space there"
                )
            self._fetch(name, path, total_bytes, progress)
            if _sha256(path) != sha256:
                path.unlink()
                raise SampleUnavailable(f"the package {name} arrived damaged (SHA-256 is not {sha256}); try again")
        if progress is not None:
            progress(name, total_bytes, total_bytes)
        return DebianPackage(name, _version(path.name, name), sha256, path)

    def _fetch(self, name: str, path: Path, total_bytes: int, progress: Progress | None) -> None:
        errors = self.folder / "apt" / "download.log"
        with errors.open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                ["apt-get", *self._options, "download", name],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
            try:
                polls = 0
                while process.poll() is None:
                    if polls * _POLL_S > _DOWNLOAD_TIMEOUT_S:
                        raise SampleUnavailable(f"the package {name} did not arrive within an hour; try again")
                    if progress is not None and path.exists():
                        progress(name, min(path.stat().st_size, total_bytes), total_bytes)
                    try:
                        process.wait(_POLL_S)
                    except subprocess.TimeoutExpired:
                        polls += 1
            finally:
                # An interrupted run must not leave an apt behind that goes on writing.
                if process.poll() is None:
                    process.terminate()
                    process.wait()
            log.seek(0)
            complaint = _first_complaint(log.read())
        if process.returncode != 0 or not path.is_file():
            raise SampleUnavailable(
                f"apt could not fetch the package {name} ({complaint or f'exit code {process.returncode}'}); "
                f"check the network and try again, or {OWN_FOLDER_HINT}"
            )

    def _run(self, arguments: list[str], timeout_s: int) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["apt-get", *self._options, *arguments],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SampleUnavailable(
                f"apt-get {arguments[0]} did not finish within {timeout_s} s; check the network and try again, "
                f"or {OWN_FOLDER_HINT}"
            ) from error


def read_package(
    path: Path, wanted: Callable[[str], bool], progress: Callable[[int, int], None] | None = None
) -> dict[str, bytes]:
    """The regular files of a package whose path (``usr/share/…``) is wanted, path → bytes.

    Links and devices are passed over; a path that is absolute or climbs out of the package is refused.
    ``progress(read_bytes, total_bytes)`` counts the package's own bytes. Raises SampleUnavailable for a file that is
    no package, and for sizes no honest package has.
    """
    files: dict[str, bytes] = {}
    total_bytes = 0
    package_bytes = path.stat().st_size if path.is_file() else 0
    told_bytes = 0
    try:
        with path.open("rb") as archive:
            suffix, data = _data_member(archive, path)
            with _open_tar(suffix, data, path) as tar:
                for member in tar:
                    name = _safe_name(member.name, path)
                    if progress is not None and archive.tell() - told_bytes >= _TELL_EVERY_BYTES:
                        told_bytes = archive.tell()
                        progress(told_bytes, package_bytes)
                    if not member.isreg() or not wanted(name):
                        continue
                    total_bytes += member.size
                    if member.size > _MAX_FILE_BYTES or total_bytes > _MAX_PACKAGE_BYTES:
                        raise SampleUnavailable(f"{path.name} is not read: {name} makes it {total_bytes:,} bytes")
                    content = tar.extractfile(member)
                    assert content is not None
                    files[name] = content.read()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise SampleUnavailable(
            f"{path} is not a readable Debian package ({error}); delete it and try again"
        ) from error
    return files


class _Slice:
    """The next ``length`` bytes of a file, as a file that ends there."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left = file, length

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        data = self._file.read(size)
        self._left -= len(data)
        return data


def _data_member(archive: IO[bytes], path: Path) -> tuple[str, _Slice]:
    """The suffix and content of the ``data.tar.*`` member of the ar archive."""
    if archive.read(8) != b"!<arch>\n":
        raise SampleUnavailable(f"{path} is not a Debian package (no ar archive); delete it and try again")
    while len(header := archive.read(60)) == 60 and header[58:] == b"`\n":
        name = header[:16].decode("ascii", errors="replace").strip().rstrip("/")
        size = int(header[48:58])
        if name.startswith("data.tar"):
            return name.removeprefix("data.tar"), _Slice(archive, size)
        archive.seek(size + size % 2, 1)
    raise SampleUnavailable(f"{path} is not a whole Debian package (no data.tar in it); delete it and try again")


def _open_tar(suffix: str, data: _Slice, path: Path) -> tarfile.TarFile:
    if suffix == ".zst":
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(cast(IO[bytes], data), read_across_frames=True)
        return tarfile.open(fileobj=cast(IO[bytes], reader), mode="r|")
    modes = {"": "r|", ".gz": "r|gz", ".bz2": "r|bz2", ".xz": "r|xz"}
    if suffix not in modes:
        raise SampleUnavailable(f"{path} is compressed as data.tar{suffix}, which is not supported (xz, zst, gz, bz2)")
    return cast(tarfile.TarFile, tarfile.open(fileobj=data, mode=modes[suffix]))  # type: ignore[call-overload]


def _safe_name(name: str, path: Path) -> str:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise SampleUnavailable(f"{path.name} is refused: it holds the path {name!r}, outside of its own folder")
    return "/".join(part for part in parts if part != ".")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(file_name: str, name: str) -> str:
    """The version as in ``NAME_VERSION_ARCHITECTURE.deb``, where apt writes an epoch's colon as ``%3a``."""
    return file_name.removeprefix(f"{name}_").rsplit("_", 1)[0].replace("%3a", ":")


def _first_complaint(stderr: str) -> str:
    complaints = [line for line in stderr.splitlines() if line.startswith(("E:", "W:", "Err:"))]
    return complaints[0].split(":", 1)[1].strip() if complaints else ""


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
