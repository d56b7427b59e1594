"""Requests to an OpenAI-compatible server that survive what servers and networks do.

What may pass (no connection, silence, 408, 409, 425, 429, 5xx, an answer that breaks off or cannot be read) is tried
again after a pause that doubles and is drawn at random below its bound, so that many callers do not come back at once;
``Retry-After`` is obeyed. What will not pass by itself (a key that is refused, a model that is not there, a request
that the server does not take) is an error at once. Everything here is asynchronous; ``EventLoop`` runs it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from vision.errors import ModelError, Phrase, PromptTooLong

TRIES = 6
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
CONNECT_S = 10.0
_PASSING = frozenset({408, 409, 425, 429, *range(500, 600)})
_SAID_CHARS = 200
_LONGEST_BODY = 8 << 20  # bytes of an answer that is not streamed
# How servers say that a prompt does not fit: vLLM, SGLang, llama.cpp, llama-cpp-python, OpenAI.
_TOO_LONG = ("context length", "context window", "context size", "context_length", "too long", "maximum context")

Answer = TypeVar("Answer")


class PassingFault(Exception):
    """Something that may be better the next time. ``pause_s`` is what the server asks to wait, where it says."""

    def __init__(self, reason: Phrase, pause_s: float | None = None) -> None:
        super().__init__(reason.key)
        self.reason, self.pause_s = reason, pause_s


class EventLoop:
    """An asyncio loop on a thread of its own, for callers that know nothing of asyncio."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model-server", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, Answer]) -> Future[Answer]:
        """Begin the work; the future's ``cancel`` ends it. Raises ModelError after ``close``."""
        if self._loop.is_closed():
            work.close()
            raise ModelError("model_closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Do the work and wait for it; an interruption of the caller ends it."""
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and everything that still runs in it. Safe to repeat."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_end_the_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _end_the_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Pauses:
    """The pauses between tries at one thing: after the last one it raises what went wrong.

    ``progressed`` starts counting anew: a long text may be cut off more often than a short request.
    """

    def __init__(self, address: str, tries: int, first_pause_s: float, rng: random.Random) -> None:
        self._address, self._tries, self._first_pause_s, self._rng = address, tries, first_pause_s, rng
        self._failed = 0

    def progressed(self) -> None:
        self._failed = 0

    async def after(self, fault: PassingFault) -> None:
        """Wait before the next try. Raises ModelError where there is none left."""
        self._failed += 1
        if self._failed >= self._tries:
            raise ModelError("server_gave_up", address=self._address, tries=self._tries, reason=fault.reason)
        pause_s = fault.pause_s
        if pause_s is None:
            pause_s = self._rng.uniform(0.5, 1.0) * self._first_pause_s * 2 ** (self._failed - 1)
        await asyncio.sleep(min(pause_s, LONGEST_PAUSE_S))


class ServerConnection:
    """One server, ``address`` with its ``/v1``. ``at_once`` requests are under way at most, the others wait.

    ``timeout_s`` is the longest silence, from the request to the first token and from one token to the next.
    ``key`` comes from the environment variable ``key_variable`` and is sent as a bearer token.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str = "",
        key_variable: str = "",
        timeout_s: float = 120.0,
        at_once: int = 8,
        tries: int = TRIES,
        first_pause_s: float = FIRST_PAUSE_S,
        rng: random.Random | None = None,
    ) -> None:
        self.address, self.key_variable, self.timeout_s, self.tries = address, key_variable, timeout_s, tries
        self._key, self._first_pause_s, self._rng = key, first_pause_s, rng or random.Random()
        self._free = asyncio.Semaphore(at_once)
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s), pool=None),
            limits=httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once),
            verify=address.startswith("https:"),  # reading the certificates takes longer than a small request
            trust_env=not _is_this_machine(address),  # a proxy for the outside cannot reach a server here
        )

    async def close(self) -> None:
        await self._client.aclose()

    def pauses(self, tries: int | None = None) -> Pauses:
        return Pauses(self.address, tries or self.tries, self._first_pause_s, self._rng)

    async def ask(self, path: str, body: Mapping[str, Any] | None = None, *, tries: int | None = None) -> Any:
        """The answer's JSON object: of a POST where there is a ``body``, else of a GET.

        Raises ModelError or PromptTooLong.
        """
        pauses = self.pauses(tries)
        while True:
            try:
                async with self._sent(path, body) as response:
                    received = b""
                    async for part in response.aiter_bytes():
                        received += part
                        if len(received) > _LONGEST_BODY:
                            raise PassingFault(Phrase("server_garbage", {"said": "…"}))
                    return self._object(received)
            except PassingFault as fault:
                await pauses.after(fault)

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The JSON objects of a stream of server-sent events, up to ``[DONE]``, in one try.

        Raises PassingFault where it breaks off, ModelError or PromptTooLong.
        """
        async with self._sent(path, body) as response:
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue  # a comment that keeps the connection open, or the kind of the event
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                event = self._object(data.encode())
                if event.get("error"):
                    raise PassingFault(Phrase("server_status", {"status": 200, "said": self._said(data)}))
                yield event
        raise PassingFault(Phrase("server_cut"))

    @asynccontextmanager
    async def _sent(self, path: str, body: Mapping[str, Any] | None) -> AsyncIterator[httpx.Response]:
        """A response whose status is good, with what goes wrong while it is read turned into errors of this module."""
        async with self._free:
            method = "GET" if body is None else "POST"
            try:
                async with self._client.stream(method, f"{self.address}{path}", json=body) as response:
                    if response.status_code != 200:
                        await response.aread()
                        raise self._refusal(response)
                    yield response
            except httpx.ConnectTimeout as error:
                raise PassingFault(Phrase("server_not_reached", {"reason": "no answer"})) from error
            except httpx.TimeoutException as error:
                raise PassingFault(Phrase("server_silent", {"seconds": self.timeout_s})) from error
            except httpx.ConnectError as error:
                raise PassingFault(Phrase("server_not_reached", {"reason": str(error)})) from error
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.DecodingError) as error:
                raise PassingFault(Phrase("server_cut")) from error
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise ModelError("server_address_wrong", address=self.address) from error

    def _refusal(self, response: httpx.Response) -> Exception:
        status, said = response.status_code, self._said(response.text)
        if status in (401, 403):
            key = "server_refuses_key" if self._key else "server_wants_key"
            return ModelError(key, address=self.address, variable=self.key_variable, said=said)
        if status in _PASSING:
            return PassingFault(Phrase("server_status", {"status": status, "said": said}), _retry_after_s(response))
        if status in (400, 413, 422) and any(mark in response.text.lower() for mark in _TOO_LONG):
            return PromptTooLong("server_prompt_too_long", address=self.address, said=said)
        return ModelError("server_refuses", address=self.address, status=status, said=said)

    def _object(self, received: bytes) -> dict[str, Any]:
        try:
            found = json.loads(received)
        except ValueError as error:
            said = self._said(received.decode("utf-8", "replace"))
            raise PassingFault(Phrase("server_garbage", {"said": said})) from error
        if not isinstance(found, dict):
            raise PassingFault(Phrase("server_garbage", {"said": self._said(str(found))}))
        return found

    def _said(self, text: str) -> str:
        """What the server said, on one line: its message where it is JSON. The key never stands in it."""
        try:
            error = json.loads(text)
            for name in ("error", "message", "detail"):
                if isinstance(error, dict) and error.get(name):
                    error = error[name]
            text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
        except ValueError:
            pass
        text = " ".join(text.split())
        text = text.replace(self._key, "…") if self._key else text
        return text if len(text) <= _SAID_CHARS else f"{text[:_SAID_CHARS]}…"


def _retry_after_s(response: httpx.Response) -> float | None:
    """Seconds, from seconds or a date (RFC 9110, 10.2.3)."""
    given = response.headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _is_this_machine(address: str) -> bool:
    try:
        host = httpx.URL(address).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (ValueError, httpx.InvalidURL):
        return False
