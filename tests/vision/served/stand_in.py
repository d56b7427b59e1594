"""A small server that speaks OpenAI's API as vLLM, Ollama or OpenAI do, and breaks as real ones break.

A token is a word with the space before it. ``answers`` gives the whole text of a turn; what stands in the prompt's own
last turn is continued. Faults are taken from a list, one a request to ``/chat/completions``.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "stand-in/model-1"
Fault = Callable[["_Handler", dict[str, Any]], bool]  # true where it answered the request itself


def tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


class StandIn:
    """``kind``: "vllm" takes everything, "openai" refuses fields it does not know and closes turns, "plain" gives no
    log-probabilities and ignores what it does not know.
    """

    def __init__(
        self,
        answer: str = " one two three four five six",
        *,
        kind: str = "vllm",
        sees: bool = False,
        key: str = "",
        models: Sequence[str] = (NAME,),
        listed: Callable[[str], dict[str, float]] | None = None,
    ) -> None:
        self.answer, self.kind, self.sees, self.key, self.models = answer, kind, sees, key, list(models)
        self.listed = listed or (lambda said: {" yes": math.log(0.6), " no": math.log(0.3)})
        self.asked: list[dict[str, Any]] = []
        self.faults: list[Fault | None] = []
        self.at_once = self.most_at_once = 0
        self.gate = threading.Barrier(1)
        self.released = threading.Event()
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.stand_in = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def restart(self) -> None:
        """Go away, and come back at the same address."""
        port, before = self.port, self._server
        before.shutdown()
        before.server_close()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self._server.daemon_threads = True
        self._server.stand_in = self  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def owner(self) -> StandIn:
        return self.server.stand_in  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if not self._let_in():
            return
        cards = [
            {"id": name, "object": "model", "created": time.time(), "max_model_len": 2048} for name in self.owner.models
        ]
        self.send_object(
            {"object": "list", "data": cards} if self.path == "/v1/models" else {"detail": "Not Found"},
            200 if self.path == "/v1/models" else 404,
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self._let_in():
            return
        owner = self.owner
        with owner.lock:
            owner.asked.append(body)
            owner.at_once += 1
            owner.most_at_once = max(owner.most_at_once, owner.at_once)
            fault = owner.faults.pop(0) if owner.faults else None
        try:
            if owner.gate.parties > 1:
                owner.gate.wait(5)
            if fault is None or not fault(self, body):
                self._chat(body)
        finally:
            with owner.lock:
                owner.at_once -= 1

    def _let_in(self) -> bool:
        if self.owner.key and self.headers.get("authorization") != f"Bearer {self.owner.key}":
            given = self.headers.get("authorization", "")
            self.send_object({"error": {"message": f"Incorrect API key provided: {given}", "code": "invalid"}}, 401)
            return False
        return True

    def _chat(self, body: dict[str, Any], cut_after: int | None = None, last: bytes = b"") -> None:
        owner = self.owner
        if body["model"] not in owner.models:
            self.send_object({"error": {"message": f"The model `{body['model']}` does not exist."}}, 404)
            return
        known = {"model", "messages", "max_tokens", "temperature", "top_p", "seed", "stop", "stream", "stream_options"}
        known |= {"logprobs", "top_logprobs"}
        if owner.kind == "openai" and (unknown := set(body) - known):
            self.send_object({"error": {"message": f"Unrecognized request argument supplied: {min(unknown)}"}}, 400)
            return
        pictures = [
            p for m in body["messages"] if isinstance(m["content"], list) for p in m["content"] if "image_url" in p
        ]
        if pictures and not owner.sees:
            self.send_object({"error": {"message": "this is not a multimodal model"}}, 400)
            return
        turn = body["messages"][-1]
        is_open = turn["role"] == "assistant" and owner.kind == "vllm" and bool(body.get("continue_final_message"))
        said = text_of(turn) if is_open else ""
        read = 4 * len(body["messages"]) + sum(len(tokens(text_of(m))) for m in body["messages"]) + 7 * len(pictures)
        read += 0 if is_open else 3
        rest = tokens(owner.answer)
        if is_open:  # it goes on from what of its answer stands there
            done = next((n for n in range(len(rest), 0, -1) if said.endswith("".join(rest[:n]))), 0)
            rest = rest[done:]
        words, finish = rest[: body["max_tokens"]], "stop" if len(rest) <= body["max_tokens"] else "length"
        usage = {"prompt_tokens": read, "completion_tokens": len(words), "prompt_tokens_details": {"cached_tokens": 2}}
        if body.get("stream"):
            self._stream(words, finish, usage, cut_after, last)
            return
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": "".join(words)}, "finish_reason": finish}
        if body.get("logprobs") and owner.kind != "plain":
            top = [{"token": token, "logprob": value} for token, value in owner.listed(said).items()]
            choice["logprobs"] = {"content": [{"token": "x", "logprob": -1.0, "top_logprobs": top}]}
        self.send_object({"choices": [choice], "usage": usage})

    def _stream(self, words: list[str], finish: str, usage: dict[str, Any], cut_after: int | None, last: bytes) -> None:
        self.begin_stream()
        self.event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        for word in words[:cut_after]:
            self.event({"choices": [{"delta": {"content": word}, "finish_reason": None}]})
        if cut_after is not None:
            if last:
                self.chunk(last)
                self.chunk(b"")
            self.close_connection = True
            return
        self.event({"choices": [{"delta": {}, "finish_reason": finish}]})
        self.event({"choices": [], "usage": usage})
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def send_object(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_raw(json.dumps(value).encode(), status, headers)

    def send_raw(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.chunk(b": keep-alive\n\n")

    def event(self, value: object) -> None:
        self.chunk(f"data: {json.dumps(value)}\n\n".encode())

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


# Faults


def status(code: int, message: str = "overloaded", headers: dict[str, str] | None = None) -> Fault:
    def answer(handler: _Handler, body: dict[str, Any]) -> bool:
        handler.send_object({"error": {"message": message}}, code, headers)
        return True

    return answer


def cut(after: int, last: bytes = b"") -> Fault:
    """The connection ends after so many words, or the stream does with ``last``."""

    def answer(handler: _Handler, body: dict[str, Any]) -> bool:
        if not body.get("stream"):
            handler.send_raw(b"<html>Bad gateway</html>")
        else:
            handler._chat(body, after, last)
        return True

    return answer


garbage = cut(1, b'data: {"choices": [{"del\n\n')
# vLLM's engine dies: the error comes inside the stream.
failing_stream = cut(1, b'data: {"error": {"message": "EngineCore encountered an issue", "code": 500}}\n\n')


def silence(handler: _Handler, body: dict[str, Any]) -> bool:
    handler.owner.released.wait(20)
    handler.close_connection = True
    return True
