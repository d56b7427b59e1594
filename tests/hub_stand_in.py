"""A local folder served over loopback as a model hub: ``folder/owner/name`` is the repository ``owner/name``.

Speaks what huggingface_hub asks: the repository and its tree, and files with ranges, git's or LFS's hashes included.
"""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlparse

import pytest
from huggingface_hub import constants

COMMIT = "c0ffee" * 6 + "abcd"
_LARGE = (".safetensors", ".gguf", ".bin")


class HubStandIn(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.fetched: list[tuple[str, str | None]] = []  # path and Range of every file asked for
        self.break_off_at: int | None = None  # byte of a file beyond which every connection is cut
        self.lie = False  # files arrive with other contents than the tree lists
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> HubStandIn:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was cut off is no error of the server's."""


def use_hub(hub: HubStandIn, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have huggingface_hub ask the stand-in, with a cache folder of its own."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_ENDPOINT", hub.address)


def digests(path: Path) -> tuple[str, str]:
    """Git's hash of a small file, and the SHA-256 by which LFS names a large one."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), hashlib.sha256(data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: HubStandIn
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlparse(self.path).path.strip("/").split("/")]
        if parts == [""]:
            self._json({})
        elif parts[:2] == ["api", "models"] and len(parts) > 3:
            self._api(self.server.folder / parts[2] / parts[3], parts[4:])
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file(self.server.folder / parts[0] / parts[1], "/".join(parts[4:]))
        else:
            self._missing("EntryNotFound")

    def _api(self, repository: Path, rest: list[str]) -> None:
        if not repository.is_dir():
            self._missing("RepoNotFound")
            return
        files = sorted(path for path in repository.rglob("*") if path.is_file())
        names = [path.relative_to(repository).as_posix() for path in files]
        if rest[:1] != ["tree"]:
            name = "/".join(repository.parts[-2:])
            self._json({"id": name, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]})
            return
        entries = []
        for name, path in zip(names, files, strict=True):
            git, sha256 = digests(path)
            size = path.stat().st_size
            entry: dict[str, object] = {"type": "file", "path": name, "size": size, "oid": git}
            if path.suffix in _LARGE:
                entry["lfs"] = {"oid": sha256, "size": size, "pointerSize": 134}
            entries.append(entry)
        self._json(entries)

    def _file(self, repository: Path, name: str) -> None:
        path = repository / name
        if not path.is_file():
            self._missing("EntryNotFound" if repository.is_dir() else "RepoNotFound")
            return
        hub, data, asked = self.server, path.read_bytes(), self.headers.get("Range")
        git, sha256 = digests(path)
        head = self.command == "HEAD"
        if not head:
            hub.fetched.append((f"{repository.parent.name}/{repository.name}/{name}", asked))
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        body = data[start:]
        if hub.lie:
            body = bytes(len(body))
        self.send_response(206 if asked else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{sha256 if path.suffix in _LARGE else git}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if head:
            return
        if hub.break_off_at is not None:
            body = data[start : hub.break_off_at]
            self.close_connection = True
        self.wfile.write(body)

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass
