"""A reverse proxy that serves another server under a path, as nginx does with ``location /vignette/``."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

_OF_ONE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "date")


class ReverseProxy:
    """Passes on what is asked for below ``path`` and answers 404 to all else, as events come.

    ``strip`` takes the path off on the way, ``headers`` are sent along; ``{host}`` there is the proxy's own address,
    ``{name}`` the same without the port.
    """

    def __init__(
        self, target: str, path: str = "/vignette", *, strip: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        self._http = httpx.Client(base_url=target.rstrip("/"), timeout=60)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                if not self.path.startswith(f"{path}/"):
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                proxy._send(self, self.path.removeprefix(path) if strip else self.path, headers or {})

            do_GET = do_POST = do_HEAD = do_OPTIONS = do_DELETE = _pass

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # whoever asked has left

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}{path}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def _send(self, asked: BaseHTTPRequestHandler, target: str, extra: Mapping[str, str]) -> None:
        sent = {
            name: value for name, value in asked.headers.items() if name.lower() not in (*_OF_ONE_CONNECTION, "host")
        }
        sent |= {name: value.format(host=self.host, name="127.0.0.1") for name, value in extra.items()}
        body = asked.rfile.read(int(asked.headers.get("content-length") or 0))
        with self._http.stream(asked.command, target, headers=sent, content=body) as answer:
            asked.send_response(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name.lower() not in _OF_ONE_CONNECTION:
                    asked.send_header(name, value)
            asked.send_header("Connection", "close")
            asked.end_headers()
            asked.close_connection = True
            for chunk in answer.iter_bytes():
                asked.wfile.write(chunk)
                asked.wfile.flush()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._http.close()

    def __enter__(self) -> ReverseProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
